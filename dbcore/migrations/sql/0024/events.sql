-- What a program outside is to be told, by webhooks: written in the transaction that it is about, and removed once it was
-- taken there. Events of one lane are sent in the order of their ids; a lane is a person's Telegram id, or 0.
CREATE TABLE ballast.events (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT events_pkey PRIMARY KEY,
    lane            bigint NOT NULL,
    kind            text NOT NULL,
    data            jsonb NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_kind_is_plain CHECK (kind ~ '^[a-z_.]{1,64}$'),
    CONSTRAINT events_attempts_count_up CHECK (attempts >= 0)
);
CREATE INDEX events_lane_idx ON ballast.events (lane, id);
CREATE INDEX events_created_at_idx ON ballast.events (created_at);

-- Events are written only while there is a row here: the workers keep it there while EVENTS_URL is set.
CREATE TABLE ballast.events_wanted (
    id         smallint NOT NULL DEFAULT 1 CONSTRAINT events_wanted_pkey PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT events_wanted_is_one CHECK (id = 1)
);

-- The account's row is locked while an entry is written, so ids of one person's events are in the order of the commits. What
-- an import brings happened elsewhere, and is no event.
CREATE FUNCTION ballast.events_of_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ballast.events_wanted) THEN
        INSERT INTO ballast.events (lane, kind, data)
        SELECT u.telegram_id, 'balance.changed', jsonb_build_object(
                   'telegram_id', u.telegram_id, 'transfer_id', t.id, 'transfer_kind', t.kind, 'amount', e.amount,
                   'balance', e.balance_after, 'currency', t.currency, 'version', e.account_version,
                   'at', extract(epoch FROM t.created_at)::float8)
          FROM added e
          JOIN ballast.accounts a ON a.id = e.account_id
          JOIN ballast.users u ON u.id = a.user_id
          JOIN ballast.transfers t ON t.id = e.transfer_id
         WHERE t.idempotency_key !~ '^(opening|history|settle|reversal):'
         ORDER BY e.account_id, e.account_version;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER entries_events AFTER INSERT ON ballast.entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ballast.events_of_entries();

-- Its first failure, and each after it was closed.
CREATE FUNCTION ballast.events_of_failed_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_is_new boolean := true;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        v_is_new := OLD.status <> 'open';
    END IF;
    IF v_is_new AND EXISTS (SELECT FROM ballast.events_wanted) THEN
        INSERT INTO ballast.events (lane, kind, data)
        VALUES (coalesce(NEW.telegram_id, 0), 'job.failed', jsonb_build_object(
                    'reference', NEW.reference, 'job_kind', NEW.kind, 'telegram_id', NEW.telegram_id,
                    'error', left(NEW.error, 500), 'at', extract(epoch FROM NEW.created_at)::float8));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER failed_operations_events AFTER INSERT OR UPDATE OF status ON ballast.failed_operations
    FOR EACH ROW WHEN (NEW.status = 'open') EXECUTE FUNCTION ballast.events_of_failed_jobs();

-- An outage is written down once it is over: the database could not hear of it before.
CREATE FUNCTION ballast.events_of_outages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ballast.events_wanted) THEN
        INSERT INTO ballast.events (lane, kind, data)
        VALUES (0, 'outage.ended', jsonb_build_object(
                    'began_at', extract(epoch FROM NEW.began_at)::float8,
                    'ended_at', extract(epoch FROM NEW.ended_at)::float8, 'reason', NEW.reason,
                    'paused_by', NEW.paused_by, 'jobs_waited', NEW.jobs_waited));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER outages_events AFTER INSERT ON ballast.outages
    FOR EACH ROW EXECUTE FUNCTION ballast.events_of_outages();
