"""docs/http-api.md: its examples work as they stand, and it has every path, scope and problem."""

from __future__ import annotations

import asyncio
import re

from ballast.operators.api_scopes import SCOPES
from bot_frontend.web.api.problems import TITLES, TYPE
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger import users
from devstack.stack import ROOT
from tests.acceptance.test_documented_commands import commands_of
from tests.bot_frontend.api.conftest import Client
from tests.bot_frontend.api.test_callers import ROUTES

PAGE = (ROOT / "docs/http-api.md").read_text()


async def test_the_pages_examples_do_what_they_say(api: Client, engine: GuardedEngine) -> None:
    users.get_or_create(engine, profile=users.Profile(12345, None, "Ann"))
    commands = commands_of(PAGE)
    assert commands
    for command in commands:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command.replace("http://127.0.0.1:8080/api/v1", api.url)),
            env={"KEY": api.key_for(*SCOPES), "PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0 and b'"balance":550' in said, (command, said)


def documented_paths() -> dict[tuple[str, str], str]:
    """Each with its scope. `/a/<id>/retry`, `/discard` are two."""
    found = {}
    for method, first, others, scope in re.findall(
        r"^\| `(GET|POST) ([^`?]+)[^`]*`((?:, `/[a-z]+`)*) \| `([a-z:]+)` \|", PAGE, re.MULTILINE
    ):
        path = re.sub(r"<\w+>", "<>", first)
        for last in [path[path.rindex("/") :], *re.findall(r"/[a-z]+", others)]:
            found[method, path[: path.rindex("/")] + last] = scope
    return found


def test_the_page_has_every_path_scope_and_problem() -> None:
    served = {
        (method, re.sub(r"/(?:1|ABCDEFGH|main@host|(?<=queues/)balances)\b", "/<>", path)): scope
        for (method, path), scope in ROUTES.items()
    }
    assert documented_paths() == served
    assert set(re.findall(r"^\| `([a-z]+:[a-z]+)` \|", PAGE, re.MULTILINE)) == set(SCOPES)
    assert TYPE in PAGE
    assert set(re.findall(r"^\| `([a-z-]+)` \| \d{3} \|", PAGE, re.MULTILINE)) == set(TITLES)
