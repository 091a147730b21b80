"""Tells every admin of an event in Telegram: once for the whole fleet, and never as a storm.

The message goes out as a job like any other, under an id made of the event, so that two who tell of the same event tell
it once. After so many per hour the rest is only in the log, except payments: money has moved, and somebody must decide
about it.

    ballast:alarms:hour:<hour>   string   how many events were told in that hour
    ballast:alarms:left          list     events that processes left for whoever is on watch, newest first
    ballast:alarms:left:<event>  string   what such an event says, by language, as JSON
    ballast:alarms:payments      list     the same for payments
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import cast

import redis
import structlog

from ballast.builtin.replies import DeliverReply
from ballast.inbox import Acceptance, Inbox, Publisher
from ballast.inbox.limits import SIZE_MAX
from ballast.messages import Message
from ballast.queueing.envelope import Envelope
from ballast.texts import ENGLISH, available, gettext, speaking, spoken

log = structlog.get_logger(__name__)

AN_HOUR_MAX = 30
LEFT_MAX = 100
PAYMENTS_LEFT_MAX = 10_000
TAKEN_AT_ONCE = 20

TRANSLATIONS_SECONDS = 86_400

_LEFT = "ballast:alarms:left"
_PAYMENTS = "ballast:alarms:payments"
_HOUR = 3600


class AdminNotifier:
    """admin_ids -- Telegram ids of those who are told. Raises redis.RedisError."""

    def __init__(
        self, client: redis.Redis, inbox: Inbox, publisher: Publisher, admin_ids: Collection[int]
    ) -> None:
        self._redis = client
        self._inbox = inbox
        self._publisher = publisher
        self._admin_ids = sorted(admin_ids)

    def notify(self, event_id: str, texts: Mapping[str, str], *, over: bool = False) -> None:
        """texts -- Telegram's HTML, by language; English for whoever reads another. over -- it is good news: what was
        told under this id has ended.
        """
        if over:
            event_id = f"{event_id}-over"
        log.error("alarm", event_id=event_id, text=texts[ENGLISH])
        hour = self._redis.time()[0] // _HOUR
        told = self._redis.incr(f"ballast:alarms:hour:{hour}")
        self._redis.expire(f"ballast:alarms:hour:{hour}", 2 * _HOUR)
        if told <= AN_HOUR_MAX:
            self._tell_all(event_id, texts, over=over, is_last=told == AN_HOUR_MAX)

    def drain(self) -> None:
        for _ in range(TAKEN_AT_ONCE):
            line = cast("bytes | None", self._redis.lindex(_LEFT, -1))
            if line is None:
                return
            left = json.loads(line)
            translated = cast("bytes | None", self._redis.get(_translations_key(left["event_id"])))
            texts = json.loads(translated) if translated else {}
            self.notify(left["event_id"], {ENGLISH: left["text"], **texts})
            self._redis.lrem(_LEFT, -1, line.decode())

    def drain_payments(self) -> None:
        """Of payments that were left, however many there were in this hour. Without room for them they stay left."""
        for _ in range(TAKEN_AT_ONCE):
            line = cast("bytes | None", self._redis.lindex(_PAYMENTS, -1))
            if line is None:
                return
            left = json.loads(line)
            if not self._tell_all(left["event_id"], {**left.get("translated", {}), ENGLISH: left["text"]}):
                return
            log.error("alarm", event_id=left["event_id"], text=left["text"])
            self._redis.lrem(_PAYMENTS, -1, line.decode())

    def _tell_all(
        self, event_id: str, texts: Mapping[str, str], *, over: bool = False, is_last: bool = False
    ) -> bool:
        """Each in their language. Whether there was room for all; who was told is not told again.

        is_last -- of those of this hour.
        """
        told = []
        for admin_id in self._admin_ids:
            with self._inbox.languages.speaking_to(admin_id):
                said = headed(texts.get(spoken()) or texts[ENGLISH], over=over)
                if is_last:
                    said = f"{said}\n\n{_last_of_the_hour()}"
            told.append(self._tell(admin_id, f"alarm-{event_id}-{admin_id}", said))
        return all(told)

    def _tell(self, admin_id: int, job_id: str, text: str) -> bool:
        message = DeliverReply(messages=(Message(chat_id=admin_id, text=text),))
        envelope = Envelope.of(message, job_id=job_id, lane=job_id, chat_id=admin_id)
        # There is room for it where there is none for commands: it may say why.
        receipt = self._inbox.accept(envelope, size_max=2 * SIZE_MAX)
        if receipt.dispatch is not None:
            self._publisher.publish(receipt.dispatch)
        return receipt.status not in {Acceptance.FULL, Acceptance.CROWDED}


def headed(text: str, *, over: bool) -> str:
    """As an admin reads it. text -- in the language that is spoken."""
    return gettext("Alarm over: {text}", text=text) if over else gettext("Alarm: {text}", text=text)


def _last_of_the_hour() -> str:
    return gettext(
        "That was the last of {count} alarms this hour. More are in the logs only, as {event}. Payments are still "
        "reported.",
        count=AN_HOUR_MAX,
        event="<code>alarm</code>",
    )


def in_each_language(text: Callable[[], str]) -> dict[str, str]:
    """text -- says it, in the language that is spoken."""
    said = {}
    for language in available():
        with speaking(language):
            said[language] = text()
    return said


def in_each(texts: Mapping[str, str], change: Callable[[str], str]) -> dict[str, str]:
    """change -- of a text in the language that is spoken."""
    changed = {}
    for language, text in texts.items():
        with speaking(language):
            changed[language] = change(text)
    return changed


def enqueue(client: redis.Redis, event_id: str, text: Callable[[], str]) -> None:
    """For a process that sees an event and knows no admins: whoever is on watch tells them.

    text -- says it, in the language that is spoken: each admin is told in their own.
    """
    texts = in_each_language(text)
    # Beside the event: the release before would refuse one with more in it.
    client.set(_translations_key(event_id), json.dumps(texts), ex=TRANSLATIONS_SECONDS)
    _leave(client, _LEFT, LEFT_MAX, {"event_id": event_id, "text": texts[ENGLISH]})


def enqueue_payment(client: redis.Redis, event_id: str, text: Callable[[], str]) -> None:
    """The same for a payment: other events neither displace it nor count against it."""
    translated = in_each_language(text)
    payment = {"event_id": event_id, "text": translated.pop(ENGLISH), "translated": translated}
    _leave(client, _PAYMENTS, PAYMENTS_LEFT_MAX, payment)


def _translations_key(event_id: str) -> str:
    return f"{_LEFT}:{event_id}"


def _leave(client: redis.Redis, key: str, length_max: int, event: Mapping[str, object]) -> None:
    with client.pipeline() as pipeline:
        pipeline.lpush(key, json.dumps(event))
        pipeline.ltrim(key, 0, length_max - 1)
        pipeline.execute()
