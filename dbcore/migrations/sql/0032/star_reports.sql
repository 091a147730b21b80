-- What else Telegram reports of Stars in updates: paid media that somebody bought, and gifts that somebody sent. No balance
-- changes by it: what it cost is in Telegram's book of Stars. what -- the payload of the media, or the gift's id or name.
-- stars -- NULL if Telegram does not say.
CREATE TABLE ballast.star_reports (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT star_reports_pkey PRIMARY KEY,
    key         text NOT NULL CONSTRAINT star_reports_key_key UNIQUE,
    kind        text NOT NULL,
    telegram_id bigint NOT NULL,
    what        text NOT NULL,
    stars       bigint,
    said_at     timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT star_reports_kind_known CHECK (kind IN ('paid_media', 'gift', 'unique_gift'))
);
