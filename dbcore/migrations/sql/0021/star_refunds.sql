-- Refunds of Stars that this bot asks Telegram for: put before whoever may confirm it (pending), confirmed, with the payer's
-- money held and Telegram to be asked (asked), and what became of it. The booking itself is ledger_stars'.
-- Locked in one order everywhere: the payment, the refund, the account.
CREATE TABLE ballast.star_refunds (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT star_refunds_pkey PRIMARY KEY,
    token           text NOT NULL CONSTRAINT star_refunds_token_key UNIQUE,
    idempotency_key text NOT NULL CONSTRAINT star_refunds_idempotency_key_key UNIQUE,
    star_payment_id bigint NOT NULL CONSTRAINT star_refunds_star_payment_id_fkey REFERENCES ballast.star_payments (id),
    presser_id      bigint,  -- Telegram's, of whom it was put before; NULL: an operator at the command line
    by_payer        boolean NOT NULL,
    actor           text NOT NULL,
    status          text NOT NULL DEFAULT 'pending',
    reason          text,
    hold_id         bigint CONSTRAINT star_refunds_hold_id_fkey REFERENCES ballast.holds (id),
    decided_key     text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    decided_at      timestamptz,
    ended_at        timestamptz,
    CONSTRAINT star_refunds_hold_id_key UNIQUE (hold_id),
    CONSTRAINT star_refunds_status_known
        CHECK (status IN ('pending', 'asked', 'done', 'refused', 'cancelled', 'expired')),
    CONSTRAINT star_refunds_refusal_has_reason CHECK ((status = 'refused') = (reason IS NOT NULL)),
    CONSTRAINT star_refunds_decision_has_key
        CHECK ((status = 'pending') = (decided_key IS NULL) AND (decided_key IS NULL) = (decided_at IS NULL)),
    CONSTRAINT star_refunds_end_has_time CHECK ((status IN ('pending', 'asked')) = (ended_at IS NULL))
);
CREATE UNIQUE INDEX star_refunds_asked_idx ON ballast.star_refunds (star_payment_id) WHERE status = 'asked';

CREATE TRIGGER star_refunds_end_once BEFORE UPDATE ON ballast.star_refunds
    FOR EACH ROW WHEN (OLD.status NOT IN ('pending', 'asked')) EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_refunds_kept BEFORE DELETE ON ballast.star_refunds
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_refunds_no_truncate BEFORE TRUNCATE ON ballast.star_refunds
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.star_refunds ENABLE ALWAYS TRIGGER star_refunds_end_once;
ALTER TABLE ballast.star_refunds ENABLE ALWAYS TRIGGER star_refunds_kept;
ALTER TABLE ballast.star_refunds ENABLE ALWAYS TRIGGER star_refunds_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.star_refunds FROM PUBLIC, CURRENT_USER;

-- Puts a refund before whoever asked for it. Nothing is held yet, and a refusal is not recorded. p_payment is a charge or
-- a receipt's number; of a payer it is one of theirs within p_within, or their last one.
CREATE FUNCTION ballast.refund_create(
    p_key text, p_token text, p_payment text, p_presser_id bigint, p_by_payer boolean, p_within interval,
    p_actor text, p_currency text, p_expires_after interval,
    OUT r_status text, OUT r_reason text, OUT r_token text, OUT r_available bigint,
    OUT r_payment_id bigint, OUT r_charge_id text, OUT r_stars bigint, OUT r_amount bigint,
    OUT r_telegram_id bigint, OUT r_username text, OUT r_first_name text
) LANGUAGE plpgsql AS $$
DECLARE
    v_payment record;
    v_known record;
    v_inserted bigint;
BEGIN
    r_status := 'rejected';
    SELECT r.* INTO v_known FROM ballast.star_refunds r WHERE r.idempotency_key = p_key;
    SELECT p.*, u.telegram_id, u.username, u.first_name, a.balance - a.held AS available INTO v_payment
      FROM ballast.star_payments p JOIN ballast.users u ON u.id = p.user_id
      JOIN ballast.accounts a ON a.user_id = p.user_id AND a.currency = p.currency
     WHERE p.currency = p_currency
       AND CASE WHEN v_known.id IS NOT NULL THEN p.id = v_known.star_payment_id
                WHEN p_payment IS NULL THEN u.telegram_id = p_presser_id
                ELSE p.charge_id = p_payment
                     OR p.id = CASE WHEN p_payment ~ '^\d{1,18}$' THEN p_payment::bigint END END
       AND (NOT p_by_payer OR u.telegram_id = p_presser_id)
     ORDER BY p.charge_id = p_payment DESC, p.id DESC LIMIT 1;
    r_payment_id := v_payment.id;
    r_charge_id := v_payment.charge_id;
    r_stars := v_payment.stars;
    r_amount := v_payment.amount;
    r_telegram_id := v_payment.telegram_id;
    r_username := v_payment.username;
    r_first_name := v_payment.first_name;
    r_available := v_payment.available;
    IF v_known.id IS NULL THEN
        r_reason := CASE
            WHEN v_payment.id IS NULL THEN 'unknown_payment'
            WHEN v_payment.refunded_at IS NOT NULL THEN 'already_refunded'
            WHEN EXISTS (SELECT FROM ballast.star_refunds r WHERE r.star_payment_id = v_payment.id AND r.status = 'asked')
                THEN 'refund_under_way'
            WHEN p_by_payer AND v_payment.paid_at < clock_timestamp() - p_within THEN 'too_late'
            WHEN p_by_payer AND v_payment.available < v_payment.amount THEN 'insufficient_funds'
        END;
        IF r_reason IS NOT NULL THEN
            RETURN;
        END IF;
        INSERT INTO ballast.star_refunds (token, idempotency_key, star_payment_id, presser_id, by_payer, actor, expires_at)
        VALUES (p_token, p_key, v_payment.id, p_presser_id, p_by_payer, p_actor, clock_timestamp() + p_expires_after)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO v_inserted;
        SELECT r.* INTO STRICT v_known FROM ballast.star_refunds r WHERE r.idempotency_key = p_key;
    END IF;
    r_status := CASE WHEN v_inserted IS NULL THEN 'replayed' ELSE 'applied' END;
    r_token := v_known.token;
END
$$;

-- Confirm or Cancel, by whom it was put before: a payer, or an admin who still is one. Confirmed, the payer's money is held, as much of the payment as is available: what was spent becomes a
-- debt once Telegram has given the Stars back. Then Telegram is to be asked, however often this is called.
CREATE FUNCTION ballast.refund_decide(
    p_key text, p_token text, p_presser_id bigint, p_is_admin boolean, p_confirm boolean, p_waited interval,
    OUT r_status text, OUT r_reason text, OUT r_state text, OUT r_held bigint,
    OUT r_payment_id bigint, OUT r_charge_id text, OUT r_stars bigint, OUT r_amount bigint,
    OUT r_telegram_id bigint, OUT r_username text, OUT r_first_name text
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_payment record;
    v_available bigint;
    v_hold_id bigint;
    v_pressed_at timestamptz;
BEGIN
    r_status := 'rejected';
    SELECT r.star_payment_id INTO v_row FROM ballast.star_refunds r WHERE r.token = p_token;
    IF v_row.star_payment_id IS NULL THEN
        r_reason := 'unknown_payment';
        RETURN;
    END IF;
    SELECT p.* INTO STRICT v_payment FROM ballast.star_payments p WHERE p.id = v_row.star_payment_id FOR NO KEY UPDATE;
    SELECT r.* INTO STRICT v_row FROM ballast.star_refunds r WHERE r.token = p_token FOR NO KEY UPDATE;
    IF v_row.presser_id IS DISTINCT FROM p_presser_id OR NOT (v_row.by_payer OR p_is_admin) THEN
        r_reason := 'not_yours';
        RETURN;
    END IF;
    r_payment_id := v_payment.id;
    r_charge_id := v_payment.charge_id;
    r_stars := v_payment.stars;
    r_amount := v_payment.amount;
    SELECT u.telegram_id, u.username, u.first_name INTO r_telegram_id, r_username, r_first_name
      FROM ballast.users u WHERE u.id = v_payment.user_id;

    v_pressed_at := greatest(v_row.created_at, clock_timestamp() - greatest(p_waited, interval '0'));
    IF v_row.status <> 'pending' THEN
        r_state := v_row.status;
        r_reason := CASE
            WHEN v_row.status IN ('refused', 'expired') THEN coalesce(v_row.reason, v_row.status)
            WHEN v_row.decided_key = p_key THEN NULL
            WHEN v_row.status = 'cancelled' THEN 'already_cancelled'
            ELSE 'already_confirmed'
        END;
        r_status := CASE WHEN r_reason IS NULL THEN 'replayed' ELSE 'rejected' END;
    ELSE
        r_state := CASE WHEN v_pressed_at > v_row.expires_at THEN 'expired' WHEN NOT p_confirm THEN 'cancelled' ELSE 'asked' END;
        r_reason := CASE r_state WHEN 'expired' THEN 'expired' END;
        IF r_state = 'asked' THEN
            SELECT a.balance - a.held INTO v_available FROM ballast.accounts a
             WHERE a.user_id = v_payment.user_id AND a.currency = v_payment.currency FOR NO KEY UPDATE;
            r_reason := CASE
                WHEN v_payment.refunded_at IS NOT NULL THEN 'already_refunded'
                WHEN EXISTS (SELECT FROM ballast.star_refunds r
                              WHERE r.star_payment_id = v_payment.id AND r.status = 'asked') THEN 'refund_under_way'
                WHEN v_row.by_payer AND v_available < v_payment.amount THEN 'insufficient_funds'
            END;
            IF r_reason IS NOT NULL THEN
                r_state := 'refused';
            ELSIF v_available > 0 THEN
                r_held := least(v_available, v_payment.amount);
                SELECT h.r_hold_id INTO STRICT v_hold_id FROM ballast.ledger_hold(
                    'hold:refund:' || v_row.id, '', r_telegram_id, NULL, r_held, v_payment.currency,
                    'Refund of payment ' || v_payment.id, v_row.actor, NULL) AS h;
            END IF;
        END IF;
        UPDATE ballast.star_refunds
           SET status = r_state, reason = CASE r_state WHEN 'refused' THEN r_reason END, hold_id = v_hold_id,
               decided_key = p_key, decided_at = clock_timestamp(),
               ended_at = CASE WHEN r_state <> 'asked' THEN clock_timestamp() END
         WHERE id = v_row.id;
        r_status := CASE WHEN r_reason IS NULL THEN 'applied' ELSE 'rejected' END;
    END IF;
END
$$;

-- Telegram refuses the refund: what was held for it is available again.
CREATE FUNCTION ballast.refund_refuse(p_token text, p_reason text, OUT r_state text) LANGUAGE plpgsql
SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
BEGIN
    PERFORM FROM ballast.star_payments p
      WHERE p.id = (SELECT r.star_payment_id FROM ballast.star_refunds r WHERE r.token = p_token) FOR NO KEY UPDATE;
    SELECT r.id, r.status, r.hold_id, p.currency INTO STRICT v_row
      FROM ballast.star_refunds r JOIN ballast.star_payments p ON p.id = r.star_payment_id
     WHERE r.token = p_token FOR NO KEY UPDATE OF r;
    r_state := v_row.status;
    IF r_state = 'asked' THEN
        IF v_row.hold_id IS NOT NULL THEN
            PERFORM ballast.ledger_end_hold('hold:unrefunded:' || v_row.id, '', v_row.hold_id, v_row.currency, false,
                                            NULL, NULL, NULL, 'telegram');
        END IF;
        UPDATE ballast.star_refunds SET status = 'refused', reason = p_reason, ended_at = clock_timestamp()
         WHERE id = v_row.id;
        r_state := 'refused';
    END IF;
END
$$;
