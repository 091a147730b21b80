-- What operators did from the status page and the command line: who, what, to what, and what came of it. Each once, by
-- the id that its order came with. created_at is when it was ordered: the books may have been out of reach then.
CREATE TABLE ballast.admin_actions (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT admin_actions_pkey PRIMARY KEY,
    action_id  text NOT NULL CONSTRAINT admin_actions_action_id_key UNIQUE,
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    outcome    text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX admin_actions_created_at_idx ON ballast.admin_actions (created_at);

CREATE FUNCTION ballast.admin_actions_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER admin_actions_append_only BEFORE UPDATE OR DELETE ON ballast.admin_actions
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER admin_actions_no_truncate BEFORE TRUNCATE ON ballast.admin_actions
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.admin_actions FROM PUBLIC, CURRENT_USER;
