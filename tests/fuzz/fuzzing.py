"""What must hold for any update whatever, looked at one by one."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from pydantic import SecretStr

from ballast.broadcasts.albums import Albums
from ballast.builtin.balances import AdjustBalance, AskAdjustment, DecideAdjustment
from ballast.builtin.replies import DeliverReply
from ballast.inbox import Inbox
from ballast.queueing.envelope import Envelope
from bot_frontend.conversation import Conversation
from bot_frontend.intake import Intake
from bot_frontend.routed import Routed
from bot_frontend.router import route
from bot_frontend.updates import TextMessage, UpdateUnreadable, WordsOf, read
from dbcore.settings import Settings
from devstack.telegram.text import parse_html
from tests.fuzz.updates import ADMIN_ID, update
from tests.harness.queueing import Queueing, take

_DIALOGUES = (None, Conversation(asked_by=1), Conversation(recipient="@carol", asked_by=2))


def fuzzer_at(queueing: Queueing, *, every: int) -> Fuzzer:
    """With the settings of a real bot that has one admin."""
    settings = Settings(
        _env_file=None,
        redis_url=SecretStr(queueing.redis_url),
        telegram_bot_token=SecretStr("123456:LOCAL"),
        admin_ids=frozenset({ADMIN_ID}),
    )
    intake = Intake(settings, queueing.inbox, queueing.publisher, Albums(queueing.client), lambda: False)
    return Fuzzer(settings, intake, queueing.inbox, every=every)


class Fuzzer:
    """Feeds `count` updates of a seed to the frontend. Raises AssertionError naming the first that broke a promise.

    every -- each so manieth update also goes through the intake, to a real inbox.
    """

    def __init__(self, settings: Settings, intake: Intake, inbox: Inbox, *, every: int) -> None:
        self._settings = settings
        self._intake = intake
        self._inbox = inbox
        self._every = every
        self.seen: Counter[str] = Counter()

    def run(self, seed: int, count: int) -> None:
        for number in range(count):
            numbers = random.Random(f"{seed}:{number}")
            raw = update(numbers)
            try:
                self._interpreted(raw, numbers)
                if number % self._every == 0:
                    self._taken(raw)
            except Exception as error:
                raise AssertionError(f"seed {seed}, update {number}: {ascii(raw)[:2000]}") from error

    def _interpreted(self, raw: Any, numbers: random.Random) -> None:
        try:
            reading = read(raw)
        except UpdateUnreadable:
            self.seen["unreadable"] += 1
            return
        if reading is None:
            self.seen["not for us"] += 1
            return
        intention = route(reading, numbers.choice(_DIALOGUES), self._settings)
        if intention is None:
            self.seen["small talk"] += 1
            return
        self.seen[intention.job.kind] += 1
        if isinstance(reading, TextMessage) and reading.words_of is not WordsOf.SENDER:
            assert isinstance(intention.job, DeliverReply)
            self.seen["not their own words"] += 1
        self._sound(intention, reading.sender.telegram_id)

    def _sound(self, intention: Routed, sender: int) -> None:
        """The workers can read the job, only admins change balances, and Telegram can read what is said."""
        job = intention.job
        envelope = Envelope.of(job, job_id="1-2-3", lane=f"user:{sender}", chat_id=sender)
        again = Envelope.model_validate_json(envelope.model_dump_json())
        assert type(job).decode(again.fields) == job
        assert not isinstance(job, AdjustBalance)
        assert not isinstance(job, AskAdjustment | DecideAdjustment) or sender == ADMIN_ID
        if isinstance(job, DeliverReply):
            for message in job.messages:
                parse_html(message.text)

    def _taken(self, raw: Any) -> None:
        """The intake neither raises nor keeps an update waiting; what came again is one."""
        take(self._intake, raw)
        before = self._inbox.size()
        take(self._intake, raw)
        assert self._inbox.size() == before
        self.seen["taken"] += 1
