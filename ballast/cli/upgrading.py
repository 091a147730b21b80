"""`ballast upgrade --check`: what a new release needs before it takes the place of the one that runs."""

from __future__ import annotations

from dataclasses import asdict

import click

from ballast.cli.commands import REFUSED, Command, as_json, print_json
from ballast.cli.database import migrations_of
from ballast.texts import ENGLISH, gettext, speaking
from ballast.texts.columns import left


@click.command(cls=Command)
@click.option("--check", is_flag=True, required=True, help="Only look; nothing is changed.")
@as_json
@click.pass_context
def upgrade(ctx: click.Context, *, check: bool, as_json: bool) -> None:
    """Say what this release needs, with the one before still running.

    It looks at pending migrations, Ballast's and apps': what each locks, and whether the bot can go on meanwhile;
    the versions of PostgreSQL and Redis; names in .env that are no options; room on the disk for new indexes; the
    age of the last proven backup; and the releases of the workers that run.

    \b
    Exit status
    0  ready; migrations may be pending that can run beside the bot
    1  something is to be put right first, marked `first`
    2  a setting is bad, or a server does not answer
    """
    from ballast.apps.discovery import installed
    from ballast.cli import upgrade_check
    from dbcore.settings import load_settings

    apps = migrations_of(installed().apps)
    with speaking(ENGLISH if as_json else None):
        findings = upgrade_check.check(load_settings(), [*apps.values()])
    ready = upgrade_check.is_ready(findings)
    if as_json:
        print_json({"ready": ready, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(f"{finding.level:<6}{left(finding.subject, 12)}{finding.words}")
        mark = upgrade_check.Level.FIRST
        click.echo(
            gettext("Ready.") if ready else gettext("Not ready: see the lines marked `{mark}`.", mark=mark)
        )
    if not ready:
        ctx.exit(REFUSED)
