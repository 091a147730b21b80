"""What commands print comes from the catalogues: in the pseudo-language nothing of it stays plain, but what people
wrote and what is typed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from ballast.cli.main import cli
from ballast.inbox import Inbox
from ballast.people.doing import Doing
from ballast.queueing import worker_drains
from ballast.queueing.envelope import Envelope
from ballast.texts import LANGUAGES, said, speaking
from ballast.texts.catalogues import use_folder
from ballast.texts.columns import labelled, left, right, width
from ballast.texts.steps import step
from dbcore import failed_operations
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import ledger, users
from dbcore.ledger.users import Profile
from dbcore.sentences import Refusal, sentence, several
from dbcore.settings import SettingsError, load_settings
from tests.ballast.cli.test_languages import hard_wired
from tests.conftest import MakeSettings
from tests.texts import pseudo

REFERENCE = "7F3KQ2MA"
NAMES = """
ballast CREDIT Celery Telegram Redis PostgreSQL Stars UTC ada bob note shop order flower operator tests
balances users transactions answers replies jobs broadcasts health light main viewer support treasurer owner
transfer credit debit reversal adjustments before yes
"""
"""Names, kinds, roles, options and what else is the same in each language."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pseudo")
    pseudo.write(folder)
    return folder


@pytest.fixture
def engine(database_url: str, make_settings: MakeSettings) -> Iterator[GuardedEngine]:
    made = GuardedEngine(make_settings(database_url=database_url))
    for telegram_id, name in ((7001, "ada"), (7002, "bob")):
        users.get_or_create(made, profile=Profile(telegram_id, name, name))
    ledger.adjust(made, key="s", target=users.UserRef(telegram_id=7001), amount=5000, memo="", actor="t")
    yield made
    made.dispose()


@pytest.fixture
def spoken(
    folder: Path,
    engine: GuardedEngine,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[None]:
    """Commands speak the pseudo-language, with real servers."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BALLAST_ENV_FILE": "/dev/null",
        "LC_ALL": f"{pseudo.LANGUAGE}.UTF-8",
        "TEXTS_FOLDER": str(folder),
    }.items():
        monkeypatch.setenv(name, value)
    use_folder(folder)
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    use_folder(None)
    root.setLevel(level)
    root.handlers[:] = handlers


def printed(*arguments: str, status: int = 0) -> str:
    ended = CliRunner().invoke(cli, arguments, prog_name="ballast")
    assert ended.exit_code == status, (arguments, ended.output, ended.exception)
    return ended.stdout + ended.stderr


def require_translated(said_of_it: str, *same: str) -> None:
    assert "⟦" in said_of_it, said_of_it
    assert hard_wired(said_of_it, {*NAMES.split(), *same}) == [], said_of_it


@pytest.mark.usefixtures("spoken")
def test_acts_on_people_their_questions_and_refusals() -> None:
    for line, status in (
        ("credit @bob 5.50 --reason note --yes --key one", 0),
        ("credit @bob 5.50 --reason note --yes --key one", 0),
        ("debit @bob 1 --reason note --yes", 0),
        ("debit @bob 100 --reason note --yes", 1),
        ("reverse 1 --reason note --yes", 0),
        ("reverse 1 --reason note --yes", 1),
        ("reverse 999 --reason note --yes", 1),
        ("freeze @bob --reason note --yes", 0),
        ("freeze @bob --reason note --yes", 0),
        ("unfreeze @bob --reason note --yes", 0),
        ("message @bob note --yes", 0),
        ("erase @bob --reason note --yes", 0),
        ("credit @nobody 5 --reason note --yes", 1),
        ("credit @bob 5 --reason note", 1),
    ):
        require_translated(printed(*line.split(), status=status), "nobody", "start")


@pytest.mark.usefixtures("spoken")
def test_people_and_what_happened_to_them(engine: GuardedEngine) -> None:
    made = ledger.transfer(
        engine, key="t", sender_telegram_id=7001, recipient_telegram_id=7002, amount=200, memo="note"
    )
    ledger.transfer(
        engine, key="u", sender_telegram_id=7001, recipient_telegram_id=7002, amount=999_900, memo=""
    )
    printed("reverse", str(made.transfer_id), "0.50", "--reason", "note", "--yes")
    printed("freeze", "@bob", "--reason", "note", "--both", "--yes")
    failed(engine)
    for line, status in (
        ("user ada --limit 1", 0),
        ("user bob", 0),
        ("user zzz", 1),
        ("users --limit 1", 0),
        ("transfers", 0),
        ("transfers --kind nothing", 0),
    ):
        require_translated(printed(*line.split(), status=status), "flower", "such", "zzz", "reversal")
    for telegram_id in (7003, 7004):
        users.get_or_create(engine, profile=Profile(telegram_id, None, "namesake"))
    require_translated(printed("user", "namesake", status=1), "namesake", "username")


def failed(engine: GuardedEngine) -> None:
    failed_operations.record(
        engine,
        job_id="j",
        kind="shop.order",
        reference=REFERENCE,
        telegram_id=7001,
        error="flower",
        payload={},
    )


@pytest.mark.usefixtures("spoken")
def test_jobs_that_failed_and_that_wait(engine: GuardedEngine, redis_url: str) -> None:
    failed(engine)
    with redis.Redis.from_url(redis_url) as client:
        for number in range(2):
            fields = {"telegram_id": 7001, "chat_id": 7001, "first_name": "ada", "username": None}
            Inbox(client).accept(
                Envelope(job_id=f"w{number}", kind="balances.show", lane="user:7001", fields=fields)
            )
    for line, status in (
        ("jobs list --kind nothing", 0),
        ("jobs waiting --limit 1", 0),
        ("jobs waiting", 0),
        ("jobs show nonsense", 1),
        ("jobs show AAAAAAAA", 1),
        ("jobs retry AAAAAAAA", 1),
        ("jobs discard", 2),
        ("jobs discard --kind nothing", 0),
        ("jobs discard --kind shop.order", 1),
        ("jobs discard --kind shop.order --yes", 0),
        (f"jobs discard {REFERENCE}", 1),
        ("jobs run nothing", 1),
    ):
        told = printed(*line.split(), status=status)
        told = re.sub(r"\b[A-Z0-9]{8}\b", "", told)  # a reference
        require_translated(told, "nonsense", "nothing", "show", "discard", "help", "OPTIONS", "REFERENCE")


@pytest.mark.usefixtures("spoken")
def test_keys_roles_and_what_operators_did() -> None:
    for line, status in (
        ("keys list", 0),
        ("keys create shop --scope users:read", 0),
        ("keys create shop --scope users:read", 1),
        ("keys create owner --scope users:read", 1),
        ("keys list", 0),
        ("keys revoke shop", 0),
        ("keys revoke shop", 1),
        ("roles give @bob support --reason note", 0),
        ("roles list", 0),
        ("roles take @bob --reason note", 0),
        ("log --actor nobody", 0),
    ):
        told = printed(*line.split(), status=status)
        if "⟦" not in told:  # such as a role that was given
            assert line.startswith("roles give")
            continue
        hidden = told.splitlines()[0] if line.startswith("keys create") and status == 0 else ""
        require_translated(
            told.replace(hidden, ""),
            "Bearer",
            *pseudo.plain_words(hidden),
            "read",
            *pseudo.plain_words(here()),
        )


def here() -> str:
    from dbcore.breaker.override import user_here

    return user_here()


@pytest.mark.usefixtures("spoken")
def test_queues_workers_outages_settings_and_lists_of_nothing(redis_url: str) -> None:
    for line, status in (
        ("queues pause balances", 0),
        ("queues list", 0),
        ("queues resume balances", 0),
        ("workers drain nobody@nowhere", 1),
        ("workers resume nobody@nowhere", 1),
        ("outages", 0),
        ("move --status", 0),
        ("withdrawals list", 0),
        ("withdrawals stop --reason note", 0),
        ("withdrawals resume", 0),
        ("withdrawals approve 9 --yes", 1),
        ("subscriptions cancel 9 --reason note --yes", 1),
        ("subscription-link none", 1),
        ("refund 9 --yes", 1),
        ("reconcile --show", 1),
        ("reconcile --provider nobody --show", 1),
    ):
        told = printed(*line.split(), status=status)
        require_translated(
            told, "nobody", "nowhere", "none", "pause", "resume", *pseudo.plain_words(here()),
            *("STARS_SUPPORT", "STARS_TERMS"),
        )  # fmt: skip
    assert "⟦" in printed("settings")
    require_translated(printed("upgrade", "--check"), "first", "unset")


@pytest.mark.usefixtures("spoken")
def test_what_programs_read_is_in_english_in_each_language(engine: GuardedEngine, redis_url: str) -> None:
    printed("freeze", "@bob", "--reason", "note", "--yes")
    failed(engine)
    with redis.Redis.from_url(redis_url) as client:
        Inbox(client).accept(
            Envelope(job_id="w", kind="balances.show", lane="user:7001", fields={"telegram_id": 7001})
        )
    for line in (
        *("jobs list --json", "jobs waiting --json", f"jobs show {REFERENCE}", "keys list --json"),
        *("user @bob --json", "user @bob --csv", "users --json", "users --csv", "transfers --json"),
        *("transfers --csv", "roles list --json", "log --json", "queues list --json", "workers list --json"),
        *("outages --json", "settings --json", "upgrade --check --json"),
    ):
        told = printed(*line.split())
        assert told and "⟦" not in told, line


@pytest.mark.usefixtures("spoken")
def test_a_bad_setting_is_refused_in_the_operators_language_and_logged_in_english(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DB_POOL_SIZE", "0")
    monkeypatch.setenv("STARS_RECONCILE_AT", "25:00")
    monkeypatch.setenv("ROLE_LIMITS", "1")
    monkeypatch.setenv("OPS_TOKEN", "1")
    told = printed("queues", "list", status=2)
    options = {"DB_POOL_SIZE", "STARS_RECONCILE_AT", "ROLE_LIMITS", "OPS_TOKEN"}
    assert {line.partition(":")[0].strip("⟦") for line in told.splitlines()} == options
    assert hard_wired(told, {*NAMES.split(), *pseudo.plain_words(" ".join(options))}) == []
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "DB_POOL_SIZE: expected at least 1; got '0'" in str(refused.value).splitlines()


@pytest.mark.usefixtures("spoken")
def test_what_is_said_of_a_move_and_what_it_refuses() -> None:
    with speaking(pseudo.LANGUAGE):
        assert hard_wired(step("checked", ""), set()) == []
        assert width(step("checked", "")) == width(step("gap", "")) == width(step("", ""))
        reasons = several(
            [sentence("the new database is not empty"), sentence("no database was moved")], "; "
        )
        told = said(Refusal(sentence("it cannot be moved: {reasons}", reasons=reasons)))
        assert told.count("⟦") == 3
        assert hard_wired(told, set()) == []
    told = str(Refusal(sentence("it cannot be moved: {reasons}", reasons=reasons)))
    assert told == "it cannot be moved: the new database is not empty; no database was moved"


def test_columns_are_as_wide_as_a_terminal_shows_them() -> None:
    assert [width(text) for text in ("ab", "é", "e\u0301", "猫", "\u2068ab\u2069")] == [2, 1, 1, 2, 2]
    assert (left("猫", 4), right("猫", 4), left("long", 2)) == ("猫  ", "  猫", "long")
    assert labelled([("a", "1"), ("猫猫", "2")]) == ["a     1", "猫猫  2"]
    assert labelled([("a", "1")], least=6) == ["a     1"]


def test_an_amount_behind_a_right_to_left_label_stays_as_it_is_written() -> None:
    with speaking("ar"):
        assert labelled([("رصيد:", "-5.00 CREDIT"), ("", "")]) == [
            "رصيد:  \u2068-5.00 CREDIT\u2069",
            "       ",
        ]


def test_a_right_to_left_name_turns_nothing_around_in_what_is_agreed_to() -> None:
    person: Any = SimpleNamespace(username=None, first_name="אבי 5", telegram_id=7)
    doing: Any = None
    assert Doing.described(doing, person) == "“\u2068אבי 5\u2069”, no username, ID 7"


def test_no_name_reads_as_another_person_in_what_is_agreed_to() -> None:
    person: Any = SimpleNamespace(username="eve", first_name="Bob”, @bob, ID 3", telegram_id=9)
    doing: Any = None
    assert Doing.described(doing, person) == '“Bob", @bob, ID 3”, @eve, ID 9'


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_steps_of_a_move_stand_below_each_other(language: str) -> None:
    with speaking(language):
        assert len({width(step(name, "")) for name in ("checked", "audited", "gap", "")}) == 1


def test_the_state_of_each_worker_has_a_word() -> None:
    from ballast.cli import workers

    for state in worker_drains.WorkerState:
        found = worker_drains.Worker("main@host", state, (), (), (), None, None)
        assert workers._state(found)
