"""The operators' pages in other languages, in a real browser with data on them: in the pseudo-language nothing is left
in plain English, and there as in Arabic all fits a desktop and a phone and reads well.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import redis
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, StorageState, ViewportSize, expect

from ballast.apps.installed import INSTALLED
from ballast.payouts import record as payouts_record
from ballast.queueing.queues import QUEUES
from ballast.reconciling import provider_record
from dbcore.ledger.provider_book import ProviderDifference, ProviderDifferenceKind
from dbcore.ledger.withdrawals import OpenOnes, Stuck, WithdrawalState
from devstack.stack import Stack
from devstack.telegram.control import TelegramControl
from tests.harness.browser import DESKTOP, chromium, needs_chromium, watched_page
from tests.harness.people import call, register, say
from tests.harness.servers import Servers, running_servers
from tests.texts import pseudo

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

OPS_TOKEN = "a token for tests"
PHONE: ViewportSize = {"width": 360, "height": 740}
FIRST_PAINT_BYTES_MAX = 200_000
"""Of what goes over the wire."""

PATHS = (
    "/",
    "/outages",
    "/failed-jobs",
    "/broadcasts",
    "/broadcasts/new",
    "/#users",
    "/#transfers",
    "/#user={nora}",
)

SHOWN = {
    "/failed-jobs": "[data-testid=failed-job]",
    "/broadcasts": "[data-testid=broadcast], #compose",
    "#users": "#lists-rows li",
    "#transfers": "[data-testid=transfer]",
    "#user=": "[data-testid=movement]",
}
"""What a page shows once it has what it asks for by itself."""

NAMES = {
    *("Nora", "nora", "Otto", "otto", "Operatrix", "birthday"),  # people, and what they wrote
    *("stripe", "crypto", "pay", "main", "light", "bulk"),  # adapters and workers
}

DATA = re.compile(
    r"Mozilla/.*|@\w+|\b[A-Z2-7]{8}\b"  # browsers, usernames, references
    r"|`[^`]*`|\w+(?:[.:@/]\w+)+"  # commands, kinds of jobs, actions of the audit log, actors, addresses
    r"|\b\d{1,2} [A-Z][a-z]{2}, \d\d:\d\d"  # dates as the browser has them in English
)

OF_NO_LANGUAGE = {
    *re.findall(
        r"[A-Za-z]{3,}", "Ballast PostgreSQL Redis Telegram UTC Etc CREDIT USD XTR CSV JSON ms GiB localhost"
    ),
    *re.findall(r"[A-Za-z]{3,}", " ".join([*QUEUES, *INSTALLED.handlers])),
}
"""Names of things, of queues and of kinds of jobs."""

SAID = """() => {
  const found = [];
  const look = (root) => {
    for (const element of root.querySelectorAll("*")) {
      // What a job failed with is on record as it was said then.
      if (element.closest("[translate=no], script, style, pre, [data-field=error], [data-field=cause]")) continue;
      for (const name of ["title", "placeholder", "aria-label", "alt"]) {
        if (element.hasAttribute(name)) found.push(element.getAttribute(name));
      }
      for (const node of element.childNodes) {
        if (node.nodeType !== Node.TEXT_NODE) continue;
        // What is in <noscript> is one text, with its tags.
        found.push(element.matches("noscript") ? node.data.replace(/<[^>]*>/g, "") : node.data);
      }
      if (element instanceof HTMLTemplateElement) look(element.content);
    }
  };
  look(document);
  return [...new Set(found.map((text) => text.trim()))].filter(Boolean);
}"""

TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.body.querySelectorAll("*")]
    .filter((element) => {
      const { left, right, width } = element.getBoundingClientRect();
      return width > 0 && (left < 0 || right > innerWidth);
    })
    .map((element) => element.outerHTML.slice(0, 200))"""


@dataclass
class Site:
    """nora -- the Telegram id of somebody of whom there is something to see."""

    stack: Stack
    servers: Servers
    nora: int = 0

    @property
    def pages(self) -> list[str]:
        return [self.url + path.format(nora=self.nora) for path in PATHS]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.ops_port}"


@pytest.fixture(scope="module")
def site(servers_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    texts = tmp_path_factory.mktemp("texts")
    pseudo.write(texts)
    folder = Path(tempfile.mkdtemp(dir=servers_folder))
    with running_servers(folder, durable=False) as servers, ExitStack() as closing:
        stack = servers.stack(
            OPS_TOKEN=OPS_TOKEN, HEALTH_PROBE_SECONDS="1", PUBLIC_STATUS="true", TEXTS_FOLDER=str(texts)
        )
        closing.callback(stack.stop_all)
        stack.start("frontend", "main", "light", "bulk", "beat")
        stack.wait_ready(processes=4)
        yield Site(stack, servers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(browser: Browser, site: Site) -> StorageState:
    """Signed in, and there is something on each page."""
    async with TelegramControl(site.servers.telegram.url) as telegram:
        nora, _ = await register(telegram, "Nora", "Otto", credit="20")
        await say(telegram, nora, "/send @otto 5 birthday")
        site.nora = nora
    await asyncio.to_thread(call, site.stack, "workers.balances.adjust", {"amount": 100})
    start = ("broadcast", "start", "--text", "Nora", "--yes")
    await asyncio.to_thread(site.stack.command, "workers", *start)
    async with watched_page(browser, site.url, forgiven=("401",)) as page:
        await page.goto(site.url)
        await page.locator("[name=token]").fill(OPS_TOKEN)
        await page.locator("[name=name]").fill("Operatrix")
        await page.locator("button").click()
        await ready(page)
        await expect(page.get_by_test_id("dead-letter")).to_have_count(1)
        for action in ("open", "auto"):
            await page.evaluate(
                """async (action) => {
                  const { actions } = await (await fetch("/status.json")).json();
                  const body = JSON.stringify({ id: crypto.randomUUID(), action: `breaker.${action}`, target: "" });
                  await fetch("/actions", { method: "POST", body, headers: { "X-CSRF-Token": actions.csrf } });
                }""",
                action,
            )
            await asyncio.sleep(2)
        return await page.context.storage_state()


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def _cards_that_are_seldom_there(site: Site) -> AsyncIterator[None]:
    stuck = Stuck(17, "token", WithdrawalState.PAYING, 550, "CREDIT", "crypto_pay", 2, 1_200.0)
    difference = ProviderDifference(
        *(ProviderDifferenceKind.NOT_AS_ASKED, "pi_7", 1, 0, None, None, "USD", 7, None, None, False, None)
    )
    with redis.Redis.from_url(site.stack.env["REDIS_URL"]) as client:

        async def known() -> None:
            """The workers know better, and say so each minute."""
            counted = {"held": 3, "approved": 0, "paying": 1}
            while True:
                payouts_record.keep(client, OpenOnes(is_stopped=True, counted=counted, stuck=(stuck,)))
                provider_record.keep(client, "stripe", None, [difference])
                await asyncio.sleep(0.2)

        told = asyncio.create_task(known())
        yield
        told.cancel()


async def ready(page: Page) -> None:
    await expect(page.locator("body")).to_have_attribute("data-ready", "yes")


async def opened(page: Page, url: str) -> None:
    """With all its cards open, as somebody may have them."""
    await page.goto("about:blank")
    await page.goto(url)
    await ready(page)
    for name, shown in SHOWN.items():
        if name in url:
            await expect(page.locator(shown).first).to_be_visible()
    await page.evaluate("document.querySelectorAll('details').forEach((card) => { card.open = true; })")


async def in_plain_english(page: Page, allowed: set[str]) -> list[str]:
    """Texts on the page that have words in plain letters, besides data and those allowed."""
    said = await page.evaluate(SAID)
    return [text for text in said if {*pseudo.plain_words(DATA.sub("", text))} - allowed]


async def assert_fits(page: Page, where: str) -> None:
    assert not await page.evaluate(TOO_WIDE), where
    found = (await Axe().run(page)).response["violations"]
    assert not found, (where, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found])


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("locale", ["en-XA", "ar"])
async def test_each_page_fits_and_reads_well(
    browser: Browser, site: Site, session: StorageState, locale: str, size: ViewportSize
) -> None:
    async with watched_page(browser, site.url, viewport=size, signed_in=session, locale=locale) as page:
        for url in site.pages:
            await opened(page, url)
            assert await page.evaluate("document.documentElement.lang") == locale
            await assert_fits(page, f"{url} in {locale}")


async def test_nothing_on_the_pages_is_in_plain_english(
    browser: Browser, site: Site, session: StorageState
) -> None:
    left: dict[str, list[str]] = {}
    async with watched_page(browser, site.url, signed_in=session, locale="en-XA") as page:
        for url in site.pages:
            await opened(page, url)
            left[url] = await in_plain_english(page, OF_NO_LANGUAGE | NAMES)
    assert not any(left.values()), left


async def test_who_is_not_signed_in_is_asked_in_their_language(browser: Browser, site: Site) -> None:
    for locale in ("en-XA", "ar"):
        async with watched_page(browser, site.url, viewport=PHONE, locale=locale, forgiven=("401",)) as page:
            for path in ("/", "/status-page"):
                await page.goto(site.url + path)
                await assert_fits(page, f"{path} in {locale}")
                if locale == "en-XA":
                    assert await in_plain_english(page, OF_NO_LANGUAGE) == []


async def test_a_catalogue_that_does_not_come_leaves_english(
    browser: Browser, site: Site, session: StorageState
) -> None:
    async with watched_page(
        browser,
        site.url,
        signed_in=session,
        locale="en-XA",
        forgiven=("ERR_FAILED",),
    ) as page:
        await page.route("**/page-texts/*", lambda route: route.abort())
        await page.goto(site.url)
        await ready(page)
        await expect(page.get_by_test_id("contact")).to_have_text("Live")


@pytest.mark.parametrize("locale", ["en", "de", "ru", "ar", "en-XA"])
async def test_the_first_paint_takes_less_than_200_kb_in_each_language(
    browser: Browser, site: Site, session: StorageState, locale: str
) -> None:
    sizes: dict[str, int] = {}
    async with watched_page(browser, site.url, signed_in=session, locale=locale) as page:
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("Network.enable")
        devtools.on(
            "Network.loadingFinished",
            lambda event: sizes.update({event["requestId"]: int(event["encodedDataLength"])}),
        )
        await page.goto(site.url)
        await ready(page)
        told = await (await page.request.get(f"{site.url}/status.json")).body()
    assert 20_000 < sum(sizes.values()) + len(told) < FIRST_PAINT_BYTES_MAX, sizes
