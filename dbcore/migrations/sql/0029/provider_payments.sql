-- Payments by providers beside Telegram. Each provider has an account of its own in the chart, `provider:<name>`, which is the
-- other side of what was paid and refunded there; what it keeps for itself goes from `provider_fees`.
ALTER TABLE ballast.system_accounts DROP CONSTRAINT system_accounts_name_known;
ALTER TABLE ballast.system_accounts ADD CONSTRAINT system_accounts_name_known
    CHECK (name IN ('house', 'stars', 'opening', 'adjustments', 'promo', 'provider_fees')
           OR name ~ '^provider:[a-z][a-z0-9_]{0,19}$');

-- What was credited, once for each payment. `paid`, `refunded` and `fee` are minor units of `paid_currency`, the provider's;
-- `amount` of `currency`. `refunded` is all that was given back so far; `fee` is NULL while the provider has not said it.
CREATE TABLE ballast.provider_payments (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT provider_payments_pkey PRIMARY KEY,
    provider        text NOT NULL,
    payment_id      text NOT NULL,
    user_id         bigint NOT NULL CONSTRAINT provider_payments_user_id_fkey REFERENCES ballast.users (id),
    paid            bigint NOT NULL,
    paid_currency   text NOT NULL,
    amount          bigint NOT NULL,
    currency        text NOT NULL,
    refunded        bigint NOT NULL DEFAULT 0,
    fee             bigint,
    transfer_id     bigint NOT NULL CONSTRAINT provider_payments_transfer_id_fkey REFERENCES ballast.transfers (id),
    fee_transfer_id bigint CONSTRAINT provider_payments_fee_transfer_id_fkey REFERENCES ballast.transfers (id),
    recorded_by     text NOT NULL,
    paid_at         timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_payments_provider_payment_id_key UNIQUE (provider, payment_id),
    CONSTRAINT provider_payments_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT provider_payments_fee_transfer_id_key UNIQUE (fee_transfer_id),
    CONSTRAINT provider_payments_moves_something CHECK (paid > 0 AND amount > 0),
    CONSTRAINT provider_payments_refunded_within CHECK (refunded BETWEEN 0 AND paid),
    CONSTRAINT provider_payments_fee_not_negative CHECK (fee >= 0)
);

-- What was taken back of them, in steps. `refunded` is all that was given back after the step, in the provider's units.
CREATE TABLE ballast.provider_refunds (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT provider_refunds_pkey PRIMARY KEY,
    transfer_id         bigint NOT NULL CONSTRAINT provider_refunds_transfer_id_fkey REFERENCES ballast.transfers (id),
    provider_payment_id bigint NOT NULL CONSTRAINT provider_refunds_provider_payment_id_fkey
                               REFERENCES ballast.provider_payments (id),
    refunded            bigint NOT NULL,
    amount              bigint NOT NULL,
    recorded_by         text NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_refunds_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT provider_refunds_step_key UNIQUE (provider_payment_id, refunded)
);

-- What providers told, once for each event. One that comes again and says something else is not booked; when that was first
-- noticed is `contradicted_at`.
CREATE TABLE ballast.provider_events (
    provider        text NOT NULL,
    event_id        text NOT NULL,
    mark            text NOT NULL,
    payment         jsonb NOT NULL,
    recorded_by     text NOT NULL,
    contradicted_at timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_events_pkey PRIMARY KEY (provider, event_id)
);

-- Up to when all payments of a provider were looked for.
CREATE TABLE ballast.provider_sweeps (
    provider text NOT NULL CONSTRAINT provider_sweeps_pkey PRIMARY KEY,
    swept_to timestamptz NOT NULL
);

CREATE TRIGGER provider_payments_kept BEFORE DELETE ON ballast.provider_payments
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER provider_payments_no_truncate BEFORE TRUNCATE ON ballast.provider_payments
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.provider_payments ENABLE ALWAYS TRIGGER provider_payments_kept;
ALTER TABLE ballast.provider_payments ENABLE ALWAYS TRIGGER provider_payments_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.provider_payments FROM PUBLIC, CURRENT_USER;
CREATE TRIGGER provider_refunds_append_only BEFORE UPDATE OR DELETE ON ballast.provider_refunds
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER provider_refunds_no_truncate BEFORE TRUNCATE ON ballast.provider_refunds
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.provider_refunds ENABLE ALWAYS TRIGGER provider_refunds_append_only;
ALTER TABLE ballast.provider_refunds ENABLE ALWAYS TRIGGER provider_refunds_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.provider_refunds FROM PUBLIC, CURRENT_USER;

-- Writes down what a provider told, in one transaction with what it leads to: the payment credited from the provider's account,
-- what was given back taken back whatever is left, and the fee. Each is brought to where the payment stands, so events may
-- come again, late and in any order. p_telegram_id NULL is a payment that is not booked.
-- r_credited, r_taken: what the job p_job_id did, now or when it ran before.
CREATE FUNCTION ballast.ledger_provider(
    p_provider text, p_event_id text, p_mark text, p_payment jsonb, p_job_id text,
    p_payment_id text, p_fingerprint text, p_telegram_id bigint, p_paid bigint, p_paid_currency text,
    p_amount bigint, p_currency text, p_refunded bigint, p_fee bigint, p_paid_at timestamptz,
    OUT r_status text, OUT r_reason text, OUT r_event_is_new boolean, OUT r_contradicts boolean,
    OUT r_number bigint, OUT r_transfer_id bigint, OUT r_credited boolean, OUT r_taken bigint,
    OUT r_balance bigint, OUT r_version bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_event record;
    v_payer record;
    v_provider bigint;
    v_post record;
    v_payment record;
    v_due bigint;
BEGIN
    r_credited := false;
    r_taken := 0;
    INSERT INTO ballast.provider_events (provider, event_id, mark, payment, recorded_by)
    VALUES (p_provider, p_event_id, p_mark, p_payment, p_job_id) ON CONFLICT DO NOTHING;
    SELECT e.mark, e.recorded_by INTO STRICT v_event FROM ballast.provider_events e
     WHERE e.provider = p_provider AND e.event_id = p_event_id;
    r_event_is_new := v_event.recorded_by = p_job_id;
    r_contradicts := v_event.mark <> p_mark;
    IF r_contradicts THEN
        UPDATE ballast.provider_events SET contradicted_at = coalesce(contradicted_at, clock_timestamp())
         WHERE provider = p_provider AND event_id = p_event_id;
        r_status := 'rejected';
        r_reason := 'key_reused';
        RETURN;
    END IF;
    r_status := CASE WHEN r_event_is_new THEN 'applied' ELSE 'replayed' END;
    IF p_telegram_id IS NULL THEN
        RETURN;
    END IF;

    v_provider := ballast.ledger_system_account('provider:' || p_provider, p_currency);
    SELECT * INTO v_payer FROM ballast.users_touch(p_telegram_id, NULL, '', p_currency, NULL);
    SELECT * INTO v_post FROM ballast.ledger_post(
        'provider_payment:' || p_provider || ':' || p_payment_id, p_fingerprint, v_provider, v_payer.r_account_id, p_amount,
        p_currency, 'provider_payment', '', 'provider:' || p_provider, NULL);
    IF v_post.r_status = 'applied' THEN
        INSERT INTO ballast.provider_payments (provider, payment_id, user_id, paid, paid_currency, amount, currency,
                                               transfer_id, recorded_by, paid_at)
        VALUES (p_provider, p_payment_id, v_payer.r_user_id, p_paid, p_paid_currency, p_amount, p_currency,
                v_post.r_transfer_id, p_job_id, p_paid_at);
    END IF;
    IF v_post.r_reason IS NULL THEN
        SELECT p.* INTO STRICT v_payment FROM ballast.provider_payments p
         WHERE p.provider = p_provider AND p.payment_id = p_payment_id FOR NO KEY UPDATE;
        r_number := v_payment.id;
        r_credited := v_payment.recorded_by = p_job_id;
        r_transfer_id := v_payment.transfer_id;
        IF p_refunded > v_payment.refunded THEN
            v_due := CASE WHEN p_refunded = v_payment.paid THEN v_payment.amount
                          ELSE div(v_payment.amount::numeric * p_refunded, v_payment.paid)::bigint END
                     - coalesce((SELECT sum(r.amount) FROM ballast.provider_refunds r
                                  WHERE r.provider_payment_id = v_payment.id), 0);
            IF v_due > 0 THEN
                SELECT * INTO v_post FROM ballast.ledger_post(
                    'provider_refund:' || p_provider || ':' || p_payment_id || ':' || p_refunded, p_fingerprint,
                    v_payer.r_account_id, v_provider, v_due, p_currency, 'provider_refund', '', 'provider:' || p_provider, NULL);
                IF v_post.r_status = 'applied' THEN
                    INSERT INTO ballast.provider_refunds (transfer_id, provider_payment_id, refunded, amount, recorded_by)
                    VALUES (v_post.r_transfer_id, v_payment.id, p_refunded, v_due, p_job_id);
                END IF;
            END IF;
            UPDATE ballast.provider_payments SET refunded = p_refunded WHERE id = v_payment.id AND v_post.r_reason IS NULL;
        END IF;
        IF p_fee IS NOT NULL AND v_payment.fee IS NULL THEN
            v_due := round(v_payment.amount::numeric * p_fee / v_payment.paid)::bigint;
            UPDATE ballast.provider_payments
               SET fee = p_fee,
                   fee_transfer_id = CASE WHEN v_due > 0 THEN (
                       SELECT f.r_transfer_id FROM ballast.ledger_post(
                           'provider_fee:' || p_provider || ':' || p_payment_id, p_fingerprint,
                           ballast.ledger_system_account('provider_fees', p_currency), v_provider, v_due, p_currency,
                           'provider_fee', '', 'provider:' || p_provider, NULL) AS f) END
             WHERE id = v_payment.id;
        END IF;
        SELECT coalesce(sum(r.amount), 0) INTO r_taken FROM ballast.provider_refunds r
         WHERE r.provider_payment_id = v_payment.id AND r.recorded_by = p_job_id;
    END IF;
    r_reason := v_post.r_reason;
    IF r_reason IS NOT NULL THEN
        r_status := 'rejected';
    END IF;
    SELECT a.balance, a.version INTO r_balance, r_version FROM ballast.accounts a WHERE a.id = v_payer.r_account_id;
END
$$;
