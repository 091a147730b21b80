-- As in 0001, with the language that Telegram tells, and an end to strikes. NULL says nothing of the language.
CREATE FUNCTION ballast.users_touch(
    p_telegram_id bigint, p_username text, p_first_name text, p_currency text, p_language_code text,
    OUT r_user_id bigint, OUT r_status text,
    OUT r_account_id bigint, OUT r_balance bigint, OUT r_version bigint, OUT r_created boolean
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_stale boolean;
BEGIN
    r_created := false;
    SELECT u.id, u.status, a.id, a.balance, a.version,
           u.username IS DISTINCT FROM p_username OR u.first_name <> p_first_name OR u.status <> 'active'
               OR u.last_seen_at < now() - interval '1 hour' OR u.strikes > 0
               OR u.language_code IS DISTINCT FROM coalesce(p_language_code, u.language_code)
      INTO r_user_id, r_status, r_account_id, r_balance, r_version, v_stale
      FROM ballast.users u
      LEFT JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
     WHERE u.telegram_id = p_telegram_id;

    IF r_user_id IS NULL THEN
        INSERT INTO ballast.users (telegram_id, username, first_name, language_code)
        VALUES (p_telegram_id, p_username, p_first_name, p_language_code)
        ON CONFLICT (telegram_id) DO NOTHING
        RETURNING id INTO r_user_id;
        r_created := FOUND;
        r_status := 'active';
        IF NOT r_created THEN  -- someone was faster; a new statement sees what they committed
            SELECT u.id, u.status INTO r_user_id, r_status FROM ballast.users u WHERE u.telegram_id = p_telegram_id;
        END IF;
    ELSIF v_stale AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE ballast.users
           SET username = p_username, first_name = p_first_name, status = 'active', strikes = 0, last_seen_at = now(),
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

-- For the other functions here, and for processes of the release before.
CREATE OR REPLACE FUNCTION ballast.users_touch(
    p_telegram_id bigint, p_username text, p_first_name text, p_currency text,
    OUT r_user_id bigint, OUT r_status text,
    OUT r_account_id bigint, OUT r_balance bigint, OUT r_version bigint, OUT r_created boolean
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
BEGIN
    SELECT t.r_user_id, t.r_status, t.r_account_id, t.r_balance, t.r_version, t.r_created
      INTO r_user_id, r_status, r_account_id, r_balance, r_version, r_created
      FROM ballast.users_touch(p_telegram_id, p_username, p_first_name, p_currency, NULL) AS t;
END
$$;
