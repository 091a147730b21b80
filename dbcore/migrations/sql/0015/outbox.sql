-- Jobs that committed transactions ask for and that the workers' inbox does not have yet. json, not jsonb: a job's text may
-- hold \u0000, which jsonb refuses.
CREATE TABLE ballast.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    payload json NOT NULL,
    telegram_id bigint,
    key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_kind_is_plain CHECK (kind ~ '^[a-z0-9_.]{1,64}$'),
    CONSTRAINT outbox_payload_is_object CHECK (json_typeof(payload) = 'object'),
    CONSTRAINT outbox_payload_is_small CHECK (length(payload::text) <= 262144)
);
