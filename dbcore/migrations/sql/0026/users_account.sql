-- users_touch, and what of the balance is held, from one row of the account. In a function the plan of the look-up is kept;
-- a join around users_touch was planned anew for each /balance, which took as long as the rest.
CREATE FUNCTION ballast.users_account(
    p_telegram_id bigint, p_username text, p_first_name text, p_currency text, p_language_code text,
    OUT r_user_id bigint, OUT r_status text, OUT r_account_id bigint, OUT r_balance bigint, OUT r_version bigint,
    OUT r_created boolean, OUT r_held bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.r_user_id, t.r_status, t.r_account_id, t.r_created INTO r_user_id, r_status, r_account_id, r_created
      FROM ballast.users_touch(p_telegram_id, p_username, p_first_name, p_currency, p_language_code) AS t;
    SELECT a.balance, a.version, a.held INTO r_balance, r_version, r_held
      FROM ballast.accounts a WHERE a.id = r_account_id;
END
$$;
