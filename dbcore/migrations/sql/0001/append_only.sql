-- What is written down stays: a mistake is corrected by a transfer the other way.
CREATE FUNCTION ballast.ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Correct it by a transfer the other way.';
END
$$;

CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE ON ballast.transfers
    FOR EACH ROW EXECUTE FUNCTION ballast.ledger_refuse_change();
CREATE TRIGGER transfers_no_truncate BEFORE TRUNCATE ON ballast.transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.ledger_refuse_change();
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE ON ballast.entries
    FOR EACH ROW EXECUTE FUNCTION ballast.ledger_refuse_change();
CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON ballast.entries
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.ledger_refuse_change();

-- A second lock beside the triggers, and one that holds for the owner too (not for a superuser). UPDATE on
-- transfers stays granted: the foreign key of entries locks its row FOR KEY SHARE, which needs that privilege
-- of the owner.
REVOKE DELETE, TRUNCATE ON ballast.transfers FROM PUBLIC, CURRENT_USER;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.entries FROM PUBLIC, CURRENT_USER;
