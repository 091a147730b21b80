"""What goes wrong between us and PostgreSQL, as it looks on the wire, and what the engine is to make of it.

The words are those of PostgreSQL 18, of PgBouncer 1.25, of Supavisor (its older and its present form: since 2025
with a code in brackets) and of Neon's proxy, with the severity and the SQLSTATE each of them sends. A provider's
refusals come while connecting; a pooler accepts the client and refuses at the first statement too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from dbcore.failures import FailureKind as K
from devstack.proxy import Answer, Cut, Fault, On, Rule, ServerError, Side, Silence

MARK = "42 AS played"  # part of the statement that is played, and of no other


class Place(StrEnum):
    """How far the call had come."""

    CONNECT = "connect"
    QUERY = "query"


class Effect(StrEnum):
    """What one failed call did to a closed breaker."""

    NEUTRAL = "neutral"
    COUNTED = "counts as failure"
    SLOW = "counts as slow"
    QUOTA = "opens: quota"
    STORAGE = "opens: storage"
    CONFIGURATION = "opens: configuration"


class End(StrEnum):
    """What the caller of a write gets."""

    UNAVAILABLE = "Unavailable"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    UNTOUCHED = "the driver's error"


class Told(StrEnum):
    """What people read."""

    QUEUED = "queued, by reference"  # at once; the result takes its place later
    LAST_KNOWN = "the last known balance and its time"
    RESULT = "the result"
    FAILED = "that it failed, by reference"  # and an operator has the dead letter


_WAITS = (Told.QUEUED, Told.RESULT)


@dataclass(frozen=True, slots=True)
class Expected:
    """What happens as long as the failure lasts.

    tries -- how often it is tried in one call. write, read -- what those are told who ask for either, in order.
    """

    tries: int
    breaker: Effect
    end: End
    write: tuple[Told, ...] = _WAITS
    read: tuple[Told, ...] = (Told.LAST_KNOWN,)


_FAILED = (Told.FAILED,)
EXPECTED: dict[K | None, Expected] = {
    K.CONFLICT: Expected(11, Effect.NEUTRAL, End.UNAVAILABLE),
    K.SLOW: Expected(2, Effect.SLOW, End.UNAVAILABLE),
    K.OUTAGE: Expected(3, Effect.COUNTED, End.UNAVAILABLE),
    K.SATURATION: Expected(3, Effect.COUNTED, End.UNAVAILABLE),
    K.QUOTA: Expected(1, Effect.QUOTA, End.UNAVAILABLE),
    K.STORAGE: Expected(1, Effect.STORAGE, End.UNAVAILABLE, read=(Told.RESULT,)),
    K.AMBIGUOUS: Expected(1, Effect.COUNTED, End.UNAVAILABLE),
    K.CONFIGURATION: Expected(1, Effect.COUNTED, End.UNAVAILABLE),
    K.UNKNOWN_OUTCOME: Expected(3, Effect.COUNTED, End.OUTCOME_UNKNOWN),
    K.DATA: Expected(1, Effect.NEUTRAL, End.UNTOUCHED, _FAILED, _FAILED),
    K.CORRUPTION: Expected(1, Effect.NEUTRAL, End.UNTOUCHED, _FAILED, _FAILED),
    None: Expected(1, Effect.NEUTRAL, End.UNTOUCHED, _FAILED, _FAILED),
}


@dataclass(frozen=True, slots=True)
class Closed:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Case:
    """One failure.

    fault -- None: nothing happens on the wire, it is DATABASE_URL that asks for what cannot be.
    kind -- None: not ours to judge. url -- options of DATABASE_URL.
    said -- what libpq says of it, where those are no words of the server's.
    """

    source: str
    words: str
    place: Place
    on: On
    fault: Fault | Closed | None
    kind: K | None
    outcome_open: bool = False  # a kind that as a rule leaves no doubt, here does
    url: str = ""
    said: str = ""
    deadline_seconds: float | None = None  # the call ends by it, at the first try

    @property
    def expected(self) -> Expected:
        plain = EXPECTED[self.kind]
        if self.kind is K.CONFIGURATION and self.place is Place.CONNECT:
            return Expected(1, Effect.CONFIGURATION, End.UNAVAILABLE)
        if self.outcome_open:
            tries = plain.tries if self.deadline_seconds is None else 1
            return Expected(tries, plain.breaker, End.OUTCOME_UNKNOWN)
        return plain

    @property
    def loses_the_session(self) -> bool:
        """Whether the statement was sent, and what there is of its answer leaves it open what became of it."""
        answered = isinstance(self.fault, Answer) and not self.fault.ends_connection
        return self.place is Place.QUERY and self.expected.end is End.OUTCOME_UNKNOWN and not answered

    @property
    def retried(self) -> bool:
        return self.expected.tries > 1

    @property
    def on_the_wire(self) -> bool:
        """Whether the proxy makes it, and can make it once."""
        return self.fault is not None and not isinstance(self.fault, Closed)

    def rule(self, times: int | None) -> Rule:
        assert self.fault is not None and not isinstance(self.fault, Closed)
        return Rule(self.on, self.fault, times)

    def about(self, statement: str) -> Case:
        """The same failure, of another statement."""
        if self.place is Place.CONNECT:
            return self
        return replace(self, on=replace(self.on, statement=statement))

    def __str__(self) -> str:
        return f"{self.source}, {self.place}: {self.words}"


_STATEMENT = On(statement=MARK)


def _refused(source: str, kind: K, words: str, sqlstate: str | None = None, severity: str = "FATAL") -> Case:
    """While connecting, in place of AuthenticationOk."""
    error = ServerError(words, sqlstate, severity)
    return Case(source, words, Place.CONNECT, On(kind="Startup"), Answer(error, ends=True), kind)


def _answered(source: str, kind: K | None, sqlstate: str, words: str) -> Case:
    """An ordinary error in answer to the statement; the connection stays."""
    error = ServerError(words, sqlstate)
    return Case(source, f"{sqlstate} {words}", Place.QUERY, _STATEMENT, Answer(error), kind)


def _ended(
    source: str, kind: K, sqlstate: str | None, words: str, *, severity: str = "FATAL", open_: bool = False
) -> Case:
    """The last words of the server or pooler in the middle of a statement, then the end of the connection."""
    error = ServerError(words, sqlstate, severity)
    return Case(source, words, Place.QUERY, _STATEMENT, Answer(error, ends=True), kind, outcome_open=open_)


def _network(
    kind: K,
    words: str,
    place: Place,
    on: On,
    fault: Fault | Closed,
    said: str = "server closed the connection unexpectedly",
    url: str = "",
) -> Case:
    return Case("network", words, place, on, fault, kind, url=url, said=said)


def _misstated(words: str, url: str, kind: K = K.CONFIGURATION) -> Case:
    """What libpq itself says to what DATABASE_URL asks for."""
    return Case("DATABASE_URL", url, Place.CONNECT, On(), None, kind, url=url, said=words)


def _answer(kind: str) -> On:
    return On(Side.SERVER, kind=kind, statement=MARK)


_PG, _BOUNCER, _SUPAVISOR, _NEON = "PostgreSQL", "PgBouncer", "Supavisor", "Neon"

POSTGRES_REFUSES = (
    _refused(_PG, K.OUTAGE, "the database system is starting up", "57P03"),
    _refused(_PG, K.OUTAGE, "the database system is shutting down", "57P03"),
    _refused(_PG, K.OUTAGE, "the database system is in recovery mode", "57P03"),
    _refused(_PG, K.OUTAGE, "the database system is not yet accepting connections", "57P03"),
    _refused(_PG, K.OUTAGE, "the database system is not accepting connections", "57P03"),
    _refused(_PG, K.SATURATION, "sorry, too many clients already", "53300"),
    _refused(
        _PG,
        K.SATURATION,
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "53300",
    ),
    _refused(_PG, K.SATURATION, 'too many connections for role "bot"', "53300"),
    _refused(_PG, K.SATURATION, 'too many connections for database "bot"', "53300"),
    Case(
        _PG,
        "could not fork new process for connection",
        Place.CONNECT,
        On(kind="Startup"),
        # The postmaster itself says it, in the form of PostgreSQL 7.3: no length, no fields.
        Answer(b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0"),
        K.SATURATION,
    ),
    Case(
        _PG,
        "an error in answer to SSLRequest",
        Place.CONNECT,
        On(kind="SSLRequest"),
        # libpq 17 does not show such words to anybody, because nobody has proved who speaks.
        Answer(b"Ecould not fork new process for connection: Resource temporarily unavailable\n\0"),
        K.OUTAGE,
        said="server sent an error response during SSL exchange",
    ),
    _refused(_PG, K.CONFIGURATION, 'password authentication failed for user "bot"', "28P01"),
    _refused(_PG, K.CONFIGURATION, 'no pg_hba.conf entry for host "10.0.0.9", user "bot"', "28000"),
    _refused(_PG, K.CONFIGURATION, 'role "bot" does not exist', "28000"),
    _refused(_PG, K.CONFIGURATION, 'role "bot" is not permitted to log in', "28000"),
    _refused(_PG, K.CONFIGURATION, 'database "bot" does not exist', "3D000"),
    _refused(_PG, K.CONFIGURATION, 'database "bot" is not currently accepting connections', "55000"),
    _refused(_PG, K.CONFIGURATION, 'permission denied for database "bot"', "42501"),
    _refused(_PG, K.CONFIGURATION, 'unrecognized configuration parameter "nonsense"', "42704"),
    _refused(_PG, K.CONFIGURATION, 'pg_hba.conf rejects connection for host "10.0.0.9", user "bot"', "28000"),
    _refused(_PG, K.CONFIGURATION, "connection requires a valid client certificate", "28000"),
    _refused(_PG, K.CONFIGURATION, 'cannot connect to invalid database "bot"', "55000"),
    _refused(_PG, K.CONFIGURATION, "this database was moved to new.example:5432/bot, and", "25006"),
    # In words that are in no table, such as another language's: nobody there is the best guess.
    _refused(_PG, K.OUTAGE, "Passwort-Authentifizierung fehlgeschlagen", "28P01"),
)

_STATEMENTS_WRONG = {
    "01000": "a function raised a warning as an error",
    "02000": "no data",
    "03000": "SQL statement not yet complete",
    "09000": "triggered action exception",
    "0A000": "cached plan must not change result type",
    "0B000": "invalid transaction initiation",
    "0F001": "invalid large-object descriptor",
    "0LP01": "invalid grant operation",
    "0P000": "invalid role specification",
    "0Z002": "GET STACKED DIAGNOSTICS cannot be used outside an exception handler",
    "10608": "invalid argument for xquery",
    "20000": "case not found",
    "21000": "more than one row returned by a subquery used as an expression",
    "24000": "invalid cursor state",
    "25P02": "current transaction is aborted, commands ignored until end of transaction block",
    "26000": 'prepared statement "s1" does not exist',
    "27000": "tuple to be updated was already modified",
    "2BP01": "cannot drop table: other objects depend on it",
    "2D000": "invalid transaction termination",
    "2F005": "control reached end of function without RETURN",
    "34000": 'cursor "c" does not exist',
    "38000": "external routine exception",
    "39P01": "trigger protocol violated",
    "3B001": 'savepoint "s" does not exist',
    "3F000": 'schema "nothing" does not exist',
    "40002": "transaction integrity constraint violation",
    "44000": "new row violates check option for view",
    "54000": "index row size 3000 exceeds btree version 4 maximum 2704",
    "55000": "object not in prerequisite state",
    "HV000": "foreign data wrapper error",
    "P0001": "raised by a function",
}

POSTGRES_ANSWERS = (
    _answered(_PG, K.CONFLICT, "40001", "could not serialize access due to concurrent update"),
    _answered(_PG, K.CONFLICT, "40P01", "deadlock detected"),
    _answered(_PG, K.SLOW, "57014", "canceling statement due to statement timeout"),
    _answered(_PG, K.SLOW, "55P03", "canceling statement due to lock timeout"),
    _answered(_PG, K.STORAGE, "53100", "could not extend file: No space left on device"),
    _answered(_PG, K.STORAGE, "25006", "cannot execute INSERT in a read-only transaction"),
    _answered(_PG, K.SATURATION, "53200", "out of memory"),
    _answered(_PG, K.SATURATION, "53000", "insufficient resources"),
    _answered(_PG, K.CONFIGURATION, "42501", "permission denied for table transfers"),
    _answered(_PG, K.UNKNOWN_OUTCOME, "40003", "statement completion unknown"),
    _answered(_PG, K.UNKNOWN_OUTCOME, "08007", "transaction resolution unknown"),
    _answered(_PG, K.DATA, "22003", "bigint out of range"),
    _answered(_PG, K.DATA, "23505", 'duplicate key value violates unique constraint "transfers_key"'),
    _answered(_PG, K.DATA, "23514", 'new row violates check constraint "accounts_floor"'),
    _answered(_PG, K.DATA, "42P01", 'relation "nothing" does not exist'),
    _answered(_PG, K.CONFLICT, "40000", "transaction rolled back"),
    _answered(_PG, K.CONFLICT, "72000", "snapshot too old"),
    _answered(_PG, K.OUTAGE, "58030", "could not read block 7 in file: Input/output error"),
    _answered(_PG, K.OUTAGE, "58000", "could not fsync the directory"),
    _answered(_PG, K.OUTAGE, "58P01", "could not open file: No such file or directory"),
    _answered(_PG, K.UNKNOWN_OUTCOME, "57000", "an operator intervened"),
    _answered(_PG, K.UNKNOWN_OUTCOME, "08006", "connection to the server behind was lost"),
    _answered(_PG, K.SATURATION, "53400", "temporary file size exceeds temp_file_limit"),
    _answered(
        _PG,
        K.STORAGE,
        "54000",
        "database is not accepting commands that assign new transaction IDs to avoid wraparound data loss",
    ),
    _answered(_PG, K.CONFIGURATION, "28000", "a role may not do that"),
    _answered(_PG, K.CONFIGURATION, "3D000", "there is no such database"),
    _answered(_PG, K.CONFIGURATION, "F0000", "a setting in postgresql.conf cannot be read"),
    _answered(_PG, K.OUTAGE, "HV00N", "a foreign server cannot be reached"),
    _answered(_PG, K.SATURATION, "HV001", "a foreign server is out of memory"),
    _answered(_PG, K.CORRUPTION, "XX001", "invalid page in block 7 of relation base/5/1234"),
    _answered(_PG, K.CORRUPTION, "XX002", 'index "transfers_key" contains unexpected zero page at block 7'),
    _answered(_PG, None, "XX000", "cache lookup failed for type 4711"),
    # One of each class in which the statement is wrong, or a function that it calls.
    *(_answered(_PG, K.DATA, sqlstate, words) for sqlstate, words in _STATEMENTS_WRONG.items()),
    _ended(_PG, K.UNKNOWN_OUTCOME, "57P01", "terminating connection due to administrator command"),
    _ended(_PG, K.UNKNOWN_OUTCOME, "57P02", "terminating connection due to crash of another server process"),
    _ended(_PG, K.UNKNOWN_OUTCOME, "57P04", "terminating connection due to conflict with recovery"),
    _ended(_PG, K.UNKNOWN_OUTCOME, "57P05", "terminating connection due to idle-session timeout"),
    _ended(_PG, K.UNKNOWN_OUTCOME, "25P03", "terminating connection due to idle-in-transaction timeout"),
    _ended(_PG, K.SLOW, "25P04", "terminating connection due to transaction timeout", open_=True),
    _ended(_PG, K.UNKNOWN_OUTCOME, "40001", "terminating connection due to conflict with recovery"),
    _ended(_PG, K.UNKNOWN_OUTCOME, "08P01", "invalid frontend message type 120"),
    _ended(_PG, K.UNKNOWN_OUTCOME, "XX000", "something that nobody has seen yet"),
    _ended(_PG, K.UNKNOWN_OUTCOME, None, "an error without a code"),
)

PGBOUNCER = (
    _refused(_BOUNCER, K.SATURATION, "no more connections allowed (max_client_conn)", "08P01"),
    _refused(_BOUNCER, K.SATURATION, "client connections exceeded (max_user_client_connections)", "08P01"),
    _refused(_BOUNCER, K.SATURATION, "client connections exceeded (max_db_client_connections)", "08P01"),
    _refused(_BOUNCER, K.SATURATION, "query_wait_timeout", "08P01"),
    _refused(
        _BOUNCER,
        K.SATURATION,
        "server login has been failing, cached error: connect timeout (server_login_retry)",
        "08P01",
    ),
    _refused(
        _BOUNCER,
        K.CONFIGURATION,
        'server login has been failing, cached error: password authentication failed for user "bouncer"'
        " (server_login_retry)",
        "08P01",
    ),
    _refused(_BOUNCER, K.OUTAGE, "pgbouncer cannot connect to server", "08P01"),
    _refused(_BOUNCER, K.CONFIGURATION, "unsupported startup parameter: statement_timeout", "08P01"),
    _refused(
        _BOUNCER, K.CONFIGURATION, "unsupported startup parameter in options: statement_timeout", "08P01"
    ),
    _refused(_BOUNCER, K.CONFIGURATION, "password authentication failed", "28P01"),
    _refused(_BOUNCER, K.CONFIGURATION, "SASL authentication failed", "08P01"),
    _refused(_BOUNCER, K.CONFIGURATION, "no such user: bot", "08P01"),
    _refused(_BOUNCER, K.CONFIGURATION, "no such database: bot", "08P01"),
    _refused(_BOUNCER, K.CONFIGURATION, "database does not allow connections: bot", "08P01"),
    _refused(_BOUNCER, K.CONFIGURATION, "SSL required", "08P01"),
    _ended(_BOUNCER, K.SATURATION, "08P01", "query_wait_timeout"),
    _ended(
        _BOUNCER,
        K.SATURATION,
        "08P01",
        "server login has been failing, cached error: connect timeout (server_login_retry)",
    ),
    _ended(_BOUNCER, K.OUTAGE, "08P01", "pgbouncer cannot connect to server"),
    _ended(_BOUNCER, K.UNKNOWN_OUTCOME, "08P01", "server conn crashed?"),
    _ended(_BOUNCER, K.SLOW, "08P01", "query_timeout", open_=True),
    _ended(_BOUNCER, K.SLOW, "08P01", "query timeout", open_=True),
    _ended(_BOUNCER, K.UNKNOWN_OUTCOME, "08P01", "client_idle_timeout"),
    _ended(_BOUNCER, K.UNKNOWN_OUTCOME, "57P01", "terminating connection due to administrator command"),
)

SUPAVISOR = (
    _refused(_SUPAVISOR, K.SATURATION, "(EMAXCONN) max client connections reached, limit: 200", "XX000"),
    _refused(
        _SUPAVISOR, K.SATURATION, "(EMAXCLIENTCONN) max client connections reached, limit: 200", "XX000"
    ),
    _refused(_SUPAVISOR, K.SATURATION, "Max client connections reached", "XX000"),
    _refused(
        _SUPAVISOR,
        K.SATURATION,
        "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
        "XX000",
    ),
    _refused(
        _SUPAVISOR,
        K.SATURATION,
        "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
        "XX000",
    ),
    _refused(_SUPAVISOR, K.SATURATION, "Max pools count reached", "XX000"),
    _refused(
        _SUPAVISOR,
        K.CONFIGURATION,
        "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
        "XX000",
    ),
    _refused(_SUPAVISOR, K.CONFIGURATION, "Tenant or user not found", "XX000"),
    _refused(_SUPAVISOR, K.CONFIGURATION, "(ENOTFOUND) tenant/user postgres.abc not found", "XX000"),
    _refused(_SUPAVISOR, K.CONFIGURATION, "(EBANNED) tenant is banned: abuse", "XX000"),
    _refused(_SUPAVISOR, K.CONFIGURATION, 'password authentication failed for user "bot"', "28P01"),
    _refused(
        _SUPAVISOR,
        K.CONFIGURATION,
        '(EINVALIDUSERINFO) Authentication error, reason: "Invalid format for user or db_name"',
        "XX000",
    ),
    _refused(_SUPAVISOR, K.CONFIGURATION, "SSL connection is required", "XX000"),
    _refused(_SUPAVISOR, K.CONFIGURATION, "Address not in tenant allow_list: {10, 0, 0, 9}", "XX000"),
    _refused(_SUPAVISOR, K.OUTAGE, "connection failure during authentication", "08006"),
    _refused(
        _SUPAVISOR, K.OUTAGE, "Failed to subscribe to tenant after multiple retries. Terminating.", "XX000"
    ),
    _refused(_SUPAVISOR, K.OUTAGE, "(EDBHANDLEREXITED) connection to database closed", "XX000"),
    _ended(
        _SUPAVISOR,
        K.SATURATION,
        "XX000",
        "(ECHECKOUTTIMEOUT) Pool checkout timeout. Request was dropped after 60000ms in Transaction mode.",
    ),
    _ended(_SUPAVISOR, K.SATURATION, "XX000", "Unable to check out process from the pool due to timeout"),
    _ended(
        _SUPAVISOR,
        K.UNKNOWN_OUTCOME,
        "XX000",
        "(EDBHANDLEREXITED) connection to database closed. Check logs for more information",
    ),
    _ended(_SUPAVISOR, K.UNKNOWN_OUTCOME, "XX000", "DbHandler exited"),
)

NEON = (
    _refused(
        _NEON,
        K.QUOTA,
        "Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.",
        "XX000",
        "ERROR",
    ),
    *(
        _refused(_NEON, K.QUOTA, f"Your project has exceeded the {quota} quota.", "XX000", "ERROR")
        for quota in ("data transfer", "active time", "written data", "logical size")
    ),
    _refused(
        _NEON, K.QUOTA, "You've exceeded the compute time for this branch until 2026-12-01", "XX000", "ERROR"
    ),
    _refused(_NEON, K.AMBIGUOUS, "Control plane request failed", "XX000", "ERROR"),
    _refused(
        _NEON,
        K.AMBIGUOUS,
        "Control plane request failed: endpoint is temporarily unavailable. Check your quotas and/or contact our"
        " support.",
        "XX000",
        "ERROR",
    ),
    _refused(_NEON, K.CONFIGURATION, "Control plane request failed: endpoint is disabled", "XX000", "ERROR"),
    _refused(
        _NEON, K.CONFIGURATION, "Control plane request failed: endpoint cannot be found", "XX000", "ERROR"
    ),
    _refused(_NEON, K.CONFIGURATION, "password authentication failed for user 'bot'", "28P01", "ERROR"),
    _refused(
        _NEON,
        K.CONFIGURATION,
        "This IP address 10.0.0.9 is not allowed to connect to this endpoint.",
        "XX000",
        "ERROR",
    ),
    _refused(_NEON, K.CONFIGURATION, "Endpoint ID is not specified.", "XX000", "ERROR"),
    _refused(_NEON, K.OUTAGE, "Couldn't connect to compute node", "XX000", "ERROR"),
    _refused(_NEON, K.SATURATION, "Too many connections attempts", "XX000", "ERROR"),
    _refused(
        _NEON,
        K.SATURATION,
        "Failed to acquire permit to connect to the database. Too many database connection attempts are currently"
        " ongoing.",
        "XX000",
        "ERROR",
    ),
    _answered(
        _NEON,
        K.STORAGE,
        "53100",
        "could not extend file because project size limit (512 MB) has been exceeded",
    ),
    _answered(
        _NEON, K.OUTAGE, "58030", "[NEON_SMGR] could not read block 0 in rel 1663/5/16390.0 from page server"
    ),
    _answered(_NEON, K.UNKNOWN_OUTCOME, "XX000", "[NEON_SMGR] failed to send page request"),
    _ended(_NEON, K.UNKNOWN_OUTCOME, "57P01", "terminating connection due to administrator command"),
)

_CONNECTING = [
    ("SSLRequest", On(kind="SSLRequest")),
    ("Startup", On(kind="Startup")),
    ("AuthenticationOk", On(Side.SERVER, kind="R")),
    ("the first ReadyForQuery", On(Side.SERVER, kind="Z", statement="")),
]
NETWORK = (
    *(
        _network(K.OUTAGE, f"{how} before {name}", Place.CONNECT, on, Cut(reset=how == "reset"))
        for name, on in _CONNECTING
        for how in ("cut", "reset")
    ),
    _network(K.OUTAGE, "cut inside Startup", Place.CONNECT, On(kind="Startup"), Cut(0.5)),
    _network(K.OUTAGE, "cut inside AuthenticationOk", Place.CONNECT, On(Side.SERVER, kind="R"), Cut(0.5)),
    *(
        _network(K.UNKNOWN_OUTCOME, f"{how} {where} the statement", Place.QUERY, _STATEMENT, fault)
        for how, where, fault in (
            ("cut", "before", Cut()),
            ("cut", "inside", Cut(0.5)),
            ("cut", "after", Cut(1.0)),
            ("reset", "before", Cut(reset=True)),
            ("reset", "after", Cut(1.0, reset=True)),
        )
    ),
    *(
        _network(K.UNKNOWN_OUTCOME, f"cut {where} {name}", Place.QUERY, _answer(letter), fault)
        for letter, name in (("T", "RowDescription"), ("D", "DataRow"), ("C", "CommandComplete"))
        for where, fault in (("before", Cut()), ("inside", Cut(0.5)))
    ),
    _network(K.UNKNOWN_OUTCOME, "cut before ReadyForQuery", Place.QUERY, _answer("Z"), Cut()),
    _network(
        K.UNKNOWN_OUTCOME,
        "an answer that is no PostgreSQL",
        Place.QUERY,
        _STATEMENT,
        Answer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
        "lost synchronization with server",
    ),
    *(
        _network(
            K.OUTAGE,
            f"an answer to {name} that is no PostgreSQL",
            Place.CONNECT,
            On(kind=name),
            Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            said,
        )
        for name, said in (
            ("SSLRequest", "received invalid response to SSL negotiation"),
            ("Startup", "expected authentication request from server"),
        )
    ),
    _network(K.OUTAGE, "nobody listens", Place.CONNECT, On(), Closed(), "Connection refused"),
    _network(
        K.OUTAGE,
        "silence before SSLRequest",
        Place.CONNECT,
        On(kind="SSLRequest"),
        Silence(),
        "timeout expired",
        url="connect_timeout=1",
    ),
    Case(
        "network",
        "silence until the deadline",
        Place.QUERY,
        _STATEMENT,
        Silence(),
        K.SLOW,
        outcome_open=True,
        said="timeout expired: the server did not answer before the deadline",
        deadline_seconds=0.5,
    ),
)

MISSTATED = (
    _misstated('invalid dsn: invalid connection option "nonsense"', "nonsense=1"),
    _misstated(
        'invalid integer value "soon" for connection option "connect_timeout"', "connect_timeout=soon"
    ),
    _misstated('invalid port number: "99999"', "port=99999"),
    _misstated('invalid sslmode value: "nonsense"', "sslmode=nonsense"),
    _misstated('invalid channel_binding value: "nonsense"', "channel_binding=nonsense"),
    _misstated('invalid target_session_attrs value: "nonsense"', "target_session_attrs=nonsense"),
    _misstated("channel binding required, but SSL not in use", "channel_binding=require"),
    _misstated("server does not support SSL, but SSL was required", "sslmode=require"),
    _misstated('weak sslmode "require" may not be used', "sslmode=require&sslrootcert=system"),
    _misstated("No such file or directory", "host=/nowhere", K.OUTAGE),
    _misstated('could not translate host name "a..b" to address', "host=a..b", K.OUTAGE),
)

_PEM = Path(__file__).with_name("self_signed.pem")
MISSTATED_BEHIND_TLS = (
    _misstated('root certificate file "/nowhere" does not exist', "sslmode=verify-ca&sslrootcert=/nowhere"),
    _misstated("certificate verify failed", "sslmode=verify-full&sslrootcert=system"),
    _misstated('could not read certificate file "/etc/hostname"', "sslmode=require&sslcert=/etc/hostname"),
    _misstated('not private key file "/nowhere"', f"sslmode=require&sslcert={_PEM}&sslkey=/nowhere"),
    _misstated(
        'server certificate for "fault proxy of Ballast\'s tests" does not match host name "127.0.0.1"',
        f"sslmode=verify-full&sslrootcert={_PEM}",
    ),
)

CASES: tuple[Case, ...] = (
    *POSTGRES_REFUSES,
    *POSTGRES_ANSWERS,
    *PGBOUNCER,
    *SUPAVISOR,
    *NEON,
    *NETWORK,
    *MISSTATED,
)


def example(kind: K | None) -> Case:
    """The failure that stands for its kind: the first while connecting, where there is one."""
    cases = [case for case in CASES if case.kind is kind]
    if kind is K.UNKNOWN_OUTCOME:
        return next(
            case for case in cases if case.words == "cut before CommandComplete"
        )  # done, and nobody heard
    return next((case for case in cases if case.place is Place.CONNECT), cases[0])
