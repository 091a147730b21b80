-- Keys of the HTTP API. A key itself is nowhere: only its SHA-256, for it is 256 random bits.
CREATE TABLE ballast.api_keys (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT api_keys_pkey PRIMARY KEY,
    name       text NOT NULL,
    hash       text NOT NULL CONSTRAINT api_keys_hash_key UNIQUE,
    scopes     text[] NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT api_keys_name_is_plain CHECK (name ~ '^[A-Za-z0-9._-]{1,40}$'),
    CONSTRAINT api_keys_hash_is_sha256 CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT api_keys_has_scopes CHECK (cardinality(scopes) > 0)
);
-- Of two keys of one name, the audit log could not say whose act it was.
CREATE UNIQUE INDEX api_keys_name_idx ON ballast.api_keys (name) WHERE revoked_at IS NULL;
