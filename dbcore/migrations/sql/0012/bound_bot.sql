CREATE TABLE ballast.bound_bot (
    id smallint PRIMARY KEY DEFAULT 1 CONSTRAINT bound_bot_is_one CHECK (id = 1),
    bot_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
