-- Why an operator did it, and how what it is about was before and after. NULL for what was done before there was this.
ALTER TABLE ballast.admin_actions
    ADD COLUMN reason text,
    ADD COLUMN before jsonb,
    ADD COLUMN after jsonb;
