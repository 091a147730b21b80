"""`ballast approvals`: credits and debits above a treasurer's limits, listed and decided."""

from __future__ import annotations

from dataclasses import asdict

import click

from ballast.cli.acts import act_of, reason_option, yes_option
from ballast.cli.commands import Group, as_json, open_database, print_json, require_agreement, say_if_none
from ballast.texts import gettext

LISTED_MAX = 100

_number = click.argument("number", type=click.IntRange(1, 2**63 - 1), metavar="APPROVAL")
_reason = reason_option("Why. It is in the audit log.")


@click.group(cls=Group)
def approvals() -> None:
    """List, approve and decline credits and debits above a limit."""


@approvals.command(name="list")
@click.option("--all", "every", is_flag=True, help="Those that were decided or have expired, too.")
@as_json
def list_(*, every: bool, as_json: bool) -> None:
    """List what waits for approval, newest first."""
    from ballast.people.doing import Doing
    from dbcore.people import approvals as kept

    engine, settings = open_database()
    found = kept.recent(engine, only_waiting=not every, limit=LISTED_MAX).items
    if as_json:
        print_json([{"actor": each.actor, **asdict(each)} for each in found])
        return
    doing = Doing(engine, settings)
    nothing = gettext("There are no approvals.") if every else gettext("Nothing waits for approval.")
    say_if_none(found, nothing)
    for each in found:
        click.echo(f"{each.id:<8}  {doing.approval(each)}")


@approvals.command()
@_number
@_reason
@yes_option
def approve(*, number: int, reason: str, yes: bool) -> None:
    """Approve it: the money moves at once."""
    _decide(number, reason, yes=yes, approve=True)


@approvals.command()
@_number
@_reason
@yes_option
def decline(*, number: int, reason: str, yes: bool) -> None:
    """Decline it: nothing moves."""
    _decide(number, reason, yes=yes, approve=False)


def _decide(number: int, reason: str, *, yes: bool, approve: bool) -> None:
    from ballast.people.doing import Doing, NotDone
    from dbcore.people import approvals as kept

    engine, settings = open_database()
    doing = Doing(engine, settings)
    found = kept.find(engine, number)
    if found is None:
        raise NotDone(gettext("there is no approval {number}", number=str(number)))
    question = gettext("Approve it?") if approve else gettext("Decline it?")
    require_agreement([doing.approval(found)], question, yes=yes)
    click.echo(doing.decide(act_of(reason), number, approve=approve))
