"""`ballast roles`: who may do what. `ballast log`: what operators did."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ballast.cli.acts import act_of, reason_option, ref_of, whom_argument
from ballast.cli.commands import TIMES, Command, Group, as_json, open_database, print_json, say_if_none
from ballast.texts import gettext, said

if TYPE_CHECKING:
    from ballast.people.doing import Doing
    from dbcore.admin_actions import RecordedAction
    from dbcore.guard.engine import GuardedEngine
    from dbcore.settings import Settings

ROLES = ("viewer", "support", "treasurer", "owner")
LISTED = 50

_reason = reason_option("Why. It is in the audit log.")


@click.group(cls=Group)
def roles() -> None:
    """Show, give and take roles. Those of ADMIN_IDS and ADMIN_ROLES are changed in the settings."""


@roles.command(name="list")
@as_json
def list_(*, as_json: bool) -> None:
    """List who has which role, and what each role may do."""
    from ballast.operators.permissions import PERMISSIONS
    from dbcore import operators

    engine, settings = open_database()
    given = operators.everybody(engine)
    fixed = {each: role for each in settings.operator_ids if (role := settings.role_of(each)) is not None}
    if as_json:
        from_settings = [{"telegram_id": each, "role": role} for each, role in fixed.items()]
        print_json([*from_settings, *(asdict(each) for each in given if each.telegram_id not in fixed)])
        return
    by_settings = gettext("by the settings")
    for telegram_id, role in fixed.items():
        click.echo(f"{telegram_id:<20}  {role:<10}  {by_settings}")
    for each in given:
        if each.telegram_id not in fixed:
            when = f"{each.granted_at:%Y-%m-%d %H:%M}"
            by = gettext("by {name}, {time}", name=each.granted_by, time=when)
            click.echo(f"{each.telegram_id:<20}  {each.role:<10}  {by}")
    click.echo()
    for name in ROLES:
        may = "; ".join(gettext(row.what) for row in PERMISSIONS.values() if row.least == name)
        click.echo(
            f"{name}: {may}" if name == "viewer" else gettext("{role}: also {what}", role=name, what=may)
        )


@roles.command()
@whom_argument
@click.argument("role", type=click.Choice(ROLES))
@_reason
def give(*, whom: str, role: str, reason: str) -> None:
    """Give somebody a role. Every process knows within five seconds."""
    _grant(whom, role, reason)


@roles.command()
@whom_argument
@_reason
def take(*, whom: str, reason: str) -> None:
    """Take somebody's role. Every process knows within five seconds."""
    _grant(whom, None, reason)


def _grant(whom: str, name: str | None, reason: str) -> None:
    from ballast.operators.roles import Roles
    from ballast.people.doing import NotDone
    from dbcore import operators
    from dbcore.redis_client import connect_redis
    from dbcore.roles import Role

    engine, settings = open_database()
    person = _doing(engine, settings).person(ref_of(whom))
    if settings.role_of(person.telegram_id) is not None:
        raise click.UsageError(gettext("their role is in ADMIN_IDS or ADMIN_ROLES; change it there"))
    role = None if name is None else Role(name)
    word = "role.take" if role is None else "role.grant"
    action = act_of(reason).logged_as(word, str(person.telegram_id))
    try:
        now = operators.grant(engine, action, telegram_id=person.telegram_id, role=role)
    except operators.RoleRefused as refused:
        raise NotDone(said(refused)) from None
    with connect_redis(settings) as client:
        Roles(client).put(person.telegram_id, now)
    has = now.value if now else gettext("no role")
    click.echo(f"{person.telegram_id}: {has}")


def _doing(engine: GuardedEngine, settings: Settings) -> Doing:
    from ballast.people.doing import Doing

    return Doing(engine, settings)


@click.command(cls=Command)
@click.option("--actor", help="Who did it, such as telegram:1001, web:nadia, api:shop or operator:root.")
@click.option("--action", help="One, such as user.credit, or what several begin with, such as user.")
@click.option("--target", help="What it is about, such as a Telegram ID or a broadcast's.")
@click.option("--text", help="A part of the reason.")
@click.option("--since", type=TIMES, help="From then on.")
@click.option("--until", type=TIMES, help="Before then.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=LISTED, help="At most so many.")
@as_json
def log(
    *,
    actor: str | None,
    action: str | None,
    target: str | None,
    text: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Search the audit log: what operators did, newest first."""
    from dbcore import admin_actions

    engine, _ = open_database()
    filters = admin_actions.Filters(actor, action, target, text, _utc(since), _utc(until))
    found: list[admin_actions.RecordedAction] = []
    before = None
    while len(found) < limit:
        page = admin_actions.search(engine, filters, before=before, limit=limit - len(found))
        found += page.items
        before = page.next_before
        if before is None:
            break
    if as_json:
        print_json([asdict(each) for each in found])
        return
    say_if_none(found, gettext("Nothing matches."))
    for each in found:
        click.echo(_line(each))


def _line(made: RecordedAction) -> str:
    from dbcore.text import one_line

    parts = [
        f"{made.created_at:%Y-%m-%d %H:%M:%S}",
        made.actor,
        f"{made.action} {made.target}".strip(),
        made.outcome,
    ]
    if made.reason:
        parts.append(f"“{one_line(made.reason)}”")
    if made.before or made.after:
        parts.append(f"{_state(made.before)} → {_state(made.after)}")
    return "  ".join(one_line(part) for part in parts)


def _state(state: dict[str, object] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (state or {}).items()) or "?"


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
