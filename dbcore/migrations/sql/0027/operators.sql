-- Roles that owners gave in the chat, by API or in the shell, beside those of ADMIN_IDS and ADMIN_ROLES. Who gave and
-- took which is in admin_actions.
CREATE TABLE ballast.operators (
    telegram_id bigint NOT NULL CONSTRAINT operators_pkey PRIMARY KEY,
    role        text NOT NULL,
    granted_by  text NOT NULL,
    granted_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT operators_role_is_known CHECK (role IN ('viewer', 'support', 'treasurer', 'owner'))
);
-- The audit log is searched by who did it and by what it is about.
CREATE INDEX admin_actions_actor_idx ON ballast.admin_actions (actor, id);
CREATE INDEX admin_actions_target_idx ON ballast.admin_actions (target, id);

-- What admins confirm in the chat is in the audit log too, in the transaction that does it.
CREATE FUNCTION ballast.pending_adjustments_audited() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_telegram_id bigint;
    v_balance bigint;
BEGIN
    SELECT u.telegram_id INTO v_telegram_id FROM ballast.users u WHERE u.id = NEW.target_user_id;
    SELECT e.balance_after INTO v_balance
      FROM ballast.entries e JOIN ballast.accounts a ON a.id = e.account_id
     WHERE e.transfer_id = NEW.transfer_id AND a.user_id = NEW.target_user_id AND NEW.status = 'confirmed';
    INSERT INTO ballast.admin_actions (action_id, actor, action, target, outcome, created_at, reason, before, after)
    VALUES ('pending_adjustment:' || NEW.id, 'telegram:' || NEW.admin_id,
            CASE WHEN NEW.amount > 0 THEN 'user.credit' ELSE 'user.debit' END, v_telegram_id::text,
            CASE NEW.status WHEN 'confirmed' THEN 'done' ELSE 'refused: ' || NEW.reason END, NEW.decided_at,
            nullif(left(NEW.memo, 500), ''),
            CASE WHEN v_balance IS NOT NULL THEN jsonb_build_object('balance', v_balance - NEW.amount) END,
            CASE WHEN v_balance IS NOT NULL THEN jsonb_build_object('balance', v_balance) END)
    ON CONFLICT (action_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER pending_adjustments_audited AFTER UPDATE ON ballast.pending_adjustments
    FOR EACH ROW WHEN (OLD.status = 'pending' AND NEW.status IN ('confirmed', 'failed'))
    EXECUTE FUNCTION ballast.pending_adjustments_audited();

-- A payer's own refund is no act of an operator's.
CREATE FUNCTION ballast.star_refunds_audited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ballast.admin_actions (action_id, actor, action, target, outcome, created_at, before, after)
    VALUES ('star_refund:' || NEW.id, NEW.actor, 'payment.refund', NEW.star_payment_id::text,
            CASE NEW.status WHEN 'done' THEN 'done' ELSE 'refused: ' || NEW.reason END, NEW.ended_at,
            jsonb_build_object('status', OLD.status), jsonb_build_object('status', NEW.status))
    ON CONFLICT (action_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER star_refunds_audited AFTER UPDATE ON ballast.star_refunds
    FOR EACH ROW WHEN (NOT NEW.by_payer AND OLD.status IN ('pending', 'asked') AND NEW.status IN ('done', 'refused'))
    EXECUTE FUNCTION ballast.star_refunds_audited();
