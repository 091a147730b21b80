-- As in 0001, and what is held is not available: `sender_balance` is what is left of it.
CREATE OR REPLACE FUNCTION ballast.pending_create(
    p_key text, p_fingerprint text, p_token text,
    p_sender_id bigint, p_sender_username text, p_sender_first_name text,
    p_recipient_id bigint, p_recipient_username text,
    p_amount bigint, p_currency text, p_memo text, p_expires_after interval,
    OUT r_status text, OUT r_reason text, OUT r_token text,
    OUT r_recipient_id bigint, OUT r_recipient_username text, OUT r_recipient_first_name text, OUT r_balance bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_sender record;
    v_recipient record;
    v_known record;
    v_inserted bigint;
    v_available bigint;
BEGIN
    SELECT * INTO v_sender FROM ballast.users_touch(p_sender_id, p_sender_username, p_sender_first_name, p_currency);
    SELECT * INTO v_known FROM ballast.pending_transfers p WHERE p.idempotency_key = p_key;
    IF v_known.id IS NULL THEN
        SELECT * INTO v_recipient FROM ballast.users_find(p_recipient_id, p_recipient_username, p_currency);
        SELECT a.balance - a.held INTO v_available FROM ballast.accounts a WHERE a.id = v_sender.r_account_id;
        r_reason := CASE
            WHEN v_recipient.r_reason IS NOT NULL THEN v_recipient.r_reason
            WHEN v_recipient.r_user_id = v_sender.r_user_id THEN 'same_account'
            WHEN v_available < p_amount THEN 'insufficient_funds'
        END;
        INSERT INTO ballast.pending_transfers (token, idempotency_key, fingerprint, sender_user_id, recipient_user_id, amount,
                                       currency, memo, status, reason, sender_balance, expires_at)
        VALUES (p_token, p_key, p_fingerprint, v_sender.r_user_id, v_recipient.r_user_id, p_amount, p_currency, p_memo,
                CASE WHEN r_reason IS NULL THEN 'pending' ELSE 'refused' END, r_reason, v_available,
                clock_timestamp() + p_expires_after)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO v_inserted;
        SELECT * INTO STRICT v_known FROM ballast.pending_transfers p WHERE p.idempotency_key = p_key;
    END IF;

    IF v_known.fingerprint <> p_fingerprint THEN
        r_status := 'rejected';
        r_reason := 'key_reused';
        RETURN;
    END IF;
    r_balance := v_known.sender_balance;
    IF v_known.status = 'refused' THEN
        r_status := 'rejected';
        r_reason := v_known.reason;
    ELSE
        r_status := CASE WHEN v_inserted IS NULL THEN 'replayed' ELSE 'applied' END;
        r_reason := NULL;
        r_token := v_known.token;
    END IF;
    SELECT u.telegram_id, u.username, u.first_name
      INTO r_recipient_id, r_recipient_username, r_recipient_first_name
      FROM ballast.users u WHERE u.id = v_known.recipient_user_id;
END
$$;

-- As in 0009, and what is held is not available: of a debit that it refuses, `target_balance` is what is left.
CREATE OR REPLACE FUNCTION ballast.pending_adjust_create(
    p_key text, p_fingerprint text, p_token text, p_admin_id bigint,
    p_target_id bigint, p_target_username text, p_amount bigint, p_currency text, p_memo text, p_expires_after interval,
    p_limit bigint, p_limit_per_day bigint,
    OUT r_status text, OUT r_reason text, OUT r_token text,
    OUT r_target_id bigint, OUT r_target_username text, OUT r_target_first_name text,
    OUT r_balance bigint, OUT r_balance_now bigint, OUT r_version bigint, OUT r_left_today bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_known record;
    v_target record;
    v_account record;
    v_limits record;
    v_inserted bigint;
BEGIN
    SELECT * INTO v_known FROM ballast.pending_adjustments p WHERE p.idempotency_key = p_key;
    IF v_known.id IS NULL THEN
        SELECT * INTO v_target FROM ballast.users_find(p_target_id, p_target_username, p_currency);
        SELECT a.balance, a.held INTO v_account FROM ballast.accounts a WHERE a.id = v_target.r_account_id;
        SELECT * INTO v_limits FROM ballast.pending_adjust_limits(p_admin_id, p_amount, p_currency, p_limit, p_limit_per_day);
        r_reason := CASE
            WHEN v_target.r_reason IS NOT NULL THEN v_target.r_reason
            WHEN v_limits.r_reason IS NOT NULL THEN v_limits.r_reason
            WHEN p_amount < 0 AND v_account.balance + p_amount < v_account.held THEN 'insufficient_funds'
        END;
        INSERT INTO ballast.pending_adjustments (token, idempotency_key, fingerprint, admin_id, target_user_id, amount, currency,
                                         memo, status, reason, target_balance, expires_at)
        VALUES (p_token, p_key, p_fingerprint, p_admin_id, v_target.r_user_id, p_amount, p_currency, p_memo,
                CASE WHEN r_reason IS NULL THEN 'pending' ELSE 'refused' END, r_reason,
                CASE WHEN r_reason = 'insufficient_funds' THEN v_account.balance - v_account.held ELSE v_account.balance END,
                clock_timestamp() + p_expires_after)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO v_inserted;
        SELECT * INTO STRICT v_known FROM ballast.pending_adjustments p WHERE p.idempotency_key = p_key;
    END IF;

    IF v_known.fingerprint <> p_fingerprint THEN
        r_status := 'rejected';
        r_reason := 'key_reused';
        RETURN;
    END IF;
    r_balance := v_known.target_balance;
    IF v_known.status = 'refused' THEN
        r_status := 'rejected';
        r_reason := v_known.reason;
        SELECT l.r_left_today INTO r_left_today
          FROM ballast.pending_adjust_limits(p_admin_id, p_amount, p_currency, p_limit, p_limit_per_day) l;
    ELSE
        r_status := CASE WHEN v_inserted IS NULL THEN 'replayed' ELSE 'applied' END;
        r_reason := NULL;
        r_token := v_known.token;
    END IF;
    SELECT u.telegram_id, u.username, u.first_name, a.balance, a.version
      INTO r_target_id, r_target_username, r_target_first_name, r_balance_now, r_version
      FROM ballast.users u LEFT JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = v_known.currency
     WHERE u.id = v_known.target_user_id;
END
$$;
