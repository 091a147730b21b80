-- An admin's /credit or /debit, put before them with the balance it would make, and decided by their press. `amount` is
-- signed. The user is found once, when it is asked for: a username that changes hands before the press changes nothing.
CREATE TABLE ballast.pending_adjustments (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pending_adjustments_pkey PRIMARY KEY,
    token           text NOT NULL CONSTRAINT pending_adjustments_token_key UNIQUE,
    idempotency_key text NOT NULL CONSTRAINT pending_adjustments_idempotency_key_key UNIQUE,
    fingerprint     text NOT NULL,
    admin_id        bigint NOT NULL,  -- Telegram's; an admin need not be a user
    target_user_id  bigint CONSTRAINT pending_adjustments_target_user_id_fkey REFERENCES ballast.users (id),
    amount          bigint NOT NULL,
    currency        text NOT NULL,
    memo            text NOT NULL,
    status          text NOT NULL,
    reason          text,
    target_balance  bigint,
    decided_key     text,
    transfer_id     bigint CONSTRAINT pending_adjustments_transfer_id_fkey REFERENCES ballast.transfers (id),
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    decided_at      timestamptz,
    CONSTRAINT pending_adjustments_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT pending_adjustments_amount_within_bounds
        CHECK (amount <> 0 AND amount >= -1000000000000000 AND amount <= 1000000000000000),
    -- refused: never put before the admin. failed: confirmed, and refused by the ledger or by a limit.
    CONSTRAINT pending_adjustments_status_known
        CHECK (status IN ('refused', 'pending', 'confirmed', 'failed', 'cancelled', 'expired')),
    CONSTRAINT pending_adjustments_refusal_has_reason
        CHECK ((status IN ('refused', 'failed')) = (reason IS NOT NULL)),
    CONSTRAINT pending_adjustments_transfer_of_confirmed
        CHECK (CASE status WHEN 'confirmed' THEN transfer_id IS NOT NULL WHEN 'failed' THEN true ELSE transfer_id IS NULL END),
    CONSTRAINT pending_adjustments_target_known
        CHECK (status = 'refused' OR target_user_id IS NOT NULL AND target_balance IS NOT NULL),
    CONSTRAINT pending_adjustments_decision_has_key
        CHECK ((status IN ('refused', 'pending')) = (decided_key IS NULL) AND (decided_key IS NULL) = (decided_at IS NULL))
);
CREATE INDEX pending_adjustments_day_idx ON ballast.pending_adjustments (admin_id, currency, decided_at)
    WHERE status = 'confirmed';

-- Which limit an amount would break, and what the admin may still move: NULL where there is no limit of that sort. The day
-- is the last 24 hours, so that midnight doubles nothing; credits and debits count alike.
CREATE FUNCTION ballast.pending_adjust_limits(
    p_admin_id bigint, p_amount bigint, p_currency text, p_limit bigint, p_limit_per_day bigint,
    OUT r_reason text, OUT r_left_today bigint
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_limit_per_day IS NOT NULL THEN
        SELECT greatest(0, p_limit_per_day - coalesce(sum(abs(p.amount)), 0)) INTO r_left_today
          FROM ballast.pending_adjustments p
         WHERE p.admin_id = p_admin_id AND p.currency = p_currency AND p.status = 'confirmed'
           AND p.decided_at > clock_timestamp() - interval '24 hours';
    END IF;
    r_reason := CASE
        WHEN abs(p_amount) > p_limit THEN 'over_limit'
        WHEN abs(p_amount) > r_left_today THEN 'over_daily_limit'
    END;
END
$$;

-- Puts an adjustment before the admin who asked for it. No money moves. The same key answers with the same token.
-- r_balance is the balance that was put before them; r_balance_now and r_version are the account's as they are.
CREATE FUNCTION ballast.pending_adjust_create(
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
        SELECT a.balance, a.floor INTO v_account FROM ballast.accounts a WHERE a.id = v_target.r_account_id;
        SELECT * INTO v_limits FROM ballast.pending_adjust_limits(p_admin_id, p_amount, p_currency, p_limit, p_limit_per_day);
        r_reason := CASE
            WHEN v_target.r_reason IS NOT NULL THEN v_target.r_reason
            WHEN v_limits.r_reason IS NOT NULL THEN v_limits.r_reason
            WHEN p_amount < 0 AND v_account.balance + p_amount < v_account.floor THEN 'insufficient_funds'
        END;
        INSERT INTO ballast.pending_adjustments (token, idempotency_key, fingerprint, admin_id, target_user_id, amount, currency,
                                         memo, status, reason, target_balance, expires_at)
        VALUES (p_token, p_key, p_fingerprint, p_admin_id, v_target.r_user_id, p_amount, p_currency, p_memo,
                CASE WHEN r_reason IS NULL THEN 'pending' ELSE 'refused' END, r_reason, v_account.balance,
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

-- The admin's press of Confirm or Cancel, in one transaction with the transfer and with the limits' check. The transfer's key
-- comes from the row, so that any number of presses move money once. An admin's confirmations wait for each other, so that
-- two at once cannot pass a limit together. What counts is when the press was made, as in pending_decide.
--
-- r_balance is the balance right after the transfer, or the one that refused it; r_card_balance what the admin was shown;
-- r_balance_now and r_version are the account's as they are, on replays too.
CREATE FUNCTION ballast.pending_adjust_decide(
    p_key text, p_token text, p_presser_id bigint, p_confirm boolean, p_waited interval,
    p_limit bigint, p_limit_per_day bigint,
    OUT r_status text, OUT r_reason text, OUT r_decision text,
    OUT r_target_id bigint, OUT r_target_username text, OUT r_target_first_name text,
    OUT r_amount bigint, OUT r_currency text, OUT r_memo text,
    OUT r_card_balance bigint, OUT r_balance bigint, OUT r_balance_now bigint, OUT r_version bigint,
    OUT r_left_today bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_post record;
    v_limits record;
    v_replay boolean;
    v_pressed_at timestamptz;
    v_key text;
    v_transfer_id bigint;
BEGIN
    r_status := 'rejected';
    PERFORM pg_advisory_xact_lock(hashtextextended('ballast.pending_adjustments ' || p_presser_id, 0));
    SELECT p.* INTO v_row FROM ballast.pending_adjustments p
     WHERE p.token = p_token AND p.status <> 'refused'
       FOR NO KEY UPDATE;
    IF v_row.id IS NULL THEN
        r_reason := 'unknown_transfer';
        RETURN;
    END IF;
    IF v_row.admin_id <> p_presser_id THEN
        r_reason := 'not_yours';
        RETURN;
    END IF;
    r_amount := v_row.amount;
    r_currency := v_row.currency;
    r_memo := v_row.memo;
    r_card_balance := v_row.target_balance;
    SELECT u.telegram_id, u.username, u.first_name INTO r_target_id, r_target_username, r_target_first_name
      FROM ballast.users u WHERE u.id = v_row.target_user_id;

    v_replay := coalesce(v_row.decided_key = p_key, false);
    v_pressed_at := greatest(v_row.created_at, clock_timestamp() - greatest(p_waited, interval '0'));
    v_key := 'pending_adjustment:' || v_row.id;
    IF v_row.status = 'pending' AND v_pressed_at > v_row.expires_at THEN
        UPDATE ballast.pending_adjustments SET status = 'expired', decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
        r_reason := 'expired';
    ELSIF v_row.status = 'pending' AND NOT p_confirm THEN
        UPDATE ballast.pending_adjustments SET status = 'cancelled', decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
        r_status := 'applied';
        r_decision := 'cancelled';
    ELSIF v_row.status IN ('expired', 'failed') AND v_row.transfer_id IS NULL THEN
        r_reason := coalesce(v_row.reason, 'expired');
    ELSIF v_row.status = 'cancelled' AND v_replay AND NOT p_confirm THEN
        r_status := 'replayed';
        r_decision := 'cancelled';
    ELSIF v_row.status = 'cancelled' THEN
        r_reason := CASE WHEN v_replay THEN 'key_reused' ELSE 'already_cancelled' END;
    ELSIF v_row.status = 'confirmed' AND NOT (v_replay AND p_confirm) THEN
        r_reason := CASE WHEN v_replay THEN 'key_reused' ELSE 'already_confirmed' END;
    ELSE
        IF v_row.status = 'pending' THEN
            SELECT * INTO v_limits
              FROM ballast.pending_adjust_limits(v_row.admin_id, v_row.amount, v_row.currency, p_limit, p_limit_per_day);
            r_reason := v_limits.r_reason;
        END IF;
        IF r_reason IS NULL THEN
            -- Confirmed now, or (confirmed, failed) before: the ledger answers the same for the same key.
            SELECT * INTO v_post FROM ballast.ledger_adjust(
                v_key, v_key, r_target_id, NULL, v_row.amount, v_row.currency, v_row.memo, 'telegram:' || v_row.admin_id);
            r_status := v_post.r_status;
            r_reason := v_post.r_reason;
            r_balance := v_post.r_balance;
            v_transfer_id := v_post.r_transfer_id;
            IF v_post.r_status <> 'rejected' THEN
                r_decision := 'confirmed';
            END IF;
        END IF;
        IF v_row.status = 'pending' THEN
            UPDATE ballast.pending_adjustments
               SET status = CASE WHEN r_reason IS NULL THEN 'confirmed' ELSE 'failed' END, reason = r_reason,
                   transfer_id = v_transfer_id,
                   decided_key = p_key, decided_at = clock_timestamp()
             WHERE id = v_row.id;
        END IF;
    END IF;
    IF r_reason = 'over_daily_limit' THEN
        SELECT l.r_left_today INTO r_left_today
          FROM ballast.pending_adjust_limits(v_row.admin_id, v_row.amount, v_row.currency, p_limit, p_limit_per_day) l;
    END IF;
    SELECT a.balance, a.version INTO r_balance_now, r_version
      FROM ballast.accounts a WHERE a.user_id = v_row.target_user_id AND a.currency = v_row.currency;
END
$$;
