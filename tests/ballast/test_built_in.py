"""What one file of ballast/builtin declares is everywhere that Ballast's own commands, jobs and periodic jobs are."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from ballast.builtin import BUILT_IN, button_data
from ballast.builtin.replacing import BUTTONS, JOBS, SCHEDULED
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer
from ballast.jobs import JobInvalid, checked
from ballast.messages import Message
from bot_frontend.built_in import BY_WORD
from bot_frontend.buttons import BY_NAME
from devstack.stack import ROOT
from tests.harness.programs import run_program
from workers import jobs as first_jobs
from workers import messages as first_messages

LINES = """
from ballast.operators.permissions import Permission


@replies.command("ping", help="Whether I am there")
def ping(ctx):
    return None


@replies.every(60, database="none")
def sweep(ctx):
    return None


class Ponder(UserJob):
    kind = "balances.ponder"


replies.built_in_job(Ponder, database="read")
replies.built_in_command("ponder", Ponder, help="Think: /{name}", needs=Permission.SEE_STATUS)
"""


def test_a_command_that_one_file_adds_is_in_the_menu_and_is_done(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ballast", tmp_path / "ballast", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "ballast/builtin/replies.py").open("a") as file:
        file.write(LINES)
    done = run_program(["-m", "tests.ballast.declared"], tmp_path, ADMIN_IDS="1001")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["menu"]["ping"] == "Whether I am there"
    assert "/ping – Whether I am there" in found["help"]
    assert found["admins"]["ponder"] == "Think: /ponder"
    assert found["kinds"]["/ping"] == "replies.command.ping"
    assert found["kinds"]["/ponder"] == "balances.ponder"
    queues = [
        found["queues"][kind] for kind in ("replies.command.ping", "replies.every.sweep", "balances.ponder")
    ]
    assert queues == ["transactions", "replies", "balances"]
    assert "replies.command.ping" in {*found["writing"]} & {*found["told"]}
    assert "balances.ponder" in {*found["reading"]} - {*found["told"]}
    assert {"replies.command.ping", "replies.every.sweep"} <= {*found["tasks"]}
    assert {*found["schedule"]} == {
        "every-replies.every.sweep",
        *("health-probe", "broadcasts-watch", "languages-restore", "backup", "star-reconciliation"),
        *("provider-sweep", "payout-sweep", "subscription-sweep"),
    }
    assert found["without_task"] == ["balances.ponder"], "each job of Ballast's own has a task"
    assert {each.task.removeprefix("workers.") for app in BUILT_IN for each in app.scheduled} <= {
        *found["tasks"]
    }


REPLACING = """
from ballast import App
from ballast.builtin.balances import ShowBalance
from ballast.builtin.transfers import CreateTransfer, ShowHistory
app = App("shop")
app.switch_off("history", jobs=[ShowHistory], buttons=["history"])

@app.job(ShowBalance, replace=True)
def balance(ctx, job): ...

@app.job(CreateTransfer, database="read", replace=True)
def create(ctx, job): ...

@app.cron("0 9 * * *", replace="broadcasts-watch")
def watch(ctx): ...
"""


def test_what_an_app_replaces_and_switches_off_is_so_everywhere(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(REPLACING)
    done = run_program(["-m", "tests.ballast.declared"], tmp_path, ADMIN_IDS="1001", BALLAST_APPS="shop")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    replaced = {"balances.show": "balances", "transactions.create": "transactions"}
    assert {kind: found["queues"][kind] for kind in replaced} == replaced
    assert replaced.keys() <= {*found["tasks"]} & {*found["told"]}
    assert "balances.show" in found["writing"], "for its function writes"
    assert "transactions.create" in found["reading"]
    assert "transactions.history" not in {*found["queues"], *found["tasks"], *found["told"]}
    assert "history" not in found["menu"]
    assert {*found["schedule"]} == {
        *("every-shop.cron.watch", "health-probe", "languages-restore", "backup", "star-reconciliation"),
        *("provider-sweep", "payout-sweep", "subscription-sweep"),
    }
    assert found["without_task"] == []
    for declared, body in found["places"].values():
        assert body == declared.replace("ballast.builtin.", "workers.tasks."), (
            "what does a job is found by its name"
        )


def test_each_job_and_button_that_apps_can_replace_or_switch_off_is_in_the_guide() -> None:
    page = (ROOT / "docs/extending.md").read_text().partition("### Its jobs, buttons and periodic jobs\n")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("\n## ")[0], re.MULTILINE))
    changeable = {
        (job_type.__module__.removeprefix("ballast.builtin."), job_type.__name__)
        for job_type, handler in JOBS.items()
        if handler.declared is not None and handler.declared.internal is None
    }
    named = {(module, job) for module, row in rows.items() for job in re.findall(r"`(\w+)`", row)}
    assert named == changeable
    assert all(f"`{button.name}`" in page for button in BUTTONS.values() if button.internal is None)
    assert all(f"`{each.name}`" in page or f'"{each.name}"' in page for each in SCHEDULED.values())


def test_messages_and_jobs_are_found_where_the_first_release_had_them() -> None:
    assert first_messages.Message is Message
    assert first_jobs.DeliverReply is DeliverReply


def test_each_button_and_command_that_the_frontend_has_a_function_for_is_declared() -> None:
    assert {button.name for app in BUILT_IN for button in app.buttons} == BY_NAME.keys()
    assert BY_WORD.keys() <= {command.name for app in BUILT_IN for command in app.commands}


def test_what_a_button_carries_is_read_as_it_was_written() -> None:
    token, longest = "a-token_89abcdef", 10**16 - 1
    for pattern, written, read in (
        (
            button_data.TRANSFER,
            button_data.transfer(button_data.CONFIRM, token, 8),
            {"decision": "c", "token": token, "owner": "8"},
        ),
        (
            button_data.ADJUSTMENT,
            button_data.adjustment(button_data.CANCEL, token, longest),
            {"decision": "x", "token": token, "owner": str(longest)},
        ),
        (
            button_data.HISTORY,
            button_data.history(8, 16),
            {"owner": "8", "version": "16", "currency": None},
        ),
        (
            button_data.HISTORY,
            button_data.history(longest, longest, "ABCDEFGHIJKL"),
            {"owner": str(longest), "version": str(longest), "currency": "ABCDEFGHIJKL"},
        ),
        (
            button_data.BROADCAST_CARD,
            button_data.broadcast_card(7, "pause"),
            {"id": "7", "what": "pause", "shown": None},
        ),
        (
            button_data.BROADCAST_CARD,
            button_data.broadcast_card(7, "go", "0123abcd"),
            {"id": "7", "what": "go", "shown": "0123abcd"},
        ),
        (button_data.APP, button_data.app("0f" * 16), {"token": "0f" * 16}),
    ):
        found = pattern.fullmatch(written)
        assert found is not None, written
        assert found.groupdict() == read
        assert [
            button.data for app in BUILT_IN for button in app.buttons if button.data.fullmatch(written)
        ] == [pattern], "no other button is meant by it"


def test_a_job_in_the_first_currency_is_on_record_as_the_release_before_has_it() -> None:
    """That refuses fields that it does not know: what it would take for an amount of the first currency, too."""
    asked = CreateTransfer(telegram_id=7, recipient="@bob", amount=500)
    assert "currency" not in asked.model_dump(mode="json")
    assert checked(asked.model_copy(update={"amount": 600})).currency is None
    in_euros = asked.model_copy(update={"currency": "EUR"})
    assert checked(in_euros).model_dump(mode="json")["currency"] == "EUR"
    with pytest.raises(JobInvalid, match="currency"):
        checked(asked.model_copy(update={"currency": "eur; 5"}))
