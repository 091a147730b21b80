-- Columns with nothing to compute: no row is rewritten, and the release before runs on beside them.
ALTER TABLE ballast.outages
    ADD COLUMN failed_at  timestamptz,  -- the first of the calls that failed; NULL of a pause, or where nobody noted it
    ADD COLUMN drained_at timestamptz;  -- the last of the jobs that waited was finished; NULL until then, or if unknown
