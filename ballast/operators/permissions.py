"""What each role may do: the one table that commands and buttons of the chat, the page and the HTTP API go by.

A key of the API has scopes (ballast/operators/api_scopes.py): it may do what stands in the table beside them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ballast.operators.api_scopes import SCOPES
from ballast.texts import gettext, gettext_noop
from dbcore.roles import Role

if TYPE_CHECKING:
    from dbcore.settings import Settings


class Permission(StrEnum):
    """Something that an operator does, or sees."""

    SEE_STATUS = "see_status"
    SEE_PEOPLE = "see_people"
    SEE_TRANSFERS = "see_transfers"
    SEE_BROADCASTS = "see_broadcasts"
    SEE_JOBS = "see_jobs"
    SEE_AUDIT_LOG = "see_audit_log"
    MESSAGE = "message"
    FREEZE = "freeze"
    RESOLVE_JOBS = "resolve_jobs"
    ADJUST = "adjust"
    APPROVE = "approve"
    REVERSE = "reverse"
    SETTLE_HOLDS = "settle_holds"
    REFUND = "refund"
    ERASE = "erase"
    BROADCAST = "broadcast"
    QUERY = "query"
    COMMAND_APPS = "command_apps"
    PAUSE_WORK = "pause_work"
    HOLD_DATABASE = "hold_database"
    GRANT_ROLES = "grant_roles"
    END_SESSIONS = "end_sessions"


@dataclass(frozen=True, slots=True)
class Row:
    """what -- as it ends "may …". least -- the least role that may. scope -- of a key that may; None: no key does."""

    what: str
    least: Role
    scope: str | None


PERMISSIONS: Mapping[Permission, Row] = {
    Permission.SEE_STATUS: Row(gettext_noop("see how everything is, and get /dbstatus"), Role.VIEWER, None),
    Permission.SEE_PEOPLE: Row(
        gettext_noop("find users, with their balances and movements"), Role.VIEWER, "users:read"
    ),
    Permission.SEE_TRANSFERS: Row(gettext_noop("list transfers"), Role.VIEWER, "transfers:read"),
    Permission.SEE_BROADCASTS: Row(gettext_noop("list broadcasts"), Role.VIEWER, "broadcasts:read"),
    Permission.SEE_JOBS: Row(
        gettext_noop("list jobs that failed or wait, queues and workers"), Role.VIEWER, "jobs:read"
    ),
    Permission.SEE_AUDIT_LOG: Row(gettext_noop("search the audit log"), Role.VIEWER, "audit:read"),
    Permission.MESSAGE: Row(gettext_noop("write to users"), Role.SUPPORT, "users:write"),
    Permission.FREEZE: Row(gettext_noop("freeze and unfreeze accounts"), Role.SUPPORT, "users:write"),
    Permission.RESOLVE_JOBS: Row(gettext_noop("retry and discard failed jobs"), Role.SUPPORT, "jobs:write"),
    Permission.ADJUST: Row(gettext_noop("credit and debit users"), Role.TREASURER, "money:write"),
    Permission.APPROVE: Row(gettext_noop("approve credits and debits above a limit"), Role.OWNER, None),
    Permission.REVERSE: Row(gettext_noop("reverse transfers"), Role.TREASURER, "money:write"),
    Permission.SETTLE_HOLDS: Row(
        gettext_noop("post and void holds, and approve withdrawals"), Role.TREASURER, "money:write"
    ),
    Permission.REFUND: Row(
        gettext_noop("refund payments in Stars, and cancel the renewal of subscriptions"),
        Role.TREASURER,
        None,
    ),
    Permission.ERASE: Row(gettext_noop("erase users' data"), Role.OWNER, "users:write"),
    Permission.BROADCAST: Row(gettext_noop("send broadcasts, and stop them"), Role.OWNER, "broadcasts:write"),
    Permission.QUERY: Row(gettext_noop("choose whom a broadcast goes to by SQL"), Role.OWNER, None),
    Permission.COMMAND_APPS: Row(gettext_noop("use apps' commands for admins"), Role.OWNER, None),
    Permission.PAUSE_WORK: Row(gettext_noop("pause queues, and drain workers"), Role.OWNER, "fleet:write"),
    Permission.HOLD_DATABASE: Row(
        gettext_noop("pause all database access, or ignore the breaker"), Role.OWNER, None
    ),
    Permission.GRANT_ROLES: Row(gettext_noop("give and take roles"), Role.OWNER, None),
    Permission.END_SESSIONS: Row(gettext_noop("list and end others' sessions"), Role.OWNER, None),
}
"""In the order in which they are shown."""

OF_ORDERS: Mapping[str, Permission] = {
    "breaker": Permission.HOLD_DATABASE,
    "dead_letter": Permission.RESOLVE_JOBS,
    "broadcast": Permission.BROADCAST,
    "queue": Permission.PAUSE_WORK,
    "worker": Permission.PAUSE_WORK,
}
"""Of what the status page orders (`OperatorAction`), by the first word of the action."""

ALL = frozenset(Permission)

_LEAST = {
    Role.VIEWER: gettext_noop("Only viewers and above may {what}."),
    Role.SUPPORT: gettext_noop("Only support and above may {what}."),
    Role.TREASURER: gettext_noop("Only treasurers and above may {what}."),
    Role.OWNER: gettext_noop("Only owners may {what}."),
}
"""what -- of a Row."""


def not_permitted(permission: Permission) -> str:
    """What somebody is told whose role is too low."""
    row = PERMISSIONS[permission]
    return gettext(_LEAST[row.least], what=gettext(row.what))


def may(role: Role | None, permission: Permission) -> bool:
    """role -- None for somebody who is no operator."""
    return role is not None and role.includes(PERMISSIONS[permission].least)


def operators_who_may(settings: Settings, permission: Permission) -> list[int]:
    """Telegram ids of the operators by the settings who are permitted that."""
    return [each for each in settings.operator_ids if may(settings.role_of(each), permission)]


def of_role(role: Role) -> frozenset[Permission]:
    return frozenset(each for each in Permission if may(role, each))


def of_scopes(scopes: Collection[str]) -> frozenset[Permission]:
    return frozenset(each for each, row in PERMISSIONS.items() if row.scope in scopes)


assert {*SCOPES} == {row.scope for row in PERMISSIONS.values()} - {None}  # noqa: S101  each lets something through
