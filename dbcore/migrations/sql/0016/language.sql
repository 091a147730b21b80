-- A column with nothing to compute: no row is rewritten, and the release before runs on beside it.
ALTER TABLE ballast.users
    ADD COLUMN language text;  -- as they chose it by /language: de, pt_BR; NULL is as Telegram says
