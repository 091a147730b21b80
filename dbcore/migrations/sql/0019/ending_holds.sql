-- Ends a hold, once: posts it in full or in part, which gives back the rest, or voids it. Posted money goes to another user
-- or, if none is named, to the house. A refusal leaves the hold as it was, and is not recorded.
--
-- r_amount is what was posted, r_available what the owner has left besides what is still held.
CREATE FUNCTION ballast.ledger_end_hold(
    p_key text, p_fingerprint text, p_hold_id bigint, p_currency text, p_post boolean, p_amount bigint,
    p_to_telegram_id bigint, p_to_username text, p_actor text,
    OUT r_status text, OUT r_reason text, OUT r_state text, OUT r_transfer_id bigint, OUT r_amount bigint,
    OUT r_telegram_id bigint, OUT r_balance bigint, OUT r_available bigint, OUT r_version bigint,
    OUT r_to_telegram_id bigint, OUT r_to_balance bigint, OUT r_to_version bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    c_max_balance CONSTANT bigint := 1000000000000000000;
    v_hold record;
    v_to record;
    v_to_account bigint;
    v_to_reason text;
    v_kind text := 'debit';
    v_transfer_id bigint;
    v_amount bigint;
BEGIN
    r_status := 'rejected';
    SELECT h.account_id INTO v_hold FROM ballast.holds h
     WHERE h.id = p_hold_id AND h.currency = p_currency AND h.status <> 'refused';
    IF v_hold.account_id IS NULL THEN
        r_reason := 'unknown_hold';
        RETURN;
    END IF;
    IF NOT p_post THEN
        NULL;
    ELSIF p_to_telegram_id IS NULL AND p_to_username IS NULL THEN
        v_to_account := ballast.ledger_system_account('house', p_currency);
    ELSE
        SELECT * INTO v_to FROM ballast.users_find(p_to_telegram_id, p_to_username, p_currency);
        v_to_account := v_to.r_account_id;
        v_to_reason := CASE WHEN v_to_account = v_hold.account_id THEN 'same_account' ELSE v_to.r_reason END;
        v_kind := 'transfer';
    END IF;

    -- In the order of their ids, as ledger_post locks them, and before the hold.
    PERFORM FROM ballast.accounts a WHERE a.id IN (v_hold.account_id, v_to_account) AND a.user_id IS NOT NULL
      ORDER BY a.id FOR NO KEY UPDATE;
    SELECT h.* INTO v_hold FROM ballast.holds h WHERE h.id = p_hold_id FOR NO KEY UPDATE;

    IF v_hold.status <> 'open' THEN
        r_reason := CASE
            WHEN v_hold.ended_key = p_key AND v_hold.ended_fingerprint <> p_fingerprint THEN 'key_reused'
            WHEN v_hold.ended_key = p_key THEN NULL
            WHEN v_hold.status = 'posted' THEN 'already_posted'
            WHEN v_hold.status = 'voided' THEN 'already_voided'
            ELSE 'expired'
        END;
        IF r_reason IS NULL THEN
            r_status := 'replayed';
        END IF;
    ELSIF EXISTS (SELECT FROM ballast.holds h WHERE h.ended_key = p_key) THEN
        r_reason := 'key_reused';
    ELSIF v_hold.expires_at <= clock_timestamp() THEN
        PERFORM ballast.ledger_expire_holds(v_hold.account_id);
        r_reason := 'expired';
    ELSIF v_to_reason IS NOT NULL THEN
        r_reason := v_to_reason;
    ELSIF p_amount > v_hold.amount THEN
        r_reason := 'more_than_held';
    ELSIF EXISTS (SELECT FROM ballast.accounts a WHERE a.id = v_to_account
                     AND a.balance > c_max_balance - coalesce(p_amount, v_hold.amount)) THEN
        r_reason := 'balance_overflow';
    ELSE
        UPDATE ballast.accounts SET held = held - v_hold.amount, floor = least(0, balance - held + v_hold.amount)
         WHERE id = v_hold.account_id;
        IF p_post THEN
            v_amount := coalesce(p_amount, v_hold.amount);
            SELECT p.r_transfer_id INTO STRICT v_transfer_id FROM ballast.ledger_post(
                'hold:' || p_hold_id, 'hold:' || p_hold_id, v_hold.account_id, v_to_account, v_amount, p_currency,
                v_kind, v_hold.memo, p_actor, NULL) AS p;
        END IF;
        UPDATE ballast.holds
           SET status = CASE WHEN p_post THEN 'posted' ELSE 'voided' END, transfer_id = v_transfer_id,
               posted_amount = v_amount, ended_key = p_key, ended_fingerprint = p_fingerprint,
               ended_at = clock_timestamp()
         WHERE id = p_hold_id;
        r_status := 'applied';
    END IF;

    SELECT h.status, h.transfer_id, h.posted_amount, u.telegram_id, a.balance, a.balance - a.held, a.version
      INTO r_state, r_transfer_id, r_amount, r_telegram_id, r_balance, r_available, r_version
      FROM ballast.holds h JOIN ballast.accounts a ON a.id = h.account_id JOIN ballast.users u ON u.id = a.user_id
     WHERE h.id = p_hold_id;
    SELECT u.telegram_id, a.balance, a.version INTO r_to_telegram_id, r_to_balance, r_to_version
      FROM ballast.transfers t JOIN ballast.accounts a ON a.id = t.to_account_id JOIN ballast.users u ON u.id = a.user_id
     WHERE t.id = r_transfer_id;
END
$$;
