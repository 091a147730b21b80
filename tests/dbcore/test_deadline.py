from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import psycopg2
import pytest

from dbcore import deadline
from dbcore.deadline import Deadline, DeadlineExceeded


@pytest.fixture(autouse=True)
def _installed() -> None:
    deadline.install()  # and left so: other tests' engines in this process rely on it


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_connecting_ends_at_the_connect_time_out_it_asked_for(silent_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        psycopg2.connect(host="127.0.0.1", port=silent_port, user="x", connect_timeout=2)
    assert 1.9 < time.monotonic() - started < 20


def test_connecting_ends_at_the_deadline(silent_port: int) -> None:
    with Deadline(0.2), pytest.raises(DeadlineExceeded):
        psycopg2.connect(host="127.0.0.1", port=silent_port, user="x", connect_timeout=60)


def test_a_statement_ends_at_the_deadline_and_its_connection_with_it(database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with Deadline(0.2), connection.cursor() as cursor, pytest.raises(DeadlineExceeded):
        cursor.execute("SELECT pg_sleep(60)")
    assert connection.closed


def test_the_nearer_of_two_deadlines_holds_and_the_outer_comes_back() -> None:
    with Deadline(100):
        with Deadline(5):
            assert deadline.remaining_seconds() <= 5
            with Deadline(50):
                assert deadline.remaining_seconds() <= 5
        assert deadline.remaining_seconds() > 50
    assert deadline.remaining_seconds() == float("inf")


def test_without_a_deadline_a_statement_takes_its_time(database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.3), 7")
        assert cursor.fetchone() == ("", 7)
    connection.close()
