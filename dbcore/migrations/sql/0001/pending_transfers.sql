-- Puts a transfer before its sender. No money moves. The same key answers with the same token.
CREATE FUNCTION ballast.pending_create(
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
BEGIN
    SELECT * INTO v_sender FROM ballast.users_touch(p_sender_id, p_sender_username, p_sender_first_name, p_currency);
    SELECT * INTO v_known FROM ballast.pending_transfers p WHERE p.idempotency_key = p_key;
    IF v_known.id IS NULL THEN
        SELECT * INTO v_recipient FROM ballast.users_find(p_recipient_id, p_recipient_username, p_currency);
        r_reason := CASE
            WHEN v_recipient.r_reason IS NOT NULL THEN v_recipient.r_reason
            WHEN v_recipient.r_user_id = v_sender.r_user_id THEN 'same_account'
            WHEN v_sender.r_balance < p_amount THEN 'insufficient_funds'
        END;
        INSERT INTO ballast.pending_transfers (token, idempotency_key, fingerprint, sender_user_id, recipient_user_id, amount,
                                       currency, memo, status, reason, sender_balance, expires_at)
        VALUES (p_token, p_key, p_fingerprint, v_sender.r_user_id, v_recipient.r_user_id, p_amount, p_currency, p_memo,
                CASE WHEN r_reason IS NULL THEN 'pending' ELSE 'refused' END, r_reason, v_sender.r_balance,
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

-- The sender's press of Confirm or Cancel, in one transaction with the transfer. The transfer's key comes
-- from the row, so that any number of presses move money once. Time is the database's, taken after the row is
-- locked.
CREATE FUNCTION ballast.pending_decide(
    p_key text, p_token text, p_presser_id bigint, p_username text, p_first_name text, p_confirm boolean,
    OUT r_status text, OUT r_reason text, OUT r_decision text,
    OUT r_sender_id bigint, OUT r_sender_username text, OUT r_sender_first_name text,
    OUT r_recipient_id bigint, OUT r_recipient_username text, OUT r_recipient_first_name text,
    OUT r_amount bigint, OUT r_currency text, OUT r_memo text,
    OUT r_sender_balance bigint, OUT r_recipient_balance bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_post record;
    v_from bigint;
    v_to bigint;
    v_replay boolean;
BEGIN
    r_status := 'rejected';
    SELECT p.*, u.telegram_id AS sender_telegram_id INTO v_row
      FROM ballast.pending_transfers p JOIN ballast.users u ON u.id = p.sender_user_id
     WHERE p.token = p_token AND p.status <> 'refused'
       FOR NO KEY UPDATE OF p;
    IF v_row.id IS NULL THEN
        r_reason := 'unknown_transfer';
        RETURN;
    END IF;
    IF v_row.sender_telegram_id <> p_presser_id THEN
        r_reason := 'not_yours';
        RETURN;
    END IF;

    PERFORM ballast.users_touch(p_presser_id, p_username, p_first_name, v_row.currency);
    SELECT u.telegram_id, u.username, u.first_name INTO r_sender_id, r_sender_username, r_sender_first_name
      FROM ballast.users u WHERE u.id = v_row.sender_user_id;
    SELECT u.telegram_id, u.username, u.first_name INTO r_recipient_id, r_recipient_username, r_recipient_first_name
      FROM ballast.users u WHERE u.id = v_row.recipient_user_id;
    r_amount := v_row.amount;
    r_currency := v_row.currency;
    r_memo := v_row.memo;

    v_replay := coalesce(v_row.decided_key = p_key, false);
    IF v_row.status = 'pending' AND clock_timestamp() > v_row.expires_at THEN
        UPDATE ballast.pending_transfers SET status = 'expired', decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
        r_reason := 'expired';
        RETURN;
    ELSIF v_row.status = 'pending' AND NOT p_confirm THEN
        UPDATE ballast.pending_transfers SET status = 'cancelled', decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
        r_status := 'applied';
        r_decision := 'cancelled';
        RETURN;
    ELSIF v_row.status IN ('expired', 'failed') THEN
        r_reason := coalesce(v_row.reason, 'expired');
    ELSIF v_row.status = 'cancelled' THEN
        IF v_replay AND NOT p_confirm THEN
            r_status := 'replayed';
            r_decision := 'cancelled';
        ELSE
            r_reason := CASE WHEN v_replay THEN 'key_reused' ELSE 'already_cancelled' END;
        END IF;
        RETURN;
    ELSIF v_row.status = 'confirmed' AND NOT (v_replay AND p_confirm) THEN
        r_reason := CASE WHEN v_replay THEN 'key_reused' ELSE 'already_confirmed' END;
        RETURN;
    END IF;
    IF v_row.status = 'expired' THEN
        RETURN;
    END IF;

    -- Confirmed now, or (confirmed, failed) before: the ledger answers the same for the same key.
    SELECT a.id INTO v_from FROM ballast.accounts a WHERE a.user_id = v_row.sender_user_id AND a.currency = v_row.currency;
    SELECT a.id INTO v_to FROM ballast.accounts a WHERE a.user_id = v_row.recipient_user_id AND a.currency = v_row.currency;
    SELECT * INTO v_post FROM ballast.ledger_post(
        'pending:' || v_row.id, 'pending:' || v_row.id, v_from, v_to, v_row.amount, v_row.currency,
        'transfer', v_row.memo, 'user', NULL);
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_sender_balance := coalesce(v_post.r_from_balance, v_post.r_refused_balance);
    r_recipient_balance := v_post.r_to_balance;
    IF v_post.r_status <> 'rejected' THEN
        r_decision := 'confirmed';
    END IF;
    IF v_row.status = 'pending' THEN
        UPDATE ballast.pending_transfers
           SET status = CASE WHEN v_post.r_reason IS NULL THEN 'confirmed' ELSE 'failed' END,
               reason = v_post.r_reason, transfer_id = v_post.r_transfer_id,
               decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
    END IF;
END
$$;
