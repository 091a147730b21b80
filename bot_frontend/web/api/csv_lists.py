"""`/api/v1/users.csv`, `/transfers.csv`, `/users/{telegram_id}/movements.csv` and
`/broadcasts/{broadcast_id}/recipients.csv`: all that the filters let through, of any number. A page of rows is in
memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from fastapi.responses import StreamingResponse

from ballast.broadcasts.audience import recipients_table
from ballast.operators.csv_text import Table
from ballast.operators.permissions import Permission
from ballast.people.tables import PAGE, movements_table, transfers_table, users_table
from bot_frontend.web.api.broadcasts import Id, found_or_problem
from bot_frontend.web.api.callers import Caller, Requires
from bot_frontend.web.api.models import error_responses
from bot_frontend.web.api.routers import router_of
from bot_frontend.web.api.services import Services, services
from bot_frontend.web.api.transfers import transfer_filters
from bot_frontend.web.api.users import OfCurrency, TelegramId, movement_filters, user_filters
from dbcore.broadcasts import broadcasts, deliveries
from dbcore.guard.engine import GuardedEngine
from dbcore.people import lists, movements
from dbcore.people.lists import TransferFilters, UserFilters
from dbcore.people.movements import Filters

T = TypeVar("T")
Read = Callable[[GuardedEngine, int | None], tuple[Sequence[T], int | None]]
"""The rows beyond a cursor, and the next cursor."""

router = router_of()
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get(
    "/users.csv",
    tags=["users"],
    summary="All users as CSV",
    responses=_CSV | error_responses(),
    response_class=StreamingResponse,
)
async def users_csv(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    filters: Annotated[UserFilters, Depends(user_filters)],
) -> StreamingResponse:
    def read(engine: GuardedEngine, before: int | None) -> tuple[Sequence[Any], int | None]:
        page = lists.users(engine, before=before, limit=PAGE, filters=filters)
        return page.items, page.next_before

    return await _streamed(api, users_table(api.settings), read, "users")


@router.get(
    "/transfers.csv",
    tags=["transfers"],
    summary="All transfers as CSV",
    responses=_CSV | error_responses(),
    response_class=StreamingResponse,
)
async def transfers_csv(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_TRANSFERS))],
    api: Annotated[Services, Depends(services)],
    filters: Annotated[TransferFilters, Depends(transfer_filters)],
) -> StreamingResponse:
    def read(engine: GuardedEngine, before: int | None) -> tuple[Sequence[Any], int | None]:
        page = lists.transfers(engine, before=before, limit=PAGE, filters=filters)
        return page.items, page.next_before

    return await _streamed(api, transfers_table(api.settings), read, "transfers")


@router.get(
    "/users/{telegram_id}/movements.csv",
    tags=["users"],
    summary="All movements of a user as CSV",
    responses=_CSV | error_responses(404),
    response_class=StreamingResponse,
)
async def movements_csv(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_PEOPLE))],
    api: Annotated[Services, Depends(services)],
    telegram_id: TelegramId,
    filters: Annotated[Filters, Depends(movement_filters)],
    currency: OfCurrency = None,
) -> StreamingResponse:
    """In one currency. Of somebody unknown there are none."""
    api.require_currency(currency)

    def read(engine: GuardedEngine, before: int | None) -> tuple[Sequence[Any], int | None]:
        page = movements.movements(
            engine, telegram_id, before=before, limit=PAGE, filters=filters, currency=currency
        )
        return page.movements, page.next_before

    table = movements_table(api.settings.in_currency(currency))
    return await _streamed(api, table, read, f"movements-{telegram_id}")


@router.get(
    "/broadcasts/{broadcast_id}/recipients.csv",
    tags=["broadcasts"],
    summary="What became of a broadcast's recipients, as CSV",
    responses=_CSV | error_responses(404, 409),
    response_class=StreamingResponse,
)
async def recipients_csv(
    _: Annotated[Caller, Depends(Requires(Permission.SEE_BROADCASTS))],
    api: Annotated[Services, Depends(services)],
    broadcast_id: Id,
) -> StreamingResponse:
    """In no order that means anything. 409: it ended so long ago that they are forgotten."""

    def read(engine: GuardedEngine, after: int | None) -> tuple[Sequence[Any], int | None]:
        if after is None:
            found_or_problem(engine, broadcast_id)
            found = broadcasts.require_progress(engine, broadcast_id)
            deliveries.require_kept(engine, found, datetime.now(UTC))
        rows = deliveries.page(engine, broadcast_id, after_user_id=after or 0, limit=PAGE)
        return rows, rows[-1].user_id if len(rows) == PAGE else None

    return await _streamed(api, recipients_table(), read, f"broadcast-{broadcast_id}")


async def _streamed(api: Services, table: Table[T], read: Read[T], name: str) -> StreamingResponse:
    """The first page is read before the answer begins, so that an outage is still a problem. One that comes later cuts
    the answer short, which its reader sees: it does not end as a whole one does.
    """

    async def page(before: int | None) -> tuple[Sequence[T], int | None]:
        return await api.database.run(lambda engine: read(engine, before), name="api.csv")

    first, after_first = await page(None)

    async def pieces() -> AsyncIterator[str]:
        yield table.head() + table.rows(first)
        before = after_first
        while before is not None:
            rows, before = await page(before)
            yield table.rows(rows)

    return StreamingResponse(
        pieces(),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"},
    )
