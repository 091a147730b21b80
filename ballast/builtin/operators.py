"""Operators: /signin gives a code for their page, /role shows and changes who has which role."""

from __future__ import annotations

from pydantic import Field

from ballast.builtin.app import BuiltInApp
from ballast.builtin.jobs import MEMO_LENGTH_MAX, ChatAct, UserJob
from ballast.builtin.people import QUERY_LENGTH_MAX
from ballast.operators.permissions import Permission
from ballast.texts import gettext_noop
from dbcore.roles import Role


class SignIn(UserJob):
    """/signin. It needs no database, so operators can sign in during an outage."""

    kind = "replies.sign_in"


class ShowRoles(UserJob):
    """/role alone."""

    kind = "users.show_roles"


class GrantRole(ChatAct, UserJob):
    """/role with somebody's name. The fields of UserJob are the owner's.

    person -- Telegram id or @username. role -- None: they have none any more.
    """

    kind = "users.grant_role"
    person: str = Field(min_length=1, max_length=QUERY_LENGTH_MAX)
    role: Role | None
    reason: str = Field(default="", max_length=MEMO_LENGTH_MAX)


operators = BuiltInApp("operators", tasks=["workers.tasks.operators"])

_OF_OPERATORS = "it decides who may act as an operator"

operators.built_in_job(SignIn, database="none", internal=_OF_OPERATORS)
operators.built_in_job(ShowRoles, database="read", internal=_OF_OPERATORS)
operators.built_in_job(GrantRole, database="write", internal=_OF_OPERATORS)
operators.built_in_command(
    "signin",
    SignIn,
    help=gettext_noop("Sign in to the operators' page"),
    needs=Permission.SEE_STATUS,
    alone="anything",
)
operators.built_in_command(
    "role",
    GrantRole,
    help=gettext_noop("Show roles, or give one: /{name} @name support"),
    needs=Permission.GRANT_ROLES,
    names_somebody=True,
)
