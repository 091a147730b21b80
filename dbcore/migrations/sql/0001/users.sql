-- Find the person or make them, with their account. Writes only when something changed, or to note once an
-- hour that they are still there; not even that on a read-only server. Someone who writes to us has not
-- blocked us.
CREATE FUNCTION ballast.users_touch(
    p_telegram_id bigint, p_username text, p_first_name text, p_currency text,
    OUT r_user_id bigint, OUT r_status text,
    OUT r_account_id bigint, OUT r_balance bigint, OUT r_version bigint, OUT r_created boolean
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_stale boolean;
BEGIN
    r_created := false;
    SELECT u.id, u.status, a.id, a.balance, a.version,
           u.username IS DISTINCT FROM p_username OR u.first_name <> p_first_name OR u.status <> 'active'
               OR u.last_seen_at < now() - interval '1 hour'
      INTO r_user_id, r_status, r_account_id, r_balance, r_version, v_stale
      FROM ballast.users u
      LEFT JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
     WHERE u.telegram_id = p_telegram_id;

    IF r_user_id IS NULL THEN
        INSERT INTO ballast.users (telegram_id, username, first_name)
        VALUES (p_telegram_id, p_username, p_first_name)
        ON CONFLICT (telegram_id) DO NOTHING
        RETURNING id INTO r_user_id;
        r_created := FOUND;
        r_status := 'active';
        IF NOT r_created THEN  -- someone was faster; a new statement sees what they committed
            SELECT u.id, u.status INTO r_user_id, r_status FROM ballast.users u WHERE u.telegram_id = p_telegram_id;
        END IF;
    ELSIF v_stale AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE ballast.users SET username = p_username, first_name = p_first_name, status = 'active', last_seen_at = now()
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

-- The user and account meant by a numeric id or by a username, or why none is.
CREATE FUNCTION ballast.users_find(
    p_telegram_id bigint, p_username text, p_currency text,
    OUT r_user_id bigint, OUT r_account_id bigint, OUT r_reason text
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_found bigint;
BEGIN
    IF p_telegram_id IS NOT NULL THEN
        SELECT u.id, a.id INTO r_user_id, r_account_id
          FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
         WHERE u.telegram_id = p_telegram_id;
    ELSE
        SELECT count(*), min(found.user_id), min(found.account_id) INTO v_found, r_user_id, r_account_id
          FROM (SELECT u.id AS user_id, a.id AS account_id
                  FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
                 WHERE lower(u.username) = lower(p_username)
                 LIMIT 2) AS found;
    END IF;
    IF v_found > 1 THEN
        r_user_id := NULL;
        r_account_id := NULL;
        r_reason := 'ambiguous_user';
    ELSIF r_account_id IS NULL THEN
        r_reason := 'unknown_user';
    END IF;
END
$$;
