"""Ballast's own commands, buttons, jobs and periodic jobs, a module for each part of the bot. What is declared there is
in the menu, in /help, on the queues and in the metrics.
"""

from ballast.builtin.app import BuiltInApp
from ballast.builtin.approvals import approvals
from ballast.builtin.backups import backups
from ballast.builtin.balances import balances
from ballast.builtin.broadcasts import broadcasts
from ballast.builtin.exchange import exchange
from ballast.builtin.languages import languages
from ballast.builtin.operators import operators
from ballast.builtin.payments import payments
from ballast.builtin.people import people
from ballast.builtin.providers import providers
from ballast.builtin.reconciliation import reconciliation
from ballast.builtin.refunds import refunds
from ballast.builtin.replies import replies
from ballast.builtin.status import status
from ballast.builtin.subscriptions import subscriptions
from ballast.builtin.transfers import transfers
from ballast.builtin.users import users
from ballast.builtin.withdrawals import withdrawals

BUILT_IN: tuple[BuiltInApp, ...] = (
    users,
    balances,
    approvals,
    transfers,
    exchange,
    payments,
    subscriptions,
    providers,
    withdrawals,
    reconciliation,
    people,
    operators,
    broadcasts,
    languages,
    replies,
    refunds,
    status,
    backups,
)
"""In the order of the menu."""

__all__ = ["BUILT_IN", "BuiltInApp"]
