-- What of a balance is held. What is available is the balance without it, and the floor is a debt of what is available:
-- so nothing can take what is held, and whatever the account receives pays a debt first.
ALTER TABLE ballast.accounts ADD COLUMN held bigint NOT NULL DEFAULT 0;
-- NOT VALID: every row of before holds nothing, and a large table is not read under this lock.
ALTER TABLE ballast.accounts ADD CONSTRAINT accounts_held_within_balance
    CHECK (held >= 0 AND (user_id IS NOT NULL OR held = 0) AND balance - held >= floor) NOT VALID;

-- Money of one account that waits for its end: posted in full or in part, voided, or expired by the database's clock.
-- Refused ones are kept too: the same key is refused again for the same reason. `available` is what was left right after
-- it was held, or what refused it. Whoever ends a hold locks its account first, then its row.
CREATE TABLE ballast.holds (
    id                bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT holds_pkey PRIMARY KEY,
    idempotency_key   text NOT NULL CONSTRAINT holds_idempotency_key_key UNIQUE,
    fingerprint       text NOT NULL,
    account_id        bigint,
    amount            bigint NOT NULL,
    currency          text NOT NULL,
    memo              text NOT NULL,
    actor             text NOT NULL,
    status            text NOT NULL,
    reason            text,
    available         bigint,
    expires_at        timestamptz,
    posted_amount     bigint,
    transfer_id       bigint CONSTRAINT holds_transfer_id_fkey REFERENCES ballast.transfers (id),
    ended_key         text,
    ended_fingerprint text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    ended_at          timestamptz,
    CONSTRAINT holds_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT holds_ended_key_key UNIQUE (ended_key),
    CONSTRAINT holds_account_fkey FOREIGN KEY (account_id, currency) REFERENCES ballast.accounts (id, currency),
    CONSTRAINT holds_amount_within_bounds CHECK (amount > 0 AND amount <= 1000000000000000),
    CONSTRAINT holds_status_known CHECK (status IN ('refused', 'open', 'posted', 'voided', 'expired')),
    CONSTRAINT holds_refusal_has_reason CHECK ((status = 'refused') = (reason IS NOT NULL)),
    CONSTRAINT holds_account_known CHECK (status = 'refused' OR account_id IS NOT NULL AND available >= 0),
    CONSTRAINT holds_post_has_transfer
        CHECK ((status = 'posted') = (transfer_id IS NOT NULL) AND (transfer_id IS NULL) = (posted_amount IS NULL)),
    CONSTRAINT holds_post_within_hold CHECK (posted_amount > 0 AND posted_amount <= amount),
    CONSTRAINT holds_end_has_key
        CHECK ((status IN ('posted', 'voided')) = (ended_key IS NOT NULL)
               AND (ended_key IS NULL) = (ended_fingerprint IS NULL)),
    CONSTRAINT holds_end_has_time CHECK ((status IN ('refused', 'open')) = (ended_at IS NULL))
);
CREATE INDEX holds_open_idx ON ballast.holds (account_id) WHERE status = 'open';
CREATE INDEX holds_due_idx ON ballast.holds (expires_at) WHERE status = 'open';

-- What has ended stays so, and no hold is forgotten.
CREATE TRIGGER holds_end_once BEFORE UPDATE ON ballast.holds
    FOR EACH ROW WHEN (OLD.status <> 'open') EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER holds_kept BEFORE DELETE ON ballast.holds
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER holds_no_truncate BEFORE TRUNCATE ON ballast.holds
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.holds ENABLE ALWAYS TRIGGER holds_end_once;
ALTER TABLE ballast.holds ENABLE ALWAYS TRIGGER holds_kept;
ALTER TABLE ballast.holds ENABLE ALWAYS TRIGGER holds_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.holds FROM PUBLIC, CURRENT_USER;

-- Whoever was allowed by hand to write accounts calls functions that need this table too.
DO $$
DECLARE
    v_grant record;
BEGIN
    FOR v_grant IN
        SELECT DISTINCT g.grantee::regrole AS grantee, g.privilege_type
          FROM pg_class c, aclexplode(c.relacl) AS g
         WHERE c.oid = 'ballast.accounts'::regclass AND g.grantee NOT IN (0, c.relowner)
           AND g.privilege_type IN ('SELECT', 'INSERT', 'UPDATE')
    LOOP
        EXECUTE format('GRANT %s ON ballast.holds TO %s', v_grant.privilege_type, v_grant.grantee);
    END LOOP;
END
$$;

-- Ends the holds of one account that are over, and returns how much they held. The caller has locked the account.
CREATE FUNCTION ballast.ledger_expire_holds(p_account_id bigint, OUT r_released bigint) LANGUAGE plpgsql AS $$
BEGIN
    WITH ended AS (
        UPDATE ballast.holds SET status = 'expired', ended_at = clock_timestamp()
         WHERE account_id = p_account_id AND status = 'open' AND expires_at <= clock_timestamp()
        RETURNING amount
    )
    SELECT coalesce(sum(amount), 0) INTO r_released FROM ended;
    IF r_released > 0 THEN
        UPDATE ballast.accounts SET held = held - r_released, floor = least(0, balance - held + r_released)
         WHERE id = p_account_id;
    END IF;
END
$$;

-- The sweep: ends what is over on some accounts, and returns how many holds. An account that somebody works on is left for
-- the next time, or for them.
CREATE FUNCTION ballast.ledger_sweep_holds(p_accounts_max integer, OUT r_ended bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_account_id bigint;
    v_count bigint;
BEGIN
    r_ended := 0;
    FOR v_account_id IN
        SELECT a.id FROM ballast.accounts a
         WHERE a.id IN (SELECT h.account_id FROM ballast.holds h
                         WHERE h.status = 'open' AND h.expires_at <= clock_timestamp()
                         ORDER BY h.expires_at LIMIT p_accounts_max)
         ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        SELECT count(*) INTO v_count FROM ballast.holds h
         WHERE h.account_id = v_account_id AND h.status = 'open' AND h.expires_at <= clock_timestamp();
        PERFORM ballast.ledger_expire_holds(v_account_id);
        r_ended := r_ended + v_count;
    END LOOP;
END
$$;

-- Holds money of one user, once for a key.
CREATE FUNCTION ballast.ledger_hold(
    p_key text, p_fingerprint text, p_telegram_id bigint, p_username text, p_amount bigint, p_currency text,
    p_memo text, p_actor text, p_expires_after interval,
    OUT r_hold_id bigint, OUT r_status text, OUT r_reason text, OUT r_state text,
    OUT r_available bigint, OUT r_expires_at timestamptz
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_known record;
    v_target record;
    v_account record;
    v_inserted bigint;
BEGIN
    SELECT h.* INTO v_known FROM ballast.holds h WHERE h.idempotency_key = p_key;
    IF v_known.id IS NULL THEN
        SELECT * INTO v_target FROM ballast.users_find(p_telegram_id, p_username, p_currency);
        r_reason := v_target.r_reason;
        IF r_reason IS NULL THEN
            SELECT a.balance - a.held AS available, a.held INTO v_account
              FROM ballast.accounts a WHERE a.id = v_target.r_account_id FOR NO KEY UPDATE;
            r_available := v_account.available;
            IF r_available < p_amount AND v_account.held > 0 THEN
                r_available := r_available + ballast.ledger_expire_holds(v_target.r_account_id);
            END IF;
            IF r_available < p_amount THEN
                r_reason := 'insufficient_funds';
            ELSE
                r_available := r_available - p_amount;
            END IF;
        END IF;
        INSERT INTO ballast.holds (idempotency_key, fingerprint, account_id, amount, currency, memo, actor, status, reason,
                                   available, expires_at)
        VALUES (p_key, p_fingerprint, v_target.r_account_id, p_amount, p_currency, p_memo, p_actor,
                CASE WHEN r_reason IS NULL THEN 'open' ELSE 'refused' END, r_reason, r_available,
                clock_timestamp() + p_expires_after)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO v_inserted;
        IF v_inserted IS NOT NULL AND r_reason IS NULL THEN
            UPDATE ballast.accounts SET held = held + p_amount WHERE id = v_target.r_account_id;
        END IF;
        SELECT h.* INTO STRICT v_known FROM ballast.holds h WHERE h.idempotency_key = p_key;
    END IF;

    r_status := 'rejected';
    r_reason := 'key_reused';
    r_available := NULL;
    IF v_known.fingerprint <> p_fingerprint THEN
        RETURN;
    END IF;
    r_hold_id := v_known.id;
    r_reason := v_known.reason;
    r_state := v_known.status;
    r_available := v_known.available;
    r_expires_at := v_known.expires_at;
    IF r_reason IS NULL THEN
        r_status := CASE WHEN v_inserted IS NULL THEN 'replayed' ELSE 'applied' END;
    END IF;
END
$$;
