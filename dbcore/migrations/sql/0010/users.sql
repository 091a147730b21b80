-- As in 0003, and a username has one holder: the one Telegram showed it with last. It is taken from whoever had it
-- before, for Telegram tells of a new holder and never of the loss. Whoever asks without a first name, which Telegram
-- always tells, is an operator who names a user by id: of somebody known no name is changed then, and nobody's is taken.
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
        INSERT INTO ballast.accounts (user_id, currency, balance, version)
        VALUES (r_user_id, p_currency, 0, 0)
        ON CONFLICT (user_id, currency) DO NOTHING;
        SELECT a.id, a.balance, a.version INTO r_account_id, r_balance, r_version
          FROM ballast.accounts a WHERE a.user_id = r_user_id AND a.currency = p_currency;
    END IF;
END
$$;

-- As in 0001, and a username never names two.
CREATE OR REPLACE FUNCTION ballast.users_find(
    p_telegram_id bigint, p_username text, p_currency text,
    OUT r_user_id bigint, OUT r_account_id bigint, OUT r_reason text
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_telegram_id IS NOT NULL THEN
        SELECT u.id, a.id INTO r_user_id, r_account_id
          FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
         WHERE u.telegram_id = p_telegram_id;
    ELSE
        -- A process of the release before may have left two while this was migrated.
        SELECT u.id, a.id INTO r_user_id, r_account_id
          FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
         WHERE lower(u.username) = lower(p_username)
         ORDER BY u.last_seen_at DESC, u.id DESC
         LIMIT 1;
    END IF;
    IF r_account_id IS NULL THEN
        r_reason := 'unknown_user';
    END IF;
END
$$;

-- Telegram's own account and its stand-ins for anonymous admins and for channels: no people, and no broadcast reaches them.
UPDATE ballast.users SET status = 'deactivated' WHERE telegram_id IN (777000, 1087968824, 136817688);

-- Two who carried one name until now: it stays with the one seen last.
UPDATE ballast.users SET username = NULL
 WHERE id IN (SELECT ranked.id
                FROM (SELECT u.id, row_number() OVER (PARTITION BY lower(u.username)
                                                      ORDER BY u.last_seen_at DESC, u.id DESC) AS place
                        FROM ballast.users u
                       WHERE lower(u.username) IN (SELECT lower(d.username) FROM ballast.users d WHERE d.username IS NOT NULL
                                                    GROUP BY lower(d.username) HAVING count(*) > 1)) AS ranked
               WHERE ranked.place > 1);
