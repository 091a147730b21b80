-- Somebody's account in a currency, made when it is first needed. What of them is frozen is so in each currency: both this and
-- a freeze lock the user's row first, so that neither misses the other. NULL where the database cannot be written to.
CREATE FUNCTION ballast.users_open_account(p_user_id bigint, p_currency text, OUT r_account_id bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT a.id INTO r_account_id FROM ballast.accounts a WHERE a.user_id = p_user_id AND a.currency = p_currency;
    IF r_account_id IS NOT NULL OR current_setting('transaction_read_only') = 'on' THEN
        RETURN;
    END IF;
    PERFORM FROM ballast.users u WHERE u.id = p_user_id FOR NO KEY UPDATE;
    INSERT INTO ballast.accounts (user_id, currency, balance, version, sending_frozen, receiving_frozen)
    SELECT p_user_id, p_currency, 0, 0, coalesce(bool_or(a.sending_frozen), false), coalesce(bool_or(a.receiving_frozen), false)
      FROM ballast.accounts a WHERE a.user_id = p_user_id
    ON CONFLICT (user_id, currency) DO NOTHING;
    SELECT a.id INTO STRICT r_account_id FROM ballast.accounts a WHERE a.user_id = p_user_id AND a.currency = p_currency;
END
$$;

-- As in 0010, and the account is made as above.
CREATE OR REPLACE FUNCTION ballast.users_touch(
    p_telegram_id bigint, p_username text, p_first_name text, p_currency text, p_language_code text,
    OUT r_user_id bigint, OUT r_status text,
    OUT r_account_id bigint, OUT r_balance bigint, OUT r_version bigint, OUT r_created boolean
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_told boolean := p_first_name <> '';
    v_renamed boolean;
    v_stale boolean;
    v_writable boolean := current_setting('transaction_read_only') = 'off';
BEGIN
    r_created := false;
    SELECT u.id, u.status, a.id, a.balance, a.version, v_told AND u.username IS DISTINCT FROM p_username,
           v_told AND (u.username IS DISTINCT FROM p_username OR u.first_name <> p_first_name) OR u.status <> 'active'
               OR u.last_seen_at < now() - interval '1 hour' OR u.strikes > 0
               OR u.language_code IS DISTINCT FROM coalesce(p_language_code, u.language_code)
      INTO r_user_id, r_status, r_account_id, r_balance, r_version, v_renamed, v_stale
      FROM ballast.users u
      LEFT JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
     WHERE u.telegram_id = p_telegram_id;

    IF v_told AND p_username IS NOT NULL AND (r_user_id IS NULL OR v_renamed) AND v_writable THEN
        -- One after the other: of two who take a name at once, neither would see the other's row.
        PERFORM pg_advisory_xact_lock(hashtextextended('ballast.users.username:' || lower(p_username), 0));
        -- In the order of their ids: two people may swap names.
        PERFORM FROM ballast.users u
          WHERE u.telegram_id = p_telegram_id OR lower(u.username) = lower(p_username)
          ORDER BY u.id FOR NO KEY UPDATE;
        UPDATE ballast.users SET username = NULL
         WHERE lower(username) = lower(p_username) AND telegram_id <> p_telegram_id;
    END IF;

    IF r_user_id IS NULL THEN
        INSERT INTO ballast.users (telegram_id, username, first_name, language_code)
        VALUES (p_telegram_id,
                CASE WHEN v_told OR NOT EXISTS (SELECT FROM ballast.users u WHERE lower(u.username) = lower(p_username))
                     THEN p_username END,
                p_first_name, p_language_code)
        ON CONFLICT (telegram_id) DO NOTHING
        RETURNING id INTO r_user_id;
        r_created := FOUND;
        r_status := 'active';
        IF NOT r_created THEN  -- someone was faster; a new statement sees what they committed
            SELECT u.id, u.status INTO r_user_id, r_status FROM ballast.users u WHERE u.telegram_id = p_telegram_id;
        END IF;
    ELSIF v_stale AND v_writable THEN
        UPDATE ballast.users
           SET username = CASE WHEN v_told THEN p_username ELSE username END,
               first_name = CASE WHEN v_told THEN p_first_name ELSE first_name END,
               status = 'active', strikes = 0, last_seen_at = now(),
               language_code = coalesce(p_language_code, language_code)
         WHERE id = r_user_id;
        r_status := 'active';
    END IF;

    IF r_account_id IS NULL THEN
        r_account_id := ballast.users_open_account(r_user_id, p_currency);
        SELECT coalesce(max(a.balance), 0), coalesce(max(a.version), 0) INTO r_balance, r_version
          FROM ballast.accounts a WHERE a.id = r_account_id;
    END IF;
END
$$;

-- As in 0010, and whoever is known has an account in each currency: it is made here when it is first needed.
CREATE OR REPLACE FUNCTION ballast.users_find(
    p_telegram_id bigint, p_username text, p_currency text,
    OUT r_user_id bigint, OUT r_account_id bigint, OUT r_reason text
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_telegram_id IS NOT NULL THEN
        SELECT u.id, a.id INTO r_user_id, r_account_id
          FROM ballast.users u LEFT JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
         WHERE u.telegram_id = p_telegram_id;
    ELSE
        -- A process of the release before 0010 may have left two.
        SELECT u.id, a.id INTO r_user_id, r_account_id
          FROM ballast.users u LEFT JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
         WHERE lower(u.username) = lower(p_username)
         ORDER BY u.last_seen_at DESC, u.id DESC
         LIMIT 1;
    END IF;
    IF r_user_id IS NULL THEN
        r_reason := 'unknown_user';
    ELSIF r_account_id IS NULL THEN
        r_account_id := ballast.users_open_account(r_user_id, p_currency);
    END IF;
END
$$;

-- As in 0001, and whoever is known has an account.
CREATE OR REPLACE FUNCTION ballast.ledger_transfer(
    p_key text, p_fingerprint text, p_sender bigint, p_recipient bigint, p_amount bigint, p_currency text,
    p_kind text, p_memo text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text,
    OUT r_sender_id bigint, OUT r_sender_username text, OUT r_sender_first_name text,
    OUT r_recipient_id bigint, OUT r_recipient_username text, OUT r_recipient_first_name text,
    OUT r_sender_balance bigint, OUT r_recipient_balance bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_from bigint;
    v_to bigint;
    v_reason text;
    v_post record;
BEGIN
    SELECT a.id, u.telegram_id, u.username, u.first_name
      INTO v_from, r_sender_id, r_sender_username, r_sender_first_name
      FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
     WHERE u.telegram_id = p_sender;
    SELECT a.id, u.telegram_id, u.username, u.first_name
      INTO v_to, r_recipient_id, r_recipient_username, r_recipient_first_name
      FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
     WHERE u.telegram_id = p_recipient;
    IF v_from IS NULL OR v_to IS NULL THEN  -- the first movement of one of them in this currency, or somebody unknown
        SELECT found.r_account_id, u.telegram_id, u.username, u.first_name
          INTO v_from, r_sender_id, r_sender_username, r_sender_first_name
          FROM ballast.users_find(p_sender, NULL, p_currency) AS found JOIN ballast.users u ON u.id = found.r_user_id;
        SELECT found.r_account_id, u.telegram_id, u.username, u.first_name
          INTO v_to, r_recipient_id, r_recipient_username, r_recipient_first_name
          FROM ballast.users_find(p_recipient, NULL, p_currency) AS found JOIN ballast.users u ON u.id = found.r_user_id;
    END IF;
    IF v_from IS NULL OR v_to IS NULL THEN
        v_reason := 'unknown_user';
    ELSIF v_from = v_to THEN
        v_reason := 'same_account';
    END IF;

    SELECT * INTO v_post FROM ballast.ledger_post(
        p_key, p_fingerprint, v_from, v_to, p_amount, p_currency, p_kind, p_memo, 'user', v_reason);
    r_transfer_id := v_post.r_transfer_id;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
    r_sender_balance := coalesce(v_post.r_from_balance, v_post.r_refused_balance);
    r_recipient_balance := v_post.r_to_balance;
END
$$;

-- As in 0030, and each currency has its own sum. Without a currency is what was booked while there was one.
CREATE OR REPLACE FUNCTION ballast.pending_adjust_limits(
    p_admin_id bigint, p_amount bigint, p_currency text, p_limit bigint, p_limit_per_day bigint,
    OUT r_reason text, OUT r_left_today bigint
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_limit_per_day IS NOT NULL THEN
        SELECT greatest(0, p_limit_per_day - coalesce(sum(abs(moved.amount)), 0)) INTO r_left_today
          FROM (SELECT p.amount FROM ballast.pending_adjustments p
                 WHERE p.admin_id = p_admin_id AND p.currency = p_currency AND p.status = 'confirmed'
                   AND p.decided_at > clock_timestamp() - interval '24 hours'
                 UNION ALL
                SELECT (a.after ->> 'balance')::bigint - (a.before ->> 'balance')::bigint
                  FROM ballast.admin_actions a
                 WHERE a.actor = 'telegram:' || p_admin_id AND a.action IN ('user.credit', 'user.debit')
                   AND a.outcome = 'done' AND coalesce(a.after ->> 'currency', p_currency) = p_currency
                   AND NOT starts_with(a.action_id, 'pending_adjustment:')
                   AND a.created_at > clock_timestamp() - interval '24 hours') AS moved;
    END IF;
    r_reason := CASE
        WHEN abs(p_amount) > p_limit THEN 'over_limit'
        WHEN abs(p_amount) > r_left_today THEN 'over_daily_limit'
    END;
END
$$;
