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
