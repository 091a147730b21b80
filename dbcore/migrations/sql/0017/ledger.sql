-- As in 0001, and a refund of Stars is booked even if they were spent: what is missing becomes a debt. A debt is a balance
-- below zero, and the account's floor is the debt: so whatever the account receives pays it first, nothing can be taken
-- from the account while there is one, and the floor is 0 again once it is paid.
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
    v_from_floor bigint;
    v_from_version bigint;
    v_to_version bigint;
BEGIN
    SELECT t.id, t.fingerprint, t.status, t.reason, t.refused_balance, t.from_account_id, t.to_account_id
      INTO v_known FROM ballast.transfers t WHERE t.idempotency_key = p_key;

    IF v_known.id IS NULL THEN
        r_reason := p_reason;
        IF r_reason IS NULL THEN
            FOR v_account IN
                SELECT a.id, a.balance, a.version, a.floor FROM ballast.accounts a
                 WHERE a.id IN (p_from, p_to) AND a.user_id IS NOT NULL
                 ORDER BY a.id FOR NO KEY UPDATE
            LOOP
                IF v_account.id = p_from THEN
                    r_from_balance := v_account.balance - p_amount;
                    v_from_version := v_account.version + 1;
                    v_from_floor := v_account.floor;
                ELSE
                    r_to_balance := v_account.balance + p_amount;
                    v_to_version := v_account.version + 1;
                END IF;
            END LOOP;
            IF r_from_balance < v_from_floor AND p_kind <> 'star_refund' THEN
                r_reason := 'insufficient_funds';
            ELSIF r_to_balance > c_max_balance THEN
                r_reason := 'balance_overflow';
            END IF;
            IF r_reason IS NOT NULL THEN
                r_refused_balance := coalesce(r_from_balance + p_amount, r_to_balance - p_amount);
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
                   floor = least(0, CASE WHEN a.id = p_from THEN r_from_balance ELSE r_to_balance END),
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

-- As in 0001: between the house, now by its name, and one user.
CREATE OR REPLACE FUNCTION ballast.ledger_adjust(
    p_key text, p_fingerprint text, p_telegram_id bigint, p_username text, p_amount bigint, p_currency text,
    p_memo text, p_actor text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text,
    OUT r_target_id bigint, OUT r_target_username text, OUT r_target_first_name text, OUT r_balance bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_house bigint;
    v_target record;
    v_post record;
BEGIN
    v_house := ballast.ledger_system_account('house', p_currency);
    SELECT * INTO v_target FROM ballast.users_find(p_telegram_id, p_username, p_currency);

    IF p_amount > 0 THEN
        SELECT * INTO v_post FROM ballast.ledger_post(p_key, p_fingerprint, v_house, v_target.r_account_id, p_amount, p_currency,
                                              'credit', p_memo, p_actor, v_target.r_reason);
    ELSE
        SELECT * INTO v_post FROM ballast.ledger_post(p_key, p_fingerprint, v_target.r_account_id, v_house, -p_amount, p_currency,
                                              'debit', p_memo, p_actor, v_target.r_reason);
    END IF;
    r_transfer_id := v_post.r_transfer_id;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_balance := coalesce(v_post.r_from_balance, v_post.r_to_balance, v_post.r_refused_balance);

    -- From the transfer, not from the search: the username may have changed hands since the first time.
    SELECT u.telegram_id, u.username, u.first_name INTO r_target_id, r_target_username, r_target_first_name
      FROM ballast.accounts a JOIN ballast.users u ON u.id = a.user_id
     WHERE a.id IN (v_post.r_from, v_post.r_to);
END
$$;
