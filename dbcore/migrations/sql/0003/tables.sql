-- Columns with nothing to compute: no row is rewritten, and the release before runs on beside them.
ALTER TABLE ballast.users
    ADD COLUMN language_code         text,         -- as Telegram last said it: de, pt-br
    ADD COLUMN broadcasts_stopped_at timestamptz,  -- the user's own /stop, for broadcasts alone
    ADD COLUMN strikes               smallint NOT NULL DEFAULT 0;  -- Telegram's "chat not found" in a row

CREATE TABLE ballast.broadcasts (
    id               bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT broadcasts_pkey PRIMARY KEY,
    idempotency_key  text NOT NULL CONSTRAINT broadcasts_idempotency_key_key UNIQUE,
    status           text NOT NULL,
    payload          jsonb NOT NULL,
    segment          jsonb NOT NULL,
    actor            text NOT NULL,
    paid             boolean NOT NULL,
    stars_max        integer,
    canary           integer NOT NULL,
    scheduled_for    timestamptz,
    quiet_hours      jsonb,
    audience         bigint,
    sent             bigint NOT NULL DEFAULT 0,
    blocked          bigint NOT NULL DEFAULT 0,
    failed           bigint NOT NULL DEFAULT 0,
    unknown          bigint NOT NULL DEFAULT 0,
    halted_reason    text,
    admin_chat_id    bigint,
    card_message_id  bigint,
    -- Counts its starts: jobs of an earlier run find that they are superseded.
    run              integer NOT NULL DEFAULT 0,
    -- Where leasing stands, by user id: all up to settled is final; above frontier nothing was ever leased; the next
    -- lease looks above cursor, which goes back where rows become pending again.
    settled_user_id  bigint NOT NULL DEFAULT 0,
    cursor_user_id   bigint NOT NULL DEFAULT 0,
    frontier_user_id bigint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    CONSTRAINT broadcasts_status_known
        CHECK (status IN ('draft', 'scheduled', 'sending', 'paused', 'halted', 'cancelled', 'finished')),
    CONSTRAINT broadcasts_scheduled_has_time CHECK (status <> 'scheduled' OR scheduled_for IS NOT NULL),
    CONSTRAINT broadcasts_started_has_audience CHECK ((audience IS NULL) = (started_at IS NULL)),
    CONSTRAINT broadcasts_ended_has_time CHECK ((status IN ('cancelled', 'finished')) = (finished_at IS NOT NULL)),
    CONSTRAINT broadcasts_halt_has_reason CHECK (status <> 'halted' OR halted_reason IS NOT NULL),
    CONSTRAINT broadcasts_counts_add_up CHECK (
        least(sent, blocked, failed, unknown) >= 0 AND sent + blocked + failed + unknown <= coalesce(audience, 0)
    )
);

-- A row is written three times: by the snapshot, the lease, the result. Room for all three on its page and no index
-- on what changes: so no index grows, the page cleans itself up, and the last chunk is as quick as the first. For the
-- same reason no foreign keys: both ids come from their tables in the one statement that writes them.
CREATE TABLE ballast.broadcast_deliveries (
    broadcast_id     bigint NOT NULL,
    user_id          bigint NOT NULL,
    telegram_id      bigint NOT NULL,
    status           text NOT NULL DEFAULT 'pending',
    lease            bigint,
    leased_until     timestamptz,
    message_id       bigint,
    more_message_ids bigint[],  -- of an album, those after the first
    error            text,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT broadcast_deliveries_pkey PRIMARY KEY (broadcast_id, user_id),
    CONSTRAINT broadcast_deliveries_status_known
        CHECK (status IN ('pending', 'leased', 'sent', 'unknown', 'blocked', 'failed')),
    CONSTRAINT broadcast_deliveries_lease_has_end
        CHECK ((status = 'leased') = (lease IS NOT NULL) AND (lease IS NULL) = (leased_until IS NULL))
) WITH (fillfactor = 50);
