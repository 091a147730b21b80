-- What the fleet's breaker did and when: written once the database is back, from a list in Redis. event_id is drawn
-- where the event is, so that one that is brought twice is kept once.
CREATE TABLE ballast.breaker_events (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT breaker_events_pkey PRIMARY KEY,
    event_id     text NOT NULL CONSTRAINT breaker_events_event_id_key UNIQUE,
    before       text NOT NULL,
    after        text NOT NULL,
    reason       text,
    open_seconds double precision NOT NULL,
    by_whom      text NOT NULL,
    created_at   timestamptz NOT NULL
);
CREATE INDEX breaker_events_created_at_idx ON ballast.breaker_events (created_at);
