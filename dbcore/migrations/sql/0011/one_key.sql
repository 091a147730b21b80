-- Under which key and fingerprint an adjustment is to be asked for: those of the row that it is a repetition of, where
-- there is one. The same request has the same kind, amount, currency, memo and target, whoever made it and however they
-- named the target. An earlier release may have applied it under p_earlier_key. A row of this key that is another
-- request keeps its own fingerprint's difference, and the ledger refuses it as a key used before.
CREATE FUNCTION ballast.ledger_find_key(
    p_key text, p_earlier_key text, p_fingerprint text, p_telegram_id bigint, p_username text, p_amount bigint,
    p_currency text, p_memo text,
    OUT r_key text, OUT r_fingerprint text
) LANGUAGE plpgsql AS $$
DECLARE
    v_known record;
    v_target bigint;
BEGIN
    r_key := p_key;
    r_fingerprint := p_fingerprint;
    SELECT t.* INTO v_known FROM ballast.transfers t
     WHERE t.idempotency_key IN (p_key, p_earlier_key)
     ORDER BY t.idempotency_key = p_key DESC LIMIT 1;
    IF v_known.id IS NULL THEN
        RETURN;
    END IF;
    r_key := v_known.idempotency_key;
    IF v_known.kind <> (CASE WHEN p_amount > 0 THEN 'credit' ELSE 'debit' END)
       OR v_known.amount <> abs(p_amount) OR v_known.currency <> p_currency OR v_known.memo <> p_memo THEN
        RETURN;
    END IF;
    -- NULL where it was refused, for nobody was found then.
    v_target := CASE WHEN p_amount > 0 THEN v_known.to_account_id ELSE v_known.from_account_id END;
    IF v_target IS NULL OR EXISTS (
        SELECT FROM ballast.accounts a JOIN ballast.users u ON u.id = a.user_id
         WHERE a.id = v_target AND (u.telegram_id = p_telegram_id OR lower(u.username) = lower(p_username))
    ) THEN
        r_fingerprint := v_known.fingerprint;
    END IF;
END
$$;
