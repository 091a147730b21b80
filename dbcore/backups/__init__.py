"""Dumps the database and proves that a dump can be restored.

programs   PostgreSQL's pg_dump and pg_restore, of a version that fits the server
facts      what a database holds: rows of each table, sums of the ledger
dumping    a dump, and the facts of the same moment
scratch    databases that exist for one proof
proving    a dump restored into a scratch database, audited and compared with its facts
restoring  a dump restored into the database that the bot goes on with
"""
