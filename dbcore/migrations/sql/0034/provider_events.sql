-- What providers told is removed once it is old, but for what could not be booked. problem: why not; NULL if there is nothing to
-- look into. `contradicted`: another word about the same event or payment; `not_as_asked`: not what its checkout asked for;
-- `refused`: the ledger cannot hold it.
ALTER TABLE ballast.provider_events ADD COLUMN problem text,
    ADD CONSTRAINT provider_events_problem_known CHECK (problem IN ('contradicted', 'not_as_asked', 'refused'));
CREATE INDEX provider_events_created_at_idx ON ballast.provider_events (created_at) WHERE problem IS NULL;
CREATE INDEX provider_events_problem_idx ON ballast.provider_events (created_at) WHERE problem IS NOT NULL;
