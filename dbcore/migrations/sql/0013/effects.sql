-- What transact did, or refused, under which key. json, not jsonb: a result is answered as it was written, with the same
-- numbers in the same types.
CREATE TABLE ballast.effects (
    key text PRIMARY KEY,
    name text NOT NULL,
    result json,
    refused json,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT effects_result_or_refusal CHECK ((result IS NULL) <> (refused IS NULL))
);
CREATE INDEX effects_created_at_idx ON ballast.effects (created_at);

-- Takes the key's lock until the end of the transaction, and reads its row: whoever has the lock knows how every earlier
-- transaction of the key ended. Volatile, so that the read sees what was committed while this waited for the lock.
-- r_began: when this transaction began, by which it is told from another.
CREATE FUNCTION ballast.effect_look_up(
    p_key text,
    OUT r_began text, OUT r_created text, OUT r_name text, OUT r_result text, OUT r_refused text
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ballast.effects:' || p_key, 0));
    r_began := extract(epoch FROM transaction_timestamp())::text;
    SELECT extract(epoch FROM e.created_at)::text, e.name, e.result::text, e.refused::text
      INTO r_created, r_name, r_result, r_refused
      FROM ballast.effects e WHERE e.key = p_key;
END
$$;
