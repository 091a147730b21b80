-- One page of someone's entries, newest first: versions (upto - limit, upto]. An account's versions have no
-- gaps, so a page needs neither an offset nor a count.
CREATE FUNCTION ballast.history_page(
    p_telegram_id bigint, p_username text, p_first_name text, p_currency text, p_upto bigint, p_limit integer,
    OUT r_newest bigint, OUT r_balance bigint, OUT r_entries jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_user record;
    v_upto bigint;
BEGIN
    SELECT * INTO v_user FROM ballast.users_touch(p_telegram_id, p_username, p_first_name, p_currency);
    r_newest := v_user.r_version;
    r_balance := v_user.r_balance;
    v_upto := least(coalesce(p_upto, r_newest), r_newest);
    SELECT coalesce(jsonb_agg(jsonb_build_array(
               e.account_version, e.amount, e.balance_after, t.kind, t.memo, t.created_at,
               u.telegram_id, u.username, u.first_name) ORDER BY e.account_version DESC), '[]')
      INTO r_entries
      FROM ballast.entries e
      JOIN ballast.transfers t ON t.id = e.transfer_id
      JOIN ballast.accounts a ON a.id = CASE WHEN e.account_id = t.from_account_id THEN t.to_account_id ELSE t.from_account_id END
      LEFT JOIN ballast.users u ON u.id = a.user_id  -- the house is nobody
     WHERE e.account_id = v_user.r_account_id AND e.account_version <= v_upto AND e.account_version > v_upto - p_limit;
END
$$;
