"""Stock Celery as its documentation recommends it against losses: acks_late, reject_on_worker_lost, prefetch of one.

Two tasks, one that inserts a row and one that inserts it under a key; neither knows of Ballast.
"""

from __future__ import annotations

import os
import signal
import time

import psycopg2
from celery import Celery

app = Celery("stock", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": int(os.environ["STOCK_VISIBILITY_SECONDS"]),
        "unacked_restore_interval": 1,  # 10 x 10 s by default: the sweep would come after 100 s
        "unacked_restore_throttle": 1,
    },
    worker_hijack_root_logger=False,
)

INSERTS = {
    "plain": "INSERT INTO plain (job_id) VALUES (%s)",
    "keyed": "INSERT INTO keyed (job_id) VALUES (%s) ON CONFLICT DO NOTHING",
    "begun": "INSERT INTO begun (job_id) VALUES (%s)",
}


def _insert(table: str, job_id: str) -> None:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(INSERTS[table], (job_id,))
    finally:
        connection.close()


@app.task(name="stock.insert")
def insert(job_id: str, table: str, seconds: float = 0.05) -> None:
    """`seconds` stands for what comes after the effect, such as the answer."""
    _insert("begun", job_id)
    _insert(table, job_id)
    time.sleep(seconds)


@app.task(name="stock.poison")
def poison(job_id: str) -> None:
    _insert("begun", job_id)
    os.kill(os.getpid(), signal.SIGKILL)
