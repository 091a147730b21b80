-- Amounts are minor units. The numbers in the checks are MAX_AMOUNT and MAX_BALANCE of dbcore.
CREATE TABLE ballast.users (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT users_pkey PRIMARY KEY,
    telegram_id  bigint NOT NULL CONSTRAINT users_telegram_id_key UNIQUE,
    username     text,
    first_name   text NOT NULL,
    status       text NOT NULL DEFAULT 'active',
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_status_known CHECK (status IN ('active', 'blocked', 'deactivated'))
);
-- Not unique: usernames change hands, and we learn of it late.
CREATE INDEX users_username_idx ON ballast.users (lower(username));

-- The house has one account a currency: no user, no balance, no version. Its balance is the sum of its
-- entries, because a row that every adjustment updates would be a hot spot.
CREATE TABLE ballast.accounts (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT accounts_pkey PRIMARY KEY,
    user_id    bigint CONSTRAINT accounts_user_id_fkey REFERENCES ballast.users (id),
    currency   text NOT NULL,
    balance    bigint,
    version    bigint,
    floor      bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_id_currency_key UNIQUE (id, currency),
    CONSTRAINT accounts_user_id_currency_key UNIQUE (user_id, currency),
    CONSTRAINT accounts_house_keeps_no_balance
        CHECK ((user_id IS NULL) = (balance IS NULL) AND (user_id IS NULL) = (version IS NULL)),
    CONSTRAINT accounts_balance_within_bounds CHECK (balance >= floor AND balance <= 1000000000000000000),
    CONSTRAINT accounts_version_counts_up CHECK (version >= 0)
) WITH (fillfactor = 70);  -- room on the page for the next balance, so that an update touches no index
CREATE UNIQUE INDEX accounts_house_idx ON ballast.accounts (currency) WHERE user_id IS NULL;

-- Refused transfers are kept too: the same key is refused again for the same reason. Theirs may lack
-- accounts. The foreign keys carry the currency, so that a transfer between currencies cannot be written
-- down.
CREATE TABLE ballast.transfers (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT transfers_pkey PRIMARY KEY,
    idempotency_key text NOT NULL CONSTRAINT transfers_idempotency_key_key UNIQUE,
    fingerprint     text NOT NULL,
    from_account_id bigint,
    to_account_id   bigint,
    amount          bigint NOT NULL,
    currency        text NOT NULL,
    kind            text NOT NULL,
    status          text NOT NULL,
    reason          text,
    refused_balance bigint,
    memo            text NOT NULL,
    actor           text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT transfers_from_account_fkey
        FOREIGN KEY (from_account_id, currency) REFERENCES ballast.accounts (id, currency),
    CONSTRAINT transfers_to_account_fkey
        FOREIGN KEY (to_account_id, currency) REFERENCES ballast.accounts (id, currency),
    CONSTRAINT transfers_amount_within_bounds CHECK (amount > 0 AND amount <= 1000000000000000),
    CONSTRAINT transfers_status_known CHECK (status IN ('applied', 'rejected')),
    CONSTRAINT transfers_refusal_has_reason CHECK ((status = 'rejected') = (reason IS NOT NULL)),
    CONSTRAINT transfers_applied_has_accounts CHECK (
        status <> 'applied' OR coalesce(from_account_id <> to_account_id, false)
    )
);

CREATE TABLE ballast.entries (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT entries_pkey PRIMARY KEY,
    transfer_id     bigint NOT NULL CONSTRAINT entries_transfer_id_fkey REFERENCES ballast.transfers (id),
    account_id      bigint NOT NULL CONSTRAINT entries_account_id_fkey REFERENCES ballast.accounts (id),
    amount          bigint NOT NULL,
    balance_after   bigint,
    account_version bigint,
    CONSTRAINT entries_transfer_id_account_id_key UNIQUE (transfer_id, account_id),
    CONSTRAINT entries_account_id_account_version_key UNIQUE (account_id, account_version),
    CONSTRAINT entries_amount_moves_something CHECK (amount <> 0),
    CONSTRAINT entries_version_with_balance CHECK ((balance_after IS NULL) = (account_version IS NULL)),
    CONSTRAINT entries_version_counts_up CHECK (account_version >= 1)
);

CREATE TABLE ballast.pending_transfers (
    id                bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pending_transfers_pkey PRIMARY KEY,
    token             text NOT NULL CONSTRAINT pending_transfers_token_key UNIQUE,
    idempotency_key   text NOT NULL CONSTRAINT pending_transfers_idempotency_key_key UNIQUE,
    fingerprint       text NOT NULL,
    sender_user_id    bigint NOT NULL CONSTRAINT pending_transfers_sender_user_id_fkey REFERENCES ballast.users (id),
    recipient_user_id bigint CONSTRAINT pending_transfers_recipient_user_id_fkey REFERENCES ballast.users (id),
    amount            bigint NOT NULL,
    currency          text NOT NULL,
    memo              text NOT NULL,
    status            text NOT NULL,
    reason            text,
    sender_balance    bigint NOT NULL,
    decided_key       text,
    transfer_id       bigint CONSTRAINT pending_transfers_transfer_id_fkey REFERENCES ballast.transfers (id),
    created_at        timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz NOT NULL,
    decided_at        timestamptz,
    CONSTRAINT pending_transfers_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT pending_transfers_amount_within_bounds CHECK (amount > 0 AND amount <= 1000000000000000),
    -- refused: never put before the sender. failed: confirmed, and the ledger refused it.
    CONSTRAINT pending_transfers_status_known
        CHECK (status IN ('refused', 'pending', 'confirmed', 'failed', 'cancelled', 'expired')),
    CONSTRAINT pending_transfers_refusal_has_reason
        CHECK ((status IN ('refused', 'failed')) = (reason IS NOT NULL)),
    CONSTRAINT pending_transfers_transfer_iff_confirmed
        CHECK ((status IN ('confirmed', 'failed')) = (transfer_id IS NOT NULL)),
    CONSTRAINT pending_transfers_recipient_known CHECK (status = 'refused' OR recipient_user_id IS NOT NULL),
    CONSTRAINT pending_transfers_decision_has_key
        CHECK ((status IN ('refused', 'pending')) = (decided_key IS NULL) AND (decided_key IS NULL) = (decided_at IS NULL))
);

-- What could not be carried out, for an operator to retry or discard.
CREATE TABLE ballast.failed_operations (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT failed_operations_pkey PRIMARY KEY,
    job_id      text NOT NULL CONSTRAINT failed_operations_job_id_key UNIQUE,
    kind        text NOT NULL,
    reference   text NOT NULL,
    telegram_id bigint,
    error       text NOT NULL,
    payload     jsonb NOT NULL,
    status      text NOT NULL DEFAULT 'open',
    created_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    CONSTRAINT failed_operations_status_known CHECK (status IN ('open', 'retried', 'discarded')),
    CONSTRAINT failed_operations_resolved_has_time CHECK ((status = 'open') = (resolved_at IS NULL))
);
CREATE INDEX failed_operations_open_idx ON ballast.failed_operations (id) WHERE status = 'open';
CREATE INDEX failed_operations_reference_idx ON ballast.failed_operations (reference);

CREATE TABLE ballast.health_probes (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT health_probes_pkey PRIMARY KEY,
    trigger         text NOT NULL,
    ok              boolean NOT NULL,
    server_ms       double precision NOT NULL,
    server_version  text NOT NULL,
    missing_tables  text[] NOT NULL,
    connections     integer NOT NULL,
    max_connections integer NOT NULL,
    database_bytes  bigint NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX health_probes_created_at_idx ON ballast.health_probes (created_at);
