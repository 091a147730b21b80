-- Exchange: at an operator's rate, against an account `exchange` of each currency.

ALTER TABLE ballast.system_accounts DROP CONSTRAINT system_accounts_name_known;
ALTER TABLE ballast.system_accounts ADD CONSTRAINT system_accounts_name_known
    CHECK (name IN ('house', 'stars', 'opening', 'adjustments', 'promo', 'provider_fees', 'payouts', 'subscriptions',
                    'exchange')
           OR name ~ '^provider:[a-z][a-z0-9_]{0,19}$');

-- What was ever set; the newest of a pair is in force. rate -- units of `got` for one unit of `given`, as the operator wrote it;
-- NULL: the pair is not exchanged. numerator / denominator -- the same in minor units.
CREATE TABLE ballast.exchange_rates (
    id             bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT exchange_rates_pkey PRIMARY KEY,
    given_currency text NOT NULL,
    got_currency   text NOT NULL,
    rate           numeric,
    numerator      numeric,
    denominator    numeric,
    actor          text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT exchange_rates_two_currencies CHECK (given_currency <> got_currency),
    CONSTRAINT exchange_rates_above_zero CHECK (rate > 0 AND numerator > 0 AND denominator > 0),
    CONSTRAINT exchange_rates_whole CHECK (trunc(numerator) = numerator AND trunc(denominator) = denominator),
    CONSTRAINT exchange_rates_rate_in_minor_units
        CHECK ((rate IS NULL) = (numerator IS NULL) AND (rate IS NULL) = (denominator IS NULL))
);
CREATE INDEX exchange_rates_pair_idx ON ballast.exchange_rates (given_currency, got_currency, id);

-- What the bot has for exchanges: each row is the balance of the account `exchange` of its currency. It never falls below
-- `floor`, which an operator sets. Locked after users' accounts, in the order of currencies.
CREATE TABLE ballast.exchange_accounts (
    currency   text NOT NULL CONSTRAINT exchange_accounts_pkey PRIMARY KEY,
    account_id bigint NOT NULL CONSTRAINT exchange_accounts_account_id_key UNIQUE,
    balance    bigint NOT NULL DEFAULT 0,
    floor      bigint NOT NULL DEFAULT 0,
    CONSTRAINT exchange_accounts_account_fkey FOREIGN KEY (account_id, currency) REFERENCES ballast.accounts (id, currency),
    CONSTRAINT exchange_accounts_not_below_floor CHECK (floor <= 0 AND balance >= floor)
);

-- Put before whoever asked (pending), and what became of it. available -- what they could spend when they asked.
CREATE TABLE ballast.exchanges (
    id                bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT exchanges_pkey PRIMARY KEY,
    token             text NOT NULL CONSTRAINT exchanges_token_key UNIQUE,
    idempotency_key   text NOT NULL CONSTRAINT exchanges_idempotency_key_key UNIQUE,
    fingerprint       text NOT NULL,
    user_id           bigint NOT NULL CONSTRAINT exchanges_user_id_fkey REFERENCES ballast.users (id),
    rate_id           bigint CONSTRAINT exchanges_rate_id_fkey REFERENCES ballast.exchange_rates (id),
    given_amount      bigint NOT NULL,
    given_currency    text NOT NULL,
    got_amount        bigint,
    got_currency      text NOT NULL,
    available         bigint NOT NULL,
    status            text NOT NULL,
    reason            text,
    decided_key       text,
    given_transfer_id bigint CONSTRAINT exchanges_given_transfer_id_fkey REFERENCES ballast.transfers (id),
    got_transfer_id   bigint CONSTRAINT exchanges_got_transfer_id_fkey REFERENCES ballast.transfers (id),
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at        timestamptz NOT NULL,
    decided_at        timestamptz,
    CONSTRAINT exchanges_given_transfer_id_key UNIQUE (given_transfer_id),
    CONSTRAINT exchanges_got_transfer_id_key UNIQUE (got_transfer_id),
    CONSTRAINT exchanges_amounts_within_bounds
        CHECK (given_amount > 0 AND given_amount <= 1000000000000000 AND got_amount > 0 AND got_amount <= 1000000000000000),
    CONSTRAINT exchanges_status_known
        CHECK (status IN ('refused', 'pending', 'confirmed', 'failed', 'cancelled', 'expired')),
    CONSTRAINT exchanges_refusal_has_reason CHECK ((status IN ('refused', 'failed')) = (reason IS NOT NULL)),
    CONSTRAINT exchanges_has_rate CHECK (status = 'refused' OR rate_id IS NOT NULL AND got_amount IS NOT NULL),
    CONSTRAINT exchanges_transfers_iff_confirmed
        CHECK ((status = 'confirmed') = (given_transfer_id IS NOT NULL) AND (status = 'confirmed') = (got_transfer_id IS NOT NULL)),
    CONSTRAINT exchanges_decision_has_key
        CHECK ((status IN ('refused', 'pending')) = (decided_key IS NULL) AND (decided_key IS NULL) = (decided_at IS NULL))
);

CREATE TRIGGER exchange_rates_append_only BEFORE UPDATE OR DELETE ON ballast.exchange_rates
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER exchange_rates_no_truncate BEFORE TRUNCATE ON ballast.exchange_rates
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER exchanges_end_once BEFORE UPDATE ON ballast.exchanges
    FOR EACH ROW WHEN (OLD.status <> 'pending') EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER exchanges_kept BEFORE DELETE ON ballast.exchanges
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER exchanges_no_truncate BEFORE TRUNCATE ON ballast.exchanges
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.exchange_rates ENABLE ALWAYS TRIGGER exchange_rates_append_only;
ALTER TABLE ballast.exchange_rates ENABLE ALWAYS TRIGGER exchange_rates_no_truncate;
ALTER TABLE ballast.exchanges ENABLE ALWAYS TRIGGER exchanges_end_once;
ALTER TABLE ballast.exchanges ENABLE ALWAYS TRIGGER exchanges_kept;
ALTER TABLE ballast.exchanges ENABLE ALWAYS TRIGGER exchanges_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.exchange_rates FROM PUBLIC, CURRENT_USER;
REVOKE DELETE, TRUNCATE ON ballast.exchanges FROM PUBLIC, CURRENT_USER;

-- The account `exchange` of a currency, made when it is first needed.
CREATE FUNCTION ballast.exchange_account(p_currency text, OUT r_account_id bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT e.account_id INTO r_account_id FROM ballast.exchange_accounts e WHERE e.currency = p_currency;
    IF r_account_id IS NULL THEN
        r_account_id := ballast.ledger_system_account('exchange', p_currency);
        INSERT INTO ballast.exchange_accounts (currency, account_id) VALUES (p_currency, r_account_id)
        ON CONFLICT (currency) DO NOTHING;
    END IF;
END
$$;

-- The rate of a pair that is in force. NULLs if it is not exchanged.
CREATE FUNCTION ballast.exchange_rate(
    p_given text, p_got text, OUT r_rate_id bigint, OUT r_rate numeric, OUT r_numerator numeric, OUT r_denominator numeric
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT e.id, e.rate, e.numerator, e.denominator INTO r_rate_id, r_rate, r_numerator, r_denominator
      FROM ballast.exchange_rates e WHERE e.given_currency = p_given AND e.got_currency = p_got ORDER BY e.id DESC LIMIT 1;
    IF r_rate IS NULL THEN
        r_rate_id := NULL;
    END IF;
END
$$;

-- What can be checked is checked, and nothing moves yet. What is got is rounded down to a minor unit: the rest stays with the
-- account `exchange`.
CREATE FUNCTION ballast.exchange_create(
    p_key text, p_fingerprint text, p_token text, p_telegram_id bigint, p_username text, p_first_name text,
    p_given_amount bigint, p_given_currency text, p_got_currency text, p_expires_after interval,
    OUT r_status text, OUT r_reason text, OUT r_token text, OUT r_rate numeric, OUT r_got_amount bigint,
    OUT r_available bigint
) LANGUAGE plpgsql AS $$
DECLARE
    c_max_amount CONSTANT numeric := 1000000000000000;
    v_user record;
    v_known record;
    v_rate record;
    v_account record;
    v_got numeric;
    v_got_account bigint;
    v_inserted bigint;
BEGIN
    SELECT * INTO v_user FROM ballast.users_touch(p_telegram_id, p_username, p_first_name, p_given_currency);
    SELECT * INTO v_known FROM ballast.exchanges x WHERE x.idempotency_key = p_key;
    IF v_known.id IS NULL THEN
        v_got_account := ballast.users_open_account(v_user.r_user_id, p_got_currency);
        PERFORM ballast.exchange_account(p_got_currency);
        SELECT * INTO v_rate FROM ballast.exchange_rate(p_given_currency, p_got_currency);
        v_got := div(p_given_amount * v_rate.r_numerator, v_rate.r_denominator);
        SELECT a.balance - a.held AS available, a.sending_frozen INTO v_account
          FROM ballast.accounts a WHERE a.id = v_user.r_account_id;
        r_reason := CASE
            WHEN v_rate.r_rate_id IS NULL THEN 'no_rate'
            WHEN v_got < 1 THEN 'amount_too_small'
            WHEN v_got > c_max_amount THEN 'amount_too_large'
            WHEN v_account.sending_frozen THEN 'account_frozen'
            WHEN (SELECT a.receiving_frozen FROM ballast.accounts a WHERE a.id = v_got_account) THEN 'account_frozen'
            WHEN v_account.available < p_given_amount THEN 'insufficient_funds'
            WHEN (SELECT e.balance - v_got < e.floor FROM ballast.exchange_accounts e WHERE e.currency = p_got_currency)
                THEN 'exchange_short'
        END;
        INSERT INTO ballast.exchanges (token, idempotency_key, fingerprint, user_id, rate_id, given_amount, given_currency,
                                       got_amount, got_currency, available, status, reason, expires_at)
        VALUES (p_token, p_key, p_fingerprint, v_user.r_user_id, v_rate.r_rate_id, p_given_amount, p_given_currency,
                CASE WHEN v_got BETWEEN 1 AND c_max_amount THEN v_got END, p_got_currency, v_account.available,
                CASE WHEN r_reason IS NULL THEN 'pending' ELSE 'refused' END, r_reason, clock_timestamp() + p_expires_after)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO v_inserted;
        SELECT * INTO STRICT v_known FROM ballast.exchanges x WHERE x.idempotency_key = p_key;
    END IF;

    IF v_known.fingerprint <> p_fingerprint THEN
        r_status := 'rejected';
        r_reason := 'key_reused';
        RETURN;
    END IF;
    r_available := v_known.available;
    r_got_amount := v_known.got_amount;
    SELECT e.rate INTO r_rate FROM ballast.exchange_rates e WHERE e.id = v_known.rate_id;
    IF v_known.status = 'refused' THEN
        r_status := 'rejected';
        r_reason := v_known.reason;
    ELSE
        r_status := CASE WHEN v_inserted IS NULL THEN 'replayed' ELSE 'applied' END;
        r_reason := NULL;
        r_token := v_known.token;
    END IF;
END
$$;

-- The press of Confirm or Cancel, in one transaction with both transfers. Their keys come from the row, so that any number of
-- presses exchange once. Locks are taken in one order: the exchange, the user's accounts by their ids, the accounts `exchange`.
CREATE FUNCTION ballast.exchange_decide(
    p_key text, p_token text, p_presser_id bigint, p_username text, p_first_name text, p_confirm boolean, p_waited interval,
    OUT r_status text, OUT r_reason text, OUT r_decision text, OUT r_user_id bigint,
    OUT r_given_amount bigint, OUT r_given_currency text, OUT r_given_balance bigint,
    OUT r_got_amount bigint, OUT r_got_currency text, OUT r_got_balance bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    c_max_balance CONSTANT bigint := 1000000000000000000;
    v_row record;
    v_account record;
    v_from bigint;
    v_to bigint;
    v_given record;
    v_got record;
    v_short boolean;
    v_replay boolean;
    v_pressed_at timestamptz;
BEGIN
    r_status := 'rejected';
    SELECT x.*, u.telegram_id INTO v_row FROM ballast.exchanges x JOIN ballast.users u ON u.id = x.user_id
     WHERE x.token = p_token AND x.status <> 'refused'
       FOR NO KEY UPDATE OF x;
    IF v_row.id IS NULL THEN
        r_reason := 'unknown_transfer';
        RETURN;
    END IF;
    IF v_row.telegram_id <> p_presser_id THEN
        r_reason := 'not_yours';
        RETURN;
    END IF;
    PERFORM ballast.users_touch(p_presser_id, p_username, p_first_name, v_row.given_currency);
    r_user_id := v_row.telegram_id;
    r_given_amount := v_row.given_amount;
    r_given_currency := v_row.given_currency;
    r_got_amount := v_row.got_amount;
    r_got_currency := v_row.got_currency;

    v_replay := coalesce(v_row.decided_key = p_key, false);
    IF v_row.status <> 'pending' THEN
        IF v_replay AND v_row.status = 'confirmed' AND p_confirm THEN
            r_status := 'replayed';
            r_decision := 'confirmed';
            SELECT max(e.balance_after) FILTER (WHERE e.transfer_id = v_row.given_transfer_id),
                   max(e.balance_after) FILTER (WHERE e.transfer_id = v_row.got_transfer_id)
              INTO r_given_balance, r_got_balance
              FROM ballast.entries e WHERE e.transfer_id IN (v_row.given_transfer_id, v_row.got_transfer_id);
        ELSIF v_replay AND v_row.status = 'cancelled' AND NOT p_confirm THEN
            r_status := 'replayed';
            r_decision := 'cancelled';
        ELSE
            r_reason := CASE
                WHEN v_row.status = 'failed' THEN v_row.reason
                WHEN v_row.status = 'expired' THEN 'expired'
                WHEN v_replay THEN 'key_reused'
                WHEN v_row.status = 'confirmed' THEN 'already_confirmed'
                ELSE 'already_cancelled'
            END;
        END IF;
        RETURN;
    END IF;

    v_pressed_at := greatest(v_row.created_at, clock_timestamp() - greatest(p_waited, interval '0'));
    IF v_pressed_at > v_row.expires_at THEN
        UPDATE ballast.exchanges SET status = 'expired', decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
        r_reason := 'expired';
        RETURN;
    ELSIF NOT p_confirm THEN
        UPDATE ballast.exchanges SET status = 'cancelled', decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
        r_status := 'applied';
        r_decision := 'cancelled';
        RETURN;
    END IF;

    v_from := ballast.users_open_account(v_row.user_id, v_row.given_currency);
    v_to := ballast.users_open_account(v_row.user_id, v_row.got_currency);
    FOR v_account IN
        SELECT a.* FROM ballast.accounts a WHERE a.id IN (v_from, v_to) ORDER BY a.id FOR NO KEY UPDATE
    LOOP
        IF v_account.id = v_from THEN
            v_short := v_account.balance - v_account.held < v_row.given_amount;
            IF v_short AND v_account.held > 0 THEN
                v_short := v_account.balance - v_account.held + ballast.ledger_expire_holds(v_from) < v_row.given_amount;
            END IF;
            r_reason := coalesce(r_reason, CASE WHEN v_account.sending_frozen THEN 'account_frozen'
                                                WHEN v_short THEN 'insufficient_funds' END);
        ELSE
            r_reason := coalesce(r_reason, CASE WHEN v_account.receiving_frozen THEN 'account_frozen'
                                                WHEN v_account.balance > c_max_balance - v_row.got_amount
                                                    THEN 'balance_overflow' END);
        END IF;
    END LOOP;
    PERFORM ballast.exchange_account(v_row.given_currency), ballast.exchange_account(v_row.got_currency);
    PERFORM FROM ballast.exchange_accounts e WHERE e.currency IN (v_row.given_currency, v_row.got_currency)
      ORDER BY e.currency FOR NO KEY UPDATE;
    IF v_row.rate_id IS DISTINCT FROM
       (SELECT now_.r_rate_id FROM ballast.exchange_rate(v_row.given_currency, v_row.got_currency) AS now_) THEN
        r_reason := 'rate_changed';
    ELSIF (SELECT e.balance - v_row.got_amount < e.floor FROM ballast.exchange_accounts e
            WHERE e.currency = v_row.got_currency) THEN
        r_reason := coalesce(r_reason, 'exchange_short');
    END IF;
    IF r_reason IS NOT NULL THEN
        UPDATE ballast.exchanges SET status = 'failed', reason = r_reason, decided_key = p_key, decided_at = clock_timestamp()
         WHERE id = v_row.id;
        RETURN;
    END IF;

    SELECT * INTO v_given FROM ballast.ledger_post(
        'exchange:' || v_row.id || ':given', 'exchange:' || v_row.id, v_from, ballast.exchange_account(v_row.given_currency),
        v_row.given_amount, v_row.given_currency, 'exchange_given', '', 'user', NULL);
    SELECT * INTO v_got FROM ballast.ledger_post(
        'exchange:' || v_row.id || ':got', 'exchange:' || v_row.id, ballast.exchange_account(v_row.got_currency), v_to,
        v_row.got_amount, v_row.got_currency, 'exchange_got', '', 'user', NULL);
    IF v_given.r_status <> 'applied' OR v_got.r_status <> 'applied' THEN
        RAISE EXCEPTION 'exchange %: one side was not applied', v_row.id USING ERRCODE = 'check_violation';
    END IF;
    UPDATE ballast.exchange_accounts SET balance = balance + v_row.given_amount WHERE currency = v_row.given_currency;
    UPDATE ballast.exchange_accounts SET balance = balance - v_row.got_amount WHERE currency = v_row.got_currency;
    UPDATE ballast.exchanges
       SET status = 'confirmed', given_transfer_id = v_given.r_transfer_id, got_transfer_id = v_got.r_transfer_id,
           decided_key = p_key, decided_at = clock_timestamp()
     WHERE id = v_row.id;
    r_status := 'applied';
    r_decision := 'confirmed';
    r_given_balance := v_given.r_from_balance;
    r_got_balance := v_got.r_to_balance;
END
$$;

-- As in 0022, and the account `exchange` is kept at or above its floor.
CREATE OR REPLACE FUNCTION ballast.ledger_reclassify(
    p_key text, p_fingerprint text, p_from text, p_to text, p_amount bigint, p_currency text, p_memo text, p_actor text,
    OUT r_transfer_id bigint, OUT r_status text, OUT r_reason text
) LANGUAGE plpgsql AS $$
DECLARE
    v_post record;
    v_balance bigint;
    v_floor bigint;
BEGIN
    IF 'stars' IN (p_from, p_to) THEN
        RAISE EXCEPTION 'the account stars has payments only' USING ERRCODE = 'check_violation';
    END IF;
    IF 'exchange' IN (p_from, p_to) THEN
        PERFORM ballast.exchange_account(p_currency);
        SELECT e.balance, e.floor INTO v_balance, v_floor
          FROM ballast.exchange_accounts e WHERE e.currency = p_currency FOR NO KEY UPDATE;
    END IF;
    SELECT * INTO v_post FROM ballast.ledger_post(
        p_key, p_fingerprint, ballast.ledger_system_account(p_from, p_currency),
        ballast.ledger_system_account(p_to, p_currency), p_amount, p_currency, 'reclassification', p_memo, p_actor,
        CASE WHEN p_from = 'exchange' AND v_balance - p_amount < v_floor THEN 'exchange_short' END);
    IF v_post.r_status = 'applied' THEN
        UPDATE ballast.exchange_accounts SET balance = balance + CASE WHEN p_to = 'exchange' THEN p_amount ELSE -p_amount END
         WHERE currency = p_currency AND 'exchange' IN (p_from, p_to);
    END IF;
    r_transfer_id := v_post.r_transfer_id;
    r_status := v_post.r_status;
    r_reason := v_post.r_reason;
END
$$;

-- As in 0031, and neither half of an exchange is reversed by itself.
CREATE OR REPLACE FUNCTION ballast.ledger_reverse(
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
                   IN ('star_payment', 'star_refund', 'provider_payment', 'provider_refund', 'provider_fee',
                       'payout', 'reclassification', 'reversal', 'exchange_given', 'exchange_got')
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
