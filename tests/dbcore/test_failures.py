from __future__ import annotations

import psycopg2
import pytest
from psycopg2 import errors

from dbcore.failures import FailureKind, Phase, classify
from dbcore.guard.deadline import DeadlineExceeded

K = FailureKind
FAILED = 'connection to server at "db.example" (10.0.0.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (FAILED + "Connection refused\n\tIs the server running on that host?", K.OUTAGE),
        (FAILED + "timeout expired", K.OUTAGE),
        (FAILED + "server closed the connection unexpectedly\n\tThis probably means", K.OUTAGE),
        (FAILED + "FATAL:  the database system is starting up", K.OUTAGE),
        (FAILED + "FATAL:  the database system is shutting down", K.OUTAGE),
        (FAILED + "SSL SYSCALL error: EOF detected", K.OUTAGE),
        (FAILED + "ERROR:  Couldn't connect to compute node", K.OUTAGE),
        ('could not translate host name "db" to address: Name or service not known', K.OUTAGE),
        (FAILED + "FATAL:  sorry, too many clients already", K.SATURATION),
        (
            FAILED + "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
            K.SATURATION,
        ),
        (FAILED + 'FATAL:  too many connections for role "bot"', K.SATURATION),
        (FAILED + "FATAL:  no more connections allowed (max_client_conn)", K.SATURATION),
        (FAILED + "FATAL:  client connections exceeded", K.SATURATION),
        (FAILED + "FATAL:  query_wait_timeout", K.SATURATION),
        (FAILED + "FATAL:  server login has been failing, try again later", K.SATURATION),
        (FAILED + "FATAL:  (EMAXCONN) max client connections reached", K.SATURATION),
        (FAILED + "FATAL:  (EMAXCONNSESSION) max clients reached", K.SATURATION),
        (FAILED + "FATAL:  (ECHECKOUTTIMEOUT) unable to check out connection", K.SATURATION),
        (FAILED + "FATAL:  MaxClientsInSessionMode: max clients reached", K.SATURATION),
        (FAILED + "ERROR:  Too many connections attempts", K.SATURATION),
        (FAILED + "ERROR:  Failed to acquire permit to connect to the database", K.SATURATION),
        (FAILED + "ERROR:  Your account or project has exceeded the compute time quota.", K.QUOTA),
        (FAILED + "ERROR:  Your project has exceeded the data transfer quota.", K.QUOTA),
        (FAILED + "ERROR:  Your project has exceeded the active time quota.", K.QUOTA),
        (FAILED + "ERROR:  Your project has exceeded the written data quota.", K.QUOTA),
        (FAILED + "ERROR:  Your project has exceeded the logical size quota.", K.QUOTA),
        (FAILED + "ERROR:  You've exceeded the compute time for this branch", K.QUOTA),
        (FAILED + "ERROR:  Control plane request failed", K.AMBIGUOUS),
        (FAILED + "ERROR:  The endpoint is temporarily unavailable. Check your quotas", K.AMBIGUOUS),
        (FAILED + 'FATAL:  password authentication failed for user "bot"', K.CONFIGURATION),
        (FAILED + "fe_sendauth: no password supplied", K.CONFIGURATION),
        (FAILED + 'FATAL:  database "nowhere" does not exist', K.CONFIGURATION),
        (FAILED + 'FATAL:  role "nobody" does not exist', K.CONFIGURATION),
        (FAILED + 'FATAL:  no pg_hba.conf entry for host "10.0.0.9"', K.CONFIGURATION),
        (FAILED + "ERROR:  The endpoint is disabled", K.CONFIGURATION),
        (FAILED + "ERROR:  The requested endpoint cannot be found", K.CONFIGURATION),
        (FAILED + "FATAL:  unsupported startup parameter: options", K.CONFIGURATION),
        ('FATAL:  unrecognized configuration parameter "nosuch"', K.CONFIGURATION),
        (FAILED + "FATAL:  (ECIRCUITBREAKER) too many authentication failures", K.CONFIGURATION),
        (FAILED + 'FATAL:  pg_hba.conf rejects connection for host "10.0.0.9"', K.CONFIGURATION),
        (FAILED + "FATAL:  connection requires a valid client certificate", K.CONFIGURATION),
        (FAILED + 'FATAL:  cannot connect to invalid database "bot"', K.CONFIGURATION),
        (FAILED + "channel binding is required, but server did not offer it", K.CONFIGURATION),
        (FAILED + 'could not open certificate file "/c": No such file or directory', K.CONFIGURATION),
        (FAILED + 'could not load private key file "/k": No such file or directory', K.CONFIGURATION),
        ('invalid sslmode value: "nonsense"', K.CONFIGURATION),
        (FAILED + "Host is down", K.OUTAGE),
        (FAILED + "Network is down", K.OUTAGE),
        (FAILED + "Cannot assign requested address", K.OUTAGE),
        (FAILED + "received invalid response to SSL negotiation: H", K.OUTAGE),
        (FAILED + "Too many open files", K.SATURATION),
        (FAILED + "FATAL:  Passwort-Authentifizierung fehlgeschlagen", K.OUTAGE),
        (FAILED + "words that nobody has seen yet", K.OUTAGE),
    ],
)
def test_a_failed_connect_is_read_by_its_message(message: str, kind: FailureKind) -> None:
    error = psycopg2.OperationalError(message)
    assert error.pgcode is None
    assert classify(error, Phase.CONNECT) is kind


def test_a_bad_password_outweighs_another_address_that_refused() -> None:
    message = f"{FAILED}Connection refused\n{FAILED}FATAL:  password authentication failed for user"
    assert classify(psycopg2.OperationalError(message), Phase.CONNECT) is K.CONFIGURATION


def coded(sqlstate: str, message: str = "") -> psycopg2.Error:
    """An error as psycopg2 makes it of a server's: the class of its SQLSTATE, and the code.

    psycopg2 lets nobody set pgcode but its own unpickling.
    """
    try:
        kind = errors.lookup(sqlstate)
    except KeyError:
        kind = psycopg2.OperationalError
    error = kind(message)
    error.__setstate__({"pgcode": sqlstate, "pgerror": message})  # type: ignore[no-untyped-call]  # the stubs forgot
    return error


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", K.CONFLICT),
        ("40P01", K.CONFLICT),
        ("57014", K.SLOW),
        ("55P03", K.SLOW),
        ("08000", K.UNKNOWN_OUTCOME),
        ("08001", K.UNKNOWN_OUTCOME),
        ("08003", K.UNKNOWN_OUTCOME),
        ("08006", K.UNKNOWN_OUTCOME),
        ("57P01", K.UNKNOWN_OUTCOME),
        ("57P02", K.UNKNOWN_OUTCOME),
        ("57P03", K.OUTAGE),
        ("57P05", K.UNKNOWN_OUTCOME),
        ("25P03", K.UNKNOWN_OUTCOME),
        ("08007", K.UNKNOWN_OUTCOME),
        ("40003", K.UNKNOWN_OUTCOME),
        ("53300", K.SATURATION),
        ("53100", K.STORAGE),
        ("25006", K.STORAGE),
        ("28P01", K.CONFIGURATION),
        ("28000", K.CONFIGURATION),
        ("3D000", K.CONFIGURATION),
        ("42501", K.CONFIGURATION),
        ("22003", K.DATA),
        ("23505", K.DATA),
        ("23514", K.DATA),
        ("42601", K.DATA),
        ("42P01", K.DATA),
        ("XX000", None),
        ("45000", None),  # in no list of PostgreSQL's: a function's own
    ],
)
def test_a_query_s_error_is_read_by_its_code(sqlstate: str, kind: FailureKind | None) -> None:
    assert classify(coded(sqlstate), Phase.QUERY) is kind


@pytest.mark.parametrize(
    ("sqlstate", "message", "kind"),
    [
        ("08P01", "query_wait_timeout", K.SATURATION),
        ("08P01", "no more connections allowed (max_client_conn)", K.SATURATION),
        ("08P01", "unsupported startup parameter: statement_timeout", K.CONFIGURATION),
        ("08P01", "something new", K.UNKNOWN_OUTCOME),
        ("XX000", "Your project has exceeded the compute time quota", K.QUOTA),
        ("XX000", "MaxClientsInSessionMode: max clients reached", K.SATURATION),
        ("XX000", "Control plane request failed", K.AMBIGUOUS),
        ("XX000", "could not extend file: project size limit (512 MB) has been exceeded", K.STORAGE),
        ("XX000", "cache lookup failed for type 4711", None),
    ],
)
def test_a_borrowed_code_is_read_by_its_message(
    sqlstate: str, message: str, kind: FailureKind | None
) -> None:
    assert classify(coded(sqlstate, message), Phase.QUERY) is kind


def test_what_a_user_wrote_is_no_failure_of_the_database() -> None:
    error = coded("23505", "duplicate key: (memo)=(server closed the connection: quota exceeded)")
    assert classify(error, Phase.QUERY) is K.DATA


@pytest.mark.parametrize("phase", [Phase.QUERY, Phase.COMMIT])
def test_a_connection_lost_after_sending_leaves_the_outcome_open(phase: Phase) -> None:
    error = psycopg2.OperationalError("server closed the connection unexpectedly")
    assert classify(error, phase) is K.UNKNOWN_OUTCOME
    assert (
        classify(psycopg2.DatabaseError("server closed the connection unexpectedly"), phase)
        is K.UNKNOWN_OUTCOME
    )


@pytest.mark.parametrize(
    ("farewell", "kind"),
    [
        ("", K.UNKNOWN_OUTCOME),
        ("FATAL:  terminating connection due to administrator command\n", K.UNKNOWN_OUTCOME),
        ("FATAL:  terminating connection due to idle-in-transaction timeout\n", K.UNKNOWN_OUTCOME),
        ("FATAL:  terminating connection due to transaction timeout\n", K.SLOW),
        ("FATAL:  terminating connection due to idle-session timeout\n", K.UNKNOWN_OUTCOME),
        ("FATAL:  query_wait_timeout\n", K.SATURATION),
    ],
)
def test_fatal_then_close_is_read_by_its_farewell(farewell: str, kind: FailureKind) -> None:
    """As PostgreSQL 18.4 was seen to say it through libpq 17 on a connection of ours: the text, never the code."""
    message = (
        f"{farewell}server closed the connection unexpectedly\n\tThis probably means the server terminated"
    )
    assert classify(psycopg2.OperationalError(message), Phase.QUERY) is kind


def test_a_connection_found_closed_before_sending_is_an_outage() -> None:
    assert classify(psycopg2.InterfaceError("connection already closed"), Phase.QUERY) is K.OUTAGE


def test_the_client_s_deadline_is_an_outage_while_connecting_and_slow_afterwards() -> None:
    assert classify(DeadlineExceeded("timeout expired"), Phase.CONNECT) is K.OUTAGE
    assert classify(DeadlineExceeded("timeout expired"), Phase.QUERY) is K.SLOW


@pytest.mark.parametrize(
    "error",
    [
        ValueError("connection refused"),
        psycopg2.InterfaceError("cursor already closed"),
        psycopg2.ProgrammingError("no results to fetch"),
    ],
)
def test_what_the_table_does_not_know_has_no_kind(error: Exception) -> None:
    assert classify(error, Phase.QUERY) is None
