"""`make broadcast-chaos`: a broadcast to many while everything it needs dies, and then both records are compared.

The local Telegram keeps its limits; one in twenty has blocked the bot, one in a hundred hangs (half of them after the
message is in the chat). While it is under way: three kill -9 of workers, a storm of 429s, a kill -9 of Redis, and
PostgreSQL away for half a minute. In the end every recipient has one final state, nobody got it twice, and the counts
are those of the rows. An admin's card is watched meanwhile: it must never go backwards.

With `--composed` it is an A/B test with a canary, drawn up and started on the page in a browser.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter

from ballast.broadcasts.audience import A, variant_of
from ballast.builtin.broadcasts import ShowCard, StartBroadcast
from ballast.texts.formats import duration
from dbcore.broadcasts import broadcasts
from dbcore.broadcasts.broadcasts import BroadcastStatus
from devstack.stack import ADMIN_ID
from devstack.telegram.control import TelegramControl
from tests.harness.broadcasting import (
    OPS_TOKEN,
    Broadcasting,
    assert_each_got_what_the_table_says,
    broadcasting,
    received,
)
from tests.harness.browser import chromium, watched_page
from tests.harness.card_edits import assert_the_card_went_forwards

FIRST_ID = 1_000_000
HANG_SECONDS = 30.0
POSTGRES_AWAY_SECONDS = 30.0
REDIS_AWAY_SECONDS = 3.0
STORM = 200
STORM_RETRY_AFTER = 3
SECONDS_MAX = 3600.0
FIRST, SECOND = "<b>First</b>", "<i>Second</i>"
CANARY = 200
COMPARED = 200
WORKERS = ("bulk", "bulk2", "bulk3", "bulk4")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.broadcasts.chaos", description=__doc__)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument(
        "--composed", action="store_true", help="draw it up on the page, with A/B and a canary"
    )
    options = parser.parse_args()
    with broadcasting(bulk=WORKERS) as cluster:
        asyncio.run(_Chaos(cluster, options.recipients, composed=options.composed).run())
    return 0


class _Chaos:
    def __init__(self, cluster: Broadcasting, recipients: int, *, composed: bool) -> None:
        self.cluster = cluster
        self.recipients = recipients
        self.composed = composed
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    async def run(self) -> None:
        async with TelegramControl(self.cluster.servers.telegram.url) as telegram:
            people = await self._people(telegram)
            await telegram.set_limits(enabled=True)
            await telegram.send_text(ADMIN_ID, "/start")
            if self.composed:
                broadcast_id = await self._compose()
                await self._block(telegram, people)  # the frontend hears of those who did before
            else:
                broadcast_id = self.cluster.started(StartBroadcast(text="<b>Hello</b>", paid=True))
            self.cluster.ask(ShowCard(broadcast_id=broadcast_id, anew_in=ADMIN_ID))
            self.started = time.monotonic()
            self.say(f"broadcast {broadcast_id} to {len(people):,} people is under way")
            for share, what in (
                (0.1, self._kill_worker),
                (0.25, self._kill_worker),
                (0.4, self._storm),
                (0.55, self._kill_redis),
                (0.7, self._stop_postgres),
                (0.85, self._kill_worker),
            ):
                await self._until(broadcast_id, round(share * len(people)))
                await what(telegram)
            broadcast = self.cluster.wait_for(broadcast_id, BroadcastStatus.FINISHED, SECONDS_MAX)
            self.say(f"finished: {_counts(broadcast)}")
            got = await received(telegram, people)
            requests = await telegram.request_counts()
            floods = sum(row["count"] for row in requests if row["error_code"] == 429)
            states = self.cluster.states(broadcast_id)
            doubles = sum(count > 1 for count in got.values())
            arrived_unknown = sum(got[person] > 0 for person, state in states.items() if state == "unknown")
            self.say(
                f"Telegram's record: {sum(got.values()):,} arrived, {doubles} of them twice, {floods} 429s"
            )
            self.say(f"of the {broadcast.unknown:,} unknown {arrived_unknown:,} had arrived")
            assert_each_got_what_the_table_says(broadcast, states, got, people)
            if self.composed:
                await self._compare(telegram, broadcast_id)
            await telegram.clear_faults()  # what the storm has left would meet alarms
            self.cluster.stack.wait_until(lambda: not self.cluster.jobs(), "no job is left")
            letters = self.cluster.stack.query("SELECT kind, error FROM failed_operations")
            self.say(f"dead letters: {letters or 'none'}")
            assert not letters
            edits = await assert_the_card_went_forwards(telegram, audience=len(people))
            self.say(f"the card was edited {edits} times, three seconds apart, and never went backwards")
        took = duration(time.monotonic() - self.started)
        self.say(f"every recipient has one final state, nobody got it twice, the counts add up ({took})")

    async def _compose(self) -> int:
        """On the page: two texts, the first CANARY people first, paid for speed."""
        self.cluster.stack.start("frontend", "main")
        self.cluster.stack.wait_ready(processes=len(self.cluster.bulk) + 3)
        url = f"http://127.0.0.1:{self.cluster.stack.ops_port}"
        async with chromium() as browser, watched_page(browser, url, forgiven=("401",)) as page:
            await page.goto(url)
            await page.get_by_label("Operator token").fill(OPS_TOKEN)
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url(f"{url}/")
            await page.goto(f"{url}/broadcasts/new")
            await page.get_by_label("Text", exact=True).fill(FIRST)
            await page.get_by_text("Another text").click()
            await page.get_by_label("Every second person gets").fill(SECOND)
            await page.get_by_text("Lists", exact=True).click()
            query = f"SELECT telegram_id FROM ballast.users WHERE telegram_id >= {FIRST_ID}"
            await page.get_by_label("Own SQL").fill(query)
            await page.get_by_label("The first").fill(str(CANARY))
            await page.get_by_label("Pay Stars for speed").check()
            await page.get_by_label("At most, Stars").fill("1000000")
            await page.get_by_role("button", name="Start…").click()
            await page.get_by_test_id("confirm-go").click()
            await page.wait_for_url(f"{url}/broadcasts")
        ((broadcast_id,),) = self.cluster.stack.query(
            "SELECT max(id) FROM broadcasts WHERE status <> 'draft'"
        )
        return int(broadcast_id)

    async def _compare(self, telegram: TelegramControl, broadcast_id: int) -> None:
        """Everybody got the text that the table says, and of each about as many."""
        told = {
            person: variant_of(broadcast_id, user_id)
            for person, user_id in self.cluster.stack.query(
                "SELECT telegram_id, user_id FROM broadcast_deliveries WHERE broadcast_id = %s AND status = 'sent'",
                broadcast_id,
            )
        }
        tally = Counter(told.values())
        for person, variant in list(told.items())[:: max(1, len(told) // COMPARED)]:
            texts = {message.text for message in await telegram.messages(person, from_bot=True)}
            assert texts == {"First" if variant == A else "Second"}, (person, variant, texts)
        self.say(f"texts: {dict(tally)}")
        assert min(tally.values()) > len(told) / 3

    async def _people(self, telegram: TelegramControl) -> range:
        people = await telegram.create_users(self.recipients, first_id=FIRST_ID)
        self.cluster.register(people.start, len(people))
        if not self.composed:
            await self._block(telegram, people)
        for number, person in enumerate(people[13::100]):
            when = "after" if number % 2 else "before"
            await telegram.add_fault("hang", chat_id=person, seconds=HANG_SECONDS, when=when)
        return people

    async def _block(self, telegram: TelegramControl, people: range) -> None:
        for person in people[7::20]:
            await telegram.block(person)

    async def _until(self, broadcast_id: int, count: int) -> None:
        def reached() -> bool:
            return broadcasts.require(self.cluster.engine, broadcast_id).done >= count

        self.cluster.stack.wait_until(reached, f"{count:,} are done", SECONDS_MAX)
        self.say(f"{count:,} done: {_counts(broadcasts.require(self.cluster.engine, broadcast_id))}")

    async def _kill_worker(self, _: TelegramControl) -> None:
        victim = self.cluster.bulk[0]
        self.cluster.bulk = (*self.cluster.bulk[1:], victim)  # another one the next time
        self.cluster.stack.kill(victim)
        self.cluster.start(victim)
        self.say(f"kill -9 of {victim}; started again")

    async def _storm(self, telegram: TelegramControl) -> None:
        await telegram.add_fault("flood", methods=["sendMessage"], count=STORM, retry_after=STORM_RETRY_AFTER)
        self.say(f"the next {STORM} sends are answered by 429, retry after {STORM_RETRY_AFTER}")

    async def _kill_redis(self, _: TelegramControl) -> None:
        self.cluster.servers.redis.kill()
        await asyncio.sleep(REDIS_AWAY_SECONDS)
        self.cluster.servers.redis.start()
        self.say(f"kill -9 of Redis; started again after {REDIS_AWAY_SECONDS:.0f} s")

    async def _stop_postgres(self, _: TelegramControl) -> None:
        self.cluster.servers.postgres.stop()
        self.say("PostgreSQL stopped")
        await asyncio.sleep(POSTGRES_AWAY_SECONDS)
        self.cluster.servers.postgres.start()
        self.say(f"PostgreSQL started again after {POSTGRES_AWAY_SECONDS:.0f} s")


def _counts(broadcast: broadcasts.Broadcast) -> str:
    tally = Counter(
        sent=broadcast.sent, blocked=broadcast.blocked, failed=broadcast.failed, unknown=broadcast.unknown
    )
    return ", ".join(f"{state} {count:,}" for state, count in tally.items())


if __name__ == "__main__":
    sys.exit(main())
