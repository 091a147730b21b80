"""What an app registers, and what is refused before any program starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from telegram import Update
from telegram.ext import CommandHandler, ConversationHandler, MessageHandler, filters

from ballast import (
    LAST_KNOWN,
    App,
    BuiltInAnswer,
    Button,
    Job,
    JobContext,
    Reply,
    SettingsError,
    UsageError,
)
from ballast.apps.discovery import RESERVED, registry
from ballast.builtin.broadcasts import (
    ChangeDraft,
    DraftBroadcast,
    ListBroadcasts,
    PressBroadcast,
    StartBroadcast,
)
from ballast.builtin.payments import RecordPayment
from ballast.builtin.replacing import JOBS
from ballast.builtin.transfers import CreateTransfer, DecideTransfer, ShowHistory
from ballast.jobs import JobInvalid, checked
from ballast.queueing.envelope import queue_of
from ballast.queueing.kinds import JOB_TYPES
from ballast.queueing.queues import QUEUES
from bot_frontend.texts import ADMIN_COMMANDS, PUBLIC_COMMANDS
from devstack.stack import ROOT
from tests.harness.programs import run_program

CELERY = ["-m", "celery", "-A", "workers"]
PROGRAMS = {
    "frontend": ["-m", "bot_frontend"],
    "worker": [*CELERY, "worker", "--concurrency", "1"],
    "beat": [*CELERY, "beat"],
    "flower": [*CELERY, "flower"],
    "migrate": ["-m", "ballast", "migrate"],
    "audit": ["-m", "dbcore", "audit"],
    "jobs": ["-m", "ballast", "jobs", "list"],
    "run": ["-m", "ballast", "run"],
}


async def _callback(update: Any, context: Any) -> None:
    """Handles nothing."""


class Words(BaseModel):
    words: str


class Give(Job, kind="shop.give"):
    telegram_id: int


class Gift(Job, kind="shop.gift"):
    telegram_id: int


def nothing(ctx: JobContext) -> None: ...


def with_words(ctx: JobContext, args: Words) -> None: ...


def given(ctx: JobContext, job: Any) -> None: ...


def swapped(args: Any, ctx: JobContext) -> None: ...


def photo(ctx: JobContext, update: Update) -> None: ...


BUTTON = Button("Give", Give(telegram_id=1))


def run(folder: Path, program: str, apps: str) -> subprocess.CompletedProcess[str]:
    return run_program(PROGRAMS[program], folder, BALLAST_APPS=apps)


def assert_refused_in_one_line(apps: list[App], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        registry(tuple(apps))
    assert str(error.value).startswith("BALLAST_APPS: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_ends_in_one_line_if_an_app_cannot_be_had(program: str, tmp_path: Path) -> None:
    done = run(tmp_path, program, "nowhere.bot:app")
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode in {1, 2}
    assert len(said) == 1, said
    assert said[0].endswith(
        "BALLAST_APPS: nowhere.bot cannot be imported: ModuleNotFoundError: No module named 'nowhere'"
    )


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        (
            "",
            "shop",
            "expected module:name of a ballast.App, such as shop.bot:app; shop: `app` in shop is not there",
        ),
        ("app = 3", "shop:app", "shop:app: `app` in shop is of the type int"),
        (
            "x = 1\ny = x / 0",
            "shop",
            "shop cannot be imported: ZeroDivisionError: division by zero (shop.py, line 2)",
        ),
        (
            "import os\nurl = os.environ['SHOP_URL']",
            "shop",
            "shop cannot be imported: KeyError: 'SHOP_URL' (shop.py, line 2)",
        ),
        (
            "import sys\nsys.modules['psycopg'] = None\nfrom sqlalchemy import create_engine\ncreate_engine('postgresql+psycopg://')",
            "shop",
            "(shop.py, line 4). SQLAlchemy 2.1 takes postgresql:// for psycopg 3: say postgresql+psycopg2://",
        ),
        ("def", "shop", "shop cannot be imported: SyntaxError: "),
        ("", "shop:", "expected names such as shop.bot:app, comma separated; got 'shop:'"),
        ("from ballast import App\napp = App('Shop')", "shop", "an app's name is 1 to 30 of a-z"),
        ("from ballast import App\napp = App('users')", "shop", "an app cannot be called 'users'"),
        (
            "from ballast import App\napp = App('shop')\n@app.command('send', help='x')\ndef send(ctx): ...",
            "shop",
            "/send is a command of Ballast's own. Choose another name, or say replace=True",
        ),
    ],
)
def test_a_bad_app_is_told_in_one_line_with_its_place(
    source: str, name: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(source)
    done = run(tmp_path, "audit", name)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def install(folder: Path) -> None:
    """A package `shop`, whose app is `shop:ours`."""
    info = folder / "shop-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ballast.apps]\nshop = shop:ours\n")


def test_a_bad_app_of_an_installed_package_is_told_by_its_entry_point(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / "shop.py").write_text("x = 1 / 0")
    done = run(tmp_path, "audit", "")
    assert "the entry point shop of ballast.apps: shop cannot be imported: ZeroDivisionError" in done.stderr


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    install(tmp_path)
    (tmp_path / "shop.py").write_text("from ballast import App\nours = App('shop')\n")
    program = "from ballast.apps.discovery import installed; print([app.name for app in installed().apps])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "BALLAST_APPS": "shop:ours"},  # named twice, it is one
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "['shop']\n", done.stderr


def app_with(*names: str, replace: bool = False, called: str = "shop") -> App:
    app = App(called)
    for name in names:
        app.command(name, help="Help", replace=replace)(nothing)
    return app


def test_a_built_in_command_is_replaced_only_by_who_says_so() -> None:
    with pytest.raises(SettingsError, match="/balance is a command of Ballast's own"):
        registry((app_with("balance"),))
    assert "balance" in registry((app_with("balance", replace=True),)).commands
    assert {*registry(()).own_commands} == {*PUBLIC_COMMANDS, *ADMIN_COMMANDS}
    assert {*QUEUES, *(kind.partition(".")[0] for kind in JOB_TYPES)} <= RESERVED
    assert {queue_of(kind) for kind in JOB_TYPES} <= {*QUEUES}


def changed(called: str = "shop", off: str | None = None, **names: str) -> App:
    app = App(called)
    for word, name in names.items():
        app.rename(word, name)
    if off is not None:
        app.switch_off(off)
    return app


def test_a_built_in_command_has_the_name_that_an_app_gives_it_and_its_old_one_is_free() -> None:
    found = registry(
        (changed(send="pay", balance="send", credit="topup"), app_with("balance", called="kiosk"))
    )
    assert {"pay", "send", "balance", "topup"} <= found.commands.keys()
    assert "credit" not in found.commands
    assert found.commands["pay"].help == "Send money: /pay @name 5.50 [memo]"
    assert found.commands["pay"].handler.kind == "transactions.create"
    assert found.commands["balance"].handler.kind == "kiosk.command.balance"
    assert (found.name_of("send"), found.name_of("balance")) == ("pay", "send")
    app = changed()
    app.rename("send", "pay", help="Pay somebody")
    assert registry((app, app_with("pay", called="kiosk", replace=True))).commands["pay"].help == "Help"
    assert registry((app,)).commands["pay"].help == "Pay somebody"


def test_a_built_in_command_that_is_switched_off_is_no_command_and_its_name_is_free() -> None:
    found = registry((changed(off="history"), app_with("history", called="kiosk")))
    assert found.commands["history"].handler.kind == "kiosk.command.history"
    assert found.name_of("history") is None
    assert "transactions.history" in found.handlers, "what waits from before is still done"
    handled = changed(off="history")
    handled.add_handler(CommandHandler("history", _callback))
    assert registry((handled,)).left_to_handlers == {"history"}


@pytest.mark.parametrize(
    ("apps", "said"),
    [
        (
            [changed(sned="pay")],
            "shop: /sned cannot be renamed because it is not one of the built-in commands, which are: /balance, ",
        ),
        (
            [changed(off="sned")],
            "shop: /sned cannot be switched off because it is not one of the built-in commands",
        ),
        ([changed(start="hello")], "shop: /start cannot be renamed because Telegram's apps send it."),
        ([changed(off="start")], "shop: /start cannot be switched off because Telegram's apps send it."),
        ([changed(send="balance")], "shop: /balance and /send would both be called /balance"),
        ([changed(send="pay", balance="pay")], "shop: /balance and /send would both be called /pay"),
        ([changed(send="pay"), changed("kiosk", send="give")], "/send is renamed twice, by shop and kiosk"),
        (
            [changed(send="pay"), changed("kiosk", off="send")],
            "/send is renamed by shop and switched off by kiosk",
        ),
        (
            [changed(send="pay"), app_with("pay", called="kiosk")],
            "kiosk: /pay is Ballast's own /send, renamed.",
        ),
    ],
)
def test_names_that_cannot_be_are_told_in_one_line(apps: list[App], said: str) -> None:
    assert_refused_in_one_line(apps, said)


def replacing(called: str = "shop", every: str | None = None, **jobs: Any) -> App:
    """An app that replaces jobs, each with what it needs of the database, and perhaps what is done every so often."""
    app = App(called)
    for name, database in jobs.items():
        job_type = next(each for each in JOBS if each.__name__ == name)
        app.job(job_type, database=database, replace=True)(given)
    if every is not None:
        app.every(60, replace=every)(nothing)
    return app


def without(*commands: str, called: str = "shop", **kinds: Any) -> App:
    app = App(called)
    app.switch_off(*commands, **kinds)
    return app


def test_a_built_in_job_that_is_replaced_keeps_its_kind_queue_and_owner() -> None:
    found = registry((replacing(ShowBalance="write", DecideTransfer="write"),))
    for kind, queue in (("balances.show", "balances"), ("transactions.confirm", "transactions")):
        handler = found.handlers[kind]
        assert (handler.function, handler.app, handler.is_by_task) == (given, "shop", False)
        assert handler.declared is not None
        assert handler.declared.queue == queue
    assert found.handlers["balances.show"].database == "write"
    assert found.taken_away == {"balances.show", "transactions.confirm"}
    assert found.handlers["transactions.create"].is_by_task


def test_what_of_ballasts_own_is_switched_off_is_nowhere() -> None:
    off = without(
        *("history", "broadcast", "broadcasts"),
        buttons=["history", "card"],
        jobs=[ShowHistory, StartBroadcast, DraftBroadcast, ListBroadcasts, PressBroadcast],
        periodic=["broadcasts-watch"],
    )
    found = registry((off,))
    assert {button.name for button in found.buttons} == {
        "transfer",
        "adjustment",
        "refund",
        "language",
        "timezone",
        "app",
        "checkout",
        "deposit",
    }
    ours = [
        *("subscription-sweep", "provider-sweep", "payout-sweep", "star-reconciliation"),
        *("languages-restore", "health-probe", "backup"),
    ]
    assert [each.name for each in found.scheduled] == ours
    assert not {"transactions.history", "broadcasts.press"} & found.handlers.keys()
    replaced = registry((replacing(every="broadcasts-watch"),))
    assert [each.name for each in replaced.scheduled] == ours
    assert [*replaced.periodic] == ["shop.every.nothing"]


@pytest.mark.parametrize(
    ("apps", "said"),
    [
        ([replacing(ShowBalance="read"), replacing("kiosk", ShowBalance="read")], "twice, by shop and kiosk"),
        (
            [replacing(DeliverReply="none")],
            "shop: DeliverReply cannot be replaced because it delivers the bot's answers",
        ),
        ([replacing(SendChunk="write")], "SendChunk cannot be replaced because it keeps broadcasts running"),
        (
            [replacing(CreateTransfer="none")],
            'CreateTransfer: database="none" is not possible because it is in the queue transactions, which stops',
        ),
        (
            [without(jobs=[Give])],
            "Give cannot be switched off because it is not one of Ballast's own jobs, which are: Adjust",
        ),
        (
            [without(jobs=[RecordPayment])],
            "RecordPayment cannot be switched off because Telegram says only once",
        ),
        ([without(jobs=[ShowHistory])], "ShowHistory cannot be switched off because /history asks for it."),
        (
            [changed(history="past"), without(jobs=[ShowHistory])],
            "ShowHistory cannot be switched off because /past asks",
        ),
        (
            [without("history", jobs=[ShowHistory])],
            "because the button history asks for it. Switch that off as well",
        ),
        (
            [replacing(ShowHistory="read"), without(jobs=[ShowHistory])],
            "switched off because shop replaces it",
        ),
        (
            [without(buttons=["transfer"])],
            "the button transfer cannot be switched off because CreateTransfer needs it. Replace that job or switch it",
        ),
        (
            [without(buttons=["app"])],
            "the button app cannot be switched off because it finds what the buttons of apps",
        ),
        (
            [without(buttons=["frob"])],
            "Ballast has none of that name. It has: adjustment, transfer, history, checkout, card, language, timezone, "
            "app",
        ),
        (
            [replacing(every="broadcasts-watch"), without(called="kiosk", periodic=["broadcasts-watch"])],
            "kiosk: the periodic job broadcasts-watch cannot be switched off because shop replaces it",
        ),
        (
            [without(jobs=[ChangeDraft])],
            "ChangeDraft cannot be switched off because the button card asks for it.",
        ),
        (
            [without(periodic=["health-probe"])],
            "the periodic job health-probe cannot be switched off because it finds out that the database is back",
        ),
        (
            [replacing(every="health-probe")],
            "the periodic job health-probe cannot be replaced because it finds out",
        ),
        (
            [replacing(every="frob")],
            "the periodic job frob cannot be replaced because Ballast has none of that name. It has: ",
        ),
        (
            [without(periodic=["broadcasts-watch"])],
            "broadcasts-watch cannot be switched off because StartBroadcast needs",
        ),
        (
            [replacing(every="broadcasts-watch"), replacing("kiosk", every="broadcasts-watch")],
            "the periodic job broadcasts-watch is replaced twice, by shop and kiosk",
        ),
    ],
)
def test_what_cannot_be_replaced_or_switched_off_is_told_in_one_line(apps: list[App], said: str) -> None:
    assert_refused_in_one_line(apps, said)


def relabelled(button: str, label: str) -> App:
    app = App("kiosk")
    app.rename_button(button, label, "Press me")
    return app


def test_a_button_says_what_an_app_has_it_say() -> None:
    app = App("shop")
    app.rename_button("transfer", "Confirm", "Yes, pay")
    found = registry((app,))
    assert [found.label("transfer", label) for label in ("Confirm", "Cancel")] == ["Yes, pay", "Cancel"]
    assert found.label("adjustment", "Confirm") == "Confirm"
    with pytest.raises(UsageError, match="renamed twice"):
        app.rename_button("transfer", "Confirm", "Pay")
    with pytest.raises(UsageError, match="1 to 64 characters"):
        app.rename_button("transfer", "Cancel", "")
    with pytest.raises(
        SettingsError, match="'Confirm' of the button transfer is renamed twice, by shop and kiosk"
    ):
        registry((app, relabelled("transfer", "Confirm")))
    with pytest.raises(
        SettingsError, match="'Go' of the button history cannot be renamed because the button says: ◀ Newer, "
    ):
        registry((relabelled("history", "Go"),))
    with pytest.raises(SettingsError, match="because nothing that the button says can be renamed"):
        registry((relabelled("card", "Pause"),))


def test_a_button_may_go_with_the_job_that_asks_by_it() -> None:
    own = replacing(CreateTransfer="write")
    own.switch_off(buttons=["transfer"], jobs=[DecideTransfer])
    assert "transactions.confirm" not in registry((own,)).handlers


def test_a_handler_of_python_telegram_bot_replaces_a_built_in_command_only_if_it_says_so() -> None:
    handler = CommandHandler("start", _callback)
    silent, loud = App("one"), App("two")
    silent.add_handler(handler)
    loud.add_handler(handler, replace=True)
    with pytest.raises(SettingsError, match=r"/start is a command of Ballast's own.*replace=True"):
        registry((silent,))
    assert registry((loud,)).left_to_handlers == {"start"}


def test_a_handler_that_keeps_its_state_in_one_process_is_refused() -> None:
    conversation: ConversationHandler[Any] = ConversationHandler([], {}, [])
    with pytest.raises(UsageError, match="keeps where each person stands in the memory of one process"):
        App("shop").add_handler(conversation)
    with pytest.raises(UsageError, match="expected a handler of python-telegram-bot"):
        App("shop").add_handler(_callback)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="help is for commands, and a MessageHandler has none"):
        App("shop").add_handler(MessageHandler(filters.PHOTO, _callback), help="Photos")


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="/buy is registered twice, by shop and kiosk"):
        registry((app_with("buy"), app_with("buy", called="kiosk")))
    app = app_with("give")  # a command and a job may share one
    app.job(Give)(given)
    registry((app,))
    app.every(5)(nothing)
    app.every(60)(nothing)
    with pytest.raises(SettingsError, match=r"two handlers have the name shop\.every\.nothing"):
        registry((app,))


def test_an_earlier_kind_of_a_job_belongs_to_one_handler() -> None:
    app = App("shop")
    app.job(Give, aliases=["shop.gift"], attempts=7)(given)
    registered = registry((app,))
    ours = {kind: job for kind, job in registered.jobs.items() if kind.startswith("shop.")}
    assert ours == {"shop.give": Give, "shop.gift": Give}
    assert [registered.handlers[kind].attempts for kind in ours] == [7, 7]
    app.job(Gift)(given)
    with pytest.raises(SettingsError, match=r"two handlers have the name shop\.gift"):
        registry((app,))


def test_a_function_that_takes_updates_has_a_kind_of_its_own_and_its_earlier_ones() -> None:
    app = App("shop")
    app.update(filters.PHOTO, database="read", attempts=3, aliases=["shop.update.picture"])(photo)
    registered = registry((app,))
    assert {
        kind: (handler.database, handler.attempts) for kind, handler in registered.handlers.items()
    }.items() >= {
        "shop.update.photo": ("read", 3),
        "shop.update.picture": ("read", 3),
    }.items()
    app.update("message_reaction")(photo)
    with pytest.raises(SettingsError, match=r"two handlers have the name shop\.update\.photo"):
        registry((app,))


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [(None, [2, 4, 8, 16]), (5, [5, 5, 5, 5]), ((1, 10.5, 60), [1, 10.5, 60, 60])],
)
def test_attempts_wait_as_long_as_the_job_says(backoff: Any, waits: list[float]) -> None:
    app = App("shop")
    app.job(Give, backoff=backoff)(given)
    assert [app.jobs[Give].wait_seconds(tries) for tries in (1, 2, 3, 4)] == waits
    assert app.jobs[Give].wait_seconds(100) == (3600 if backoff is None else waits[-1])


@pytest.mark.parametrize(
    ("register", "said"),
    [
        (lambda app: app.command("Buy", help="x"), "a command is 1 to 32 of a-z"),
        (lambda app: app.command("buy", help=""), "help is one line"),
        (lambda app: app.command("buy", help="x")(with_words), r"its handler is called as \(ctx\)"),
        (lambda app: app.command("buy", help="x", arguments=Words)(nothing), r"called as \(ctx, args\)"),
        (
            lambda app: app.command("buy", help="x", arguments=Words)(swapped),
            r"called as \(ctx, args\), and its second parameter is the context",
        ),
        (
            lambda app: app.command("buy", help="x", arguments=Words)(lambda args, ctx: None),
            "its second parameter is the context",
        ),
        (lambda app: app.job(Give, batch=5)(swapped), r"called as \(ctx, jobs\), and its second parameter"),
        (
            lambda app: app.command("buy", help="x", unavailable="wait"),
            '"queue", "refuse", LAST_KNOWN or a Reply',
        ),
        (lambda app: app.command("buy", help="x", database="none", unavailable="refuse"), "uses no database"),
        (
            lambda app: app.command(
                "buy", help="x", unavailable=Reply("x", buttons=[[Button("y", Give(telegram_id=1))]])
            ),
            "the Reply that needs no database has no buttons",
        ),
        (lambda app: app.command("buy", help="x", database="some")(nothing), '"write", "read" or "none"'),
        (lambda app: app.command("buy", help="x", attempts=0)(nothing), "attempts: expected 1 to 100"),
        (lambda app: App("kiosk").job(Give)(given), "a kind that begins with 'kiosk' and a dot"),
        (lambda app: [app.job(Give)(given), app.job(Give)(given)], "has a handler already"),
        (lambda app: app.rename("send", "Pay!"), "a command is 1 to 32 of a-z"),
        (lambda app: app.rename("send", "pay", help="Pay\nnow"), "/pay: help is one line"),
        (
            lambda app: [app.rename("send", "pay"), app.rename("send", "give")],
            "renamed twice, to /pay and /give",
        ),
        (lambda app: app.job(Give, backoff=-1)(given), r"shop\.give: backoff: expected seconds, 0 to 86,400"),
        (lambda app: app.job(Give, backoff=())(given), r"backoff: .*such as \(1, 10, 60\); got \(\)"),
        (lambda app: app.job(Give, backoff=(1, "2"))(given), r"backoff: .*got \(1, '2'\)"),
        (lambda app: app.job(Give, deadline=0)(given), "deadline: expected seconds, 1 to 2,592,000; got 0"),
        (lambda app: app.job(Give, deadline=True)(given), "deadline: expected seconds.*got True"),
        (
            lambda app: app.job(Give, lane="item")(given),
            r"lane: expected a field of Give \(telegram_id\); got 'item'",
        ),
        (
            lambda app: app.job(Give, aliases="shop.gift")(given),
            r"aliases: expected a list.*got 'shop\.gift'",
        ),
        (lambda app: app.job(Give, aliases=["kiosk.gift"])(given), "aliases: .*begin with 'shop' and a dot"),
        (
            lambda app: app.job(DecideTransfer)(given),
            "DecideTransfer: .*For a job of Ballast's own say replace=True",
        ),
        (lambda app: app.job(DecideTransfer, lane="token", replace=True)(given), "keeps its lane"),
        (
            lambda app: [
                app.job(ShowHistory, replace=True)(given),
                app.job(ShowHistory, replace=True)(given),
            ],
            r"transactions\.history has a handler already: given",
        ),
        (lambda app: app.switch_off(buttons="history"), "buttons: expected a list of names, got 'history'"),
        (
            lambda app: app.add_handler(CommandHandler("shop", _callback), database="some"),
            'add_handler: database is "write", "read" or "none", got \'some\'',
        ),
        (
            lambda app: app.update(photo),
            r"such as filters\.PHOTO, or the name of a type.*got <function photo",
        ),
        (lambda app: app.update("reaction"), "such as \"message_reaction\"; got 'reaction'"),
        (lambda app: app.update("inline_query"), r"its answer is no Reply.*InlineQueryHandler"),
        (lambda app: app.update("callback_query"), "a button of a Reply stands for a job"),
        (
            lambda app: app.update(filters.PHOTO)(nothing),
            r"shop\.update\.nothing: its handler is called as \(ctx, update\)",
        ),
        (lambda app: app.update(filters.PHOTO)(swapped), "its second parameter is the context"),
        (
            lambda app: app.update(filters.PHOTO, unavailable=LAST_KNOWN),
            'update: unavailable is "queue", "refuse" or a Reply',
        ),
        (
            lambda app: app.update(filters.PHOTO, database="none", unavailable="refuse"),
            "update uses no database",
        ),
        (lambda app: app.update(filters.PHOTO, attempts=0)(photo), "attempts: expected 1 to 100"),
        (lambda app: app.update(filters.PHOTO, aliases=["photo"])(photo), "aliases: .*begin with 'shop'"),
        (lambda app: app.every(0)(nothing), "expected 1 to 86,400 whole seconds"),
        (lambda app: App("shop", schema="My Shop"), "schema: expected a name of lower-case letters"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_registered(
    register: Callable[[App], object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        register(App("shop"))


def test_a_reply_is_text_unless_it_says_that_it_is_html() -> None:
    assert Reply("1 < 2 & 3").markup == "1 &lt; 2 &amp; 3"
    assert Reply("<b>1</b>", html=True).markup == "<b>1</b>"
    for text in ("", " ", "x" * 4097, "<" * 1025):
        with pytest.raises(ValueError, match="1 to 4,096 characters"):
            Reply(text)


SHOP = """
from pydantic import BaseModel, Field, SecretStr
from ballast import App
class Carrier(BaseModel):
    password: SecretStr
    port: int
class Shop(BaseModel):
    token: SecretStr = Field(min_length=8)
    carrier: Carrier | None = None
    items_max: int = Field(default=10, ge=1)
app = App("shop", settings=Shop)
"""


@pytest.mark.parametrize("program", ["frontend", "worker", "audit"])
def test_a_bad_option_of_an_app_stops_each_program_in_one_line(program: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / ".env").write_text("SHOP_TOKEN=long enough\nSHOP_ITEMS_MAX=none\n")
    done = run(tmp_path, program, "shop")
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode in {1, 2}
    assert len(said) == 1, said
    assert "SHOP_ITEMS_MAX: " in said[0]
    assert said[0].endswith("got 'none'")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("SHOP_TOKEN=hunter2", "SHOP_TOKEN: "),
        ("SHOP_CARRIER=hunter2", "SHOP_CARRIER: "),
        (
            'SHOP_CARRIER={"password": "hunter2"}',
            "SHOP_CARRIER: expected an object with port, which is not in it",
        ),
        ("SHOP_TOKN=hunter2", "did you mean SHOP_TOKEN?"),
        ("SHOP_ITEMS_MAX=3", "SHOP_TOKEN: expected a value; it is not set"),
    ],
)
def test_an_apps_option_is_told_without_its_secret(env: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / ".env").write_text(env)
    done = run(tmp_path, "audit", "shop")
    assert done.returncode == 2
    assert said in done.stderr
    assert "hunter2" not in done.stderr


def test_a_bot_finds_in_the_environment_what_ballast_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/bot.py").write_text(
        "import os\nfrom ballast import App\napp = App('shop')\n"
        "print(os.environ['DATABASE_URL'], os.environ['REDIS_URL'], os.environ['TELEGRAM_BOT_TOKEN'])\nend"
    )
    (tmp_path / ".ballast").mkdir()
    (tmp_path / ".ballast/running.env").write_text(
        "DATABASE_URL=postgresql://h/running\nREDIS_URL=redis://r\n"
    )
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://h/dotenv\n")
    done = run_program(
        PROGRAMS["audit"],
        tmp_path,
        BALLAST_APPS="shop.bot",
        TELEGRAM_BOT_TOKEN="1:A",
        DATABASE_URL="",
        REDIS_URL="",
    )
    assert done.stdout == "postgresql://h/dotenv redis://r 1:A\n"
    assert done.stderr == (
        "BALLAST_APPS: shop.bot cannot be imported: NameError: name 'end' is not defined (shop/bot.py, line 5)\n"
    )


PROGRAMS_OF_OPERATORS = {
    "status": ["-m", "ballast", "status"],
    "breaker": ["-m", "ballast", "breaker"],
    "jobs": ["-m", "ballast", "jobs", "list"],
    "broadcast": ["-m", "ballast", "broadcast", "list"],
}


@pytest.mark.parametrize("program", PROGRAMS_OF_OPERATORS)
def test_an_apps_option_is_not_taken_for_a_misspelt_one(program: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP.replace("items_max", "database_url_of_carrier"))
    (tmp_path / ".env").write_text("SHOP_TOKEN=long enough\nSHOP_DATABASE_URL_OF_CARRIER=3\n")
    done = run_program(PROGRAMS_OF_OPERATORS[program], tmp_path, BALLAST_APPS="shop")
    assert len(done.stderr.splitlines()) == 1  # that its server does not answer
    assert "refused" in done.stderr or "does not answer" in done.stderr


def test_the_breaker_can_be_set_whatever_is_wrong_with_an_app(tmp_path: Path, redis_url: str) -> None:
    opened = run_program(
        ["-m", "ballast", "breaker", "open"], tmp_path, BALLAST_APPS="nowhere", REDIS_URL=redis_url
    )
    assert (opened.returncode, opened.stderr) == (0, "")


class Options(BaseModel):
    greeting: str = "Welcome"


def test_an_apps_options_are_read_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbcore.settings.reading._of_apps", set())
    monkeypatch.setenv("SHOP_GREETING", " Hello ")
    found = registry((App("shop", settings=Options), App("kiosk", settings=Options))).settings
    assert isinstance(found["shop"], Options)
    assert found["shop"].model_dump() == {"greeting": "Hello"}
    assert found["kiosk"].model_dump() == {"greeting": "Welcome"}


def context(kind: str, *, database: Any, **given: Any) -> JobContext:
    """Of a job that asks nothing of the process around it."""
    unused: Any = None
    return JobContext(
        kind=kind,
        job_id="1",
        attempt=1,
        database=database,
        user=None,
        profile=None,
        settings=unused,
        engine=unused,
        enqueue=unused,
        announce=unused,
        **given,
    )


def test_a_handler_gets_its_apps_options_by_their_model() -> None:
    ctx = context("shop.command.hello", database="none", app_settings=Options(greeting="Hello"))
    assert ctx.app_settings(Options).greeting == "Hello"
    with pytest.raises(UsageError, match="its app has no settings=Words"):
        ctx.app_settings(Words)


def test_what_is_built_in_is_done_once_in_a_run() -> None:
    done: list[Job | None] = []

    def built_in(job: Job | None) -> BuiltInAnswer:
        done.append(job)
        return BuiltInAnswer(None, [])

    ctx = context("transactions.confirm", database="write", built_in=built_in)
    ctx.built_in()
    with pytest.raises(UsageError, match=r"transactions\.confirm calls ctx\.built_in twice"):
        ctx.built_in(Give(telegram_id=1))
    assert done == [None]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"amount": 90.0}, "amount: Input should be a valid integer, got 90.0"),
        ({"memo": "x" * 201}, "memo: String should have at most 200 characters"),
        ({"ammount": 90}, "ammount: Extra inputs are not permitted"),
        ({"amount": object()}, "Unable to serialize unknown type"),
    ],
)
def test_a_job_with_other_fields_is_checked_as_one_that_comes(changed: dict[str, Any], said: str) -> None:
    asked = CreateTransfer(telegram_id=8, recipient="@bob", amount=100, memo="lunch")
    assert checked(asked) == asked
    with pytest.raises(JobInvalid, match=f"transactions.create: {said}"):
        checked(asked.model_copy(update=changed))


def test_an_apps_segment_is_known_by_its_name_and_once() -> None:
    app = App("shop")

    @app.segment
    def regulars() -> str:
        return "SELECT 1"

    assert {name: query() for name, query in registry((app,)).segments.items()} == {
        "shop.regulars": "SELECT 1"
    }
    with pytest.raises(UsageError, match=r"shop\.regulars is registered already"):
        app.segment(regulars)
    regulars.__name__ = "Regulars"
    with pytest.raises(UsageError, match="a-z, 0-9 and _"):
        app.segment(regulars)
