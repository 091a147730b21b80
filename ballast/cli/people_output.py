"""What `ballast user`, `users` and `transfers` print: for people, as JSON, and as CSV of any size."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
import redis

from ballast.broadcasts.preview import beginning
from ballast.people import finding
from ballast.people.doing import named
from ballast.people.tables import PAGE, movements_table
from ballast.texts import gettext, gettext_noop, pgettext, said
from ballast.texts.columns import labelled, left
from ballast.texts.formats import number
from dbcore.guard.engine import GuardedEngine
from dbcore.money import format_amount
from dbcore.people import card, movements, refusals
from dbcore.people.lists import ListedTransfer
from dbcore.people.movements import Filters, Movement
from dbcore.people.person import Person
from dbcore.people.reasons import in_words
from dbcore.settings import Settings
from dbcore.text import one_line

_STATUSES = {
    "active": gettext_noop("active"),
    "blocked": gettext_noop("blocked"),
    "deactivated": gettext_noop("deactivated"),
}

_DELIVERIES = {
    "pending": gettext_noop("pending"),
    "leased": gettext_noop("being sent"),
    "sent": gettext_noop("sent"),
    "unknown": gettext_noop("unknown"),
    "blocked": gettext_noop("blocked"),
    "failed": gettext_noop("failed"),
}
"""Of a broadcast to them."""


def person_line(person: Person, settings: Settings) -> str:
    seen = gettext("never wrote")
    if person.last_seen_at:
        seen = gettext("seen {day}", day=f"{person.last_seen_at:%Y-%m-%d}")
    marks = "".join(f"  {mark}" for mark in (_frozen(person), _unusual(person)) if mark)
    return (
        f"{person.telegram_id:>14}  {left(_handle(person.username), 24)}  {left(one_line(person.first_name, 24), 24)}  "
        f"{money(person.balance, settings):>20}  {seen}{marks}"
    )


def transfer_line(made: ListedTransfer, settings: Settings) -> str:
    memo = one_line(made.memo, 40)
    amount = money(made.amount, settings.in_currency(made.currency))
    way = gettext("{sender} to {recipient}", sender=named(made.sender), recipient=named(made.recipient))
    parts = [
        f"#{made.id:<10} {made.created_at:%Y-%m-%d %H:%M}  {amount:>18}",
        f"{way}  {made.kind}",
    ]
    if made.reason:
        parts.append(gettext("refused: {why}", why=said(in_words(made.reason))))
    if made.reverses:
        parts.append(gettext("reverses {number}", number=f"#{made.reverses}"))
    if memo:
        parts.append(memo)
    return "  ".join(parts)


def person_as_json(person: Person) -> dict[str, Any]:
    described = {**asdict(person), "available": person.available}
    if len(person.balances) < 2:
        del described["balances"]
    return described


def transfer_as_json(made: ListedTransfer) -> dict[str, Any]:
    return asdict(made)


def money(minor: int, settings: Settings) -> str:
    return format_amount(minor, settings.currency_exponent, settings.currency)


def _handle(username: str | None) -> str:
    return f"@{one_line(username)}" if username else "-"


def _unusual(person: Person) -> str:
    return "" if person.status.value == "active" else gettext(_STATUSES[person.status.value])


def _frozen(person: Person) -> str:
    """Empty if it is not."""
    if not person.frozen:
        return ""
    return gettext("frozen, receives nothing") if person.receiving_frozen else gettext("frozen")


class Card:
    """Everything of one person, in the parts that are asked for."""

    def __init__(
        self, engine: GuardedEngine, client: redis.Redis, settings: Settings, person: Person
    ) -> None:
        self._engine = engine
        self._client = client
        self._settings = settings
        self._person = card.with_balances(engine, person)

    def as_json(self, filters: Filters, limit: int, before: int | None) -> dict[str, Any]:
        person = self._person
        page = self._page(filters, limit, before)
        return {
            **person_as_json(person),
            "currency": self._settings.currency,
            "movements": [asdict(each) for each in page.movements],
            "next_before": page.next_before,
            "waiting_jobs": finding.waiting(self._client, person.telegram_id),
            "unconfirmed": [asdict(each) for each in card.unconfirmed(self._engine, person.user_id)],
            "failed": [{**asdict(each), "why": str(each.why)} for each in self._refusals()],
            "broadcasts": [
                {**asdict(each), "text": beginning(each.payload)}
                for each in card.broadcasts_received(self._engine, person.user_id)
            ],
        }

    def print_csv(self, filters: Filters) -> None:
        table = movements_table(self._settings)
        click.echo(table.head(), nl=False)
        before: int | None = None
        while True:
            page = self._page(filters, PAGE, before)
            click.echo(table.rows(page.movements), nl=False)
            before = page.next_before
            if before is None:
                return

    def print(self, filters: Filters, limit: int, before: int | None) -> None:
        person = self._person
        name = one_line(person.first_name, 64) or gettext("(no name)")
        click.echo(f"{name}  {_handle(person.username)}  ID {person.telegram_id}")
        for line in labelled(self._rows(), least=12):
            click.echo(f"  {line}")
        page = self._page(filters, limit, before)
        click.echo("\n" + gettext("Movements ({count})", count=number(person.version)))
        for made in page.movements:
            click.echo(self._movement(made))
        if page.next_before is not None:
            click.echo("  " + gettext("more: {option}", option=f"--before {page.next_before}"))
        self._print_waiting()
        self._print_failed()
        received = card.broadcasts_received(self._engine, person.user_id)
        if received:
            click.echo("\n" + gettext("Broadcasts"))
        for broadcast in received:
            text = one_line(beginning(broadcast.payload) or gettext("a copied message"), 60)
            status = gettext(_DELIVERIES[broadcast.status])
            click.echo(f"  {broadcast.updated_at:%Y-%m-%d %H:%M}  {broadcast.broadcast_id}  {status}  {text}")

    def _rows(self) -> list[tuple[str, str]]:
        """Who they are: a label and a value each."""
        person, settings = self._person, self._settings
        rows = [(gettext("balance"), money(person.balance, settings))]
        if person.held:
            rows.append((gettext("available"), money(person.available, settings)))
        for other in person.balances[1:]:
            others = settings.in_currency(other.currency)
            has = money(other.balance, others)
            if other.held:
                available = money(other.balance - other.held, others)
                has = gettext("{balance}, available {amount}", balance=has, amount=available)
            rows.append(("", has))
        seen = gettext("never wrote")
        if person.last_seen_at:
            seen = f"{person.last_seen_at:%Y-%m-%d %H:%M}"
        status = filter(None, (gettext(_STATUSES[person.status.value]), _frozen(person)))
        return [
            *rows,
            (gettext("status"), ", ".join(status)),
            (gettext("language"), person.language or person.language_code or gettext("unknown")),
            (gettext("first seen"), f"{person.first_seen_at:%Y-%m-%d %H:%M}"),
            (gettext("last seen"), seen),
        ]

    def _print_failed(self) -> None:
        failed = self._refusals()
        if failed:
            click.echo("\n" + gettext("Failed"))
        for each in failed:
            amount = ""
            if each.amount is not None:
                amount = f"{money(each.amount, self._settings.in_currency(each.currency)):>18}  "
            why = one_line(said(each.why), 200)
            click.echo(f"  {each.failed_at:%Y-%m-%d %H:%M}  {_numbered(each)}  {amount}{why}")

    def _print_waiting(self) -> None:
        jobs = finding.waiting(self._client, self._person.telegram_id)
        asked = card.unconfirmed(self._engine, self._person.user_id)
        if jobs is None:
            click.echo("\n" + gettext("Waiting: Redis does not answer"))
        elif jobs or asked:
            click.echo("\n" + gettext("Waiting"))
        for job in jobs or ():
            taken = datetime.fromtimestamp(job["taken_at"]).astimezone()
            which = gettext("job {number}", number=job["reference"])
            click.echo(f"  {taken:%Y-%m-%d %H:%M}  {which}  {job['kind']}")
        for each in asked:
            amount = money(each.amount, self._settings.in_currency(each.currency))
            what = gettext("{amount} to {name}", amount=amount, name=named(each.recipient))
            their_confirm = gettext("their Confirm")
            click.echo(f"  {each.created_at:%Y-%m-%d %H:%M}  {their_confirm}  {what}")

    def _movement(self, made: Movement) -> str:
        sign = "+" if made.amount > 0 else ""
        amount = f"{sign}{money(made.amount, self._settings)}"
        other = named(made.counterparty) if made.counterparty else made.system_account
        way = (
            pgettext("history", "from {name}", name=other)
            if made.amount > 0
            else pgettext("history", "to {name}", name=other)
        )
        parts = [
            f"  {made.created_at:%Y-%m-%d %H:%M}  #{made.transfer_id:<8} {amount:>18}",
            f"{made.kind} {way}",
        ]
        if made.reverses:
            parts.append(gettext("reverses {number}", number=f"#{made.reverses}"))
        if made.reversed_amount:
            parts.append(gettext("reversed: {amount}", amount=money(made.reversed_amount, self._settings)))
        if memo := one_line(made.memo, 60):
            parts.append(memo)
        return "  ".join(parts)

    def _page(self, filters: Filters, limit: int, before: int | None) -> movements.MovementsPage:
        return movements.movements(
            self._engine, self._person.telegram_id, before=before, limit=limit, filters=filters
        )

    def _refusals(self) -> list[refusals.Refused]:
        return refusals.refusals(self._engine, self._person.user_id, self._person.telegram_id)


def _numbered(failed: refusals.Refused) -> str:
    """What failed, by its number."""
    match failed.what:
        case "transfer":
            return gettext("transfer {number}", number=failed.number)
        case "adjustment":
            return gettext("adjustment {number}", number=failed.number)
        case "ledger":
            return gettext("ledger {number}", number=failed.number)
        case "job":
            return gettext("job {number}", number=failed.number)
