-- As in 0017, and what is held stays: it is not available to anything but the end of its hold. What a hold promised is
-- posted even if a refund of Stars has taken the money behind it. If money is short, holds that are over are ended first,
-- so that nobody waits for the sweep.
CREATE OR REPLACE FUNCTION ballast.ledger_post(
    p_key text, p_fingerprint text, p_from bigint, p_to bigint, p_amount bigint, p_currency text,
    p_kind text, p_memo text, p_actor text, p_reason text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text, OUT r_from bigint, OUT r_to bigint,
    OUT r_from_balance bigint, OUT r_to_balance bigint, OUT r_refused_balance bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    c_max_balance CONSTANT bigint := 1000000000000000000;
    v_account record;
    v_known record;
    v_from_held bigint;
    v_from_version bigint;
    v_to_version bigint;
BEGIN
    SELECT t.id, t.fingerprint, t.status, t.reason, t.refused_balance, t.from_account_id, t.to_account_id
      INTO v_known FROM ballast.transfers t WHERE t.idempotency_key = p_key;

    IF v_known.id IS NULL THEN
        r_reason := p_reason;
        IF r_reason IS NULL THEN
            FOR v_account IN
                SELECT a.id, a.balance, a.version, a.held FROM ballast.accounts a
                 WHERE a.id IN (p_from, p_to) AND a.user_id IS NOT NULL
                 ORDER BY a.id FOR NO KEY UPDATE
            LOOP
                IF v_account.id = p_from THEN
                    r_from_balance := v_account.balance - p_amount;
                    v_from_version := v_account.version + 1;
                    v_from_held := v_account.held;
                ELSE
                    r_to_balance := v_account.balance + p_amount;
                    v_to_version := v_account.version + 1;
                END IF;
            END LOOP;
            IF r_from_balance < v_from_held AND v_from_held > 0 THEN
                v_from_held := v_from_held - ballast.ledger_expire_holds(p_from);
            END IF;
            IF r_from_balance < v_from_held AND p_kind <> 'star_refund' AND p_key !~ '^hold:\d+$' THEN
                r_reason := 'insufficient_funds';
            ELSIF r_to_balance > c_max_balance THEN
                r_reason := 'balance_overflow';
            END IF;
            IF r_reason IS NOT NULL THEN
                r_refused_balance := coalesce(r_from_balance + p_amount - v_from_held, r_to_balance - p_amount);
                r_from_balance := NULL;
                r_to_balance := NULL;
            END IF;
        END IF;

        INSERT INTO ballast.transfers (idempotency_key, fingerprint, from_account_id, to_account_id, amount, currency, kind,
                               status, reason, refused_balance, memo, actor)
        VALUES (p_key, p_fingerprint, p_from, p_to, p_amount, p_currency, p_kind,
                CASE WHEN r_reason IS NULL THEN 'applied' ELSE 'rejected' END, r_reason, r_refused_balance, p_memo, p_actor)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO r_transfer_id;

        IF r_transfer_id IS NOT NULL THEN
            r_from := p_from;
            r_to := p_to;
            IF r_reason IS NOT NULL THEN
                r_status := 'rejected';
                RETURN;
            END IF;
            UPDATE ballast.accounts a
               SET balance = CASE WHEN a.id = p_from THEN r_from_balance ELSE r_to_balance END,
                   floor = least(0, CASE WHEN a.id = p_from THEN r_from_balance ELSE r_to_balance END - a.held),
                   version = a.version + 1
             WHERE a.id IN (p_from, p_to) AND a.user_id IS NOT NULL;
            INSERT INTO ballast.entries (transfer_id, account_id, amount, balance_after, account_version)
            VALUES (r_transfer_id, p_from, -p_amount, r_from_balance, v_from_version),
                   (r_transfer_id, p_to, p_amount, r_to_balance, v_to_version);
            r_status := 'applied';
            RETURN;
        END IF;

        -- The same key was committed while this call waited. A new statement sees it.
        r_from_balance := NULL;
        r_to_balance := NULL;
        r_refused_balance := NULL;
        SELECT t.id, t.fingerprint, t.status, t.reason, t.refused_balance, t.from_account_id, t.to_account_id
          INTO STRICT v_known FROM ballast.transfers t WHERE t.idempotency_key = p_key;
    END IF;

    IF v_known.fingerprint <> p_fingerprint THEN
        r_status := 'rejected';
        r_reason := 'key_reused';
        RETURN;
    END IF;
    r_transfer_id := v_known.id;
    r_reason := v_known.reason;
    r_from := v_known.from_account_id;
    r_to := v_known.to_account_id;
    r_refused_balance := v_known.refused_balance;
    IF v_known.status = 'rejected' THEN
        r_status := 'rejected';
        RETURN;
    END IF;
    r_status := 'replayed';
    SELECT max(e.balance_after) FILTER (WHERE e.account_id = r_from),
           max(e.balance_after) FILTER (WHERE e.account_id = r_to)
      INTO r_from_balance, r_to_balance
      FROM ballast.entries e WHERE e.transfer_id = r_transfer_id;
END
$$;
