"""`ballast keys`: who may use the HTTP API, and for what."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import click

from ballast.cli.commands import Group, as_json, open_database, print_json, say_if_none
from ballast.operators.api_scopes import SCOPES
from ballast.texts import gettext
from ballast.texts.columns import left

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine

LISTED_MAX = 1_000


@click.group(cls=Group)
def keys() -> None:
    """Make, list and revoke keys of the HTTP API."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([*SCOPES]),
    help="What the key may do. Give it several times for several.",
)
@as_json
def create(*, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a key, and show it once. NAME is what the audit log calls it."""
    from dbcore import api_keys
    from dbcore.breaker.override import user_here

    engine, _ = open_database()
    made, key = api_keys.create(engine, name=name, scopes=scopes, created_by=user_here())
    _write_down(engine, "key.create", name)
    if as_json:
        print_json({"name": made.name, "scopes": sorted(made.scopes), "key": key})
        return
    click.echo(key)
    header = f"Authorization: Bearer {key}"
    click.echo(gettext("This is the only time that it is shown. Send it as `{header}`.", header=header))


@keys.command(name="list")
@as_json
def list_(*, as_json: bool) -> None:
    """List the keys, newest first, those that were revoked too."""
    from dbcore import api_keys

    engine, _ = open_database()
    found = api_keys.newest(engine, LISTED_MAX)
    if as_json:
        print_json(
            [
                {
                    "name": key.name,
                    "scopes": sorted(key.scopes),
                    "created_by": key.created_by,
                    "created_at": key.created_at,
                    "revoked_at": key.revoked_at,
                }
                for key in found
            ]
        )
        return
    say_if_none(found, gettext("There are no keys."))
    for key in found:
        state = gettext("in force")
        if key.revoked_at:
            state = gettext("revoked {time}", time=f"{key.revoked_at:%Y-%m-%d %H:%M}")
        made, scopes = f"{key.created_at:%Y-%m-%d %H:%M}", ", ".join(sorted(key.scopes))
        click.echo(f"{key.name:<24}  {made}  {left(state, 24)}  {scopes}")


@keys.command()
@click.argument("name")
def revoke(*, name: str) -> None:
    """Revoke a key forever. Frontends refuse it within five seconds."""
    from dbcore import api_keys

    engine, _ = open_database()
    api_keys.revoke(engine, name)
    _write_down(engine, "key.revoke", name)
    click.echo(gettext("{name} is revoked", name=name))


def _write_down(engine: GuardedEngine, action: str, name: str) -> None:
    from dbcore import admin_actions
    from dbcore.admin_actions import DONE, AdminAction
    from dbcore.breaker.override import user_here

    admin_actions.record(engine, AdminAction(uuid.uuid4().hex, user_here(), action, name, time.time()), DONE)
