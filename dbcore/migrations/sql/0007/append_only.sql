-- A superuser who sets session_replication_role = replica switches ordinary triggers off. These fire all the same.
ALTER TABLE transfers ENABLE ALWAYS TRIGGER transfers_append_only;
ALTER TABLE transfers ENABLE ALWAYS TRIGGER transfers_no_truncate;
ALTER TABLE entries ENABLE ALWAYS TRIGGER entries_append_only;
ALTER TABLE entries ENABLE ALWAYS TRIGGER entries_no_truncate;
ALTER TABLE admin_actions ENABLE ALWAYS TRIGGER admin_actions_append_only;
ALTER TABLE admin_actions ENABLE ALWAYS TRIGGER admin_actions_no_truncate;
