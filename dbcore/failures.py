"""What kind of failure a database error is: one table, read at one point (SQLAlchemy's `handle_error` event).

A row matches by SQLSTATE or by message, never by both:

- An error with a SQLSTATE of the server's own is judged by it alone. Its message may quote what a user wrote.
- While connecting, psycopg2 gives no SQLSTATE at all; and after FATAL-then-close libpq gives none in a query
  either. There the message tells: on our connections (deadline.py) it begins with the server's last words, and
  ends with "server closed the connection unexpectedly".
- Poolers and proxies speak with borrowed codes (PgBouncer 08P01, Neon and Supavisor XX000): there too only
  the message tells.
- One code stands for two things: 54000 is a statement that is too large, or a database that takes no writes until
  its transaction ids are vacuumed. The server's own words tell them apart.

Every SQLSTATE that PostgreSQL documents has its row (tests/conformance/test_sqlstates.py). Class 58 is the server's
own trouble with its disk, or with what a provider has in place of one: it passes, or a person is told by the breaker.
Damaged data (XX001, XX002) does not pass by waiting, and the same job again meets the same page: that job fails at
once, with an alarm, and what is undamaged goes on.

Messages are searched in lower case and in the table's order, so that of several addresses tried, one refused
and one with a bad password, the password is what we hear of.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import psycopg2

from dbcore.guard.deadline import DeadlineExceeded
from dbcore.moving.refusal import REFUSAL


class FailureKind(StrEnum):
    """What a failure asks of us."""

    CONFLICT = "conflict"  # two transactions collided: again at once
    SLOW = "slow"  # no answer in time: at most once more
    OUTAGE = "outage"  # nobody there: again on a budget
    SATURATION = "saturation"  # too many of us: back off
    QUOTA = "quota"  # the plan is used up: never again, tell the operator
    STORAGE = "storage"  # cannot write: refuse writes, keep reads
    AMBIGUOUS = "ambiguous"  # the provider does not say which: a back-off of seconds
    CONFIGURATION = "configuration"  # we are wrong: never again, tell the operator
    DATA = "data"  # the statement is wrong: the database is well
    CORRUPTION = "corruption"  # a page or an index is damaged: never again, tell the operator
    UNKNOWN_OUTCOME = "unknown_outcome"  # lost after the statement was sent: the same key again


class Phase(StrEnum):
    """How far the call had come. Before `query` nothing was sent, so nothing can have been applied."""

    CONNECT = "connect"
    QUERY = "query"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: a kind, and what it is recognised by. A SQLSTATE of two characters is what is left of a
    whole class.
    """

    kind: FailureKind
    sqlstates: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


K = FailureKind
RULES: tuple[Rule, ...] = (
    Rule(K.CONFLICT, sqlstates=("40000", "40001", "40P01", "72000")),
    Rule(
        K.SLOW,
        sqlstates=("57014", "55P03", "25P04"),
        messages=(
            "due to transaction timeout",  # 25P04 ends the session, and so never arrives as a code
            "query_timeout",  # PgBouncer's words to the client that waits too long
            "query timeout",  # and about the server that works too long
        ),
    ),
    Rule(
        K.QUOTA,
        messages=(
            "exceeded the compute time quota",
            "exceeded the data transfer quota",
            "exceeded the active time quota",
            "exceeded the written data quota",
            "exceeded the logical size quota",
            "you've exceeded the compute time for this branch",
        ),
    ),
    Rule(
        K.CONFIGURATION,
        sqlstates=("28", "3D", "42501", "F0"),
        messages=(
            REFUSAL,  # and this process cannot open the new address
            "endpoint is disabled",
            "cannot be found",
            "unsupported startup parameter",
            "unrecognized configuration parameter",
            "ecircuitbreaker",
            "password authentication failed",
            "no password supplied",
            "authentication failed",  # SASL, GSSAPI, peer, PgBouncer's own
            "no pg_hba.conf entry",
            "pg_hba.conf rejects",
            "is not permitted to log in",
            "permission denied for database",
            "tenant or user not found",
            "(enotfound)",  # Supavisor's present form of it
            "tenant is banned",
            "not in tenant allow_list",
            "authentication error, reason",
            "ssl connection is required",
            "ssl required",
            "endpoint id is not specified",
            "is not allowed to connect",
            "database does not allow connections",
            "no such user",
            "no such database",
            "server does not support ssl",
            "certificate verify failed",
            "certificate file",  # the root's or our own, that libpq cannot read
            "private key file",
            "server certificate for",
            "requires a valid client certificate",
            "channel binding",
            "does not match host name",
            "is not currently accepting connections",  # a database with ALLOW_CONNECTIONS false
            "cannot connect to invalid database",  # its DROP was broken off
            # DATABASE_URL says what libpq cannot take
            "invalid dsn",
            "for connection option",
            "invalid connection option",
            "invalid port number",
            "invalid sslmode value",
            "weak sslmode",  # for sslrootcert=system
            "invalid channel_binding value",
            "invalid target_session_attrs value",
        ),
    ),
    Rule(K.STORAGE, sqlstates=("53100", "25006"), messages=("project size limit",)),
    Rule(
        K.SATURATION,
        sqlstates=("53", "HV001"),
        messages=(
            "too many clients already",
            "remaining connection slots are reserved",
            "too many connections for role",
            "too many connections for database",
            "no more connections allowed",
            "client connections exceeded",
            "query_wait_timeout",
            "server login has been failing",
            "emaxconn",  # and EMAXCONNSESSION
            "echeckouttimeout",
            "maxclientsinsessionmode",
            "max clients reached",
            "max client connections reached",
            "max pools count reached",
            "unable to check out process",
            "could not fork new process",
            "too many connections attempts",
            "failed to acquire permit to connect",
            "too many open files",  # of this process or this host
            "can't start new thread",
        ),
    ),
    Rule(
        K.AMBIGUOUS,
        messages=(
            "control plane request failed",
            "endpoint is temporarily unavailable. check your quotas",
        ),
    ),
    Rule(K.UNKNOWN_OUTCOME, sqlstates=("08007", "40003")),
    Rule(
        K.OUTAGE,
        sqlstates=("08", "25P03", "57", "58", "HV00N"),
        messages=(
            "couldn't connect to compute node",
            "[neon_smgr]",  # its page server; most of these have 58030, some XX000
            "connection refused",
            "timeout expired",
            "timed out",
            "server closed the connection",
            "closed the connection unexpectedly",
            "connection has been closed unexpectedly",
            "connection already closed",
            "connection not open",
            "connection pointer is null",
            "no connection to the server",
            "connection to database closed",
            "dbhandler exited",
            "connection failure during authentication",
            "failed to subscribe to tenant",
            "error response during ssl exchange",  # the postmaster cannot start a process; libpq hides its words
            "lost synchronization with server",
            "ssl syscall error",
            "ssl error",
            "terminating connection",
            # starting up, shutting down, in recovery mode, not yet accepting connections
            "the database system is",
            "server conn crashed",
            "pgbouncer cannot connect to server",
            "could not receive data from server",
            "could not send data to server",
            "could not translate host name",
            "could not connect to server",
            "connection reset by peer",
            "no route to host",
            "network is unreachable",
            "network is down",
            "host is down",
            "cannot assign requested address",  # an IPv6 address where there is none, or no port is free
            "invalid response to ssl negotiation",  # who answers is no PostgreSQL
            "broken pipe",
            "no such file or directory",  # the Unix socket of a server that is not running
        ),
    ),
    Rule(K.CORRUPTION, sqlstates=("XX001", "XX002")),
    Rule(
        K.DATA,
        sqlstates=(
            *(
                "01",
                "02",
                "03",
                "09",
                "0A",
                "0B",
                "0F",
                "0L",
                "0P",
                "0Z",
                "10",
                "20",
                "21",
                "22",
                "23",
                "24",
                "25",
            ),
            *(
                "26",
                "27",
                "2B",
                "2D",
                "2F",
                "34",
                "38",
                "39",
                "3B",
                "3F",
                "40002",
                "42",
                "44",
                "54",
                "55",
                "HV",
                "P0",
            ),
        ),
    ),
)

# Codes that poolers and proxies borrow for errors of their own.
BORROWED_SQLSTATES = frozenset({"08P01", "XX000"})
# "database is not accepting commands that assign new transaction IDs to avoid wraparound data loss": it can be read.
_WRAPAROUND = ("54000", "is not accepting commands")
# A trigger's refusal in a database that was moved: nothing was applied, and a new connection leads to the new one.
_MOVED = ("25006", REFUSAL)
# `database "x" does not exist` and `role "x" does not exist`, while connecting only: in a query they are a
# matter of the statement.
_MISSING_ON_CONNECT = "does not exist"

# What psycopg2 raises without a SQLSTATE when a connection that was up fails; a bare DatabaseError too, when libpq
# itself is lost for words. While connecting it may be any: a DSN that cannot be read is a ProgrammingError.
_CODELESS = (psycopg2.OperationalError, psycopg2.InternalError, psycopg2.InterfaceError)

_BY_SQLSTATE = {state: row.kind for row in RULES for state in row.sqlstates}
_BY_MESSAGE = tuple((message, row.kind) for row in RULES for message in row.messages)


def classify(error: BaseException, phase: Phase) -> FailureKind | None:
    """The kind of a failure, or None for what the table does not know and must rise untouched.

    error -- what the driver raised, not SQLAlchemy's wrapping of it.
    """
    if isinstance(error, DeadlineExceeded):
        # Who does not answer a new connection is away; who does not finish a statement is slow.
        return K.OUTAGE if phase is Phase.CONNECT else K.SLOW
    if not isinstance(error, psycopg2.Error):
        return None
    sqlstate = error.pgcode
    if sqlstate == _WRAPAROUND[0] and _WRAPAROUND[1] in str(error):
        return K.STORAGE
    if was_moved(error):
        return K.CONFLICT
    if sqlstate is not None and sqlstate not in BORROWED_SQLSTATES:
        kind = _BY_SQLSTATE.get(sqlstate) or _BY_SQLSTATE.get(sqlstate[:2])
    elif (
        sqlstate is not None
        or phase is Phase.CONNECT
        or isinstance(error, _CODELESS)
        or type(error) is psycopg2.DatabaseError
    ):
        kind = _by_message(str(error).lower(), phase)
    else:
        return None
    if kind is None and phase is Phase.CONNECT:
        # No connection came to be, whatever the server's language says about it. Nothing was sent.
        return K.OUTAGE
    if kind is None and sqlstate == "08P01":
        return _lost(K.OUTAGE, error, phase)
    return _lost(kind, error, phase) if kind is K.OUTAGE else kind


def was_moved(error: BaseException | None) -> bool:
    """Whether the database refused to be written to because it was moved."""
    return getattr(error, "pgcode", None) == _MOVED[0] and _MOVED[1] in str(error)


def _by_message(message: str, phase: Phase) -> FailureKind | None:
    for part, kind in _BY_MESSAGE:
        if part in message:
            return kind
    if phase is Phase.CONNECT and _MISSING_ON_CONNECT in message:
        return K.CONFIGURATION
    return None


# The server says that it could not do this statement, and goes on: it rolled back what there was of it.
_ROLLED_BACK = ("57P03", "58", "HV00N")
# Psycopg2 noticed before it sent anything, or the server said it had not begun.
_NOTHING_SENT = ("connection already closed", "connection not open", "pgbouncer cannot connect to server")


def _lost(kind: FailureKind, error: psycopg2.Error, phase: Phase) -> FailureKind:
    """An outage after the statement was sent leaves open whether it was applied."""
    if phase is Phase.CONNECT or (error.pgcode or "").startswith(_ROLLED_BACK):
        return kind
    message = str(error).lower()
    return kind if any(part in message for part in _NOTHING_SENT) else K.UNKNOWN_OUTCOME


DISCONNECTED = frozenset({K.OUTAGE, K.UNKNOWN_OUTCOME, K.SATURATION, K.QUOTA, K.AMBIGUOUS})
"""Kinds after which a connection is not used again."""

RISES = frozenset({K.DATA, K.CORRUPTION})
"""Kinds whose error rises to the caller as the driver's own."""
