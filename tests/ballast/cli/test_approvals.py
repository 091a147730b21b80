"""`ballast approvals`: what is above a limit is listed, and decided once."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from ballast.cli import approvals as command
from ballast.cli.main import cli
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.pending_adjustments import Limits
from dbcore.people import approvals, card
from dbcore.people.acts import Act
from tests.conftest import MakeSettings
from tests.dbcore.conftest import Person, engine, make_engine, person  # noqa: F401  fixtures
from tests.dbcore.people.test_acts import ref


def test_what_waits_is_listed_and_approved_or_declined_once_in_the_shell(
    engine: GuardedEngine,  # noqa: F811
    person: Person,  # noqa: F811
    make_settings: MakeSettings,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(redis_url=redis_url)
    # The real one also sets up this process's logs.
    monkeypatch.setattr(command, "open_database", lambda: (engine, settings))
    ann = person(0, "ann")
    for key, amount in (("a", 500), ("b", 700)):
        approvals.adjust(
            engine,
            Act(key, "telegram:5", "order 17", 1_790_000_000.0),
            operator_id=5,
            target_id=ann.telegram_id,
            amount=amount,
            limits=Limits(once=100),
        )

    def ballast(*words: str) -> Result:
        return CliRunner().invoke(cli, ["approvals", *words], prog_name="ballast")

    assert [each["amount"] for each in json.loads(ballast("list", "--json").stdout)] == [700, 500]
    assert "credit 5.00 CREDIT" in ballast("list").stdout
    asked = ballast("approve", "1", "--reason", "checked")
    assert asked.exit_code != 0 and "nothing was done" in asked.output + str(asked.exception)
    assert "approved by operator:" in ballast("approve", "1", "--reason", "checked", "--yes").stdout
    assert ballast("approve", "1", "--reason", "checked", "--yes").exit_code != 0
    assert "declined by operator:" in ballast("decline", "2", "--reason", "no", "--yes").stdout
    assert ballast("decline", "3", "--reason", "no", "--yes").exit_code != 0
    none = ballast("list")
    assert (none.stdout, none.stderr) == ("", "Nothing waits for approval.\n")
    assert len(ballast("list", "--all").stdout.splitlines()) == 2
    found = card.find(engine, ref(ann))
    assert found is not None and found.balance == 500
