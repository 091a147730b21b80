-- What Telegram said of payments: one row for each charge that was paid, one for each that was refunded, as it came. No
-- balance follows from it. `amount` is in the currency's smallest units. `recorded_by` is the job that wrote it down.
CREATE TABLE ballast.payment_events (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT payment_events_pkey PRIMARY KEY,
    kind        text NOT NULL,
    charge_id   text NOT NULL,
    telegram_id bigint NOT NULL,
    amount      bigint NOT NULL,
    currency    text NOT NULL,
    payload     text NOT NULL,
    details     jsonb NOT NULL,
    recorded_by text NOT NULL,
    said_at     timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_events_charge_id_kind_key UNIQUE (charge_id, kind),
    CONSTRAINT payment_events_kind_known CHECK (kind IN ('paid', 'refunded'))
);

CREATE TRIGGER payment_events_append_only BEFORE UPDATE OR DELETE ON ballast.payment_events
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER payment_events_no_truncate BEFORE TRUNCATE ON ballast.payment_events
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.payment_events ENABLE ALWAYS TRIGGER payment_events_append_only;
ALTER TABLE ballast.payment_events ENABLE ALWAYS TRIGGER payment_events_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.payment_events FROM PUBLIC, CURRENT_USER;
