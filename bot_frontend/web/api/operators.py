"""What operators did, who may do what, and who is signed in: `/api/v1/audit`, `/roles` and `/sessions`."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import Depends, Path, Query, Response
from pydantic import BaseModel, Field
from starlette.requests import Request

from ballast.operators.permissions import Permission
from ballast.texts import gettext
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import OF_ACTS, Moment, Page, Time, error_responses
from bot_frontend.web.api.orders import REPLAYED, Order, ReasonOrder, idempotency_key
from bot_frontend.web.api.paging import LIMIT, Cursor, Limit, cursor_of, place_of
from bot_frontend.web.api.problems import Problem
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from bot_frontend.web.api.users import TelegramId
from bot_frontend.web.session_list import SessionList
from dbcore import admin_actions, operators
from dbcore.admin_actions import DONE, RecordedAction
from dbcore.errors import DatabaseAway
from dbcore.guard.engine import GuardedEngine
from dbcore.roles import Role

log = structlog.get_logger(__name__)

router = router_of(tag="operators")

Word = Annotated[str | None, Query(min_length=1, max_length=200)]


class AuditEntry(BaseModel):
    """An act. `before` and `after` say how what it is about was, and is since."""

    action_id: str
    actor: str = Field(description="telegram:<id>, web:<name>, api:<key>, or a name of the shell's host")
    action: str
    target: str
    outcome: str = Field(description="done, or why not")
    reason: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    created_at: Moment

    @classmethod
    def of(cls, found: RecordedAction) -> AuditEntry:
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class OperatorRole(BaseModel):
    """Somebody's role. In the settings, it can only be changed there."""

    telegram_id: int
    role: Role
    in_settings: bool
    granted_by: str | None
    granted_at: Moment | None


class RoleOrder(ReasonOrder):
    role: Role | None = Field(description="null takes the role away")


class PageSession(BaseModel):
    """A sign-in to the operators' page. `telegram_id` is null for OPS_TOKEN."""

    id: str
    name: str
    telegram_id: int | None
    role: Role | None
    began_at: float
    address: str
    browser: str


@router.get("/audit", summary="Search the audit log", responses=error_responses())
async def search_audit_log(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_AUDIT_LOG))],
    api: Annotated[Services, Depends(services)],
    actor: Word = None,
    action: Word = None,
    target: Word = None,
    q: Word = None,
    since: Time | None = None,
    until: Time | None = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """`action` is one, such as user.credit, or what several begin with, such as user. `q` is a part of the reason."""
    before = place_of(cursor)
    filters = admin_actions.Filters(actor, action, target, q, since, until)
    found = await api.database.run(
        lambda engine: admin_actions.search(engine, filters, before=before, limit=limit), name="api.audit"
    )
    return Page(items=[AuditEntry.of(each) for each in found.items], next_cursor=cursor_of(found.next_before))


@router.get("/roles", summary="List who has which role", responses=error_responses())
async def list_roles(
    _: Annotated[Caller, Depends(Requires(Permission.GRANT_ROLES))],
    api: Annotated[Services, Depends(services)],
) -> Page[OperatorRole]:
    """In one page."""
    given = await api.database.run(operators.everybody, name="api.roles")
    settings = api.settings
    items = [
        OperatorRole(telegram_id=each, role=role, in_settings=True, granted_by=None, granted_at=None)
        for each in settings.operator_ids
        if (role := settings.role_of(each)) is not None
    ]
    items += [
        OperatorRole(
            telegram_id=each.telegram_id,
            role=each.role,
            in_settings=False,
            granted_by=each.granted_by,
            granted_at=each.granted_at,
        )
        for each in given
        if settings.role_of(each.telegram_id) is None
    ]
    return Page(items=items, next_cursor=None)


@router.post("/roles/{telegram_id}", summary="Give or take a role", responses=error_responses(*OF_ACTS))
async def grant_role(
    caller: Annotated[Caller, Depends(Requires(Permission.GRANT_ROLES))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    order: RoleOrder,
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> OperatorRole | None:
    """Every process knows within five seconds."""
    if api.settings.role_of(telegram_id) is not None:
        raise Problem(
            409, "conflict", gettext("Their role is in the settings, and can only be changed there.")
        )
    action = "role.take" if order.role is None else "role.grant"
    ordered = Order(caller, key, action, str(telegram_id), order.reason)

    def act(engine: GuardedEngine) -> bool:
        replayed = ordered.was_done(engine)
        role = operators.grant(engine, ordered.for_the_audit_log(), telegram_id=telegram_id, role=order.role)
        api.inbox.roles.put(telegram_id, role)
        return replayed

    replayed = await api.database.run(act, name=f"api.{action}")
    if replayed:
        response.headers[REPLAYED] = "true"
    found = await list_roles(caller, api)
    return next((each for each in found.items if each.telegram_id == telegram_id), None)


@router.get("/sessions", summary="List who is signed in to the page", responses=error_responses())
async def list_sessions(
    _: Annotated[Caller, Depends(Requires(Permission.END_SESSIONS))], request: Request
) -> Page[PageSession]:
    """In one page, newest first."""
    sessions: SessionList = request.app.state.sessions
    items = [
        PageSession(
            id=each.id,
            name=each.name,
            telegram_id=each.telegram_id,
            role=sessions.role_of(each),
            began_at=each.began_at,
            address=each.address,
            browser=each.browser,
        )
        for each in await sessions.everybody()
    ]
    return Page(items=items, next_cursor=None)


class EndedSession(BaseModel):
    id: str


@router.post("/sessions/{session_id}/end", summary="End a session", responses=error_responses(*OF_ACTS))
async def end_session(
    caller: Annotated[Caller, Depends(Requires(Permission.END_SESSIONS))],
    api: Annotated[Services, Depends(services)],
    request: Request,
    session_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{8,64}$")],
    key: Annotated[str, Depends(idempotency_key)],
    response: Response,
) -> EndedSession:
    """At once here, and within two seconds on other frontends. It works while the database is unavailable; then it is
    not in the audit log.
    """
    sessions: SessionList = request.app.state.sessions
    ordered = Order(caller, key, "session.end", session_id)
    if not await sessions.end(session_id):
        known = await api.database.run(ordered.was_done, name="api.session.known")
        if not known:
            raise Problem(404, "not-found", gettext("There is no session {id}.", id=session_id))
        response.headers[REPLAYED] = "true"
        return EndedSession(id=session_id)
    try:
        await api.database.run(
            lambda engine: admin_actions.record(engine, ordered.for_the_audit_log(), DONE),
            name="api.session.end",
        )
    except DatabaseAway:
        log.error("not_in_the_audit_log", actor=caller.actor, action=ordered.action, target=session_id)
    return EndedSession(id=session_id)
