"""Telegram's book of Stars against the ledger."""

from __future__ import annotations

from ballast.builtin.app import BuiltInApp
from ballast.jobs import Job
from ballast.operators.permissions import Permission
from ballast.texts import gettext_noop

LOOK_SECONDS = 300.0
"""How often it is looked whether a reading of Telegram's book is due, or was broken off."""


class ReconcileStars(Job):
    """/reconcile: compare Telegram's book of Stars with the ledger, and say how they differ."""

    kind = "transactions.reconcile_stars"


reconciliation = BuiltInApp("transactions", tasks=["workers.tasks.reconciliation"])

reconciliation.built_in_job(ReconcileStars, database="write", takes_its_time=True)

reconciliation.built_in_command(
    "reconcile",
    ReconcileStars,
    help=gettext_noop("Compare payments in Stars with Telegram"),
    needs=Permission.REFUND,
)
# Two beats are harmless: whoever keeps a page moves the cursor, and the other one reads on from there.
reconciliation.schedule(
    "star-reconciliation",
    "workers.payments.reconcile",
    lambda *_: LOOK_SECONDS,
    queue="health",
)
