"""Settings: what is accepted, how it is understood, and the line that refuses the rest."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import redis
from psycopg2.extensions import parse_dsn
from pydantic import SecretStr
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import make_url

from dbcore import database_url
from dbcore.database_url import addresses
from dbcore.ledger.pending_adjustments import Limits
from dbcore.redis_url import read_redis_url
from dbcore.roles import Role
from dbcore.settings import RUNNING_ENV_FILE, Options, Settings, SettingsError, load_options, load_settings
from dbcore.settings.database import DatabaseOptions, RedisOptions
from tests.conftest import MakeSettings


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings) -> None:
    """`make_settings` has emptied the environment; the folder has no env file."""
    monkeypatch.chdir(tmp_path)


def clear(value: SecretStr | None) -> str:
    assert value is not None
    return value.get_secret_value()


def libpqs(url: str) -> dict[str, object]:
    """What the driver is given for it."""
    dialect = PGDialect_psycopg2()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
    _, arguments = dialect.create_connect_args(make_url(url))  # type: ignore[no-untyped-call]  # likewise
    return dict(arguments)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_usual_scheme_of_a_database_url_names_the_pinned_driver(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://u:p@h:1/d?sslmode=require")
    assert clear(load_settings().database_url) == "postgresql+psycopg2://u:p@h:1/d?sslmode=require"


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "h",
        "h/d",
        "u@h/d",
        "u:p/w:x@h:1/d",
        "u:p%40@h:1/d",
        "[::1]:1/d",
        "/d?host=/run/pg&user=u",
        "h?user=u",
    ],
)
def test_every_shape_of_a_database_url_that_the_driver_takes_is_taken(
    rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{rest}")
    make_url(clear(load_settings().database_url))


@pytest.mark.parametrize(
    ("option", "value", "expectation"),
    [
        ("DB_POOL_SIZE", "0", "at least 1"),
        ("DB_POOL_SIZE", "three", "a whole number"),
        ("DB_MAX_OVERFLOW", "101", "at most 100"),
        ("DB_DEADLINE_SECONDS", "0", "more than 0"),
        ("OPS_PORT", "65536", "at most 65535"),
        ("ADMIN_IDS", "12,bob", "expected Telegram user ids, comma separated"),
        ("TELEGRAM_API_URL", "api.telegram.org", "expected http://host:port or https://host"),
        ("TELEGRAM_WEBHOOK_URL", "ftp://h", "expected http://host:port or https://host"),
        ("CURRENCY", "euro", "2 to 12 of A-Z and 0-9, a letter first"),
        ("CURRENCY_EXPONENT", "9", "at most 8"),
        ("CREDIT_LIMIT", "1e999999", "at most 10000000000000"),
        ("CREDIT_LIMIT", "1e-9999999", "no more decimals than CURRENCY_EXPONENT"),
        ("CREDIT_LIMIT_PER_DAY", "1.0000000000000000000000000000000000001", "no more decimals"),
        ("CREDIT_LIMIT_PER_DAY", "Infinity", "finite number"),
        ("CREDIT_LIMIT", "NaN", "finite number"),
        ("CREDIT_LIMIT", "0", "more than 0"),
        ("CREDIT_LIMIT", "-1", "more than 0"),
    ],
)
def test_a_bad_value_is_told_in_one_line_with_option_expectation_and_what_came(
    option: str, value: str, expectation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(option, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    line = str(refused.value)
    assert line.startswith(f"{option}: ")
    assert expectation in line
    assert line.endswith(f"got {value!r}")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("option", "value", "expectation"),
    [
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "expected postgresql://"),
        ("DATABASE_URL", "postgresql://u:%00hunter2@h/d", "without %00"),
        ("DATABASE_URL", "postgresql://u:hunter2@h/d%00", "without %00"),
        ("DATABASE_URL", "postgresql://u:hunter2@h/d?options=%00", "without %00"),
        ("DATABASE_URL", "postgresql://u:a@hunter2:b@h/d", "an @ in the password written %40"),
        ("DATABASE_URL", "postgresql://u:hunter2@h:port/d", "the port is not a number"),
        ("DATABASE_URL", "postgresql://u:hunter2@h:70000/d", "the port is not a number from 1 to 65535"),
        ("DATABASE_URL", "postgresql://u:hunter2@h1:1,h2:x/d", "the port is not a number"),
        ("DATABASE_URL", "postgresql://u:hunter2@h/d?sslmode=on", "sslmode: expected allow, disable,"),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@h/d?connect_timeout=1s",
            "connect_timeout: expected a whole number",
        ),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@h/d?autocommit=1",
            "the parameter autocommit is none of libpq's",
        ),
        ("DATABASE_URL", "postgresql://u:1?hunter2@h/d?x=y", "the parameter x is none of libpq's"),
        ("DATABASE_URL", "postgresql://u:hunter2@h/d?schema=a b", "white space"),
        ("DATABASE_URL", "postgresql://u:hunter2@h/d?schema=a;b", "schema: expected the name of a schema"),
        ("DATABASE_URL", "postgresql://u:hun\nter2@h/d", "white space"),
        (
            "DATABASE_URL",
            "postgresql://u:[YOUR-PASSWORD]@hunter/d",
            "[YOUR-PASSWORD] stands where the password",
        ),
        ("DATABASE_URL", "host=h password=hunter2", "key=value is not understood"),
        ("DATABASE_URL", "jdbc:postgresql://u:hunter2@h/d", "without jdbc:"),
        ("DATABASE_URL", "psql -h hunter2 -U u", "expected postgresql://"),
        ("REDIS_URL", "http://:hunter2@h", "expected redis://"),
        ("REDIS_URL", "redis://:hunter2/tail@h:1/0", "a / in the password is written %2F"),
        ("REDIS_URL", "redis://u:12/hunter2@h:1/0", "a / in the password is written %2F"),
        ("REDIS_URL", "redis://:hunter2?tail@h:1/0", "a ? %3F"),
        ("REDIS_URL", "redis://:hunter2#tail@h:1/0", "a # %23"),
        ("REDIS_URL", "redis://:hunter2@h:port/0", "the port is not a number"),
        ("REDIS_URL", "redis://:hunter2@h:70000/0", "the port is not a number from 1 to 65535"),
        ("REDIS_URL", "redis://:hunter2@h1:1,h2:2/0", "expected one host"),
        ("REDIS_URL", "redis://:hunter2\u2100@h:x", "the port is not a number"),
        ("REDIS_URL", "redis://:hunter2@h/zero", "the database after the / is not a number"),
        ("REDIS_URL", "redis://:hunter2@h/99999999999", "the database after the / is not a number"),
        ("REDIS_URL", "redis://:hunter2@h/0?decode_responses=True", "decode_responses is not known here"),
        ("REDIS_URL", "redis://:hunter2@h/0?protocol=1", "protocol: expected 2 or 3"),
        (
            "REDIS_URL",
            "rediss://:hunter2@h/0?ssl_cert_reqs=perhaps",
            "ssl_cert_reqs: expected required, optional",
        ),
        ("REDIS_URL", "redis://:hunter2@h/0?ssl_cert_reqs=none", "expected rediss://"),
        ("OPS_TOKEN", "hunter2", "expected at least 16 characters"),
        ("FLOWER_BASIC_AUTH", "hunter2", "expected user:password"),
        ("FLOWER_BASIC_AUTH", "user:password,hunter2", "expected user:password"),
        ("TELEGRAM_BOT_TOKEN", "hunter2", "expected a bot token"),
        ("TELEGRAM_BOT_TOKEN", f"{'1' * 17}:hunter2", "expected a bot token"),
        ("TELEGRAM_BOT_TOKEN", f"{'1' * 4400}:hunter2", "expected a bot token"),
        ("TELEGRAM_PROXY_URL", "socks5://:hunter2@h:1080", "expected http://user:password@host:port"),
        ("TELEGRAM_WEBHOOK_SECRET", "hunter 2", "expected 1 to 256 characters"),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(
    option: str, value: str, expectation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(option, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    line = str(refused.value)
    assert line.startswith(f"{option}: ")
    assert expectation in line
    assert "hunter" not in line


DATABASE = {
    "quotes": "'postgresql://u:p@h:1/d'",
    "double quotes": '"postgresql://u:p@h:1/d"',
    "white space and newlines": " \t postgresql://u:p@h:1/d\n\n",
    "psql": "psql 'postgresql://u:p@h:1/d'",
    "psql bare": "psql postgresql://u:p@h:1/d",
    "with its name": 'DATABASE_URL="postgresql://u:p@h:1/d"',
    "as a shell has it": "export DATABASE_URL=postgresql://u:p@h:1/d;",
    "asyncpg": "postgresql+asyncpg://u:p@h:1/d",
    "psycopg 3": "postgresql+psycopg://u:p@h:1/d",
    "Prisma": "postgresql://u:p@h:1/d?schema=public&pgbouncer=true&connection_limit=1&pool_timeout=10",
    "asyncpg's statements": "postgresql+asyncpg://u:p@h:1/d?prepared_statement_cache_size=0",
    "Vercel": "postgres://u:p@h:1/d?supa=base-pooler.x",
}


@pytest.mark.parametrize("given", DATABASE.values(), ids=list(DATABASE))
def test_a_database_url_is_understood_as_it_is_pasted(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    assert clear(load_settings().database_url) == "postgresql+psycopg2://u:p@h:1/d"


@pytest.mark.parametrize(
    ("given", "expected", "knocks"),
    [
        ("u:p@h1:1,h2:2/d", {"host": "h1,h2", "port": "1,2"}, [("h1", 1), ("h2", 2)]),
        ("u:p@h1,h2/d", {"host": "h1,h2", "port": ","}, [("h1", 5432), ("h2", 5432)]),
        ("u:p@h1,h2/d?port=7", {"host": "h1,h2", "port": "7,7"}, [("h1", 7), ("h2", 7)]),
        ("u:p@/d?host=h1:1&host=h2:2", {"host": "h1,h2", "port": "1,2"}, [("h1", 1), ("h2", 2)]),
        ("u:p@/d?host=h1,h2&port=1,2", {"host": "h1,h2", "port": "1,2"}, [("h1", 1), ("h2", 2)]),
        ("u:p@/d?host=h:7", {"host": "h", "port": 7}, [("h", 7)]),
        (
            "u:p@h:7/d?hostaddr=192.0.2.1",
            {"host": "h", "port": 7, "hostaddr": "192.0.2.1"},
            [("192.0.2.1", 7)],
        ),
        ("u:p@/d?host=/run/pg", {"host": "/run/pg"}, ["/run/pg/.s.PGSQL.5432"]),
        ("u:p@%2Frun%2Fpg:7/d", {"host": "/run/pg", "port": "7"}, ["/run/pg/.s.PGSQL.7"]),
        ("u:p@[::1]:7/d", {"host": "::1", "port": 7}, [("::1", 7)]),
        ("u:p@[::1]:7,[::2]:8/d", {"host": "::1,::2", "port": "7,8"}, [("::1", 7), ("::2", 8)]),
    ],
)
def test_hosts_reach_libpq_and_the_look_at_its_port_however_they_are_written(
    given: str, expected: dict[str, object], knocks: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{given}")
    url = clear(load_settings().database_url)
    assert libpqs(url) == {"user": "u", "password": "p", "dbname": "d", **expected}
    assert addresses(url) == knocks


def test_parameters_of_others_reach_libpq_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given = "postgresql+asyncpg://h/d?ssl=require&schema=app&options=-cwork_mem%3D1MB&target_session_attrs=read-write"
    monkeypatch.setenv("DATABASE_URL", given)
    assert make_url(clear(load_settings().database_url)).query == {
        "sslmode": "require",
        "options": "-csearch_path=app -cwork_mem=1MB",
        "target_session_attrs": "read-write",
    }


def test_libpq_knows_every_parameter_that_is_passed_to_it() -> None:
    for name in database_url._OF_LIBPQ:
        parse_dsn(f"{name}='1'")


@pytest.mark.parametrize("value", ["none", "NONE", "None", "CERT_NONE", "ssl.CERT_NONE"])
def test_every_spelling_of_ssl_cert_reqs_is_redis_pys(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"rediss://:p@h:1/0?ssl_cert_reqs={value}")
    assert clear(load_settings().redis_url) == "rediss://:p@h:1/0?ssl_cert_reqs=none"


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        (" 'redis://:p@h:1/2'\n", "redis://:p@h:1/2"),
        ("redis://h", "redis://h/0"),
        ("redis://h:1?db=3&protocol=2", "redis://h:1/3?protocol=2"),
        ("redis://:p@ss@h:1/0", "redis://:p%40ss@h:1/0"),
        ("redis://h:1/0?family=0", "redis://h:1/0"),
        ("redis-cli --tls -u redis://default:p@h:1", "rediss://default:p@h:1/0"),
        ("valkeys://default:p@h:1", "rediss://default:p@h:1/0"),
        ("unix://:p@/run/redis.sock?db=3", "unix://:p@/run/redis.sock?db=3"),
        ("redis+socket:///run/redis.sock?virtual_host=3", "unix:///run/redis.sock?db=3"),
    ],
)
def test_a_redis_url_is_understood_as_it_is_pasted(
    given: str, understood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", given)
    assert clear(load_settings().redis_url) == understood
    assert str(read_redis_url(understood)) == understood


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ops_token", "0123456789abcdef"),
        ("telegram_bot_token", "123:abc"),
        ("telegram_api_url", "http://h"),
        ("ops_port", "8081"),
        ("currency", "EUR"),
    ],
)
def test_a_newline_at_the_end_of_a_value_is_dropped(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(option.upper(), f"{value}\n")
    found = getattr(load_settings(), option)
    assert (clear(found) if isinstance(found, SecretStr) else str(found)) == value


BAD = [
    *(
        "",
        " ",
        "\n",
        "x",
        "-1",
        "0",
        "1e400",
        "nan",
        "inf",
        "-inf",
        "1" * 5000,
        "\udcff",
        "٣",
        "true",
        "[",
        "{}",
    ),
    *(
        "http://[",
        "http://h:x",
        "http://h:99999999",
        "http://\u2100@h",
        "//",
        "://",
        "a b",
        "'",
        "%",
        "%zz",
        "%00",
    ),
    *(
        "postgresql://[",
        "postgresql://@",
        "postgresql://u:p@h:1:2/d",
        "postgresql://h,/d",
        "postgresql://h/?=&?&=1",
    ),
    *(
        "redis://[",
        "redis://@",
        "redis://h/0/1",
        "redis://h?=",
        "rediss://h?ssl_ca_certs=",
        "unix://",
        "unix://h/x",
    ),
]


def section_of(option: str) -> type[Options]:
    return next(each for each in Settings.__mro__ if option.lower() in inspect.get_annotations(each))


@pytest.mark.parametrize("option", [name.upper() for name in Settings.model_fields])
def test_whatever_the_value_an_option_is_read_or_refused_by_its_name(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = section_of(option)
    for value in BAD:
        monkeypatch.setenv(option, value)
        refused, options = "", None
        try:
            options = load_options(section)
        except SettingsError as error:
            refused = str(error)
        assert not refused or refused.startswith(f"{option}: "), value
        assert "\n" not in refused, value
        if isinstance(options, DatabaseOptions):
            url = clear(options.database_url) if options.database_url else "postgresql+psycopg2://"
            libpqs(url)
            assert addresses(url), value
        elif isinstance(options, RedisOptions) and options.redis_url:
            redis.Redis.from_url(clear(options.redis_url))


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"OPS_PORT=\xff\xfe")
    with pytest.raises(SettingsError, match=r"^\.env cannot be read: it is not UTF-8$"):
        load_settings()


@pytest.mark.parametrize(
    ("environment", "file", "told"),
    [
        ({"HEALTH_PROBE_SECOND": "5"}, "", "HEALTH_PROBE_SECOND in the environment is not an option and is ignored; "
         "did you mean HEALTH_PROBE_SECONDS?"),
        ({}, "health_probe_second=5", "HEALTH_PROBE_SECOND in .env is not an option"),
        ({}, "BOT_TOKEN=1:a", "did you mean TELEGRAM_BOT_TOKEN?"),
        ({}, "POSTGRES_PASSWORD=x\nLOG_LEVEL=debug", ""),
        ({}, "TELEGRAM_TOKEN=1:a", "did you mean TELEGRAM_BOT_TOKEN?"),
        ({"REDIS_TLS_URL": "x", "DATABASE_URL_UNPOOLED": "x", "REDIS_PORT": "x"}, "", ""),
    ],
)  # fmt: skip
def test_a_misspelt_option_is_told_once(
    environment: dict[str, str],
    file: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("dbcore.settings.reading._told", set())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text(file)
    load_settings()
    load_settings()
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == bool(told)


@pytest.mark.parametrize(
    ("environment", "host", "port"),
    [
        ({}, "127.0.0.1", 8080),
        ({"PORT": "3000"}, "127.0.0.1", 3000),
        ({"PORT": "3000", "OPS_TOKEN": "0123456789abcdef"}, "0.0.0.0", 3000),  # noqa: S104  what is tested
        ({"PORT": "3000", "OPS_TOKEN": "0123456789abcdef", "OPS_HOST": "127.0.0.1"}, "127.0.0.1", 3000),
        ({"PORT": "3000", "OPS_TOKEN": "0123456789abcdef", "OPS_PORT": "8000"}, "127.0.0.1", 8000),
    ],
)
def test_a_platforms_port_is_taken_and_open_to_all_only_with_a_token(
    environment: dict[str, str], host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.ops_host, settings.ops_port) == (host, port)


def test_two_bad_values_are_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_PORT", "x")
    monkeypatch.setenv("FLOWER_PORT", "y")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["OPS_PORT", "FLOWER_PORT"]


def test_secrets_do_not_show_in_repr(make_settings: MakeSettings) -> None:
    shown = repr(
        make_settings(
            database_url="postgresql://u:hunter2@h/d",
            redis_url="redis://:hunter2@h",
            telegram_bot_token="1:hunter2",
            telegram_webhook_secret="hunter2",
            ops_token="hunter2-hunter2-hunter2",
            flower_basic_auth="u:hunter2",
        )
    )
    assert "hunter2" not in shown


def test_admin_ids_are_read_with_spaces_and_a_comma_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_IDS", " 12, 34,")
    assert load_settings().admin_ids == {12, 34}


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_PORT", "")
    monkeypatch.setenv("DATABASE_URL", "")
    settings = load_settings()
    assert settings.ops_port == 8080
    assert settings.database_url is None


def test_the_environment_beats_dotenv_and_dotenv_beats_running_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / RUNNING_ENV_FILE).parent.mkdir()
    (tmp_path / RUNNING_ENV_FILE).write_text("OPS_PORT=1\nFLOWER_PORT=1\nSIMULATOR_PORT=1\n")
    (tmp_path / ".env").write_text("OPS_PORT=2\nFLOWER_PORT=2\n")
    monkeypatch.setenv("OPS_PORT", "3")
    settings = load_settings()
    assert (settings.ops_port, settings.flower_port, settings.simulator_port) == (3, 2, 1)


@pytest.mark.parametrize(
    ("url", "objection"),
    [
        ("https://bot.example.org:8080/telegram", "ports 443, 80, 88 and 8443"),
        ("http://bot.example.org/telegram", "https://"),
        ("https://10.0.0.5/telegram", "private address"),
        ("https://[::1]/telegram", "private address"),
        ("https://localhost/telegram", "private address"),
    ],
)
def test_a_webhook_that_telegram_never_takes_is_refused_but_for_a_server_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings, url: str, objection: str
) -> None:
    monkeypatch.setenv("TELEGRAM_WEBHOOK_URL", url)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith("TELEGRAM_WEBHOOK_URL: ")
    assert objection in str(refused.value)
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("TELEGRAM_API_URL", "http://127.0.0.1:8081")
    assert load_settings().telegram_webhook_url == url


@pytest.mark.parametrize("port", ["", ":443", ":80", ":88", ":8443"])
def test_a_webhook_that_telegram_takes_is_taken(make_settings: MakeSettings, port: str) -> None:
    assert make_settings(telegram_webhook_url=f"https://bot.example.org{port}/telegram").telegram_webhook_url


def test_frontends_with_the_same_token_expect_the_same_webhook_secret(make_settings: MakeSettings) -> None:
    url = "https://bot.example.org/telegram"
    one, two = (make_settings(telegram_webhook_url=url, telegram_bot_token="1:a") for _ in range(2))
    other = make_settings(telegram_webhook_url=url, telegram_bot_token="1:b")
    assert clear(one.telegram_webhook_secret) == clear(two.telegram_webhook_secret)
    assert clear(one.telegram_webhook_secret) != clear(other.telegram_webhook_secret)


def test_a_given_webhook_secret_is_kept(make_settings: MakeSettings) -> None:
    settings = make_settings(
        telegram_webhook_url="https://h", telegram_bot_token="1:a", telegram_webhook_secret="mine"
    )
    assert clear(settings.telegram_webhook_secret) == "mine"


def test_a_trailing_slash_of_a_url_does_not_matter(make_settings: MakeSettings) -> None:
    assert (
        make_settings(telegram_api_url="http://127.0.0.1:8081/").telegram_api_url == "http://127.0.0.1:8081"
    )


@pytest.mark.parametrize("option", ["database_url", "redis_url", "telegram_bot_token"])
def test_what_a_process_cannot_do_without_is_asked_for_by_name(option: str) -> None:
    with pytest.raises(SettingsError, match=f"^{option.upper()} is not set"):
        Settings().require(option)  # type: ignore[arg-type]  # the three names it takes


@pytest.mark.parametrize(
    ("exponent", "limit", "minor"),
    [(2, "1000", 100_000), (2, "99.5", 9_950), (0, "7", 7), (8, "0.00000001", 1)],
)
def test_a_limit_is_an_amount_of_the_currency(
    make_settings: MakeSettings, exponent: int, limit: str, minor: int
) -> None:
    settings = make_settings(currency_exponent=exponent, credit_limit=limit, credit_limit_per_day=limit)
    assert settings.minor_units(settings.credit_limit) == minor
    assert settings.minor_units(settings.credit_limit_per_day) == minor
    assert settings.minor_units(make_settings().credit_limit) is None


@pytest.mark.parametrize("limit", ["0", "-1", "five", "NaN", "Infinity", "1.001", "1e400", "1,000", "9" * 30])
@pytest.mark.parametrize("option", ["CREDIT_LIMIT", "CREDIT_LIMIT_PER_DAY"])
def test_what_is_no_amount_is_no_limit(monkeypatch: pytest.MonkeyPatch, option: str, limit: str) -> None:
    monkeypatch.setenv(option, limit)
    with pytest.raises(SettingsError, match=f"^{option}: ") as refused:
        load_settings()
    assert len(str(refused.value).splitlines()) == 1


def test_roles_have_limits_of_their_own_and_others_those_of_all(make_settings: MakeSettings) -> None:
    settings = make_settings(
        credit_limit="10", credit_limit_per_day="20", role_limits="treasurer:5.50:none, owner:none:99"
    )
    assert Limits.of(settings, Role.TREASURER) == Limits(550, None)
    assert Limits.of(settings, Role.OWNER) == Limits(None, 9_900)
    assert Limits.of(settings, Role.SUPPORT) == Limits.of(settings, None) == Limits(1_000, 2_000)
    only = make_settings(credit_limit="10", role_limits="owner:7:7", currency_exponent=0)
    assert Limits.of(only, Role.TREASURER) == Limits(10, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("treasurer:50", "expected roles that credit"),
        ("support:50:60", "treasurer or owner"),
        ("boss:50:60", "treasurer or owner"),
        ("treasurer:50:60:70", "expected roles that credit"),
        ("treasurer:1:2,treasurer:3:4", "each role once"),
        ("treasurer:0:5", "amounts above zero"),
        ("treasurer:-1:5", "amounts above zero"),
        ("treasurer:five:5", "amounts above zero"),
        ("treasurer:1e400:5", "amounts above zero"),
        ("treasurer:1.001:5", "no more decimals"),
        ("treasurer:1:99999999999999999999", "at most"),
    ],
)
def test_what_are_no_limits_of_roles_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.setenv("ROLE_LIMITS", given)
    with pytest.raises(SettingsError, match=f"^ROLE_LIMITS: .*{said}") as refused:
        load_settings()
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["ballast", "public", "_b2", "a" * 63])
def test_a_schema_is_a_plain_name(name: str, make_settings: MakeSettings) -> None:
    assert make_settings(ballast_schema=name).ballast_schema == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Ballast", "lower-case letters"),
        ("my-bot", "lower-case letters"),
        ("2bots", "not beginning with a digit"),
        ("a b", "lower-case letters"),
        ('a"; DROP SCHEMA public; --', "lower-case letters"),
        ("ballast,public", "lower-case letters"),
        ("schéma", "lower-case letters"),
        ("a" * 64, "at most 63"),
        ("pg_catalog", "a schema of your own"),
        ("pg_mine", "a schema of your own"),
        ("information_schema", "a schema of your own"),
    ],
)
def test_a_schema_that_cannot_be_is_refused_by_its_option(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BALLAST_SCHEMA", name)
    with pytest.raises(SettingsError, match=r"^BALLAST_SCHEMA: expected ") as refused:
        load_settings()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
