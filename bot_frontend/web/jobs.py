"""Where a job is, by the reference that its user was told."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ballast.queueing import lookup
from ballast.texts import gettext, said
from bot_frontend.web.snapshot import StatusSnapshot
from dbcore.sentences import sentence

log = structlog.get_logger(__name__)

LOOKUPS_AT_ONCE = 2
LOOKUP_SECONDS_MAX = 20.0
FINISHED_MAX = 200_000


class Jobs:
    """Looks through what Redis holds, and through the dead letters that the page has."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="lookups")

    async def find(self, request: Request, look: StatusSnapshot) -> Response:
        """404 where nothing is known of it."""
        reference = lookup.normal(request.path_params["reference"])
        if reference is None:
            return _told(400, {"error": gettext("Expected a reference of eight letters and digits.")})
        looking = asyncio.get_running_loop().run_in_executor(self._threads, self._found, reference, look)
        try:
            found = await asyncio.wait_for(looking, LOOKUP_SECONDS_MAX)
        except (redis.RedisError, TimeoutError) as error:
            log.warning("lookup_failed", error=type(error).__name__)
            return _told(503, {"error": gettext("Redis does not answer; try again.")})
        if found is None:
            return _told(
                404,
                {
                    "error": gettext(
                        "No job on record or finished since yesterday has this reference; ballast jobs show looks "
                        "among all failed jobs too."
                    )
                },
            )
        since = None if found.since is None else look.by_our_clock(found.since)
        return _told(200, {**found.as_json(said), "since": since, "job_id": found.job_id or None})

    def _found(self, reference: str, look: StatusSnapshot) -> lookup.FoundJob | None:
        found = lookup.find(self._redis, reference, look.fleet, finished_max=FINISHED_MAX)
        letters = look.board["dead_letters"]["items"] if look.board else []
        failed = next((letter for letter in letters if letter["reference"] == reference), None)
        if failed is not None and (found is None or found.state == "finished"):
            found = lookup.FoundJob(
                reference,
                found.job_id if found else "",
                "failed",
                failed["kind"],
                since=failed["at"],
                waits_for=sentence("an operator: retry or discard it"),
            )
        return found


def _told(status: int, answer: dict[str, Any]) -> Response:
    return JSONResponse(answer, status_code=status, headers={"Cache-Control": "no-store"})
