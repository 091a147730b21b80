-- Payments that their payer's bank has taken back, or did: `open` and `lost` ones are taken from the payer, `won` ones given back.
-- disputed: minor units of paid_currency, the provider's. Its payment may come later, or be another program's.
CREATE TABLE ballast.provider_disputes (
    id            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT provider_disputes_pkey PRIMARY KEY,
    provider      text NOT NULL,
    dispute_id    text NOT NULL,
    payment_id    text NOT NULL,
    disputed      bigint NOT NULL,
    paid_currency text NOT NULL,
    state         text NOT NULL,
    recorded_by   text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_disputes_provider_dispute_id_key UNIQUE (provider, dispute_id),
    CONSTRAINT provider_disputes_state_known CHECK (state IN ('open', 'won', 'lost')),
    CONSTRAINT provider_disputes_is_about_something CHECK (disputed > 0)
);
CREATE INDEX provider_disputes_payment_idx ON ballast.provider_disputes (provider, payment_id);

-- What was taken for them, in steps; below zero is given back.
CREATE TABLE ballast.provider_dispute_steps (
    id                  bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT provider_dispute_steps_pkey PRIMARY KEY,
    transfer_id         bigint NOT NULL CONSTRAINT provider_dispute_steps_transfer_id_fkey REFERENCES ballast.transfers (id),
    provider_payment_id bigint NOT NULL CONSTRAINT provider_dispute_steps_provider_payment_id_fkey
                               REFERENCES ballast.provider_payments (id),
    amount              bigint NOT NULL,
    recorded_by         text NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_dispute_steps_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT provider_dispute_steps_moves_something CHECK (amount <> 0)
);
CREATE INDEX provider_dispute_steps_payment_idx ON ballast.provider_dispute_steps (provider_payment_id);

CREATE TRIGGER provider_disputes_kept BEFORE DELETE ON ballast.provider_disputes
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER provider_disputes_no_truncate BEFORE TRUNCATE ON ballast.provider_disputes
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.provider_disputes ENABLE ALWAYS TRIGGER provider_disputes_kept;
ALTER TABLE ballast.provider_disputes ENABLE ALWAYS TRIGGER provider_disputes_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.provider_disputes FROM PUBLIC, CURRENT_USER;
CREATE TRIGGER provider_dispute_steps_append_only BEFORE UPDATE OR DELETE ON ballast.provider_dispute_steps
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER provider_dispute_steps_no_truncate BEFORE TRUNCATE ON ballast.provider_dispute_steps
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.provider_dispute_steps ENABLE ALWAYS TRIGGER provider_dispute_steps_append_only;
ALTER TABLE ballast.provider_dispute_steps ENABLE ALWAYS TRIGGER provider_dispute_steps_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.provider_dispute_steps FROM PUBLIC, CURRENT_USER;

-- What the disputes about a payment take now: each its share, and all together no more than refunds have left.
CREATE FUNCTION ballast.provider_disputed(p_provider_payment_id bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT least(
        (SELECT coalesce(sum(div(p.amount::numeric * least(d.disputed, p.paid), p.paid)), 0)
           FROM ballast.provider_disputes d
          WHERE d.provider = p.provider AND d.payment_id = p.payment_id AND d.state <> 'won'),
        p.amount - (SELECT coalesce(sum(r.amount), 0) FROM ballast.provider_refunds r WHERE r.provider_payment_id = p.id)
    )::bigint
      FROM ballast.provider_payments p WHERE p.id = p_provider_payment_id
$$;

-- Writes down a dispute, and what the provider told of it, once: how it stands goes from open to won or lost and never back.
CREATE FUNCTION ballast.provider_dispute(
    p_provider text, p_event_id text, p_mark text, p_told jsonb, p_job_id text,
    p_dispute_id text, p_payment_id text, p_disputed bigint, p_paid_currency text, p_state text,
    OUT r_reason text, OUT r_event_is_new boolean
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_event record;
    v_known record;
BEGIN
    INSERT INTO ballast.provider_events (provider, event_id, mark, payment, recorded_by)
    VALUES (p_provider, p_event_id, p_mark, p_told, p_job_id) ON CONFLICT DO NOTHING;
    SELECT e.mark, e.recorded_by INTO STRICT v_event FROM ballast.provider_events e
     WHERE e.provider = p_provider AND e.event_id = p_event_id;
    r_event_is_new := v_event.recorded_by = p_job_id;
    INSERT INTO ballast.provider_disputes (provider, dispute_id, payment_id, disputed, paid_currency, state, recorded_by)
    SELECT p_provider, p_dispute_id, p_payment_id, p_disputed, p_paid_currency, p_state, p_job_id
     WHERE v_event.mark = p_mark ON CONFLICT DO NOTHING;
    SELECT d.* INTO v_known FROM ballast.provider_disputes d
     WHERE d.provider = p_provider AND d.dispute_id = p_dispute_id FOR NO KEY UPDATE;
    IF v_event.mark <> p_mark
       OR (v_known.payment_id, v_known.disputed, v_known.paid_currency) <> (p_payment_id, p_disputed, p_paid_currency)
       OR v_known.state <> p_state AND 'open' NOT IN (v_known.state, p_state) THEN
        r_reason := 'key_reused';
        UPDATE ballast.provider_events SET contradicted_at = coalesce(contradicted_at, clock_timestamp())
         WHERE provider = p_provider AND event_id = p_event_id;
    ELSIF v_known.state = 'open' AND p_state <> 'open' THEN
        UPDATE ballast.provider_disputes SET state = p_state WHERE id = v_known.id;
    END IF;
END
$$;

-- Brings the ledger to where the disputes about a payment stand; nothing if the payment is not known here, or not yet.
-- r_taken: what the job p_job_id took for them, now or when it ran before; below zero: gave back.
CREATE FUNCTION ballast.ledger_provider_disputes(
    p_provider text, p_payment_id text, p_job_id text,
    OUT r_reason text, OUT r_number bigint, OUT r_telegram_id bigint, OUT r_transfer_id bigint, OUT r_taken bigint,
    OUT r_balance bigint, OUT r_version bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_payment record;
    v_account bigint;
    v_provider bigint;
    v_steps record;
    v_due bigint;
    v_post record;
BEGIN
    SELECT p.*, u.telegram_id INTO v_payment FROM ballast.provider_payments p JOIN ballast.users u ON u.id = p.user_id
     WHERE p.provider = p_provider AND p.payment_id = p_payment_id FOR NO KEY UPDATE OF p;
    IF v_payment.id IS NULL THEN
        RETURN;
    END IF;
    r_number := v_payment.id;
    r_telegram_id := v_payment.telegram_id;
    SELECT a.id INTO STRICT v_account FROM ballast.accounts a
     WHERE a.user_id = v_payment.user_id AND a.currency = v_payment.currency;
    SELECT count(*) AS number, coalesce(sum(s.amount), 0) AS amount INTO STRICT v_steps
      FROM ballast.provider_dispute_steps s WHERE s.provider_payment_id = v_payment.id;
    v_due := ballast.provider_disputed(v_payment.id) - v_steps.amount;
    IF v_due <> 0 THEN
        v_provider := ballast.ledger_system_account('provider:' || p_provider, v_payment.currency);
        SELECT * INTO STRICT v_post FROM ballast.ledger_post(
            'provider_dispute:' || p_provider || ':' || p_payment_id || ':' || v_steps.number, '',
            CASE WHEN v_due > 0 THEN v_account ELSE v_provider END, CASE WHEN v_due > 0 THEN v_provider ELSE v_account END,
            abs(v_due), v_payment.currency, CASE WHEN v_due > 0 THEN 'provider_refund' ELSE 'provider_payment' END,
            '', 'provider:' || p_provider, NULL);
        r_reason := v_post.r_reason;
        IF r_reason IS NULL THEN
            INSERT INTO ballast.provider_dispute_steps (transfer_id, provider_payment_id, amount, recorded_by)
            VALUES (v_post.r_transfer_id, v_payment.id, v_due, p_job_id);
        END IF;
    END IF;
    SELECT coalesce(sum(s.amount), 0)::bigint, max(s.transfer_id) INTO r_taken, r_transfer_id
      FROM ballast.provider_dispute_steps s WHERE s.provider_payment_id = v_payment.id AND s.recorded_by = p_job_id;
    SELECT a.balance, a.version INTO r_balance, r_version FROM ballast.accounts a WHERE a.id = v_account;
END
$$;
