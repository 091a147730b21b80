-- Credits and debits above their operator's limits, which wait for a second person's word. `amount` is signed.
CREATE TABLE ballast.approvals (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT approvals_pkey PRIMARY KEY,
    act_key     text NOT NULL CONSTRAINT approvals_act_key_key UNIQUE,  -- the transfer's idempotency key, once approved
    operator_id bigint NOT NULL,  -- Telegram's; who asked
    telegram_id bigint NOT NULL,  -- whom it is about
    amount      bigint NOT NULL,
    currency    text NOT NULL,
    reason      text NOT NULL,
    exceeds     text NOT NULL,
    status      text NOT NULL DEFAULT 'waiting',
    refusal     text,
    decided_key text,
    decided_by  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    decided_at  timestamptz,
    CONSTRAINT approvals_amount_within_bounds
        CHECK (amount <> 0 AND amount >= -1000000000000000 AND amount <= 1000000000000000),
    CONSTRAINT approvals_exceeds_known CHECK (exceeds IN ('over_limit', 'over_daily_limit')),
    -- refused: approved, and refused by the ledger.
    CONSTRAINT approvals_status_known CHECK (status IN ('waiting', 'approved', 'declined', 'refused')),
    CONSTRAINT approvals_refusal_has_reason CHECK ((status = 'refused') = (refusal IS NOT NULL)),
    CONSTRAINT approvals_decision_is_somebodys
        CHECK ((status = 'waiting') = (decided_by IS NULL) AND (decided_by IS NULL) = (decided_at IS NULL)
               AND (decided_by IS NULL) = (decided_key IS NULL)),
    CONSTRAINT approvals_decided_by_another CHECK (decided_by <> 'telegram:' || operator_id)
);

-- As before, and what the admin does beside the chat counts too: the day's limit is one, wherever they act.
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
                   AND a.outcome = 'done' AND NOT starts_with(a.action_id, 'pending_adjustment:')
                   AND a.created_at > clock_timestamp() - interval '24 hours') AS moved;
    END IF;
    r_reason := CASE
        WHEN abs(p_amount) > p_limit THEN 'over_limit'
        WHEN abs(p_amount) > r_left_today THEN 'over_daily_limit'
    END;
END
$$;
