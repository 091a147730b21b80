-- Dropping the index needs this lock. It is taken first, for whoever holds a weaker one would be waited for in a circle. Nothing
-- below scans a large table.
LOCK TABLE ballast.accounts IN ACCESS EXCLUSIVE MODE;

-- The chart of accounts: those that belong to no user, by name. `house` is the other side of what admins and operators
-- credit and debit, `stars` that of payments in Telegram Stars. A table beside `accounts`, for a unique index over its
-- rows would have to be built while nobody writes to them.
CREATE TABLE ballast.system_accounts (
    name       text NOT NULL,
    currency   text NOT NULL,
    account_id bigint NOT NULL,
    CONSTRAINT system_accounts_pkey PRIMARY KEY (name, currency),
    CONSTRAINT system_accounts_account_id_key UNIQUE (account_id),
    CONSTRAINT system_accounts_account_fkey FOREIGN KEY (account_id, currency) REFERENCES ballast.accounts (id, currency),
    CONSTRAINT system_accounts_name_known CHECK (name IN ('house', 'stars'))
);

INSERT INTO ballast.system_accounts (name, currency, account_id)
SELECT 'house', a.currency, a.id FROM ballast.accounts a WHERE a.user_id IS NULL;

DROP INDEX ballast.accounts_house_idx;

-- Whoever was allowed by hand to write accounts calls functions that need this table too.
DO $$
DECLARE
    v_grant record;
BEGIN
    FOR v_grant IN
        SELECT DISTINCT g.grantee::regrole AS grantee, g.privilege_type
          FROM pg_class c, aclexplode(c.relacl) AS g
         WHERE c.oid = 'ballast.accounts'::regclass AND g.grantee NOT IN (0, c.relowner)
           AND g.privilege_type IN ('SELECT', 'INSERT')
    LOOP
        EXECUTE format('GRANT %s ON ballast.system_accounts TO %s', v_grant.privilege_type, v_grant.grantee);
    END LOOP;
END
$$;

-- The id of a system account, which is made when it is first needed.
CREATE FUNCTION ballast.ledger_system_account(p_name text, p_currency text, OUT r_account_id bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT s.account_id INTO r_account_id FROM ballast.system_accounts s WHERE s.name = p_name AND s.currency = p_currency;
    IF r_account_id IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ballast.system_accounts', 0));
    -- A new statement sees what was committed while this one waited.
    SELECT s.account_id INTO r_account_id FROM ballast.system_accounts s WHERE s.name = p_name AND s.currency = p_currency;
    IF r_account_id IS NULL THEN
        INSERT INTO ballast.accounts (currency) VALUES (p_currency) RETURNING id INTO r_account_id;
        INSERT INTO ballast.system_accounts (name, currency, account_id) VALUES (p_name, p_currency, r_account_id);
    END IF;
END
$$;
