-- Withdrawals: put before whoever asked (pending), confirmed with their money held (held), approved by rule or by a person
-- (approved), with the provider asked or about to be (paying), and what became of it. One of the adapter `manual` is
-- paying from its approval on: a person pays it, and says so. Locked in one order everywhere: the withdrawal, the account, the hold.
--
-- pays, pays_currency -- what is paid out, in minor units of the adapter's currency. open_attempts -- the requests that the
-- provider has not answered: while there is one, nobody may conclude from a refusal that nothing was paid.
-- word_key, word_by -- of the last word of an operator, or of the rule. due_at -- when it is to be gone on with.
CREATE TABLE ballast.withdrawals (
    id              bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT withdrawals_pkey PRIMARY KEY,
    token           text NOT NULL CONSTRAINT withdrawals_token_key UNIQUE,
    idempotency_key text NOT NULL CONSTRAINT withdrawals_idempotency_key_key UNIQUE,
    user_id         bigint NOT NULL CONSTRAINT withdrawals_user_id_fkey REFERENCES ballast.users (id),
    amount          bigint NOT NULL,
    currency        text NOT NULL,
    adapter         text NOT NULL,
    destination     text NOT NULL,
    pays            bigint NOT NULL,
    pays_currency   text NOT NULL,
    status          text NOT NULL DEFAULT 'pending',
    reason          text,
    hold_id         bigint CONSTRAINT withdrawals_hold_id_fkey REFERENCES ballast.holds (id),
    decided_key     text,
    word_key        text,
    word_by         text,
    attempts        integer NOT NULL DEFAULT 0,
    open_attempts   integer[] NOT NULL DEFAULT '{}',
    attempt_at      timestamptz,
    due_at          timestamptz,
    reference       text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    decided_at      timestamptz,
    ended_at        timestamptz,
    CONSTRAINT withdrawals_hold_id_key UNIQUE (hold_id),
    CONSTRAINT withdrawals_word_key_key UNIQUE (word_key),
    CONSTRAINT withdrawals_amount_within_bounds CHECK (amount > 0 AND amount <= 1000000000000000 AND pays > 0),
    CONSTRAINT withdrawals_status_known CHECK (status IN ('pending', 'held', 'approved', 'paying', 'paid', 'returned',
                                                          'refused', 'cancelled', 'expired')),
    CONSTRAINT withdrawals_refusal_has_reason CHECK ((status IN ('refused', 'returned')) = (reason IS NOT NULL)),
    CONSTRAINT withdrawals_hold_first
        CHECK ((status IN ('held', 'approved', 'paying', 'paid', 'returned')) = (hold_id IS NOT NULL)),
    CONSTRAINT withdrawals_approved_by_somebody CHECK (status NOT IN ('approved', 'paying', 'paid') OR word_by IS NOT NULL),
    CONSTRAINT withdrawals_payout_has_reference CHECK ((status = 'paid') = (reference IS NOT NULL)),
    CONSTRAINT withdrawals_decision_has_key
        CHECK ((status = 'pending') = (decided_key IS NULL) AND (decided_key IS NULL) = (decided_at IS NULL)),
    CONSTRAINT withdrawals_end_has_time
        CHECK ((status IN ('pending', 'held', 'approved', 'paying')) = (ended_at IS NULL))
);
CREATE INDEX withdrawals_open_idx ON ballast.withdrawals (id) WHERE status IN ('held', 'approved', 'paying');
CREATE INDEX withdrawals_user_idx ON ballast.withdrawals (user_id, decided_at);

CREATE TRIGGER withdrawals_end_once BEFORE UPDATE ON ballast.withdrawals
    FOR EACH ROW WHEN (OLD.status NOT IN ('pending', 'held', 'approved', 'paying'))
    EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER withdrawals_kept BEFORE DELETE ON ballast.withdrawals
    FOR EACH ROW EXECUTE FUNCTION ballast.admin_actions_refuse_change();
CREATE TRIGGER withdrawals_no_truncate BEFORE TRUNCATE ON ballast.withdrawals
    FOR EACH STATEMENT EXECUTE FUNCTION ballast.admin_actions_refuse_change();
ALTER TABLE ballast.withdrawals ENABLE ALWAYS TRIGGER withdrawals_end_once;
ALTER TABLE ballast.withdrawals ENABLE ALWAYS TRIGGER withdrawals_kept;
ALTER TABLE ballast.withdrawals ENABLE ALWAYS TRIGGER withdrawals_no_truncate;
REVOKE DELETE, TRUNCATE ON ballast.withdrawals FROM PUBLIC, CURRENT_USER;

-- Whether all payouts are stopped: one row.
CREATE TABLE ballast.payout_switch (
    id         integer NOT NULL CONSTRAINT payout_switch_pkey PRIMARY KEY,
    is_stopped boolean NOT NULL,
    actor      text NOT NULL,
    reason     text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT payout_switch_one_row CHECK (id = 1)
);
INSERT INTO ballast.payout_switch (id, is_stopped, actor, reason) VALUES (1, false, '', '');

ALTER TABLE ballast.system_accounts DROP CONSTRAINT system_accounts_name_known;
ALTER TABLE ballast.system_accounts ADD CONSTRAINT system_accounts_name_known
    CHECK (name IN ('house', 'stars', 'opening', 'adjustments', 'promo', 'provider_fees', 'payouts')
           OR name ~ '^provider:[a-z][a-z0-9_]{0,19}$');

-- What of the last 24 hours counts against the limits of a user: midnight doubles nothing.
CREATE FUNCTION ballast.withdrawn_lately(p_user_id bigint, p_currency text, OUT r_amount bigint) LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(w.amount), 0)::bigint FROM ballast.withdrawals w
     WHERE w.user_id = p_user_id AND w.currency = p_currency AND w.status IN ('held', 'approved', 'paying', 'paid')
       AND w.decided_at > clock_timestamp() - interval '24 hours'
$$;

-- Puts a withdrawal before whoever asked. Nothing is held yet, and a refusal is not recorded.
-- r_left: what of the daily limit is left; NULL without one.
CREATE FUNCTION ballast.withdrawal_create(
    p_key text, p_token text, p_telegram_id bigint, p_amount bigint, p_currency text, p_adapter text, p_destination text,
    p_pays bigint, p_pays_currency text, p_limit bigint, p_limit_per_day bigint, p_expires_after interval,
    OUT r_status text, OUT r_reason text, OUT r_token text, OUT r_available bigint, OUT r_left bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_known record;
    v_owner record;
    v_inserted bigint;
BEGIN
    r_status := 'rejected';
    SELECT w.token INTO v_known FROM ballast.withdrawals w WHERE w.idempotency_key = p_key;
    SELECT a.user_id, a.balance - a.held AS available, a.sending_frozen INTO v_owner
      FROM ballast.users u JOIN ballast.accounts a ON a.user_id = u.id AND a.currency = p_currency
     WHERE u.telegram_id = p_telegram_id;
    r_available := v_owner.available;
    IF v_known.token IS NULL THEN
        r_left := CASE WHEN p_limit_per_day IS NOT NULL
                       THEN greatest(0, p_limit_per_day - ballast.withdrawn_lately(v_owner.user_id, p_currency)) END;
        r_reason := CASE
            WHEN v_owner.user_id IS NULL THEN 'unknown_user'
            WHEN (SELECT s.is_stopped FROM ballast.payout_switch s) THEN 'payouts_stopped'
            WHEN v_owner.sending_frozen THEN 'account_frozen'
            WHEN p_amount > p_limit THEN 'over_limit'
            WHEN p_amount > r_left THEN 'over_daily_limit'
            WHEN p_amount > v_owner.available THEN 'insufficient_funds'
        END;
        IF r_reason IS NOT NULL THEN
            RETURN;
        END IF;
        INSERT INTO ballast.withdrawals (token, idempotency_key, user_id, amount, currency, adapter, destination, pays,
                                         pays_currency, expires_at)
        VALUES (p_token, p_key, v_owner.user_id, p_amount, p_currency, p_adapter, p_destination, p_pays, p_pays_currency,
                clock_timestamp() + p_expires_after)
        ON CONFLICT (idempotency_key) DO NOTHING
        RETURNING id INTO v_inserted;
        SELECT w.token INTO STRICT v_known FROM ballast.withdrawals w WHERE w.idempotency_key = p_key;
    END IF;
    r_status := CASE WHEN v_inserted IS NULL THEN 'replayed' ELSE 'applied' END;
    r_token := v_known.token;
END
$$;

-- Confirm or Cancel, by whoever asked. Confirmed, the money is held, and the withdrawal is approved if both amounts of the
-- rule allow it. NULL: no limit; of the rule, nothing is approved by it.
CREATE FUNCTION ballast.withdrawal_decide(
    p_key text, p_token text, p_telegram_id bigint, p_confirm boolean, p_waited interval,
    p_limit bigint, p_limit_per_day bigint, p_auto bigint, p_auto_per_day bigint,
    OUT r_status text, OUT r_reason text, OUT r_state text, OUT r_id bigint, OUT r_available bigint, OUT r_left bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_lately bigint;
    v_hold_id bigint;
    v_pressed_at timestamptz;
BEGIN
    r_status := 'rejected';
    SELECT w.*, u.telegram_id INTO v_row FROM ballast.withdrawals w JOIN ballast.users u ON u.id = w.user_id
     WHERE w.token = p_token FOR NO KEY UPDATE OF w;
    IF v_row.id IS NULL THEN
        r_reason := 'unknown_withdrawal';
        RETURN;
    ELSIF v_row.telegram_id <> p_telegram_id THEN
        r_reason := 'not_yours';
        RETURN;
    END IF;
    r_id := v_row.id;
    r_state := v_row.status;
    IF v_row.status <> 'pending' THEN
        r_reason := CASE
            WHEN v_row.status = 'refused' THEN v_row.reason
            WHEN v_row.status = 'expired' THEN 'expired'
            WHEN v_row.decided_key = p_key THEN NULL
            WHEN v_row.status = 'cancelled' THEN 'already_cancelled'
            ELSE 'already_confirmed'
        END;
        r_status := CASE WHEN r_reason IS NULL THEN 'replayed' ELSE 'rejected' END;
        RETURN;
    END IF;

    v_pressed_at := greatest(v_row.created_at, clock_timestamp() - greatest(p_waited, interval '0'));
    r_state := CASE WHEN v_pressed_at > v_row.expires_at THEN 'expired' WHEN NOT p_confirm THEN 'cancelled' ELSE 'held' END;
    r_reason := CASE r_state WHEN 'expired' THEN 'expired' END;
    IF r_state = 'held' THEN
        -- Two withdrawals of one user wait here for each other, so that both cannot use the same rest of a limit.
        PERFORM FROM ballast.accounts a WHERE a.user_id = v_row.user_id AND a.currency = v_row.currency FOR NO KEY UPDATE;
        v_lately := ballast.withdrawn_lately(v_row.user_id, v_row.currency);
        r_left := CASE WHEN p_limit_per_day IS NOT NULL THEN greatest(0, p_limit_per_day - v_lately) END;
        r_reason := CASE
            WHEN (SELECT s.is_stopped FROM ballast.payout_switch s) THEN 'payouts_stopped'
            WHEN v_row.amount > p_limit THEN 'over_limit'
            WHEN v_row.amount > r_left THEN 'over_daily_limit'
        END;
        IF r_reason IS NULL THEN
            SELECT h.r_hold_id, h.r_reason, h.r_available INTO STRICT v_hold_id, r_reason, r_available FROM ballast.ledger_hold(
                'hold:withdrawal:' || v_row.id, '', v_row.telegram_id, NULL, v_row.amount, v_row.currency,
                'Withdrawal ' || v_row.id, 'telegram:' || v_row.telegram_id, NULL) AS h;
        END IF;
        IF r_reason IS NOT NULL THEN
            r_state := 'refused';
        ELSIF v_row.amount <= p_auto AND v_lately + v_row.amount <= coalesce(p_auto_per_day, v_lately + v_row.amount) THEN
            r_state := CASE v_row.adapter WHEN 'manual' THEN 'paying' ELSE 'approved' END;
        END IF;
    END IF;
    UPDATE ballast.withdrawals
       SET status = r_state, reason = CASE r_state WHEN 'refused' THEN r_reason END,
           hold_id = CASE WHEN r_state IN ('held', 'approved', 'paying') THEN v_hold_id END,
           word_by = CASE WHEN r_state IN ('approved', 'paying') THEN 'rule' END,
           due_at = CASE WHEN r_state = 'approved' THEN clock_timestamp() END,
           decided_key = p_key, decided_at = clock_timestamp(),
           ended_at = CASE WHEN r_state NOT IN ('held', 'approved', 'paying') THEN clock_timestamp() END
     WHERE id = v_row.id;
    r_status := CASE WHEN r_reason IS NULL THEN 'applied' ELSE 'rejected' END;
END
$$;

-- Ends one whose row the caller has locked: posts its hold to `payouts`, or voids it.
CREATE FUNCTION ballast.withdrawal_end(p_id bigint, p_reference text, p_reason text, p_actor text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_row record;
    v_end record;
BEGIN
    SELECT w.hold_id, w.currency INTO STRICT v_row FROM ballast.withdrawals w WHERE w.id = p_id;
    SELECT e.* INTO STRICT v_end FROM ballast.ledger_end_hold(
        'withdrawal:' || p_id, '', v_row.hold_id, v_row.currency, p_reference IS NOT NULL, NULL, NULL, NULL, p_actor) AS e;
    IF v_end.r_reason IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = format('withdrawal %s: its hold cannot be ended: %s', p_id, v_end.r_reason), ERRCODE = 'check_violation';
    END IF;
    UPDATE ballast.withdrawals
       SET status = CASE WHEN p_reference IS NULL THEN 'returned' ELSE 'paid' END, reference = p_reference,
           reason = CASE WHEN p_reference IS NULL THEN p_reason END, due_at = NULL, ended_at = clock_timestamp()
     WHERE id = p_id;
END
$$;

-- The word of an operator: approve, decline, and of one that is being paid, that it was paid or that it was not. The last two
-- are about what the adapter cannot say; not before p_settled_after its last request, which could still arrive.
CREATE FUNCTION ballast.withdrawal_word(
    p_key text, p_id bigint, p_word text, p_actor text, p_text text, p_settled_after interval,
    OUT r_status text, OUT r_reason text, OUT r_state text
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
BEGIN
    r_status := 'rejected';
    SELECT w.* INTO v_row FROM ballast.withdrawals w WHERE w.id = p_id FOR NO KEY UPDATE;
    r_state := v_row.status;
    IF v_row.word_key = p_key THEN
        r_status := 'replayed';
        RETURN;
    END IF;
    r_reason := CASE
        WHEN v_row.id IS NULL OR v_row.hold_id IS NULL THEN 'unknown_withdrawal'
        WHEN EXISTS (SELECT FROM ballast.withdrawals w WHERE w.word_key = p_key) THEN 'key_reused'
        WHEN v_row.ended_at IS NOT NULL THEN 'withdrawal_ended'
        WHEN p_word = 'approve' AND v_row.status <> 'held' THEN 'already_approved'
        WHEN p_word = 'decline' AND v_row.status = 'paying' THEN 'payout_under_way'
        WHEN p_word IN ('paid', 'unpaid') AND v_row.status <> 'paying' THEN 'not_approved'
        WHEN p_word IN ('paid', 'unpaid') AND v_row.attempt_at > clock_timestamp() - p_settled_after THEN 'payout_under_way'
    END;
    IF r_reason IS NOT NULL THEN
        RETURN;
    END IF;
    UPDATE ballast.withdrawals SET word_key = p_key, word_by = p_actor WHERE id = p_id;
    IF p_word = 'approve' THEN
        r_state := CASE v_row.adapter WHEN 'manual' THEN 'paying' ELSE 'approved' END;
        UPDATE ballast.withdrawals
           SET status = r_state, due_at = CASE r_state WHEN 'approved' THEN clock_timestamp() END WHERE id = p_id;
    ELSE
        r_state := CASE p_word WHEN 'paid' THEN 'paid' ELSE 'returned' END;
        PERFORM ballast.withdrawal_end(p_id, CASE p_word WHEN 'paid' THEN p_text END, p_text, p_actor);
    END IF;
    r_status := 'applied';
END
$$;

-- What a worker is to do about a payout now: `pay` it, which is on record as an attempt before the provider is asked; `ask`
-- how it stands, for a request was made whose answer is not known; or `wait`. p_absent_after: the number of attempts that
-- were made when the provider said that it knows no such payout. While payouts are stopped nobody is told to pay.
CREATE FUNCTION ballast.withdrawal_begin(
    p_token text, p_settled_after interval, p_absent_after integer,
    OUT r_action text, OUT r_id bigint, OUT r_attempt integer, OUT r_destination text, OUT r_adapter text,
    OUT r_pays bigint, OUT r_pays_currency text, OUT r_telegram_id bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
BEGIN
    SELECT w.*, u.telegram_id INTO STRICT v_row FROM ballast.withdrawals w JOIN ballast.users u ON u.id = w.user_id
     WHERE w.token = p_token FOR NO KEY UPDATE OF w;
    r_id := v_row.id;
    r_attempt := v_row.attempts;
    r_destination := v_row.destination;
    r_adapter := v_row.adapter;
    r_pays := v_row.pays;
    r_pays_currency := v_row.pays_currency;
    r_telegram_id := v_row.telegram_id;
    r_action := CASE
        WHEN v_row.status = 'approved' THEN 'pay'
        WHEN v_row.status <> 'paying' OR v_row.attempts = 0 THEN 'wait'
        WHEN v_row.attempt_at > clock_timestamp() - p_settled_after THEN 'wait'
        WHEN p_absent_after = v_row.attempts THEN 'pay'
        ELSE 'ask'
    END;
    -- Shared until this commits: whoever stops payouts waits for it, and no later one begins.
    IF r_action = 'pay' AND (SELECT s.is_stopped FROM ballast.payout_switch s FOR SHARE) THEN
        r_action := 'wait';
    ELSIF r_action = 'pay' THEN
        r_attempt := v_row.attempts + 1;
        UPDATE ballast.withdrawals
           SET status = 'paying', attempts = r_attempt, open_attempts = open_attempts || r_attempt,
               attempt_at = clock_timestamp(), due_at = clock_timestamp() + p_settled_after
         WHERE id = v_row.id;
    END IF;
END
$$;

-- What the provider answered: `paid` with its reference; `refused`, by the answer to one attempt; or `failed`, which it says
-- of the key itself. A refusal returns the money only if no other attempt is without an answer.
CREATE FUNCTION ballast.withdrawal_answer(
    p_token text, p_answer text, p_attempt integer, p_text text, p_ask_again_after interval,
    OUT r_status text, OUT r_state text
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_open integer[];
BEGIN
    SELECT w.* INTO STRICT v_row FROM ballast.withdrawals w WHERE w.token = p_token FOR NO KEY UPDATE;
    r_state := v_row.status;
    r_status := 'replayed';
    IF v_row.status <> 'paying' THEN
        RETURN;
    END IF;
    v_open := CASE p_answer WHEN 'refused' THEN array_remove(v_row.open_attempts, p_attempt) ELSE '{}' END;
    UPDATE ballast.withdrawals SET open_attempts = v_open, due_at = clock_timestamp() + p_ask_again_after WHERE id = v_row.id;
    IF p_answer = 'paid' OR cardinality(v_open) = 0 THEN
        PERFORM ballast.withdrawal_end(v_row.id, CASE p_answer WHEN 'paid' THEN p_text END, p_text, 'adapter:' || v_row.adapter);
        r_state := CASE p_answer WHEN 'paid' THEN 'paid' ELSE 'returned' END;
        r_status := 'applied';
    END IF;
END
$$;
