from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.dbcore.conftest import Sql

# In a process of its own, as a gunicorn master that preloads the app. It prints what its children and it saw.
FORKING = """
    import gc, json, os, sys, threading, time, traceback
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.orm import Session
    from dbcore.breaker.local import Breaker
    from dbcore.guard.attached import attach_engine
    from devstack.proxy import frozen

    engine = create_engine(sys.argv[1], pool_size=2, max_overflow=0)
    breaker = Breaker(clock=time.monotonic)
    attach_engine(engine, breaker=breaker, statement_seconds=1.5)
    pid = text("SELECT pg_backend_pid()")
    held, idle = engine.connect(), engine.connect()
    pids = [held.scalar(pid), idle.scalar(pid)]
    idle.close()
    held.execute(text("UPDATE acct SET bal = bal - 1 WHERE id = 1"))

    def hold_all_locks():
        with breaker._lock, engine.pool._overflow_lock, engine.pool._pool.mutex:
            held_all.set()
            forked.wait()

    breaker.force_open()
    held_all, forked = threading.Event(), threading.Event()
    threading.Thread(target=hold_all_locks, daemon=True).start()
    held_all.wait()

    shared = create_engine(sys.argv[1])
    attach_engine(shared, breaker=lambda: breakers[os.getpid()])
    breakers = {os.getpid(): Breaker(clock=time.monotonic)}
    shared.connect().close()

    def in_child(number, report):
        with os.fdopen(report, "w") as out:
            seen = {"state": breaker.snapshot().state, "open": engine.pool.checkedin() + engine.pool.checkedout()}
            try:
                held.execute(text("SELECT 1"))
            except DBAPIError as error:
                seen["inherited"] = type(error).__name__
            held.rollback()
            held.close()
            gc.collect()
            breakers[os.getpid()] = Breaker(clock=time.monotonic)
            breakers[os.getpid()].force_open()
            try:
                shared.connect()
            except DBAPIError as error:
                seen["by the child's own breaker"] = type(error).__name__
            with Session(engine) as session:
                seen["pid"] = session.scalar(pid)
            for _ in range(10):
                with Session(engine) as session, session.begin():
                    session.execute(text("UPDATE acct SET bal = bal - 1 WHERE id = :id"), {"id": number})
            with engine.connect() as connection, frozen(connection.scalar(pid)):
                try:
                    connection.execute(text("SELECT 1"))
                except DBAPIError as error:
                    seen["late"] = type(error).__name__
            json.dump(seen, out)

    children = []
    for number in range(2, 6):
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                in_child(number, write)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.close(write)
        children.append(os.fdopen(read))
    forked.set()
    seen = [json.load(child) for child in children]
    for _ in children:
        os.wait()
    assert held.scalar(pid) == pids[0]  # goes on, and so does its transaction
    held.commit()
    print(json.dumps({"pids": pids, "children": seen}))
"""


def test_a_forked_child_has_connections_a_watch_and_a_breaker_of_its_own(database_url: str, sql: Sql) -> None:
    sql(
        "CREATE TABLE acct AS SELECT id, 100 AS bal FROM generate_series(1, 5) id; GRANT ALL ON acct TO public"
    )
    driven = database_url.replace("postgresql:", "postgresql+psycopg2:")
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKING), driven],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    for child in seen["children"]:
        assert (child["state"], child["open"]) == ("closed", 0)
        assert child["inherited"] == "InterfaceError"
        assert child["by the child's own breaker"] == "UnavailableOperationalError"
        assert child["late"] == "UnavailableOperationalError"
    pids = [*seen["pids"], *(child["pid"] for child in seen["children"])]
    assert len(set(pids)) == len(pids)
    assert sql("SELECT bal FROM acct ORDER BY id") == [(99,), (90,), (90,), (90,), (90,)]
