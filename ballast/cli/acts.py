"""`ballast credit|debit|reverse|freeze|unfreeze|message|erase`: shown first, done once, and the result is printed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ballast.cli.commands import Command, open_database, require_agreement
from ballast.texts import gettext, said

if TYPE_CHECKING:
    from ballast.people.doing import Doing
    from dbcore.ledger.users import UserRef
    from dbcore.money import Money
    from dbcore.people.acts import Act
    from dbcore.people.person import Person

F = TypeVar("F", bound=Callable[..., Any])

whom_argument = click.argument("whom", metavar="@NAME|ID")
_amount = click.argument("amount", metavar="AMOUNT")


def _seen(_: click.Context, __: click.Parameter, text: str) -> str:
    """Raises click.BadParameter."""
    if any(letter.isascii() and letter.isalnum() for letter in text):
        return text  # without an import, so that what else is wrong is said fast
    from dbcore.text import is_blank

    if is_blank(text):
        raise click.BadParameter(gettext("expected something that can be seen"))
    return text


def reason_option(why: str) -> Callable[[F], F]:
    """why -- its help, which says who reads it."""
    return click.option("--reason", required=True, callback=_seen, help=why)


_reason = reason_option("Why. It is in the audit log, and the memo of money.")


def _usable(_: click.Context, __: click.Parameter, key: str | None) -> str | None:
    """An empty one is refused: from a variable that is not set it would be another key each time."""
    if key is None:
        return None
    from dbcore.ledger.ledger import require_key

    try:
        require_key(key)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return key


key_option = click.option(
    "--key", callback=_usable, help="The same key again does nothing more, and prints the same result."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation; scripts need it.")


@click.command(cls=Command)
@whom_argument
@_amount
@_reason
@key_option
@yes_option
def credit(*, whom: str, amount: str, reason: str, key: str | None, yes: bool) -> None:
    """Credit somebody, such as `ballast credit @bob 5.50 --reason "refund of order 17"`."""
    _adjust(whom, amount, 1, reason, key, yes)


@click.command(cls=Command)
@whom_argument
@_amount
@_reason
@key_option
@yes_option
def debit(*, whom: str, amount: str, reason: str, key: str | None, yes: bool) -> None:
    """Debit somebody."""
    _adjust(whom, amount, -1, reason, key, yes)


@click.command(cls=Command)
@click.argument("number", type=click.IntRange(1), metavar="TRANSFER")
@click.argument("amount", required=False, metavar="[AMOUNT]")
@_reason
@key_option
@yes_option
def reverse(*, number: int, amount: str | None, reason: str, key: str | None, yes: bool) -> None:
    """Move a transfer back. Without an amount: all of it that was not reversed yet, and its recipient still has."""
    doing = _doing()
    moving = doing.reversible(number, None if amount is None else _money(doing, amount), key)
    require_agreement(moving.lines, gettext("Reverse it?"), yes=yes)
    click.echo(doing.reverse(act_of(reason, key), number, moving.amount))


@click.command(cls=Command)
@whom_argument
@_reason
@click.option("--both", is_flag=True, help="Refuse what it would receive, too.")
@key_option
@yes_option
def freeze(*, whom: str, reason: str, both: bool, key: str | None, yes: bool) -> None:
    """Freeze an account: it receives and does not send, or as FREEZE_REFUSES says. Its user is told."""
    doing = _doing()
    person = doing.person(ref_of(whom))
    refuses = "everything" if both else doing.settings.freeze_refuses
    if refuses == "everything":
        frozen = gettext("Once frozen, the account neither sends nor receives.")
    else:
        frozen = gettext("Once frozen, the account receives, and does not send.")
    require_agreement([doing.described(person), frozen], gettext("Freeze it?"), yes=yes)
    click.echo(doing.freeze(act_of(reason, key), _of(person), refuses))


@click.command(cls=Command)
@whom_argument
@_reason
@key_option
@yes_option
def unfreeze(*, whom: str, reason: str, key: str | None, yes: bool) -> None:
    """Let a frozen account send and receive again. Its user is told."""
    doing = _doing()
    person = doing.person(ref_of(whom))
    require_agreement([doing.described(person)], gettext("Unfreeze it?"), yes=yes)
    click.echo(doing.unfreeze(act_of(reason, key), _of(person)))


@click.command(cls=Command)
@whom_argument
@click.argument("text", metavar="TEXT", callback=_seen)
@key_option
@yes_option
def message(*, whom: str, text: str, key: str | None, yes: bool) -> None:
    """Send somebody a message from the operators."""
    doing = _doing()
    person = doing.person(ref_of(whom))
    they_read = gettext("They read: {text}", text=text)
    require_agreement([doing.described(person), they_read], gettext("Send it?"), yes=yes)
    click.echo(doing.message(act_of(text, key), _of(person)))


@click.command(cls=Command)
@whom_argument
@_reason
@key_option
@yes_option
def erase(*, whom: str, reason: str, key: str | None, yes: bool) -> None:
    """Erase somebody's name, username, language and time zone, at their request. Not the ledger: balance and movements
    stay under their Telegram ID. Export their data first: `ballast export FILE --person`.
    """
    doing = _doing()
    person = doing.person(ref_of(whom))
    lines = [doing.described(person), gettext("This cannot be undone.")]
    require_agreement(lines, gettext("Erase their data?"), yes=yes)
    click.echo(doing.erase(act_of(reason, key), _of(person)))


def _adjust(whom: str, amount: str, sign: int, reason: str, key: str | None, yes: bool) -> None:
    doing = _doing()
    money = _money(doing, amount)
    minor, currency = sign * money.minor, money.currency.code
    person = doing.person(ref_of(whom))
    why = gettext("Reason: {reason}", reason=reason)
    question = gettext("Credit it?") if sign > 0 else gettext("Debit it?")
    require_agreement(
        [doing.described(person), *doing.adjustment(person, minor, currency), why], question, yes=yes
    )
    click.echo(doing.adjust(act_of(reason, key), _of(person), minor, currency))


def _doing() -> Doing:
    from ballast.people.doing import Doing

    return Doing(*open_database())


def ref_of(whom: str) -> UserRef:
    from dbcore.ledger.users import UserRef, UserRefError

    try:
        return UserRef.parse(whom)
    except UserRefError as error:
        raise click.UsageError(said(error)) from None


def _of(person: Person) -> UserRef:
    """By the ID: a username that changes hands before the answer changes nothing."""
    from dbcore.ledger.users import UserRef

    return UserRef(telegram_id=person.telegram_id)


def _money(doing: Doing, text: str) -> Money:
    from dbcore.money import AmountError, parse_money

    try:
        return parse_money(text, doing.settings.known_currencies)
    except AmountError as error:
        raise click.UsageError(said(error)) from None


def act_of(reason: str, key: str | None = None) -> Act:
    """An order of whoever is at the shell; without a key it is another one each time."""
    from dbcore.breaker.override import user_here
    from dbcore.people.acts import Act

    return Act(key or uuid.uuid4().hex, f"operator:{user_here()}"[:64], reason, time.time())
