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
from ballast.people.tables import PAGE, frozen, movements_table
from dbcore.guard.engine import GuardedEngine
from dbcore.money import format_amount
from dbcore.people import card, movements, refusals
from dbcore.people.lists import ListedTransfer
from dbcore.people.movements import Filters, Movement
from dbcore.people.person import Person
from dbcore.settings import Settings
from dbcore.text import one_line


def person_line(person: Person, settings: Settings) -> str:
    seen = f"{person.last_seen_at:%Y-%m-%d}" if person.last_seen_at else "never"
    marks = "".join(f"  {mark}" for mark in (frozen(person), _unusual(person)) if mark)
    return (
        f"{person.telegram_id:>14}  {_handle(person.username):<24}  {one_line(person.first_name, 24):<24}  "
        f"{money(person.balance, settings):>20}  seen {seen}{marks}"
    )


def transfer_line(made: ListedTransfer, settings: Settings) -> str:
    memo = one_line(made.memo, 40)
    amount = money(made.amount, settings.in_currency(made.currency))
    parts = [
        f"#{made.id:<10} {made.created_at:%Y-%m-%d %H:%M}  {amount:>18}",
        f"{named(made.sender)} to {named(made.recipient)}  {made.kind}",
    ]
    if made.reason:
        parts.append(f"refused: {made.reason.replace('_', ' ')}")
    if made.reverses:
        parts.append(f"reverses #{made.reverses}")
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
    return "" if person.status.value == "active" else person.status.value


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
        person, settings = self._person, self._settings
        name = one_line(person.first_name, 64) or "(no name)"
        click.echo(f"{name}  {_handle(person.username)}  ID {person.telegram_id}")
        click.echo(f"  balance     {money(person.balance, settings)}")
        if person.held:
            click.echo(f"  available   {money(person.available, settings)}")
        for other in person.balances[1:]:
            others = settings.in_currency(other.currency)
            held = f", available {money(other.balance - other.held, others)}" if other.held else ""
            click.echo(f"              {money(other.balance, others)}{held}")
        click.echo(f"  status      {', '.join(filter(None, (person.status.value, frozen(person))))}")
        click.echo(f"  language    {person.language or person.language_code or 'unknown'}")
        click.echo(f"  first seen  {person.first_seen_at:%Y-%m-%d %H:%M}")
        seen = f"{person.last_seen_at:%Y-%m-%d %H:%M}" if person.last_seen_at else "never wrote"
        click.echo(f"  last seen   {seen}")
        page = self._page(filters, limit, before)
        click.echo(f"\nMovements ({person.version})")
        for made in page.movements:
            click.echo(self._movement(made))
        if page.next_before is not None:
            click.echo(f"  more: --before {page.next_before}")
        self._print_waiting()
        failed = self._refusals()
        if failed:
            click.echo("\nFailed")
        for each in failed:
            amount = (
                ""
                if each.amount is None
                else f"{money(each.amount, settings.in_currency(each.currency)):>18}  "
            )
            click.echo(
                f"  {each.failed_at:%Y-%m-%d %H:%M}  {each.what} {each.number}  {amount}{one_line(str(each.why), 200)}"
            )
        received = card.broadcasts_received(self._engine, person.user_id)
        if received:
            click.echo("\nBroadcasts")
        for broadcast in received:
            text = one_line(beginning(broadcast.payload) or "a copied message", 60)
            click.echo(
                f"  {broadcast.updated_at:%Y-%m-%d %H:%M}  {broadcast.broadcast_id}  {broadcast.status}  {text}"
            )

    def _print_waiting(self) -> None:
        jobs = finding.waiting(self._client, self._person.telegram_id)
        asked = card.unconfirmed(self._engine, self._person.user_id)
        if jobs is None:
            click.echo("\nWaiting: Redis does not answer")
        elif jobs or asked:
            click.echo("\nWaiting")
        for job in jobs or ():
            taken = datetime.fromtimestamp(job["taken_at"]).astimezone()
            click.echo(f"  {taken:%Y-%m-%d %H:%M}  job {job['reference']}  {job['kind']}")
        for each in asked:
            to = named(each.recipient)
            click.echo(
                f"  {each.created_at:%Y-%m-%d %H:%M}  their Confirm  "
                f"{money(each.amount, self._settings.in_currency(each.currency))} to {to}"
            )

    def _movement(self, made: Movement) -> str:
        sign = "+" if made.amount > 0 else ""
        amount = f"{sign}{money(made.amount, self._settings)}"
        way = "from" if made.amount > 0 else "to"
        parts = [
            f"  {made.created_at:%Y-%m-%d %H:%M}  #{made.transfer_id:<8} {amount:>18}",
            f"{made.kind} {way} {named(made.counterparty) if made.counterparty else made.system_account}",
        ]
        if made.reverses:
            parts.append(f"reverses #{made.reverses}")
        if made.reversed_amount:
            parts.append(f"reversed: {money(made.reversed_amount, self._settings)}")
        if memo := one_line(made.memo, 60):
            parts.append(memo)
        return "  ".join(parts)

    def _page(self, filters: Filters, limit: int, before: int | None) -> movements.MovementsPage:
        return movements.movements(
            self._engine, self._person.telegram_id, before=before, limit=limit, filters=filters
        )

    def _refusals(self) -> list[refusals.Refused]:
        return refusals.refusals(self._engine, self._person.user_id, self._person.telegram_id)
