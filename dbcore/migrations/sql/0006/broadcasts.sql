ALTER TABLE ballast.broadcasts
    ADD COLUMN by_program      boolean NOT NULL DEFAULT false,  -- sent by a plain program, and by nobody else
    ADD COLUMN resent          bigint NOT NULL DEFAULT 0,       -- recipients, counted each time they got it once more
    ADD COLUMN resent_by       text,                            -- the last order to do so
    ADD COLUMN deliveries_kept boolean NOT NULL DEFAULT true;   -- false once they are forgotten, all of them

-- As in 0003, for one order once: p_key is the order's. More than p_audience_max messages in all (NULL: any number)
-- raises BL001 with their number. What ended more than p_days ago is left as it is.
CREATE FUNCTION ballast.broadcast_resend_unknown(
    p_id bigint, p_key text, p_audience_max bigint, p_days integer,
    OUT r_status text, OUT r_run integer, OUT r_obeyed boolean, OUT r_resent bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v ballast.broadcasts%ROWTYPE;
BEGIN
    SELECT * INTO v FROM ballast.broadcasts WHERE id = p_id FOR UPDATE;
    r_obeyed := v.audience IS NOT NULL AND v.status <> 'cancelled'
                AND (v.finished_at IS NULL OR v.finished_at > now() - make_interval(days => p_days));
    r_resent := 0;
    IF r_obeyed AND v.unknown > 0 AND v.resent_by IS DISTINCT FROM p_key THEN
        IF v.audience + v.resent + v.unknown > p_audience_max THEN
            RAISE EXCEPTION USING ERRCODE = 'BL001', MESSAGE = (v.audience + v.resent + v.unknown)::text;
        END IF;
        UPDATE ballast.broadcast_deliveries
           SET status = 'pending', error = NULL, updated_at = now()
         WHERE broadcast_id = p_id AND status = 'unknown';
        GET DIAGNOSTICS r_resent = ROW_COUNT;
        UPDATE ballast.broadcasts
           SET unknown = unknown - r_resent, settled_user_id = 0, cursor_user_id = 0, finished_at = NULL,
               status = CASE WHEN status = 'finished' THEN 'sending' ELSE status END, run = run + 1,
               resent = resent + r_resent, resent_by = p_key
         WHERE id = p_id RETURNING * INTO v;
    END IF;
    r_status := v.status;
    r_run := v.run;
END
$$;

-- Up to p_limit recipients of the broadcast that ended first, if more than p_days ago. Returns how many.
CREATE FUNCTION ballast.broadcast_forget(p_days integer, p_limit integer) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_id        bigint;
    v_forgotten bigint := 0;
BEGIN
    SELECT id INTO v_id FROM ballast.broadcasts
     WHERE deliveries_kept AND finished_at <= now() - make_interval(days => p_days)
     ORDER BY finished_at LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF v_id IS NOT NULL THEN
        DELETE FROM ballast.broadcast_deliveries
         WHERE broadcast_id = v_id
           AND user_id IN (SELECT user_id FROM ballast.broadcast_deliveries WHERE broadcast_id = v_id ORDER BY user_id LIMIT p_limit);
        GET DIAGNOSTICS v_forgotten = ROW_COUNT;
        IF v_forgotten < p_limit THEN
            UPDATE ballast.broadcasts SET deliveries_kept = false WHERE id = v_id;
        END IF;
    END IF;
    RETURN v_forgotten;
END
$$;
