-- Which transfer reverses which one: written with the reversal, which is a transfer of its own, from whoever received the
-- money to whoever sent it.
CREATE TABLE ballast.reversals (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT reversals_pkey PRIMARY KEY,
    transfer_id bigint NOT NULL CONSTRAINT reversals_transfer_id_fkey REFERENCES ballast.transfers (id),
    reverses_id bigint NOT NULL CONSTRAINT reversals_reverses_id_fkey REFERENCES ballast.transfers (id),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reversals_transfer_id_key UNIQUE (transfer_id),
    CONSTRAINT reversals_reverses_an_earlier_one CHECK (reverses_id < transfer_id)
);
CREATE INDEX reversals_reverses_id_idx ON ballast.reversals (reverses_id);

-- Reverses a transfer, or a part of it: all reversals of one together never move more than it did. Those of one transfer wait
-- for each other, so that two at once cannot pass that together. What Telegram moved is given back by Telegram, and a
-- reversal is final. r_left is what is still to be reversed, after this; NULL for a transfer that is unknown.
CREATE FUNCTION ballast.ledger_reverse(
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
                   IN ('star_payment', 'star_refund', 'reclassification', 'reversal')
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

-- What of a transfer was not reversed yet, in minor units. Volatile, so that it sees what the statement that calls it has done.
CREATE FUNCTION ballast.ledger_left_to_reverse(p_transfer_id bigint, OUT r_left bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT t.amount - coalesce((SELECT sum(made.amount) FROM ballast.reversals r
                                  JOIN ballast.transfers made ON made.id = r.transfer_id
                                 WHERE r.reverses_id = p_transfer_id), 0)
      INTO r_left FROM ballast.transfers t WHERE t.id = p_transfer_id;
END
$$;

CREATE TRIGGER reversals_append_only BEFORE UPDATE OR DELETE ON ballast.reversals
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER reversals_no_truncate BEFORE TRUNCATE ON ballast.reversals
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.reversals ENABLE ALWAYS TRIGGER reversals_append_only;
ALTER TABLE ballast.reversals ENABLE ALWAYS TRIGGER reversals_no_truncate;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.reversals FROM PUBLIC, CURRENT_USER;
