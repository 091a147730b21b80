"""An operator's day, step by step: what a phone's page and a shell take for each task, counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, ViewportSize, expect

from devstack.stack import ROOT, Stack
from tests.acceptance.shared_stack import OPS_TOKEN
from tests.harness.browser import chromium, watched_page

PHONE: ViewportSize = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Most:
    """The most that a task may take: taps and fields on the page, and commands of the shell; None: not there."""

    page: int | None
    shell: int | None


TASKS = {
    "find a user by name, with balance and history": Most(2, 1),
    "why did their transfer fail?": Most(2, 1),
    "credit them": Most(6, 1),
    "reverse a transfer": Most(5, 1),
    "freeze them": Most(5, 1),
    "their movements as CSV": Most(3, 1),
    "all transfers as CSV": Most(2, 1),
    "what did operators do about them?": Most(3, 1),
    "approve a credit above a limit": Most(3, 2),
    "where is the job of a reference?": Most(3, 1),
    "whose jobs wait, and for what?": Most(1, 1),
    "how long does the backlog take?": Most(1, 1),
    "retry 500 failed jobs": Most(3, 1),
    "pause a queue": Most(3, 1),
    "drain a worker": Most(3, 1),
    "tonight's outages": Most(1, 1),
    "a broadcast with a button, to a list": Most(10, 1),
    "which options are set, and which are misspelt?": Most(None, 1),
}
"""docs/operations.md has the same."""


class Phone:
    """The status page, signed in, on a phone. Counts what is tapped and filled in."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.steps = 0

    async def tap(self, what: Locator) -> None:
        self.steps += 1
        await what.click()

    async def fill(self, what: Locator, text: str) -> None:
        self.steps += 1
        await what.fill(text)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    @asynccontextmanager
    async def task(self, name: str) -> AsyncIterator[None]:
        """From the status page, in at most as many steps as TASKS says."""
        await self.page.goto("about:blank")
        await self.page.goto(self.url)
        await expect(self.page.locator("body")).to_have_attribute("data-ready", "yes")
        self.steps = 0
        yield
        most = TASKS[name].page
        assert most is not None and self.steps <= most, f"{name}: {self.steps} steps"

    async def find(self, whom: str) -> None:
        """Their card."""
        await self.fill(self.page.get_by_label("Find a user"), whom)
        await self.tap(self.button("Find").first)

    async def act(self, act: str, *, amount: str | None = None, reason: str = "asked for by them") -> None:
        """By the dialog of a button that was pressed."""
        if amount is not None:
            await self.fill(self.page.get_by_label("Amount"), amount)
        await self.fill(self.page.get_by_label("Reason"), reason)
        await self.tap(self.page.get_by_test_id("act-go"))
        await expect(self.page.get_by_test_id("toast").last).to_contain_text(f"{act}: done.")

    async def saved(self, link: Locator) -> str:
        """What the link downloads."""
        async with self.page.expect_download() as downloading:
            await self.tap(link)
        return (await (await downloading.value).path()).read_text()


class Shell:
    """Counts commands."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.commands = 0

    async def run(self, *arguments: str) -> str:
        """What the command says."""
        self.commands += 1
        done = await asyncio.to_thread(self._stack.command, "ballast", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @asynccontextmanager
    async def task(self, name: str) -> AsyncIterator[None]:
        self.commands = 0
        yield
        most = TASKS[name].shell
        assert most is not None and self.commands <= most, f"{name}: {self.commands} commands"


@asynccontextmanager
async def signed_in(stack: Stack, token: str = OPS_TOKEN) -> AsyncIterator[Phone]:
    url = f"http://127.0.0.1:{stack.ops_port}"
    async with (
        chromium() as browser,
        watched_page(browser, url, viewport=PHONE, forgiven=("401",)) as page,
    ):
        await page.goto(url)
        await page.get_by_label("Operator token").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("body")).to_have_attribute("data-ready", "yes")
        yield Phone(page, url)


async def assert_reads_well(page: Page) -> None:
    found = (await Axe().run(page)).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, "nothing is wider than the window"


def documented() -> dict[str, Most]:
    """The table of docs/operations.md."""
    page = (
        (ROOT / "docs/operations.md").read_text().partition("## An operator's day")[2].partition("\n## ")[0]
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line[:1] == "|"]
    return {
        task: Most(_number(taps), 1 if commands.count("`") == 2 else 2)
        for task, _, taps, commands in rows[2:]
    }


def _number(cell: str) -> int | None:
    return int(cell) if cell.isdecimal() else None
