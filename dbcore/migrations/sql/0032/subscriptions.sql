-- Subscriptions by Telegram Stars. A person and the payload of an invoice make one, as for Telegram: it begins anew if the
-- same invoice is paid again after its end. A report may come late, twice and out of order, so each step looks at the times
-- that Telegram named, and is done once by its key. Locked in one order everywhere: the user, the subscription, the payment.
--
-- stars -- of the period that ends last. begun_at -- NULL while no payment of it is known. expires_at -- until when it is
-- paid, by payments that were not refunded. renewal -- what Telegram said last of its renewal, and renewal_at since when.
-- cancelled_by_bot -- while it is so, its person cannot turn the renewal on again. ended_at -- when its end was noted.
-- wanted -- what Telegram is to be asked until it has answered. version -- the id of its last change.
CREATE TABLE ballast.star_subscriptions (
    id               bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT star_subscriptions_pkey PRIMARY KEY,
    user_id          bigint NOT NULL CONSTRAINT star_subscriptions_user_id_fkey REFERENCES ballast.users (id),
    plan             text NOT NULL,
    payload          text NOT NULL,
    stars            bigint NOT NULL,
    begun_at         timestamptz,
    expires_at       timestamptz,
    renewal          text NOT NULL DEFAULT 'on',
    renewal_at       timestamptz NOT NULL,
    cancelled_by_bot boolean NOT NULL DEFAULT false,
    ended_at         timestamptz,
    wanted           text,
    wanted_key       text,
    wanted_by        text,
    due_at           timestamptz,
    refusal          text,
    version          bigint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT star_subscriptions_invoice_key UNIQUE (user_id, payload),
    CONSTRAINT star_subscriptions_costs_something CHECK (stars > 0),
    CONSTRAINT star_subscriptions_renewal_known CHECK (renewal IN ('on', 'cancelled', 'failed')),
    CONSTRAINT star_subscriptions_wanted_known CHECK (wanted IN ('cancelled', 'allowed')),
    CONSTRAINT star_subscriptions_wanted_by_somebody
        CHECK ((wanted IS NULL) = (wanted_key IS NULL) AND (wanted IS NULL) = (wanted_by IS NULL)
               AND (wanted IS NULL) = (due_at IS NULL))
);
CREATE INDEX star_subscriptions_open_idx ON ballast.star_subscriptions (expires_at) WHERE ended_at IS NULL;
CREATE INDEX star_subscriptions_due_idx ON ballast.star_subscriptions (due_at) WHERE due_at IS NOT NULL;

-- The payments of subscriptions among star_payments, and until when each of them paid.
CREATE TABLE ballast.star_subscription_periods (
    star_payment_id bigint NOT NULL CONSTRAINT star_subscription_periods_pkey PRIMARY KEY
                    CONSTRAINT star_subscription_periods_star_payment_id_fkey REFERENCES ballast.star_payments (id),
    subscription_id bigint NOT NULL
                    CONSTRAINT star_subscription_periods_subscription_id_fkey REFERENCES ballast.star_subscriptions (id),
    ends_at         timestamptz NOT NULL
);
CREATE INDEX star_subscription_periods_subscription_idx ON ballast.star_subscription_periods (subscription_id, ends_at);

-- What happened to each, once for its key. expires_at -- until when it was paid then.
CREATE TABLE ballast.star_subscription_changes (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT star_subscription_changes_pkey PRIMARY KEY,
    subscription_id bigint NOT NULL
                    CONSTRAINT star_subscription_changes_subscription_id_fkey REFERENCES ballast.star_subscriptions (id),
    key             text NOT NULL CONSTRAINT star_subscription_changes_key_key UNIQUE,
    change          text NOT NULL,
    actor           text NOT NULL,
    expires_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT star_subscription_changes_change_known
        CHECK (change IN ('begun', 'renewed', 'cancelled', 'resumed', 'failed', 'refunded', 'expired',
                          'asked_cancelled', 'asked_allowed', 'allowed', 'refused'))
);
CREATE INDEX star_subscription_changes_subscription_idx ON ballast.star_subscription_changes (subscription_id, id);

CREATE TRIGGER star_subscriptions_kept BEFORE DELETE ON ballast.star_subscriptions
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_subscriptions_no_truncate BEFORE TRUNCATE ON ballast.star_subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_subscription_periods_kept BEFORE UPDATE OR DELETE ON ballast.star_subscription_periods
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_subscription_periods_no_truncate BEFORE TRUNCATE ON ballast.star_subscription_periods
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_subscription_changes_kept BEFORE UPDATE OR DELETE ON ballast.star_subscription_changes
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER star_subscription_changes_no_truncate BEFORE TRUNCATE ON ballast.star_subscription_changes
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.star_subscriptions ENABLE ALWAYS TRIGGER star_subscriptions_kept;
ALTER TABLE ballast.star_subscriptions ENABLE ALWAYS TRIGGER star_subscriptions_no_truncate;
ALTER TABLE ballast.star_subscription_periods ENABLE ALWAYS TRIGGER star_subscription_periods_kept;
ALTER TABLE ballast.star_subscription_periods ENABLE ALWAYS TRIGGER star_subscription_periods_no_truncate;
ALTER TABLE ballast.star_subscription_changes ENABLE ALWAYS TRIGGER star_subscription_changes_kept;
ALTER TABLE ballast.star_subscription_changes ENABLE ALWAYS TRIGGER star_subscription_changes_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.star_subscriptions FROM PUBLIC, CURRENT_USER;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.star_subscription_periods FROM PUBLIC, CURRENT_USER;
REVOKE UPDATE, DELETE, TRUNCATE ON ballast.star_subscription_changes FROM PUBLIC, CURRENT_USER;

ALTER TABLE ballast.system_accounts DROP CONSTRAINT system_accounts_name_known;
ALTER TABLE ballast.system_accounts ADD CONSTRAINT system_accounts_name_known
    CHECK (name IN ('house', 'stars', 'opening', 'adjustments', 'promo', 'provider_fees', 'payouts', 'subscriptions')
           OR name ~ '^provider:[a-z][a-z0-9_]{0,19}$');

-- For programs outside. What is asked of Telegram is no event before it has answered.
CREATE FUNCTION ballast.events_of_subscriptions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM ballast.events_wanted) THEN
        INSERT INTO ballast.events (lane, kind, data)
        SELECT u.telegram_id, 'subscription.' || NEW.change, jsonb_build_object(
                   'telegram_id', u.telegram_id, 'subscription', s.id, 'plan', s.plan, 'stars', s.stars,
                   'expires_at', extract(epoch FROM NEW.expires_at)::float8,
                   'at', extract(epoch FROM NEW.created_at)::float8)
          FROM ballast.star_subscriptions s JOIN ballast.users u ON u.id = s.user_id WHERE s.id = NEW.subscription_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER star_subscription_changes_events AFTER INSERT ON ballast.star_subscription_changes
    FOR EACH ROW WHEN (NEW.change IN ('begun', 'renewed', 'cancelled', 'resumed', 'failed', 'refunded', 'expired'))
    EXECUTE FUNCTION ballast.events_of_subscriptions();

-- Until when a subscription counts: while it is to be renewed an hour longer than it is paid, for Telegram's report of the
-- renewal may be on its way.
CREATE FUNCTION ballast.subscription_counts_until(
    p_expires_at timestamptz, p_renewal text, p_wanted text, OUT r_until timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT p_expires_at + CASE WHEN p_renewal = 'on' AND p_wanted IS DISTINCT FROM 'cancelled'
                               THEN interval '1 hour' ELSE interval '0' END
$$;

-- By payments that were not refunded; NULL if there are none.
CREATE FUNCTION ballast.subscription_paid_until(p_number bigint, OUT r_until timestamptz) LANGUAGE sql STABLE AS $$
    SELECT max(d.ends_at) FROM ballast.star_subscription_periods d JOIN ballast.star_payments p ON p.id = d.star_payment_id
     WHERE d.subscription_id = p_number AND p.refunded_at IS NULL
$$;

-- Books what Telegram says of a subscription's charge: that it was paid, from `stars` to `subscriptions`, which begins or
-- renews the subscription; or that it was refunded, which takes its period back. Once for the charge, whatever report of it
-- comes and in whatever order. A charge that is known keeps the amount that it was booked with.
-- p_is_first -- NULL: it is if no other one is known. p_payload, p_plan -- NULL in a refund that this bot asked for, whose
-- payment is known.
-- r_change -- what is new by this call; NULL if nothing is.
CREATE FUNCTION ballast.subscription_book(
    p_refunded boolean, p_charge_id text, p_fingerprint text,
    p_telegram_id bigint, p_username text, p_first_name text, p_language_code text,
    p_stars bigint, p_amount bigint, p_currency text, p_payload text, p_plan text, p_is_first boolean,
    p_said_at timestamptz, p_ends_at timestamptz,
    OUT r_status text, OUT r_reason text, OUT r_payment_id bigint, OUT r_transfer_id bigint, OUT r_amount bigint,
    OUT r_number bigint, OUT r_plan text, OUT r_expires_at timestamptz, OUT r_change text, OUT r_change_id bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_stars bigint := ballast.ledger_system_account('stars', p_currency);
    v_revenue bigint := ballast.ledger_system_account('subscriptions', p_currency);
    v_payer record;
    v_post record;
    v_row record;
    v_ends_at timestamptz;
BEGIN
    SELECT * INTO v_payer FROM ballast.users_touch(p_telegram_id, p_username, p_first_name, p_currency, p_language_code);
    PERFORM FROM ballast.users u WHERE u.id = v_payer.r_user_id FOR NO KEY UPDATE;
    SELECT p.amount INTO r_amount FROM ballast.star_payments p WHERE p.charge_id = p_charge_id;
    r_amount := coalesce(r_amount, p_amount);
    SELECT * INTO v_post FROM ballast.ledger_post(
        'star_payment:' || p_charge_id, p_fingerprint, v_stars, v_revenue, r_amount, p_currency,
        'star_payment', '', 'telegram', NULL);
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_transfer_id := v_post.r_transfer_id;
    IF r_reason IS NOT NULL THEN
        RETURN;
    END IF;
    IF r_status = 'applied' THEN
        INSERT INTO ballast.star_subscriptions (user_id, plan, payload, stars, renewal_at)
        VALUES (v_payer.r_user_id, p_plan, p_payload, p_stars, p_said_at) ON CONFLICT (user_id, payload) DO NOTHING;
        SELECT s.* INTO STRICT v_row FROM ballast.star_subscriptions s
         WHERE s.user_id = v_payer.r_user_id AND s.payload = p_payload FOR NO KEY UPDATE;
        INSERT INTO ballast.star_payments (charge_id, user_id, stars, amount, currency, payload, transfer_id, paid_at)
        VALUES (p_charge_id, v_payer.r_user_id, p_stars, r_amount, p_currency, p_payload, r_transfer_id, p_said_at)
        RETURNING id INTO r_payment_id;
        INSERT INTO ballast.star_subscription_periods (star_payment_id, subscription_id, ends_at)
        VALUES (r_payment_id, v_row.id, p_ends_at);
        r_expires_at := ballast.subscription_paid_until(v_row.id);
        r_change := CASE WHEN coalesce(p_is_first, v_row.begun_at IS NULL) THEN 'begun' ELSE 'renewed' END;
        INSERT INTO ballast.star_subscription_changes (subscription_id, key, change, actor, expires_at)
        VALUES (v_row.id, 'paid:' || p_charge_id, r_change, 'telegram', r_expires_at) RETURNING id INTO r_change_id;
        -- What was said of the renewal after this payment still holds.
        UPDATE ballast.star_subscriptions s
           SET stars = CASE WHEN p_ends_at = r_expires_at THEN p_stars ELSE s.stars END,
               begun_at = least(s.begun_at, p_said_at),
               expires_at = r_expires_at,
               renewal = CASE WHEN p_said_at > s.renewal_at THEN 'on' ELSE s.renewal END,
               cancelled_by_bot = s.cancelled_by_bot AND p_said_at <= s.renewal_at,
               renewal_at = greatest(s.renewal_at, p_said_at),
               ended_at = CASE WHEN r_expires_at <= clock_timestamp() THEN s.ended_at END,
               version = r_change_id
         WHERE s.id = v_row.id;
    END IF;

    IF p_refunded THEN
        SELECT s.* INTO STRICT v_row
          FROM ballast.star_payments p JOIN ballast.star_subscription_periods d ON d.star_payment_id = p.id
          JOIN ballast.star_subscriptions s ON s.id = d.subscription_id
         WHERE p.charge_id = p_charge_id FOR NO KEY UPDATE OF s;
        SELECT d.ends_at INTO STRICT v_ends_at
          FROM ballast.star_payments p JOIN ballast.star_subscription_periods d ON d.star_payment_id = p.id
         WHERE p.charge_id = p_charge_id FOR NO KEY UPDATE OF p;
        UPDATE ballast.star_refunds r SET status = 'done', ended_at = clock_timestamp()
          FROM ballast.star_payments p
         WHERE p.id = r.star_payment_id AND p.charge_id = p_charge_id AND r.status = 'asked';
        SELECT * INTO v_post FROM ballast.ledger_post(
            'star_refund:' || p_charge_id, p_fingerprint, v_revenue, v_stars, r_amount, p_currency,
            'star_refund', '', 'telegram', NULL);
        r_status := v_post.r_status;
        r_reason := v_post.r_reason;
        r_transfer_id := v_post.r_transfer_id;
        IF r_status = 'applied' THEN
            UPDATE ballast.star_payments SET refund_transfer_id = r_transfer_id, refunded_at = p_said_at
             WHERE charge_id = p_charge_id;
            r_expires_at := coalesce(ballast.subscription_paid_until(v_row.id), least(v_row.expires_at, clock_timestamp()));
            r_change := 'refunded';
            INSERT INTO ballast.star_subscription_changes (subscription_id, key, change, actor, expires_at)
            VALUES (v_row.id, 'refunded:' || p_charge_id, r_change, 'telegram', r_expires_at)
            RETURNING id INTO r_change_id;
            UPDATE ballast.star_subscriptions s SET expires_at = r_expires_at, version = r_change_id WHERE s.id = v_row.id;
            -- Whoever got their last period back is not to be charged for another one.
            UPDATE ballast.star_subscriptions s
               SET wanted = 'cancelled', wanted_key = 'refunded:' || p_charge_id, wanted_by = 'refund',
                   due_at = clock_timestamp()
             WHERE s.id = v_row.id AND s.renewal = 'on' AND v_ends_at >= v_row.expires_at;
        END IF;
    END IF;

    SELECT p.id, s.id, s.plan, s.expires_at INTO STRICT r_payment_id, r_number, r_plan, r_expires_at
      FROM ballast.star_payments p JOIN ballast.star_subscription_periods d ON d.star_payment_id = p.id
      JOIN ballast.star_subscriptions s ON s.id = d.subscription_id WHERE p.charge_id = p_charge_id;
END
$$;

-- Telegram says that a person cancelled the renewal, turned it on again, or could not pay for it. It names no time, and
-- says so in the order in which it happened. It may come before the report of the first payment.
CREATE FUNCTION ballast.subscription_told(
    p_key text, p_telegram_id bigint, p_username text, p_first_name text, p_language_code text, p_currency text,
    p_payload text, p_plan text, p_stars bigint, p_renewal text, p_said_at timestamptz,
    OUT r_number bigint, OUT r_plan text, OUT r_expires_at timestamptz, OUT r_change text, OUT r_change_id bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_user record;
    v_row record;
BEGIN
    SELECT * INTO v_user FROM ballast.users_touch(p_telegram_id, p_username, p_first_name, p_currency, p_language_code);
    PERFORM FROM ballast.users u WHERE u.id = v_user.r_user_id FOR NO KEY UPDATE;
    INSERT INTO ballast.star_subscriptions (user_id, plan, payload, stars, renewal_at)
    VALUES (v_user.r_user_id, p_plan, p_payload, p_stars, p_said_at) ON CONFLICT (user_id, payload) DO NOTHING;
    SELECT s.* INTO STRICT v_row FROM ballast.star_subscriptions s
     WHERE s.user_id = v_user.r_user_id AND s.payload = p_payload FOR NO KEY UPDATE;
    r_number := v_row.id;
    r_plan := v_row.plan;
    r_expires_at := v_row.expires_at;
    INSERT INTO ballast.star_subscription_changes (subscription_id, key, change, actor, expires_at)
    VALUES (v_row.id, p_key, CASE p_renewal WHEN 'on' THEN 'resumed' ELSE p_renewal END, 'telegram', v_row.expires_at)
        ON CONFLICT (key) DO NOTHING RETURNING id, change INTO r_change_id, r_change;
    IF r_change_id IS NOT NULL THEN
        UPDATE ballast.star_subscriptions s
           SET renewal = p_renewal, renewal_at = greatest(s.renewal_at, p_said_at),
               cancelled_by_bot = s.cancelled_by_bot AND p_renewal <> 'on', version = r_change_id
         WHERE s.id = v_row.id;
    END IF;
END
$$;

-- Somebody wants the renewal cancelled, or allowed again after the bot cancelled it. Telegram is to be asked until it has
-- answered, and nothing else changes before. p_telegram_id -- of the person who asks for themselves; NULL: an operator.
CREATE FUNCTION ballast.subscription_want(
    p_key text, p_number bigint, p_telegram_id bigint, p_wanted text, p_actor text,
    OUT r_status text, OUT r_reason text
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_known record;
    v_change_id bigint;
BEGIN
    r_status := 'rejected';
    SELECT s.user_id INTO v_row FROM ballast.star_subscriptions s WHERE s.id = p_number AND s.begun_at IS NOT NULL;
    PERFORM FROM ballast.users u WHERE u.id = v_row.user_id FOR NO KEY UPDATE;
    SELECT s.*, u.telegram_id INTO v_row FROM ballast.star_subscriptions s JOIN ballast.users u ON u.id = s.user_id
     WHERE s.id = p_number AND s.begun_at IS NOT NULL FOR NO KEY UPDATE OF s;
    SELECT c.subscription_id, c.change INTO v_known FROM ballast.star_subscription_changes c WHERE c.key = p_key;
    IF v_known.subscription_id = p_number AND v_known.change = 'asked_' || p_wanted THEN
        r_status := 'replayed';
        RETURN;
    END IF;
    r_reason := CASE
        WHEN v_row.id IS NULL THEN 'unknown_subscription'
        WHEN v_known.subscription_id IS NOT NULL THEN 'key_reused'
        WHEN p_telegram_id IS NOT NULL AND p_telegram_id <> v_row.telegram_id THEN 'not_yours'
        WHEN v_row.wanted IS NOT NULL THEN 'subscription_change_under_way'
        WHEN v_row.expires_at <= clock_timestamp() THEN 'subscription_ended'
        WHEN p_wanted = 'cancelled' AND v_row.renewal = 'cancelled' AND v_row.cancelled_by_bot THEN 'renewal_is_cancelled'
        WHEN p_wanted = 'allowed' AND NOT v_row.cancelled_by_bot THEN 'renewal_is_allowed'
    END;
    IF r_reason IS NOT NULL THEN
        RETURN;
    END IF;
    INSERT INTO ballast.star_subscription_changes (subscription_id, key, change, actor, expires_at)
    VALUES (p_number, p_key, 'asked_' || p_wanted, p_actor, v_row.expires_at) RETURNING id INTO v_change_id;
    UPDATE ballast.star_subscriptions s
       SET wanted = p_wanted, wanted_key = p_key, wanted_by = p_actor, due_at = clock_timestamp(), refusal = NULL,
           version = v_change_id
     WHERE s.id = p_number;
    r_status := 'applied';
END
$$;

-- Telegram's answer to what was wanted by p_wanted_key: yes, or why not. Said again, it changes nothing.
CREATE FUNCTION ballast.subscription_answered(
    p_number bigint, p_wanted_key text, p_refusal text,
    OUT r_number bigint, OUT r_plan text, OUT r_expires_at timestamptz, OUT r_change text, OUT r_change_id bigint,
    OUT r_telegram_id bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
BEGIN
    PERFORM FROM ballast.users u
      WHERE u.id = (SELECT s.user_id FROM ballast.star_subscriptions s WHERE s.id = p_number) FOR NO KEY UPDATE;
    SELECT s.*, u.telegram_id INTO STRICT v_row
      FROM ballast.star_subscriptions s JOIN ballast.users u ON u.id = s.user_id WHERE s.id = p_number FOR NO KEY UPDATE OF s;
    r_number := v_row.id;
    r_plan := v_row.plan;
    r_expires_at := v_row.expires_at;
    r_telegram_id := v_row.telegram_id;
    IF v_row.wanted_key IS DISTINCT FROM p_wanted_key THEN
        RETURN;
    END IF;
    r_change := CASE WHEN p_refusal IS NULL THEN v_row.wanted ELSE 'refused' END;
    INSERT INTO ballast.star_subscription_changes (subscription_id, key, change, actor, expires_at)
    VALUES (v_row.id, 'answered:' || p_wanted_key, r_change, v_row.wanted_by, v_row.expires_at)
    RETURNING id INTO r_change_id;
    UPDATE ballast.star_subscriptions s
       SET renewal = CASE r_change WHEN 'cancelled' THEN 'cancelled' ELSE s.renewal END,
           renewal_at = CASE r_change WHEN 'cancelled' THEN greatest(s.renewal_at, clock_timestamp())
                                      ELSE s.renewal_at END,
           cancelled_by_bot = CASE r_change WHEN 'cancelled' THEN true WHEN 'allowed' THEN false
                                            ELSE s.cancelled_by_bot END,
           wanted = NULL, wanted_key = NULL, wanted_by = NULL, due_at = NULL, refusal = p_refusal, version = r_change_id
     WHERE s.id = v_row.id;
END
$$;

-- The sweep: notes the end of those that ended, by this server's clock, and names those that Telegram is to be asked about.
-- r_change -- NULL: Telegram is to be asked.
CREATE FUNCTION ballast.subscription_due(
    p_again interval, p_limit integer,
    OUT r_number bigint, OUT r_plan text, OUT r_expires_at timestamptz, OUT r_change text, OUT r_change_id bigint,
    OUT r_telegram_id bigint
) RETURNS SETOF record LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
BEGIN
    FOR v_row IN
        SELECT s.*, u.telegram_id FROM ballast.star_subscriptions s JOIN ballast.users u ON u.id = s.user_id
         WHERE s.ended_at IS NULL AND s.expires_at <= clock_timestamp()
           AND ballast.subscription_counts_until(s.expires_at, s.renewal, s.wanted) <= clock_timestamp()
         ORDER BY s.expires_at LIMIT p_limit FOR NO KEY UPDATE OF s SKIP LOCKED
    LOOP
        r_number := v_row.id;
        r_plan := v_row.plan;
        r_expires_at := v_row.expires_at;
        r_change := 'expired';
        r_telegram_id := v_row.telegram_id;
        INSERT INTO ballast.star_subscription_changes (subscription_id, key, change, actor, expires_at)
        VALUES (v_row.id, 'expired:' || v_row.id || ':' || v_row.version, r_change, 'clock', v_row.expires_at)
        RETURNING id INTO r_change_id;
        UPDATE ballast.star_subscriptions s SET ended_at = clock_timestamp(), version = r_change_id WHERE s.id = v_row.id;
        RETURN NEXT;
    END LOOP;
    r_change := NULL;
    r_change_id := NULL;
    FOR v_row IN
        UPDATE ballast.star_subscriptions AS d SET due_at = clock_timestamp() + p_again
         WHERE d.id IN (SELECT s.id FROM ballast.star_subscriptions s WHERE s.due_at <= clock_timestamp()
                         ORDER BY s.due_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING d.id, d.plan, d.expires_at
    LOOP
        r_number := v_row.id;
        r_plan := v_row.plan;
        r_expires_at := v_row.expires_at;
        r_telegram_id := NULL;
        RETURN NEXT;
    END LOOP;
END
$$;
