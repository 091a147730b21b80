-- What each successful audit saw: of every table that only grows, its newest id and how many rows there were up to it.
-- The next audit finds rows that are gone since, up to an emptied ledger.
CREATE TABLE ballast.audit_runs (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_runs_pkey PRIMARY KEY,
    table_name  text NOT NULL,
    newest_id   bigint NOT NULL,
    row_count   bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT audit_runs_count_fits_ids CHECK (row_count >= 0 AND newest_id >= 0)
);
CREATE INDEX audit_runs_table_name_idx ON ballast.audit_runs (table_name, id);

CREATE FUNCTION ballast.audit_runs_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER audit_runs_append_only BEFORE UPDATE OR DELETE ON ballast.audit_runs
    FOR EACH ROW EXECUTE FUNCTION ballast.audit_runs_refuse_change();
CREATE TRIGGER audit_runs_no_truncate BEFORE TRUNCATE ON ballast.audit_runs
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.audit_runs_refuse_change();
ALTER TABLE ballast.audit_runs ENABLE ALWAYS TRIGGER audit_runs_append_only;
ALTER TABLE ballast.audit_runs ENABLE ALWAYS TRIGGER audit_runs_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.audit_runs FROM PUBLIC, CURRENT_USER;
