"""Roles that owners gave to people, in the table `operators`. Those of ADMIN_IDS and ADMIN_ROLES are not in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from dbcore.admin_actions import DONE, AdminAction, insert_statement
from dbcore.guard.engine import GuardedEngine
from dbcore.qualified_names import qualified
from dbcore.roles import Role
from dbcore.sentences import Refusal, sentence

OPERATORS_MAX = 1_000
"""Every process has them all in memory."""

_READ = "SELECT role FROM ballast.operators WHERE telegram_id = %s FOR UPDATE"
_COUNT = "SELECT count(*) FROM ballast.operators"
_GRANT = (
    "INSERT INTO ballast.operators (telegram_id, role, granted_by) VALUES (%s, %s, %s) ON CONFLICT (telegram_id) "
    "DO UPDATE SET role = EXCLUDED.role, granted_by = EXCLUDED.granted_by, granted_at = now()"
)
_TAKE = "DELETE FROM ballast.operators WHERE telegram_id = %s"
_KNOWN = "SELECT 1 FROM ballast.admin_actions WHERE action_id = %s"


class RoleRefused(Refusal):
    """It cannot be given."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody with a role that an owner gave."""

    telegram_id: int
    role: Role
    granted_by: str
    granted_at: datetime


def grant(engine: GuardedEngine, action: AdminAction, *, telegram_id: int, role: Role | None) -> Role | None:
    """Give somebody a role, or take it (None), once for the action's id, with its row in the audit log.

    Returns the role that they have now. Raises RoleRefused.
    """

    def work(connection: Connection) -> Role | None:
        def run(statement: str, *parameters: object) -> object:
            row = connection.exec_driver_sql(qualified(statement, engine.schema), parameters)
            return row.scalar() if row.returns_rows else None

        before = run(_READ, telegram_id)
        if run(_KNOWN, action.action_id):
            return None if before is None else Role(str(before))
        count = run(_COUNT)
        if role is not None and before is None and isinstance(count, int) and count >= OPERATORS_MAX:
            raise RoleRefused(
                sentence(
                    "there are {count} operators already; take a role from somebody", count=OPERATORS_MAX
                )
            )
        if role is None:
            run(_TAKE, telegram_id)
        else:
            run(_GRANT, telegram_id, role.value, action.actor)
        booked = replace(action, target=str(telegram_id))
        after = None if role is None else role.value
        statement, parameters = insert_statement(booked, DONE, before={"role": before}, after={"role": after})
        run(statement, *parameters)
        return role

    return engine.call(work, name="operators.grant", replayable=True)


def everybody(engine: GuardedEngine) -> list[Operator]:
    """All of them, by Telegram id."""
    (rows,) = engine.fetch_row(
        "SELECT coalesce(jsonb_agg(o ORDER BY o.telegram_id), '[]') FROM ballast.operators AS o",
        (),
        name="operators.everybody",
        writes=False,
    )
    return [
        Operator(
            row["telegram_id"],
            Role(row["role"]),
            row["granted_by"],
            datetime.fromisoformat(row["granted_at"]),
        )
        for row in rows
    ]
