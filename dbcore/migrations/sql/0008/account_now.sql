-- A user's balance and version as they are now: after what the same transaction did, or, on a replay, after all that was
-- committed since. Volatile, so that it sees what the statement that calls it has done. NULLs for somebody unknown.
CREATE FUNCTION ballast.ledger_account_now(
    p_telegram_id bigint, p_currency text, OUT r_balance bigint, OUT r_version bigint
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT a.balance, a.version INTO r_balance, r_version
      FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
     WHERE u.telegram_id = p_telegram_id;
END
$$;
