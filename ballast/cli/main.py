"""The command `ballast`.

Only click is imported here and at the top of this package's modules: `--help`, completion and complaints about usage
answer at once, and each command imports what it runs.
"""

from __future__ import annotations

import click

import ballast
from ballast.cli import (
    acts,
    approvals,
    backups,
    books,
    broadcast,
    completion,
    database,
    exchanging,
    exporting,
    importing,
    jobs,
    keys,
    local,
    looking,
    moving,
    operators,
    people,
    processes,
    queues,
    reconciling,
    refunding,
    subscribing,
    upgrading,
    withdrawing,
    workers,
)
from ballast.cli.commands import Group
from ballast.process.garbage import put_off_collection


@click.group(cls=Group, context_settings={"max_content_width": 110})
@click.version_option(ballast.__version__, prog_name="ballast", message="%(prog)s %(version)s")
def cli() -> None:
    """A Telegram bot backend that keeps balances right while its database is unavailable.

    Options are read from environment variables and from .env in the current folder.

    Exit status: 0 done, 1 refused or the audit found something wrong, 2 wrong usage, a bad setting, or a server
    that does not answer.
    """


for _command in (
    local.run,
    processes.frontend,
    processes.worker,
    processes.beat,
    processes.flower,
    database.migrate,
    upgrading.upgrade,
    database.audit,
    database.status,
    database.breaker,
    looking.outages,
    looking.settings,
    people.user,
    people.users,
    people.transfers,
    acts.credit,
    acts.debit,
    acts.reverse,
    acts.freeze,
    acts.unfreeze,
    acts.message,
    acts.erase,
    jobs.jobs,
    queues.queues,
    workers.workers,
    keys.keys,
    approvals.approvals,
    operators.roles,
    operators.log,
    broadcast.broadcast,
    books.books,
    reconciling.reconcile,
    refunding.refund,
    subscribing.link,
    subscribing.subscriptions,
    withdrawing.withdrawals,
    exchanging.exchange,
    importing.import_,
    exporting.export,
    backups.backup,
    backups.backups,
    backups.restore,
    moving.move,
    local.telegram,
    local.local,
    processes.celery,
    completion.completion,
):
    cli.add_command(_command)


def main() -> None:
    put_off_collection()
    cli(prog_name="ballast")
