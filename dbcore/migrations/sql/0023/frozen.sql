-- A frozen account sends nothing, and one that is frozen in both directions receives nothing either. The ledger asks under
-- the lock of the account's row, so whatever is confirmed after a freeze has returned is refused. Two columns with constant
-- defaults: no row is rewritten, and the release before runs on beside it.
ALTER TABLE ballast.accounts
    ADD COLUMN sending_frozen boolean NOT NULL DEFAULT false,
    ADD COLUMN receiving_frozen boolean NOT NULL DEFAULT false;

-- As in 0019, and frozen accounts are refused. Money that Telegram has moved already is booked all the same, what a hold
-- promised before the freeze is posted, and what an operator reverses is reversed.
CREATE OR REPLACE FUNCTION ballast.ledger_post(
    p_key text, p_fingerprint text, p_from bigint, p_to bigint, p_amount bigint, p_currency text,
    p_kind text, p_memo text, p_actor text, p_reason text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text, OUT r_from bigint, OUT r_to bigint,
    OUT r_from_balance bigint, OUT r_to_balance bigint, OUT r_refused_balance bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    c_max_balance CONSTANT bigint := 1000000000000000000;
    v_account record;
    v_known record;
    v_from_held bigint;
    v_from_version bigint;
    v_to_version bigint;
    v_from_frozen boolean;
    v_to_frozen boolean;
BEGIN
    SELECT t.id, t.fingerprint, t.status, t.reason, t.refused_balance, t.from_account_id, t.to_account_id
      INTO v_known FROM ballast.transfers t WHERE t.idempotency_key = p_key;

    IF v_known.id IS NULL THEN
        r_reason := p_reason;
        IF r_reason IS NULL THEN
            FOR v_account IN
                SELECT a.id, a.balance, a.version, a.held, a.sending_frozen, a.receiving_frozen FROM ballast.accounts a
                 WHERE a.id IN (p_from, p_to) AND a.user_id IS NOT NULL
                 ORDER BY a.id FOR NO KEY UPDATE
            LOOP
                IF v_account.id = p_from THEN
                    r_from_balance := v_account.balance - p_amount;
                    v_from_version := v_account.version + 1;
                    v_from_held := v_account.held;
                    v_from_frozen := v_account.sending_frozen;
                ELSE
                    r_to_balance := v_account.balance + p_amount;
                    v_to_version := v_account.version + 1;
                    v_to_frozen := v_account.receiving_frozen;
                END IF;
            END LOOP;
            IF r_from_balance < v_from_held AND v_from_held > 0 THEN
                v_from_held := v_from_held - ballast.ledger_expire_holds(p_from);
            END IF;
            IF v_from_frozen AND p_kind NOT IN ('star_refund', 'reversal') AND p_key !~ '^hold:\d+$' THEN
                r_reason := 'account_frozen';
            ELSIF v_to_frozen AND p_kind NOT IN ('star_payment', 'reversal') AND p_key !~ '^hold:\d+$' THEN
                r_reason := 'recipient_frozen';
            ELSIF r_from_balance < v_from_held AND p_kind <> 'star_refund' AND p_key !~ '^hold:\d+$' THEN
                r_reason := 'insufficient_funds';
            ELSIF r_to_balance > c_max_balance THEN
                r_reason := 'balance_overflow';
            END IF;
            IF r_reason IS NOT NULL THEN
                r_refused_balance := coalesce(r_from_balance + p_amount - v_from_held, r_to_balance - p_amount);
                r_from_balance := NULL;
                r_to_balance := NULL;
            END IF;
        END IF;

        INSERT INTO ballast.transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, kind,
                               status, reason, refused_balance, memo, actor)
        VALUES (p_key, p_fingerprint, p_from, p_to, p_amount, p_currency, p_kind,
                CASE WHEN r_reason IS NULL THEN 'applied' ELSE 'rejected' END, r_reason, r_refused_balance, p_memo, p_actor)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO r_transfer_id;

        IF r_transfer_id IS NOT NULL THEN
            r_from := p_from;
            r_to := p_to;
            IF r_reason IS NOT NULL THEN
                r_status := 'rejected';
                RETURN;
            END IF;
            UPDATE ballast.accounts a
               SET balance = CASE WHEN a.id = p_from THEN r_from_balance ELSE r_to_balance END,
                   floor = least(0, CASE WHEN a.id = p_from THEN r_from_balance ELSE r_to_balance END - a.held),
                   version = a.version + 1
             WHERE a.id IN (p_from, p_to) AND a.user_id IS NOT NULL;
            INSERT INTO ballast.entries (transfer_id, account_id, amount, balance_after, account_version)
            VALUES (r_transfer_id, p_from, -p_amount, r_from_balance, v_from_version),
                   (r_transfer_id, p_to, p_amount, r_to_balance, v_to_version);
            r_status := 'applied';
            RETURN;
        END IF;

        -- The same key was committed while this call waited. A new statement sees it.
        r_from_balance := NULL;
        r_to_balance := NULL;
        r_refused_balance := NULL;
        SELECT t.id, t.fingerprint, t.status, t.reason, t.refused_balance, t.from_account_id, t.to_account_id
          INTO STRICT v_known FROM ballast.transfers t WHERE t.idempotency_key = p_key;
    END IF;

    IF v_known.fingerprint <> p_fingerprint THEN
        r_status := 'rejected';
        r_reason := 'key_reused';
        RETURN;
    END IF;
    r_transfer_id := v_known.id;
    r_reason := v_known.reason;
    r_from := v_known.from_account_id;
    r_to := v_known.to_account_id;
    r_refused_balance := v_known.refused_balance;
    IF v_known.status = 'rejected' THEN
        r_status := 'rejected';
        RETURN;
    END IF;
    r_status := 'replayed';
    SELECT max(e.balance_after) FILTER (WHERE e.account_id = r_from),
           max(e.balance_after) FILTER (WHERE e.account_id = r_to)
      INTO r_from_balance, r_to_balance
      FROM ballast.entries e WHERE e.transfer_id = r_transfer_id;
END
$$;

-- As in 0019, and the sender is not asked what a frozen account would refuse.
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
            WHEN (SELECT a.sending_frozen FROM ballast.accounts a WHERE a.id = v_sender.r_account_id) THEN 'account_frozen'
            WHEN (SELECT a.receiving_frozen FROM ballast.accounts a WHERE a.id = v_recipient.r_account_id) THEN 'recipient_frozen'
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

-- As in 0019, and likewise.
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
        SELECT a.balance, a.held, a.sending_frozen, a.receiving_frozen INTO v_account
          FROM ballast.accounts a WHERE a.id = v_target.r_account_id;
        SELECT * INTO v_limits FROM ballast.pending_adjust_limits(p_admin_id, p_amount, p_currency, p_limit, p_limit_per_day);
        r_reason := CASE
            WHEN v_target.r_reason IS NOT NULL THEN v_target.r_reason
            WHEN v_limits.r_reason IS NOT NULL THEN v_limits.r_reason
            WHEN p_amount < 0 AND v_account.sending_frozen THEN 'account_frozen'
            WHEN p_amount > 0 AND v_account.receiving_frozen THEN 'recipient_frozen'
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

-- As in 0019, and a frozen account holds nothing more, but for what Telegram is asked to give back.
CREATE OR REPLACE FUNCTION ballast.ledger_hold(
    p_key text, p_fingerprint text, p_telegram_id bigint, p_username text, p_amount bigint, p_currency text,
    p_memo text, p_actor text, p_expires_after interval,
    OUT r_hold_id bigint, OUT r_status text, OUT r_reason text, OUT r_state text,
    OUT r_available bigint, OUT r_expires_at timestamptz
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_known record;
    v_target record;
    v_account record;
    v_inserted bigint;
BEGIN
    SELECT h.* INTO v_known FROM ballast.holds h WHERE h.idempotency_key = p_key;
    IF v_known.id IS NULL THEN
        SELECT * INTO v_target FROM ballast.users_find(p_telegram_id, p_username, p_currency);
        r_reason := v_target.r_reason;
        IF r_reason IS NULL THEN
            SELECT a.balance - a.held AS available, a.held, a.sending_frozen INTO v_account
              FROM ballast.accounts a WHERE a.id = v_target.r_account_id FOR NO KEY UPDATE;
            r_available := v_account.available;
            IF r_available < p_amount AND v_account.held > 0 THEN
                r_available := r_available + ballast.ledger_expire_holds(v_target.r_account_id);
            END IF;
            IF v_account.sending_frozen AND p_key !~ '^hold:refund:\d+$' THEN
                r_reason := 'account_frozen';
            ELSIF r_available < p_amount THEN
                r_reason := 'insufficient_funds';
            ELSE
                r_available := r_available - p_amount;
            END IF;
        END IF;
        INSERT INTO ballast.holds (idempotency_key, fingerprint, account_id, amount, currency, memo, actor, status, reason,
                                   available, expires_at)
        VALUES (p_key, p_fingerprint, v_target.r_account_id, p_amount, p_currency, p_memo, p_actor,
                CASE WHEN r_reason IS NULL THEN 'open' ELSE 'refused' END, r_reason, r_available,
                clock_timestamp() + p_expires_after)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO v_inserted;
        IF v_inserted IS NOT NULL AND r_reason IS NULL THEN
            UPDATE ballast.accounts SET held = held + p_amount WHERE id = v_target.r_account_id;
        END IF;
        SELECT h.* INTO STRICT v_known FROM ballast.holds h WHERE h.idempotency_key = p_key;
    END IF;

    r_status := 'rejected';
    r_reason := 'key_reused';
    r_available := NULL;
    IF v_known.fingerprint <> p_fingerprint THEN
        RETURN;
    END IF;
    r_hold_id := v_known.id;
    r_reason := v_known.reason;
    r_state := v_known.status;
    r_available := v_known.available;
    r_expires_at := v_known.expires_at;
    IF r_reason IS NULL THEN
        r_status := CASE WHEN v_inserted IS NULL THEN 'replayed' ELSE 'applied' END;
    END IF;
END
$$;
