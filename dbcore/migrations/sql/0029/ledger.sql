-- As in 0023, and what a provider has moved already is booked like Stars: to and from a frozen account too, and a refund of what
-- was spent becomes a debt.
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
    v_from_frozen boolean;
    v_to_frozen boolean;
BEGIN
    SELECT t.id, t.fingerprint, t.status, t.reason, t.refused_balance, t.from_account_id, t.to_account_id
      INTO v_known FROM ballast.transfers t WHERE t.idempotency_key = p_key;

    IF v_known.id IS NULL THEN
        r_reason := p_reason;
        IF r_reason IS NULL THEN
            FOR v_account IN
                SELECT a.id, a.balance, a.version, a.held, a.sending_frozen, a.receiving_frozen FROM ballast.accounts a
                 WHERE a.id IN (p_from, p_to) AND a.user_id IS NOT NULL
                 ORDER BY a.id FOR NO KEY UPDATE
            LOOP
                IF v_account.id = p_from THEN
                    r_from_balance := v_account.balance - p_amount;
                    v_from_version := v_account.version + 1;
                    v_from_held := v_account.held;
                    v_from_frozen := v_account.sending_frozen;
                ELSE
                    r_to_balance := v_account.balance + p_amount;
                    v_to_version := v_account.version + 1;
                    v_to_frozen := v_account.receiving_frozen;
                END IF;
            END LOOP;
            IF r_from_balance < v_from_held AND v_from_held > 0 THEN
                v_from_held := v_from_held - ballast.ledger_expire_holds(p_from);
            END IF;
            IF v_from_frozen AND p_kind NOT IN ('star_refund', 'provider_refund', 'reversal') AND p_key !~ '^hold:\d+$' THEN
                r_reason := 'account_frozen';
            ELSIF v_to_frozen AND p_kind NOT IN ('star_payment', 'provider_payment', 'reversal') AND p_key !~ '^hold:\d+$' THEN
                r_reason := 'recipient_frozen';
            ELSIF r_from_balance < v_from_held AND p_kind NOT IN ('star_refund', 'provider_refund')
                  AND p_key !~ '^hold:\d+$' THEN
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

-- As in 0023: what a provider moved is not reversed here, for the provider keeps a book of it.
CREATE OR REPLACE FUNCTION ballast.ledger_reverse(
    p_key text, p_fingerprint text, p_transfer_id bigint, p_amount bigint, p_memo text, p_actor text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text, OUT r_amount bigint, OUT r_left bigint,
    OUT r_currency text,
    OUT r_from_id bigint, OUT r_from_username text, OUT r_from_first_name text, OUT r_from_balance bigint,
    OUT r_to_id bigint, OUT r_to_username text, OUT r_to_first_name text, OUT r_to_balance bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_original record;
    v_post record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ballast.reversals:' || p_transfer_id, 0));
    SELECT t.* INTO v_original FROM ballast.transfers t WHERE t.id = p_transfer_id;
    IF v_original.id IS NULL THEN
        r_status := 'rejected';
        r_reason := 'unknown_transfer';
        RETURN;
    END IF;
    r_currency := v_original.currency;
    r_left := ballast.ledger_left_to_reverse(p_transfer_id);
    r_amount := p_amount;
    SELECT * INTO v_post FROM ballast.ledger_post(
        p_key, p_fingerprint, v_original.to_account_id, v_original.from_account_id, p_amount, v_original.currency,
        'reversal', p_memo, p_actor,
        CASE
            WHEN v_original.status <> 'applied' OR v_original.kind
                   IN ('star_payment', 'star_refund', 'provider_payment', 'provider_refund', 'provider_fee',
                       'reclassification', 'reversal')
                THEN 'not_reversible'
            WHEN r_left = 0 THEN 'already_reversed'
            WHEN p_amount > r_left THEN 'over_what_is_left'
        END);
    IF v_post.r_status = 'applied' THEN
        INSERT INTO ballast.reversals (transfer_id, reverses_id) VALUES (v_post.r_transfer_id, p_transfer_id);
        r_left := r_left - p_amount;
    END IF;
    r_transfer_id := v_post.r_transfer_id;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_from_balance := coalesce(v_post.r_from_balance, v_post.r_refused_balance);
    r_to_balance := v_post.r_to_balance;
    SELECT u.telegram_id, u.username, u.first_name INTO r_from_id, r_from_username, r_from_first_name
      FROM ballast.accounts a JOIN ballast.users u ON u.id = a.user_id WHERE a.id = v_original.to_account_id;
    SELECT u.telegram_id, u.username, u.first_name INTO r_to_id, r_to_username, r_to_first_name
      FROM ballast.accounts a JOIN ballast.users u ON u.id = a.user_id WHERE a.id = v_original.from_account_id;
END
$$;
