"""Behind TLS, as every provider is."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbcore.errors import Unavailable
from dbcore.failures import FailureKind
from devstack.postgres import DATABASE, EmbeddedPostgres
from devstack.proxy import Answer, FaultProxy, On, Rule, ServerError
from devstack.proxy.wire import SSL_QUESTION, STARTUP
from tests.conformance.cases import CASES, MISSTATED_BEHIND_TLS, Case
from tests.conformance.runner import ANSWER, ask, engine_through, lie_idle, play
from tests.harness.logins import login_of

TLS_CASES = [
    pytest.param(case, id=str(case)) for case in CASES if case.source not in {"PostgreSQL", "DATABASE_URL"}
]


@pytest.fixture
def tls_proxy(postgres_server: EmbeddedPostgres) -> Iterator[FaultProxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
    with FaultProxy("127.0.0.1", postgres_server.port, tls=context, login=postgres_server.login) as proxy:
        yield proxy


def encrypted(proxy: FaultProxy) -> bool:
    """A client that was told yes sends its startup message second, and nothing of it in clear."""
    return all(message.position == 2 for message in proxy.messages() if message.kind == STARTUP)


@pytest.mark.parametrize("case", TLS_CASES)
def test_a_failure_behind_tls_is_told_by_the_same_kind(case: Case, tls_proxy: FaultProxy) -> None:
    played = play(case, tls_proxy, DATABASE)
    assert (played.kind, played.tries, played.breaker, played.end) == (
        case.kind,
        case.expected.tries,
        case.expected.breaker,
        case.expected.end,
    )
    assert encrypted(tls_proxy)


@pytest.mark.parametrize("case", MISSTATED_BEHIND_TLS, ids=str)
def test_a_certificate_that_does_not_do_is_configuration(case: Case, tls_proxy: FaultProxy) -> None:
    played = play(case, tls_proxy, DATABASE)
    assert case.said in played.said
    assert (played.kind, played.tries, played.breaker) == (case.kind, 1, case.expected.breaker)


def test_a_connection_that_is_lost_behind_tls_is_told_in_words_of_its_own(tls_proxy: FaultProxy) -> None:
    case = next(case for case in CASES if case.words == "cut before the statement")
    assert "SSL SYSCALL error" in play(case, tls_proxy, DATABASE).said


def test_a_refused_login_is_one_login(tls_proxy: FaultProxy) -> None:
    refusal = ServerError("password authentication failed for user", "28P01", "FATAL")
    tls_proxy.add(Rule(On(kind="Startup"), Answer(refusal), times=None))
    with engine_through(tls_proxy, DATABASE) as engine, pytest.raises(Unavailable):
        ask(engine)
    assert tls_proxy.connections == 1


def test_an_outage_is_not_hidden_behind_a_login_in_clear(tls_proxy: FaultProxy) -> None:
    """The first message of a connection in clear would be its startup."""
    required = Answer(ServerError("SSL required", "08P01", "FATAL"))
    away = Answer(ServerError("pgbouncer cannot connect to server", "08P01", "FATAL"))
    tls_proxy.add(Rule(On(kind="Startup", position=1), required, times=None))
    tls_proxy.add(Rule(On(kind="Startup", position=2), away, times=None))
    with engine_through(tls_proxy, DATABASE) as engine:
        with pytest.raises(Unavailable) as unavailable:
            ask(engine)
        assert unavailable.value.kind is FailureKind.OUTAGE


def test_a_server_without_tls_is_asked_once_an_engine(proxy: FaultProxy, database: str) -> None:
    with engine_through(proxy, database) as engine:
        assert ask(engine) == ANSWER
        assert proxy.connections == 2
        proxy.forget()
        proxy.sever()
        assert ask(engine) == ANSWER
        assert (proxy.connections, proxy.count(STARTUP), proxy.count(SSL_QUESTION)) == (1, 1, 0)


def test_a_server_that_got_tls_since_is_found_again(
    proxy: FaultProxy, tls_proxy: FaultProxy, database: str, database_url: str
) -> None:
    with engine_through(proxy, database) as engine:
        ask(engine)
        port = proxy.port
        proxy.stop()
        target = tls_proxy.target
        with FaultProxy(*target, port=port, tls=tls_proxy.tls, login=login_of(database_url)) as successor:
            required = Answer(ServerError("SSL required", "08P01", "FATAL"))
            successor.add(Rule(On(kind="Startup", position=1), required, times=None))
            lie_idle()
            with pytest.raises(Unavailable):
                ask(engine)
            engine.breaker.reset()
            assert ask(engine) == ANSWER


@pytest.mark.parametrize("mode", ["disable", "require", "prefer"])
def test_the_url_s_own_word_is_stronger(mode: str, tls_proxy: FaultProxy) -> None:
    with engine_through(tls_proxy, DATABASE, url=f"sslmode={mode}") as engine:
        assert ask(engine) == ANSWER
    assert encrypted(tls_proxy) is (mode != "disable")
