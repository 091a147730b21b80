-- What providers list of payments that this bot asked for, compared with the ledger. A reading lists those since `since`; a payment
-- is as the last reading saw it.
CREATE TABLE ballast.provider_reconciliations (
    id                 bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT provider_reconciliations_pkey PRIMARY KEY,
    provider           text NOT NULL,
    since              timestamptz NOT NULL,
    newest_transfer_id bigint NOT NULL,
    payments           integer NOT NULL DEFAULT 0,
    handed_in          integer NOT NULL DEFAULT 0,
    started_at         timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz
);
CREATE INDEX provider_reconciliations_provider_idx ON ballast.provider_reconciliations (provider, id)
 WHERE finished_at IS NOT NULL;

-- credited: minor units that it is worth here; NULL if it is not what its checkout asked for.
CREATE TABLE ballast.provider_book (
    provider    text NOT NULL,
    payment_id  text NOT NULL,
    seen_by     bigint NOT NULL CONSTRAINT provider_book_seen_by_fkey REFERENCES ballast.provider_reconciliations (id),
    amount      bigint NOT NULL,
    currency    text NOT NULL,
    refunded    bigint NOT NULL,
    telegram_id bigint NOT NULL,
    credited    bigint,
    paid_at     timestamptz NOT NULL,
    CONSTRAINT provider_book_pkey PRIMARY KEY (provider, payment_id)
);
CREATE INDEX provider_book_seen_by_idx ON ballast.provider_book (seen_by);

-- Differences that an operator takes as they are.
CREATE TABLE ballast.provider_acceptances (
    provider    text NOT NULL,
    difference  text NOT NULL,
    payment_id  text NOT NULL,
    actor       text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_acceptances_pkey PRIMARY KEY (provider, difference, payment_id)
);
