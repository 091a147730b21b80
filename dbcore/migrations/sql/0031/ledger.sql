-- As in 0019, and the hold of a withdrawal is ended by the withdrawal alone: what is posted of it goes to `payouts`.
CREATE OR REPLACE FUNCTION ballast.ledger_end_hold(
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
    v_withdrawal_id bigint;
BEGIN
    r_status := 'rejected';
    SELECT h.account_id INTO v_hold FROM ballast.holds h
     WHERE h.id = p_hold_id AND h.currency = p_currency AND h.status <> 'refused';
    IF v_hold.account_id IS NULL THEN
        r_reason := 'unknown_hold';
        RETURN;
    END IF;
    SELECT w.id INTO v_withdrawal_id FROM ballast.withdrawals w WHERE w.hold_id = p_hold_id;
    IF p_key IS DISTINCT FROM 'withdrawal:' || v_withdrawal_id AND v_withdrawal_id IS NOT NULL THEN
        r_reason := 'held_for_withdrawal';
        RETURN;
    END IF;
    IF NOT p_post THEN
        NULL;
    ELSIF v_withdrawal_id IS NOT NULL THEN
        v_to_account := ballast.ledger_system_account('payouts', p_currency);
        v_kind := 'payout';
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

-- As in 0029: what was paid out is not reversed here.
CREATE OR REPLACE FUNCTION ballast.ledger_reverse(
    p_key text, p_fingerprint text, p_transfer_id bigint, p_amount bigint, p_memo text, p_actor text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text, OUT r_amount bigint, OUT r_left bigint,
    OUT r_currency text,
    OUT r_from_id bigint, OUT r_from_username text, OUT r_from_first_name text, OUT r_from_balance bigint,
    OUT r_to_id bigint, OUT r_to_username text, OUT r_to_first_name text, OUT r_to_balance bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_original record;
    v_post record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ballast.reversals:' || p_transfer_id, 0));
    SELECT t.* INTO v_original FROM ballast.transfers t WHERE t.id = p_transfer_id;
    IF v_original.id IS NULL THEN
        r_status := 'rejected';
        r_reason := 'unknown_transfer';
        RETURN;
    END IF;
    r_currency := v_original.currency;
    r_left := ballast.ledger_left_to_reverse(p_transfer_id);
    r_amount := p_amount;
    SELECT * INTO v_post FROM ballast.ledger_post(
        p_key, p_fingerprint, v_original.to_account_id, v_original.from_account_id, p_amount, v_original.currency,
        'reversal', p_memo, p_actor,
        CASE
            WHEN v_original.status <> 'applied' OR v_original.kind
                   IN ('star_payment', 'star_refund', 'provider_payment', 'provider_refund', 'provider_fee',
                       'payout', 'reclassification', 'reversal')
                THEN 'not_reversible'
            WHEN r_left = 0 THEN 'already_reversed'
            WHEN p_amount > r_left THEN 'over_what_is_left'
        END);
    IF v_post.r_status = 'applied' THEN
        INSERT INTO ballast.reversals (transfer_id, reverses_id) VALUES (v_post.r_transfer_id, p_transfer_id);
        r_left := r_left - p_amount;
    END IF;
    r_transfer_id := v_post.r_transfer_id;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_from_balance := coalesce(v_post.r_from_balance, v_post.r_refused_balance);
    r_to_balance := v_post.r_to_balance;
    SELECT u.telegram_id, u.username, u.first_name INTO r_from_id, r_from_username, r_from_first_name
      FROM ballast.accounts a JOIN ballast.users u ON u.id = a.user_id WHERE a.id = v_original.to_account_id;
    SELECT u.telegram_id, u.username, u.first_name INTO r_to_id, r_to_username, r_to_first_name
      FROM ballast.accounts a JOIN ballast.users u ON u.id = a.user_id WHERE a.id = v_original.from_account_id;
END
$$;
