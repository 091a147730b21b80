-- As in 0021, and a subscription's payment has credited nobody: nothing is taken from the payer's balance, and r_amount is 0.
CREATE OR REPLACE FUNCTION ballast.refund_create(
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
    SELECT p.*, u.telegram_id, u.username, u.first_name, a.balance - a.held AS available,
           CASE WHEN d.star_payment_id IS NULL THEN p.amount ELSE 0 END AS credited INTO v_payment
      FROM ballast.star_payments p JOIN ballast.users u ON u.id = p.user_id
      JOIN ballast.accounts a ON a.user_id = p.user_id AND a.currency = p.currency
      LEFT JOIN ballast.star_subscription_periods d ON d.star_payment_id = p.id
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
    r_amount := v_payment.credited;
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
            WHEN p_by_payer AND v_payment.credited > 0
                AND v_payment.available < v_payment.credited THEN 'insufficient_funds'
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

-- As in 0021, and of a subscription's payment nothing is held.
CREATE OR REPLACE FUNCTION ballast.refund_decide(
    p_key text, p_token text, p_presser_id bigint, p_is_admin boolean, p_confirm boolean, p_waited interval,
    OUT r_status text, OUT r_reason text, OUT r_state text, OUT r_held bigint,
    OUT r_payment_id bigint, OUT r_charge_id text, OUT r_stars bigint, OUT r_amount bigint,
    OUT r_telegram_id bigint, OUT r_username text, OUT r_first_name text
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_payment record;
    v_credited bigint;
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
    v_credited := CASE WHEN EXISTS (SELECT FROM ballast.star_subscription_periods d WHERE d.star_payment_id = v_payment.id)
                       THEN 0 ELSE v_payment.amount END;
    SELECT r.* INTO STRICT v_row FROM ballast.star_refunds r WHERE r.token = p_token FOR NO KEY UPDATE;
    IF v_row.presser_id IS DISTINCT FROM p_presser_id OR NOT (v_row.by_payer OR p_is_admin) THEN
        r_reason := 'not_yours';
        RETURN;
    END IF;
    r_payment_id := v_payment.id;
    r_charge_id := v_payment.charge_id;
    r_stars := v_payment.stars;
    r_amount := v_credited;
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
                WHEN v_row.by_payer AND v_credited > 0 AND v_available < v_credited THEN 'insufficient_funds'
            END;
            IF r_reason IS NOT NULL THEN
                r_state := 'refused';
            ELSIF v_available > 0 AND v_credited > 0 THEN
                r_held := least(v_available, v_credited);
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
