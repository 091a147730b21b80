"""How everything is, as Redis knows it: what the pages and /dbstatus show. Import from its modules."""
