"""The guard: breaker, deadline, retries and defaults for SQLAlchemy code of your own.

    guard.py        Guard: made from the environment or a URL
    transaction.py  transact: one real transaction, run again as a whole on what a retry mends, exactly once by a key
    session.py      session: a Session with real transactions, whose body runs once
    reading.py      read: a function that answers by a default while the database does not
    ledger.py       tx.ledger: money in the same transaction
    effects.py      the table of keys
    attached.py     attach: an engine that is there already, guarded; flask.py: Flask-SQLAlchemy's
    aio.py          AsyncGuard: the same from asyncio, in threads.py's threads; session_thread.py

Import the public names from `dbcore`.
"""
