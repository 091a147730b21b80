-- approved_at: by a person; a rule approves with the confirmation. asked_at: the first request to its provider.
ALTER TABLE ballast.withdrawals ADD COLUMN approved_at timestamptz, ADD COLUMN asked_at timestamptz;

-- Why nothing may be paid out to a user now: their account is frozen, or does not cover what is held of it. NULL: it may.
-- Their account is locked until the end of the transaction.
CREATE FUNCTION ballast.withdrawal_not_now(p_user_id bigint, p_currency text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_account record;
BEGIN
    SELECT a.id, a.balance - a.held AS available, a.sending_frozen INTO STRICT v_account
      FROM ballast.accounts a WHERE a.user_id = p_user_id AND a.currency = p_currency FOR NO KEY UPDATE;
    IF v_account.sending_frozen THEN
        RETURN 'account_frozen';
    ELSIF v_account.available < 0 AND v_account.available + ballast.ledger_expire_holds(v_account.id) < 0 THEN
        RETURN 'insufficient_funds';
    END IF;
    RETURN NULL;
END
$$;

-- As in 0031, and while its user's account is frozen nobody is told to pay. What no provider was asked for yet is returned if
-- its user owes money by now, such as after a refund of what they paid in: what is held pays that first.
CREATE OR REPLACE FUNCTION ballast.withdrawal_begin(
    p_token text, p_settled_after interval, p_absent_after integer,
    OUT r_action text, OUT r_id bigint, OUT r_attempt integer, OUT r_destination text, OUT r_adapter text,
    OUT r_pays bigint, OUT r_pays_currency text, OUT r_telegram_id bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' AS $$
DECLARE
    v_row record;
    v_refusal text;
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
    IF r_action <> 'pay' THEN
        RETURN;
    END IF;
    v_refusal := ballast.withdrawal_not_now(v_row.user_id, v_row.currency);
    IF v_refusal = 'insufficient_funds' AND v_row.attempts = 0 THEN
        r_action := 'returned';
        PERFORM ballast.withdrawal_end(v_row.id, NULL, v_refusal, 'balance');
    -- Shared until this commits: whoever stops payouts waits for it, and no later one begins.
    ELSIF v_refusal IS NOT NULL OR (SELECT s.is_stopped FROM ballast.payout_switch s FOR SHARE) THEN
        r_action := 'wait';
    ELSE
        r_attempt := v_row.attempts + 1;
        UPDATE ballast.withdrawals
           SET status = 'paying', attempts = r_attempt, open_attempts = open_attempts || r_attempt,
               attempt_at = clock_timestamp(), asked_at = coalesce(v_row.asked_at, clock_timestamp()),
               due_at = clock_timestamp() + p_settled_after
         WHERE id = v_row.id;
    END IF;
END
$$;

-- As in 0031, and a withdrawal of somebody whose account is frozen, or who owes money, is not approved.
CREATE OR REPLACE FUNCTION ballast.withdrawal_word(
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
        WHEN p_word = 'approve' THEN ballast.withdrawal_not_now(v_row.user_id, v_row.currency)
    END;
    IF r_reason IS NOT NULL THEN
        RETURN;
    END IF;
    UPDATE ballast.withdrawals SET word_key = p_key, word_by = p_actor WHERE id = p_id;
    IF p_word = 'approve' THEN
        r_state := CASE v_row.adapter WHEN 'manual' THEN 'paying' ELSE 'approved' END;
        UPDATE ballast.withdrawals
           SET status = r_state, approved_at = clock_timestamp(),
               due_at = CASE r_state WHEN 'approved' THEN clock_timestamp() END
         WHERE id = p_id;
    ELSE
        r_state := CASE p_word WHEN 'paid' THEN 'paid' ELSE 'returned' END;
        PERFORM ballast.withdrawal_end(p_id, CASE p_word WHEN 'paid' THEN p_text END, p_text, p_actor);
    END IF;
    r_status := 'applied';
END
$$;
