-- A column with nothing to compute: no row is rewritten, and the release before runs on beside it.
ALTER TABLE ballast.users
    ADD COLUMN time_zone text;  -- as they chose it by /timezone: Europe/Berlin; NULL is that of TIMEZONE
