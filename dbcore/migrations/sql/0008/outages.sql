-- One row for each time that calls were held back: written once it is over and the database answers, from a list in Redis.
-- outage_id is made where the outage ends, so that one that is brought twice is kept once.
CREATE TABLE ballast.outages (
    id                   bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT outages_pkey PRIMARY KEY,
    outage_id            text NOT NULL CONSTRAINT outages_outage_id_key UNIQUE,
    began_at             timestamptz NOT NULL,
    ended_at             timestamptz NOT NULL,
    reason               text,                       -- NULL: an operator's pause
    paused_by            text,
    failed_probes        bigint NOT NULL,
    jobs_waited          bigint NOT NULL,
    longest_wait_seconds double precision NOT NULL,  -- up to the end of the outage
    CONSTRAINT outages_ends_after_its_beginning CHECK (ended_at >= began_at)
);
CREATE INDEX outages_began_at_idx ON ballast.outages (began_at);
