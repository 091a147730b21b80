"""What the bot says if an app renames built-in commands, replaces them or switches them off. A process of its own says
it, for which apps there are is known from its start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.programs import run_program

EVERYBODY = {
    "/pay @carol 5": "transactions.create (ours)",
    "/pay@carol 5": "transactions.create (ours)",
    "/pay": "Who do you want to send money to? Reply with their @name or numeric ID. Send /stopthat to stop. (ours)",
    "/pay !!! 5": (
        "Name the user as @username or by their numeric ID, such as 12345. Write it like this: /pay @name 5.50 for "
        "lunch. Or reply to one of their messages: /pay 5.50 (ours)"
    ),
    "/send @carol 5": "I do not know /send.",
    "/balance": "shop.command.balance (ours)",
    "/start balance": "shop.command.balance (ours)",
    "/history": "I do not know /history.",
    "/start history": "users.get_or_create (ours)",
    "/help": "I do not know /help.",
    "/topup @carol 5": "I do not know /topup.",
    "/stopthat": "transactions.cancel (ours)",
    "/cancel": "I do not know /cancel.",
    "hello": "Sorry, I only understand commands.",
}
ADMINS = {
    "/topup @carol 5": "balances.ask_adjustment (ours)",
    "/topup": "Write it like this: /topup @name 5.50 [reason] (ours)",
    "/credit @carol 5": "I do not know /credit.",
    "/debit @carol 5": "I do not know /debit.",
    "/broadcast x": "I do not know /broadcast.",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("names")
    program = ["-m", "tests.bot_frontend.other_names", json.dumps([*EVERYBODY]), json.dumps([*ADMINS])]
    done = run_program(program, folder, BALLAST_APPS="tests.bot_frontend.other_names:app", ADMIN_IDS="1001")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", EVERYBODY)
def test_a_command_goes_by_the_name_that_an_app_gives_it_or_is_none(found: Any, words: str) -> None:
    assert found["said"][words] == EVERYBODY[words]


@pytest.mark.parametrize("words", ADMINS)
def test_so_does_an_admins_command(found: Any, words: str) -> None:
    assert found["said"][f"admin: {words}"] == ADMINS[words]


def test_a_button_that_is_switched_off_is_below_no_message_and_known_no_more(found: Any) -> None:
    assert found["said"]["pressed"] == "This button no longer works. Please start again."
    assert found["said"]["buttons"] == "[]"


def test_what_leads_to_a_job_that_is_switched_off_makes_none(found: Any) -> None:
    assert found["said"]["blocked"] == "None"


def test_the_menu_has_the_names_that_apps_give_and_no_command_that_is_switched_off(found: Any) -> None:
    assert found["menu"] == {
        "start": "Start using the bot",
        "pay": "Send money: /pay @name 5.50 [memo]",
        "stopthat": "Cancel the current question, or your pending transfers",
        "stop": "Stop receiving broadcasts",
        "language": "Choose your language",
        "timezone": "Choose your time zone",
        "balance": "How rich you are",
    }
    assert [*found["admins"]] == ["topup", "reconcile", "user", "signin", "role", "broadcasts", "dbstatus"]


def test_what_the_bot_asks_and_says_names_the_commands_that_there_are(found: Any) -> None:
    said = found["said"]
    assert said["asked"].endswith("For example 5.50. Send /stopthat to stop. (ours)")
    assert said["5"] == "transactions.create"
    assert said["left"] == "Cancelled. No money was sent. (ours)"
    assert "Your /stopthat is saved" in said["saved"]
    assert said["welcome"].endswith("\n\n/balance shows your balance, /pay sends money to somebody else.")
    assert said["failed"].endswith("If you contact support, quote reference ABC.")
    assert said["stopped"].endswith("Everything else works as before.")
