-- Columns with nothing to compute: no row is rewritten, and the release before runs on beside them.
ALTER TABLE ballast.broadcasts
    ADD COLUMN canary_rule  jsonb,   -- how many go out first, and on what the others follow; NULL: the canary as it ever was
    ADD COLUMN canary_until bigint;  -- the last user of a canary by rule, until it is over and went well

-- Whom a broadcast can reach: active, not stopped by their own word, and in every part of the segment that is given.
-- p_listed -- who is in the lists that SQL of an operator or an app gives, which is asked beforehand; without it nobody is.
CREATE FUNCTION ballast.broadcast_reachable(p_segment jsonb, p_currency text, p_listed bigint[])
RETURNS TABLE (user_id bigint, telegram_id bigint) LANGUAGE sql STABLE AS $$
    SELECT u.id, u.telegram_id
      FROM ballast.users u
     WHERE u.status = 'active' AND u.broadcasts_stopped_at IS NULL
       AND (NOT p_segment ? 'active_days'
            OR u.last_seen_at >= now() - make_interval(days => (p_segment ->> 'active_days')::integer))
       AND (NOT p_segment ? 'seen_until' OR u.last_seen_at < (p_segment ->> 'seen_until')::timestamptz)
       AND (NOT p_segment ? 'joined_since' OR u.created_at >= (p_segment ->> 'joined_since')::timestamptz)
       AND (NOT p_segment ? 'language'  -- de is for de-at too
            OR lower(u.language_code) = lower(p_segment ->> 'language')
            OR starts_with(lower(u.language_code), lower(p_segment ->> 'language') || '-'))
       AND (NOT p_segment ? 'telegram_ids'
            OR u.telegram_id IN (SELECT t::bigint FROM jsonb_array_elements_text(p_segment -> 'telegram_ids') AS t))
       AND (NOT p_segment ?| ARRAY['sql', 'app'] OR u.telegram_id IN (SELECT unnest(p_listed)))
       AND (NOT p_segment ?| ARRAY['balance_min', 'balance_max']
            OR EXISTS (SELECT FROM ballast.accounts a
                        WHERE a.user_id = u.id AND a.currency = p_currency
                          AND a.balance >= coalesce((p_segment ->> 'balance_min')::bigint, 0)
                          AND a.balance <= coalesce((p_segment ->> 'balance_max')::bigint, a.balance)))
$$;

-- As the release before asks.
CREATE OR REPLACE FUNCTION ballast.broadcast_reachable(p_segment jsonb, p_currency text)
RETURNS TABLE (user_id bigint, telegram_id bigint) LANGUAGE sql STABLE AS $$
    SELECT r.user_id, r.telegram_id FROM ballast.broadcast_reachable(p_segment, p_currency, NULL) AS r
$$;

-- The Telegram IDs in the first column of a query that an operator or an app wrote. A cursor takes one query and no other
-- statement; the caller makes the transaction read-only and sets the time-out. Whatever goes wrong with the query is BL002,
-- the time-out too: it says nothing of the database.
CREATE FUNCTION ballast.broadcast_listed(p_sql text, p_limit bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    v_found refcursor;
    v_ids   bigint[];
BEGIN
    OPEN v_found FOR EXECUTE format(
        'SELECT array_agg(few.id) FROM (SELECT DISTINCT own.id::bigint AS id FROM (%s' || chr(10) || ') AS own (id) '
        'LIMIT %s) AS few', p_sql, p_limit + 1);
    FETCH v_found INTO v_ids;
    IF cardinality(v_ids) > p_limit THEN
        RAISE EXCEPTION 'more than % IDs', p_limit;
    END IF;
    RETURN coalesce(v_ids, '{}');
EXCEPTION WHEN query_canceled OR others THEN
    RAISE EXCEPTION USING ERRCODE = 'BL002', MESSAGE = SQLERRM;
END
$$;

-- Take the audience down, by one statement, and begin. Begun already, it changes nothing. More than p_audience_max
-- (NULL: any number) raises BL001 with the number, and leaves nothing behind. p_listed -- as of broadcast_reachable.
CREATE FUNCTION ballast.broadcast_begin(
    p_id bigint, p_currency text, p_audience_max bigint, p_listed bigint[],
    OUT r_status text, OUT r_run integer, OUT r_audience bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v       ballast.broadcasts%ROWTYPE;
    v_first bigint;
BEGIN
    SELECT * INTO v FROM ballast.broadcasts WHERE id = p_id FOR UPDATE;
    IF v.status IN ('draft', 'scheduled') THEN
        INSERT INTO ballast.broadcast_deliveries (broadcast_id, user_id, telegram_id)
        SELECT p_id, r.user_id, r.telegram_id
          FROM ballast.broadcast_reachable(v.segment, p_currency, p_listed) AS r
         ORDER BY r.user_id;
        GET DIAGNOSTICS v.audience = ROW_COUNT;
        IF v.audience > p_audience_max THEN
            RAISE EXCEPTION USING ERRCODE = 'BL001', MESSAGE = v.audience::text;
        END IF;
        v_first := coalesce(ceil(v.audience * (v.canary_rule ->> 'percent')::numeric / 100), v.canary);
        UPDATE ballast.broadcasts
           SET status = CASE WHEN v.audience = 0 THEN 'finished' ELSE 'sending' END,
               audience = v.audience, run = run + 1, started_at = now(),
               finished_at = CASE WHEN v.audience = 0 THEN now() END,
               canary_until = CASE WHEN v.canary_rule IS NOT NULL AND v_first < v.audience THEN
                   (SELECT user_id FROM ballast.broadcast_deliveries WHERE broadcast_id = p_id
                     ORDER BY user_id OFFSET v_first - 1 LIMIT 1) END
         WHERE id = p_id
        RETURNING * INTO v;
    END IF;
    r_status := v.status;
    r_run := v.run;
    r_audience := v.audience;
END
$$;

-- As the release before asks.
CREATE OR REPLACE FUNCTION ballast.broadcast_begin(
    p_id bigint, p_currency text, p_audience_max bigint,
    OUT r_status text, OUT r_run integer, OUT r_audience bigint
) LANGUAGE sql SET lock_timeout = '3s' AS $$
    SELECT * FROM ballast.broadcast_begin(p_id, p_currency, p_audience_max, NULL)
$$;

-- An operator's word, or a bad payload's (halt). r_obeyed is false where the status does not allow it; the same word
-- twice is obeyed twice. Resumed, jobs of the run before are superseded; and where a canary by rule is out, it is over.
CREATE OR REPLACE FUNCTION ballast.broadcast_order(
    p_id bigint, p_order text, p_reason text, OUT r_status text, OUT r_run integer, OUT r_obeyed boolean
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v ballast.broadcasts%ROWTYPE;
BEGIN
    SELECT * INTO v FROM ballast.broadcasts WHERE id = p_id FOR UPDATE;
    r_obeyed := true;
    IF p_order = 'pause' AND v.status IN ('scheduled', 'sending') THEN
        UPDATE ballast.broadcasts SET status = 'paused' WHERE id = p_id RETURNING * INTO v;
    ELSIF p_order = 'halt' AND v.status IN ('sending', 'paused') THEN
        UPDATE ballast.broadcasts SET status = 'halted', halted_reason = p_reason WHERE id = p_id RETURNING * INTO v;
    ELSIF p_order = 'resume' AND v.status IN ('paused', 'halted', 'sending') THEN
        UPDATE ballast.broadcasts
           SET status = CASE WHEN audience IS NULL THEN 'scheduled' ELSE 'sending' END, halted_reason = NULL,
               run = run + 1,
               canary_until = CASE WHEN settled_user_id < canary_until THEN canary_until END
         WHERE id = p_id RETURNING * INTO v;
    ELSIF p_order = 'cancel' AND v.status NOT IN ('finished', 'cancelled') THEN
        UPDATE ballast.broadcasts SET status = 'cancelled', finished_at = now() WHERE id = p_id RETURNING * INTO v;
    ELSE
        r_obeyed := (p_order, v.status) IN (('pause', 'paused'), ('halt', 'halted'), ('cancel', 'cancelled'));
    END IF;
    r_status := v.status;
    r_run := v.run;
END
$$;

-- Up to p_limit recipients for one sender, in the order of their ids; none where the broadcast is not being sent, or
-- p_run (NULL: any) is not its run. What this very lease holds already comes back instead, whatever the status: that
-- is for its holder to settle. While a canary by rule is out, nobody behind it is handed out. r_wanted is false for those who stopped broadcasts, or blocked us, since the snapshot.
-- Where nothing is pending any more, r_expired are leases whose time is over.
--
-- The planner is told to walk the primary key, row by row. After a snapshot of a million its statistics know nothing
-- of this broadcast, it takes it for one row, and whatever it then thinks up reads all of it for each chunk.
CREATE OR REPLACE FUNCTION ballast.broadcast_lease(
    p_id bigint, p_run integer, p_lease bigint, p_limit integer, p_seconds double precision,
    OUT r_status text, OUT r_run integer, OUT r_until timestamptz, OUT r_again boolean,
    OUT r_user_ids bigint[], OUT r_telegram_ids bigint[], OUT r_wanted boolean[], OUT r_expired bigint[]
) LANGUAGE plpgsql SET lock_timeout = '3s'
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v      ballast.broadcasts%ROWTYPE;
    v_last bigint;
BEGIN
    SELECT * INTO v FROM ballast.broadcasts WHERE id = p_id FOR UPDATE;
    v_last := coalesce(v.canary_until, 9223372036854775807);
    r_status := v.status;
    r_run := v.run;
    r_until := clock_timestamp() + make_interval(secs => p_seconds);
    r_again := true;
    WITH held AS (
        UPDATE ballast.broadcast_deliveries
           SET leased_until = r_until
         WHERE broadcast_id = p_id AND user_id > v.settled_user_id AND user_id <= v.frontier_user_id
           AND status = 'leased' AND lease = p_lease
        RETURNING user_id, telegram_id
    )
    SELECT array_agg(h.user_id ORDER BY h.user_id), array_agg(h.telegram_id ORDER BY h.user_id),
           array_agg(u.status = 'active' AND u.broadcasts_stopped_at IS NULL ORDER BY h.user_id)
      INTO r_user_ids, r_telegram_ids, r_wanted
      FROM held h JOIN ballast.users u ON u.id = h.user_id;
    IF r_user_ids IS NOT NULL THEN
        RETURN;
    END IF;
    r_again := false;
    IF v.status IS DISTINCT FROM 'sending' OR v.run <> p_run THEN
        RETURN;
    END IF;

    FOR round IN 1..2 LOOP
        WITH picked AS MATERIALIZED (
            SELECT ctid AS place FROM ballast.broadcast_deliveries
             WHERE broadcast_id = p_id AND user_id > v.cursor_user_id AND user_id <= v_last
               AND status = 'pending'
             ORDER BY user_id LIMIT p_limit
               FOR UPDATE SKIP LOCKED
        ), held AS (
            UPDATE ballast.broadcast_deliveries d
               SET status = 'leased', lease = p_lease, leased_until = r_until, updated_at = now()
              FROM picked
             WHERE d.ctid = picked.place
            RETURNING d.user_id, d.telegram_id
        )
        SELECT array_agg(h.user_id ORDER BY h.user_id), array_agg(h.telegram_id ORDER BY h.user_id),
               array_agg(u.status = 'active' AND u.broadcasts_stopped_at IS NULL ORDER BY h.user_id)
          INTO r_user_ids, r_telegram_ids, r_wanted
          FROM held h JOIN ballast.users u ON u.id = h.user_id;
        -- Somebody else's lock may have hidden a row: once more from where all is final.
        EXIT WHEN r_user_ids IS NOT NULL OR v.cursor_user_id <= v.settled_user_id;
        v.cursor_user_id := v.settled_user_id;
    END LOOP;

    IF r_user_ids IS NOT NULL THEN
        UPDATE ballast.broadcasts
           SET cursor_user_id = r_user_ids[cardinality(r_user_ids)],
               frontier_user_id = greatest(frontier_user_id, r_user_ids[cardinality(r_user_ids)])
         WHERE id = p_id;
        RETURN;
    END IF;
    SELECT array_agg(DISTINCT lease) INTO r_expired
      FROM ballast.broadcast_deliveries
     WHERE broadcast_id = p_id AND user_id > v.settled_user_id AND user_id <= v.frontier_user_id
       AND status = 'leased' AND leased_until < clock_timestamp();
    IF NOT EXISTS (SELECT FROM ballast.broadcast_deliveries
                    WHERE broadcast_id = p_id AND user_id > v.settled_user_id AND status IN ('pending', 'leased')) THEN
        UPDATE ballast.broadcasts SET status = 'finished', finished_at = now() WHERE id = p_id RETURNING status INTO r_status;
    END IF;
END
$$;

-- What became of a lease's recipients, all of them at once; those given back are 'pending' again. Counts only what the
-- lease still holds: told twice, or told by a holder whose lease another took over (p_until differs), it changes
-- nothing. p_marks are for the users themselves: blocked, deactivated, strike, reached or NULL.
CREATE OR REPLACE FUNCTION ballast.broadcast_record(
    p_id bigint, p_lease bigint, p_until timestamptz,
    p_user_ids bigint[], p_statuses text[], p_message_ids bigint[], p_more_message_ids text[], p_errors text[],
    p_marks text[], p_halt text,
    OUT r_status text, OUT r_recorded bigint, OUT r_has_card boolean
) LANGUAGE plpgsql SET lock_timeout = '3s'
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v            ballast.broadcasts%ROWTYPE;
    v_sent       bigint;
    v_blocked    bigint;
    v_failed     bigint;
    v_unknown    bigint;
    v_open       bigint;
    v_given_back bigint;
    v_bad        bigint;
    v_done       bigint;
    v_halt       text := p_halt;
BEGIN
    SELECT * INTO v FROM ballast.broadcasts WHERE id = p_id FOR UPDATE;
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(p_user_ids, p_statuses, p_message_ids, p_more_message_ids, p_errors, p_marks)
               AS g (user_id, status, message_id, more_message_ids, error, mark)
    ), found AS MATERIALIZED (
        SELECT given.*, held.place
          FROM given CROSS JOIN LATERAL (
            SELECT ctid AS place FROM ballast.broadcast_deliveries
             WHERE broadcast_id = p_id AND user_id = given.user_id
               AND status = 'leased' AND lease = p_lease AND leased_until = p_until
               FOR UPDATE
          ) AS held
    ), changed AS (
        UPDATE ballast.broadcast_deliveries d
           SET status = f.status, lease = NULL, leased_until = NULL, message_id = f.message_id,
               more_message_ids = f.more_message_ids::bigint[], error = f.error, updated_at = now()
          FROM found f
         WHERE d.ctid = f.place
        RETURNING d.user_id, d.status, f.mark
    ), marked AS (
        -- Two strikes, for "chat not found" can be false.
        UPDATE ballast.users u
           SET status = CASE WHEN c.mark = 'strike' THEN CASE WHEN u.strikes > 0 THEN 'blocked' ELSE u.status END
                             WHEN c.mark = 'reached' THEN u.status
                             ELSE c.mark END,
               strikes = CASE WHEN c.mark = 'strike' THEN u.strikes + 1 ELSE 0 END
          FROM changed c
         WHERE u.id = c.user_id AND c.mark IS NOT NULL AND (c.mark <> 'reached' OR u.strikes > 0)
    )
    SELECT count(*), count(*) FILTER (WHERE status = 'sent'), count(*) FILTER (WHERE status = 'blocked'),
           count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown'),
           min(user_id) FILTER (WHERE status = 'pending')
      INTO r_recorded, v_sent, v_blocked, v_failed, v_unknown, v_given_back
      FROM changed;

    SELECT user_id INTO v_open FROM ballast.broadcast_deliveries
     WHERE broadcast_id = p_id AND user_id > v.settled_user_id AND status IN ('pending', 'leased')
     ORDER BY user_id LIMIT 1;
    -- A canary by rule is out: it waits for a word, or goes on by itself where few failed.
    IF v.status = 'sending' AND p_halt IS NULL AND v_open > v.canary_until THEN
        v_bad := v.failed + v_failed + v.unknown + v_unknown;
        v_done := v.sent + v_sent + v.blocked + v_blocked + v_bad;
        IF v_bad * 100 <= v_done * (v.canary_rule ->> 'failures_max')::numeric THEN
            v.canary_until := NULL;
        ELSE
            v_halt := format('canary: %s out, %s not delivered', v_done, v_bad);
        END IF;
    END IF;
    UPDATE ballast.broadcasts
       SET sent = sent + v_sent, blocked = blocked + v_blocked, failed = failed + v_failed, unknown = unknown + v_unknown,
           cursor_user_id = least(cursor_user_id, v_given_back - 1),
           settled_user_id = coalesce(v_open - 1, frontier_user_id),
           canary_until = v.canary_until,
           status = CASE WHEN v_halt IS NOT NULL AND status IN ('sending', 'paused') THEN 'halted'
                         WHEN v_open IS NULL AND status = 'sending' THEN 'finished'
                         ELSE status END,
           halted_reason = CASE WHEN v_halt IS NOT NULL AND status IN ('sending', 'paused') THEN v_halt
                                ELSE halted_reason END,
           finished_at = CASE WHEN v_halt IS NULL AND v_open IS NULL AND status = 'sending' THEN now()
                              ELSE finished_at END
     WHERE id = p_id
    RETURNING status, card_message_id IS NOT NULL INTO r_status, r_has_card;
END
$$;
