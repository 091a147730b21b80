"""Settings: what is accepted, how it is understood, and the line that refuses the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from dbcore.settings import RUNNING_ENV_FILE, Settings, SettingsError, load_settings
from tests.conftest import MakeSettings


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings) -> None:
    """`make_settings` has emptied the environment; the folder has no env file."""
    monkeypatch.chdir(tmp_path)


def clear(value: SecretStr | None) -> str:
    assert value is not None
    return value.get_secret_value()


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
        ("DB_POOL_SIZE", "0", "greater than or equal to 1"),
        ("DB_POOL_SIZE", "three", "a valid integer"),
        ("DB_MAX_OVERFLOW", "101", "less than or equal to 100"),
        ("DB_DEADLINE_SECONDS", "0", "greater than 0"),
        ("OPS_PORT", "65536", "less than or equal to 65535"),
        ("ADMIN_IDS", "12,bob", "expected Telegram user ids, comma separated"),
        ("TELEGRAM_API_URL", "api.telegram.org", "expected http://host:port or https://host"),
        ("TELEGRAM_WEBHOOK_URL", "ftp://h", "expected http://host:port or https://host"),
        ("CURRENCY", "euro", "should match pattern"),
        ("CURRENCY_EXPONENT", "9", "less than or equal to 8"),
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
        ("DATABASE_URL", "postgresql://u:hunter2@h:port/d", "expected postgresql://user:password@host:port/"),
        ("REDIS_URL", "http://:hunter2@h", "expected redis://"),
        ("TELEGRAM_BOT_TOKEN", "hunter2", "expected a bot token"),
        ("TELEGRAM_PROXY_URL", "socks5://:hunter2@h:1080", "expected http://user:password@host:port"),
        ("TELEGRAM_WEBHOOK_SECRET", "hunter2 ", "expected 1 to 256 characters"),
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
    assert "hunter2" not in line


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
            ops_token="hunter2",
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
