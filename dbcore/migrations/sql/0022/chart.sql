-- The chart of accounts. `opening` is the other side of imported balances, `adjustments` that of what admins and operators
-- credit and debit, `house` that of what programs do; `promo` and `provider_fees` are for an operator's own entries. What was
-- booked on `house` before stays there until an operator moves it by a transfer.
ALTER TABLE ballast.system_accounts DROP CONSTRAINT system_accounts_name_known;
ALTER TABLE ballast.system_accounts ADD CONSTRAINT system_accounts_name_known
    CHECK (name IN ('house', 'stars', 'opening', 'adjustments', 'promo', 'provider_fees'));

-- As in 0017, and the other side depends on who it is.
CREATE OR REPLACE FUNCTION ballast.ledger_adjust(
    p_key text, p_fingerprint text, p_telegram_id bigint, p_username text, p_amount bigint, p_currency text,
    p_memo text, p_actor text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text,
    OUT r_target_id bigint, OUT r_target_username text, OUT r_target_first_name text, OUT r_balance bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_other bigint;
    v_target record;
    v_post record;
BEGIN
    v_other := ballast.ledger_system_account(
        CASE WHEN p_actor LIKE 'telegram:%' OR p_actor = 'operator' OR p_actor LIKE 'operator:%'
             THEN 'adjustments' ELSE 'house' END, p_currency);
    SELECT * INTO v_target FROM ballast.users_find(p_telegram_id, p_username, p_currency);

    IF p_amount > 0 THEN
        SELECT * INTO v_post FROM ballast.ledger_post(p_key, p_fingerprint, v_other, v_target.r_account_id, p_amount, p_currency,
                                              'credit', p_memo, p_actor, v_target.r_reason);
    ELSE
        SELECT * INTO v_post FROM ballast.ledger_post(p_key, p_fingerprint, v_target.r_account_id, v_other, -p_amount, p_currency,
                                              'debit', p_memo, p_actor, v_target.r_reason);
    END IF;
    r_transfer_id := v_post.r_transfer_id;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_balance := coalesce(v_post.r_from_balance, v_post.r_to_balance, v_post.r_refused_balance);

    -- From the transfer, not from the search: the username may have changed hands since the first time.
    SELECT u.telegram_id, u.username, u.first_name INTO r_target_id, r_target_username, r_target_first_name
      FROM ballast.accounts a JOIN ballast.users u ON u.id = a.user_id
     WHERE a.id IN (v_post.r_from, v_post.r_to);
END
$$;

-- Moves an amount from one system account to another, dated now: entries are never rewritten. `stars` is left out, for each
-- of its transfers is a payment's.
CREATE FUNCTION ballast.ledger_reclassify(
    p_key text, p_fingerprint text, p_from text, p_to text, p_amount bigint, p_currency text, p_memo text, p_actor text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text
) LANGUAGE plpgsql AS $$
DECLARE
    v_post record;
BEGIN
    IF 'stars' IN (p_from, p_to) THEN
        RAISE EXCEPTION 'the account stars has payments only' USING ERRCODE = 'check_violation';
    END IF;
    SELECT * INTO v_post FROM ballast.ledger_post(
        p_key, p_fingerprint, ballast.ledger_system_account(p_from, p_currency),
        ballast.ledger_system_account(p_to, p_currency), p_amount, p_currency, 'reclassification', p_memo, p_actor, NULL);
    r_transfer_id := v_post.r_transfer_id;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
END
$$;
