-- A seal covers a range of entries and one of transfers, both without their first id and with their last one, and has the
-- hash of them and of the seal before. Whoever changes a row that is sealed has to make all later seals anew, too.
CREATE TABLE ballast.ledger_seals (
    id             bigint CONSTRAINT ledger_seals_pkey PRIMARY KEY,
    entries_from   bigint NOT NULL,
    entries_to     bigint NOT NULL,
    entries        bigint NOT NULL,
    transfers_from bigint NOT NULL,
    transfers_to   bigint NOT NULL,
    transfers      bigint NOT NULL,
    previous_hash  text NOT NULL,
    hash           text NOT NULL,
    sealed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT ledger_seals_ranges CHECK (entries_from <= entries_to AND transfers_from <= transfers_to)
);

-- When each seal was read again, when it was last found to be whole, and since when it is not.
CREATE TABLE ballast.seal_checks (
    seal_id    bigint CONSTRAINT seal_checks_pkey PRIMARY KEY,
    looked_at  timestamptz NOT NULL,
    whole_at   timestamptz,
    broken_at  timestamptz
);

-- What an audit proved, from the beginning to the end of a seal. `is_full`: by reading all of it.
CREATE TABLE ballast.audit_proofs (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_proofs_pkey PRIMARY KEY,
    seal_id    bigint NOT NULL,
    is_full    boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Totals of what is sealed, in minor units: by UTC day of the transfer, account (`users` are all of theirs), and kind.
CREATE TABLE ballast.ledger_days (
    day      date NOT NULL,
    currency text NOT NULL,
    account  text NOT NULL,
    kind     text NOT NULL,
    debits   numeric NOT NULL,
    credits  numeric NOT NULL,
    entries  bigint NOT NULL,
    CONSTRAINT ledger_days_pkey PRIMARY KEY (day, currency, account, kind)
);

-- Texts are written with their length before them, and times as microseconds: no two ledgers have the same lines, and no
-- option of a session changes one.
CREATE FUNCTION ballast.ledger_hash(
    p_previous text, p_entries_from bigint, p_entries_to bigint, p_transfers_from bigint, p_transfers_to bigint,
    OUT r_hash text, OUT r_entries bigint, OUT r_transfers bigint
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_entries text;
    v_transfers text;
BEGIN
    SELECT count(*), coalesce(string_agg(concat(
               e.id, ',', e.transfer_id, ',', e.account_id, ',', e.amount, ',', e.balance_after, ',', e.account_version
           ), E'\n' ORDER BY e.id), '')
      INTO r_entries, v_entries
      FROM ballast.entries e WHERE e.id > p_entries_from AND e.id <= p_entries_to;
    SELECT count(*), coalesce(string_agg(concat(
               t.id, ',', t.from_account_id, ',', t.to_account_id, ',', t.amount, ',', t.refused_balance, ',',
               (extract(epoch FROM t.created_at) * 1000000)::bigint, ',',
               length(t.idempotency_key), ':', t.idempotency_key, length(t.fingerprint), ':', t.fingerprint,
               length(t.currency), ':', t.currency, length(t.kind), ':', t.kind, length(t.status), ':', t.status,
               length(t.reason), ':', t.reason, length(t.memo), ':', t.memo, length(t.actor), ':', t.actor
           ), E'\n' ORDER BY t.id), '')
      INTO r_transfers, v_transfers
      FROM ballast.transfers t WHERE t.id > p_transfers_from AND t.id <= p_transfers_to;
    r_hash := encode(sha256(convert_to(concat(p_previous, E'\n', v_entries, E'\n\n', v_transfers), 'UTF8')), 'hex');
END
$$;

-- Seals what comes next, at most so many entries and transfers, and counts it in ledger_days: all or nothing. An id may be
-- taken long before its row can be seen. So it waits for whoever could still write one that low: who writes to these tables has
-- their lock until the end. If they take longer than p_wait_ms, nothing is sealed now.
CREATE FUNCTION ballast.ledger_seal(
    p_rows_max integer, p_wait_ms integer,
    OUT r_seal_id bigint, OUT r_hash text, OUT r_entries bigint, OUT r_transfers bigint, OUT r_waited_for integer
) LANGUAGE plpgsql AS $$
DECLARE
    v_last record;
    v_entries_to bigint;
    v_transfers_to bigint;
    v_writers text[];
    v_until timestamptz := clock_timestamp() + make_interval(secs => p_wait_ms / 1000.0);
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('ballast.ledger_seals', 0)) THEN
        RETURN;
    END IF;
    SELECT s.id, s.entries_to, s.transfers_to, s.hash INTO v_last FROM ballast.ledger_seals s ORDER BY s.id DESC LIMIT 1;
    SELECT coalesce(max(e.id), coalesce(v_last.entries_to, 0)) INTO v_entries_to
      FROM (SELECT id FROM ballast.entries WHERE id > coalesce(v_last.entries_to, 0) ORDER BY id LIMIT p_rows_max) e;
    SELECT coalesce(max(t.id), coalesce(v_last.transfers_to, 0)) INTO v_transfers_to
      FROM (SELECT id FROM ballast.transfers WHERE id > coalesce(v_last.transfers_to, 0) ORDER BY id LIMIT p_rows_max) t;
    IF v_entries_to = coalesce(v_last.entries_to, 0) AND v_transfers_to = coalesce(v_last.transfers_to, 0) THEN
        RETURN;
    END IF;

    SELECT coalesce(array_agg(l.virtualtransaction), '{}') INTO v_writers FROM pg_locks l
     WHERE l.relation IN ('ballast.entries'::regclass, 'ballast.transfers'::regclass) AND l.mode = 'RowExclusiveLock'
       AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
       AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
    WHILE v_writers <> '{}' LOOP
        IF clock_timestamp() >= v_until THEN
            r_waited_for := cardinality(v_writers);
            RETURN;
        END IF;
        PERFORM pg_sleep(0.02);
        SELECT coalesce(array_agg(l.virtualtransaction), '{}') INTO v_writers FROM pg_locks l
         WHERE l.virtualtransaction = ANY(v_writers)
           AND l.relation IN ('ballast.entries'::regclass, 'ballast.transfers'::regclass) AND l.mode = 'RowExclusiveLock';
    END LOOP;

    r_seal_id := coalesce(v_last.id, 0) + 1;
    SELECT h.r_hash, h.r_entries, h.r_transfers INTO r_hash, r_entries, r_transfers
      FROM ballast.ledger_hash(coalesce(v_last.hash, ''), coalesce(v_last.entries_to, 0), v_entries_to,
                               coalesce(v_last.transfers_to, 0), v_transfers_to) h;
    INSERT INTO ballast.ledger_seals (id, entries_from, entries_to, entries, transfers_from, transfers_to, transfers,
                                      previous_hash, hash)
    VALUES (r_seal_id, coalesce(v_last.entries_to, 0), v_entries_to, r_entries, coalesce(v_last.transfers_to, 0),
            v_transfers_to, r_transfers, coalesce(v_last.hash, ''), r_hash);
    INSERT INTO ballast.ledger_days AS d (day, currency, account, kind, debits, credits, entries)
    SELECT (t.created_at AT TIME ZONE 'UTC')::date, a.currency, coalesce(s.name, 'users'), t.kind,
           sum(greatest(-e.amount, 0)), sum(greatest(e.amount, 0)), count(*)
      FROM ballast.entries e
      JOIN ballast.transfers t ON t.id = e.transfer_id
      JOIN ballast.accounts a ON a.id = e.account_id
      LEFT JOIN ballast.system_accounts s ON s.account_id = a.id
     WHERE e.id > coalesce(v_last.entries_to, 0) AND e.id <= v_entries_to
     GROUP BY 1, 2, 3, 4
        ON CONFLICT (day, currency, account, kind) DO UPDATE
       SET debits = d.debits + EXCLUDED.debits, credits = d.credits + EXCLUDED.credits, entries = d.entries + EXCLUDED.entries;
END
$$;

-- Reads the seal again that was not looked at for longest, and notes whether it is whole.
CREATE FUNCTION ballast.ledger_check_seal(OUT r_seal_id bigint, OUT r_is_whole boolean) LANGUAGE plpgsql AS $$
DECLARE
    v_seal record;
BEGIN
    SELECT s.* INTO v_seal FROM ballast.ledger_seals s
      LEFT JOIN ballast.seal_checks c ON c.seal_id = s.id
     ORDER BY coalesce(c.looked_at, s.sealed_at), s.id LIMIT 1;
    IF v_seal.id IS NULL THEN
        RETURN;
    END IF;
    r_seal_id := v_seal.id;
    SELECT h.r_hash = v_seal.hash AND h.r_entries = v_seal.entries AND h.r_transfers = v_seal.transfers INTO r_is_whole
      FROM ballast.ledger_hash(v_seal.previous_hash, v_seal.entries_from, v_seal.entries_to, v_seal.transfers_from,
                               v_seal.transfers_to) h;
    INSERT INTO ballast.seal_checks AS c (seal_id, looked_at, whole_at, broken_at)
    VALUES (r_seal_id, clock_timestamp(), CASE WHEN r_is_whole THEN clock_timestamp() END,
            CASE WHEN NOT r_is_whole THEN clock_timestamp() END)
        ON CONFLICT (seal_id) DO UPDATE
       SET looked_at = EXCLUDED.looked_at, whole_at = coalesce(EXCLUDED.whole_at, c.whole_at),
           broken_at = CASE WHEN r_is_whole THEN NULL ELSE coalesce(c.broken_at, EXCLUDED.broken_at) END;
END
$$;

CREATE TRIGGER ledger_seals_append_only BEFORE UPDATE OR DELETE ON ballast.ledger_seals
    FOR EACH ROW EXECUTE FUNCTION ballast.audit_runs_refuse_change();
CREATE TRIGGER ledger_seals_no_truncate BEFORE TRUNCATE ON ballast.ledger_seals
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.audit_runs_refuse_change();
ALTER TABLE ballast.ledger_seals ENABLE ALWAYS TRIGGER ledger_seals_append_only;
ALTER TABLE ballast.ledger_seals ENABLE ALWAYS TRIGGER ledger_seals_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.ledger_seals FROM PUBLIC, CURRENT_USER;
CREATE TRIGGER audit_proofs_append_only BEFORE UPDATE OR DELETE ON ballast.audit_proofs
    FOR EACH ROW EXECUTE FUNCTION ballast.audit_runs_refuse_change();
CREATE TRIGGER audit_proofs_no_truncate BEFORE TRUNCATE ON ballast.audit_proofs
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.audit_runs_refuse_change();
ALTER TABLE ballast.audit_proofs ENABLE ALWAYS TRIGGER audit_proofs_append_only;
ALTER TABLE ballast.audit_proofs ENABLE ALWAYS TRIGGER audit_proofs_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.audit_proofs FROM PUBLIC, CURRENT_USER;
