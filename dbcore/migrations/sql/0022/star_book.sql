-- Each reading of Telegram's book of the bot's Stars, from its beginning. `next_offset` is the cursor: a reading that is
-- broken off goes on there. `newest_transfer_id` is the ledger's when it began: what is booked later may not be in what
-- was read. `stars` and `nanostars` are the balance that Telegram named at the end.
CREATE TABLE ballast.star_reconciliations (
    id                 bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT star_reconciliations_pkey PRIMARY KEY,
    next_offset        bigint NOT NULL DEFAULT 0,
    newest_transfer_id bigint NOT NULL,
    stars              bigint,
    nanostars          bigint,
    handed_in          bigint NOT NULL DEFAULT 0,
    started_at         timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz,
    CONSTRAINT star_reconciliations_end_has_balance
        CHECK ((finished_at IS NULL) = (stars IS NULL) AND (stars IS NULL) = (nanostars IS NULL))
);
CREATE UNIQUE INDEX star_reconciliations_one_open_idx ON ballast.star_reconciliations ((finished_at IS NULL))
 WHERE finished_at IS NULL;

-- Telegram's transactions as they were read last. A refund has the id of its payment, and goes out. `invoice_amount` is what
-- the payment is credited as, in minor units, if it was made by an invoice of this bot. `found_by` and `seen_by` are the
-- readings that saw it first and last.
CREATE TABLE ballast.star_book (
    id             text NOT NULL,
    is_outgoing    boolean NOT NULL,
    stars          bigint NOT NULL,
    nanostars      bigint NOT NULL,
    purpose        text NOT NULL,
    telegram_id    bigint,
    invoice_amount bigint,
    details        jsonb NOT NULL,
    made_at        timestamptz NOT NULL,
    found_by       bigint NOT NULL CONSTRAINT star_book_found_by_fkey REFERENCES ballast.star_reconciliations (id),
    seen_by        bigint NOT NULL CONSTRAINT star_book_seen_by_fkey REFERENCES ballast.star_reconciliations (id),
    CONSTRAINT star_book_pkey PRIMARY KEY (id, is_outgoing)
);

-- Differences that an operator looked at and takes as they are.
CREATE TABLE ballast.star_acceptances (
    difference  text NOT NULL,
    charge_id   text NOT NULL,
    actor       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT star_acceptances_pkey PRIMARY KEY (difference, charge_id)
);
