-- A superuser who sets session_replication_role = replica switches ordinary triggers off. These fire all the same.
ALTER TABLE ballast.transfers ENABLE ALWAYS TRIGGER transfers_append_only;
ALTER TABLE ballast.transfers ENABLE ALWAYS TRIGGER transfers_no_truncate;
ALTER TABLE ballast.entries ENABLE ALWAYS TRIGGER entries_append_only;
ALTER TABLE ballast.entries ENABLE ALWAYS TRIGGER entries_no_truncate;
ALTER TABLE ballast.admin_actions ENABLE ALWAYS TRIGGER admin_actions_append_only;
ALTER TABLE ballast.admin_actions ENABLE ALWAYS TRIGGER admin_actions_no_truncate;
