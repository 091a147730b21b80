"""The database moves to another server while the bot runs. docs/adr/0012-moving.md says why so.

whereabouts    where a database is now, as far as this process has heard
sealing        the new address, readable for the bot's own processes only
notice         what an old database says of where it went, and the triggers by which it refuses every write
role_defaults  what each new session of a login begins with
following      a new connection leads to where the database is now
record         the move in Redis: what processes and pages go by
heeding        what a process does when it hears of a move
hold           nobody writes to the old database: a transaction that ends by itself should its holder die
checks         what must be so before anything is touched
replication    by logical replication, while everybody writes
"""
