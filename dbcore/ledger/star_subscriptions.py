"""Subscriptions by Telegram Stars, which people pay every 30 days: what Telegram reports of them is booked and kept.

    payment ─▶ book    begun or renewed; `stars` to `subscriptions`: the bot's revenue, not the payer's balance
    update  ─▶ tell    cancelled, resumed or failed, as the person or Telegram did it
    want ─▶ due ─▶ Telegram is asked ─▶ answer    cancelled by the bot, or allowed again
    due     ─▶ expired, by the database's clock

Each step is one SQL function and one transaction, done once for its key. What follows from a change is part of its
commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from dbcore import outbox
from dbcore.admin_actions import DONE, AdminAction, insert_statement
from dbcore.fingerprints import fingerprint
from dbcore.ledger.ledger import party, require_key
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.users import Profile
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Outcome, OutcomeStatus, Party, RejectionReason
from dbcore.qualified_names import qualified
from dbcore.text import storable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dbcore.guard.engine import GuardedEngine


PERIOD_SECONDS = 2_592_000
"""30 days: the only period that Telegram has."""

ASK_AGAIN_SECONDS = 60.0
"""After Telegram was to be asked, until it is asked again if no answer was kept."""

DUE_MAX = 100
LISTED_MAX = 100
REFUSAL_LENGTH_MAX = 200

_BOOK = (
    "SELECT * FROM ballast.subscription_book(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, "
    "to_timestamp(%s::bigint), to_timestamp(%s::bigint))"
)
_TELL = "SELECT * FROM ballast.subscription_told(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s::bigint))"
_WANT = "SELECT * FROM ballast.subscription_want(%s, %s, %s, %s, %s)"
_ANSWER = "SELECT * FROM ballast.subscription_answered(%s, %s, %s)"
_DUE = "SELECT * FROM ballast.subscription_due(make_interval(secs => %s), %s)"
_COUNTS_UNTIL = """
SELECT extract(epoch FROM max(ballast.subscription_counts_until(s.expires_at, s.renewal, s.wanted)))::float8,
       coalesce(max(s.version), 0), extract(epoch FROM clock_timestamp())::float8
  FROM ballast.star_subscriptions s JOIN ballast.users u ON u.id = s.user_id
 WHERE u.telegram_id = %s AND s.plan = %s
"""
_LIST = """
SELECT s.id, s.plan, s.stars, s.renewal, s.cancelled_by_bot, s.wanted, s.wanted_key, s.refusal, s.begun_at,
       s.expires_at, s.expires_at > clock_timestamp(), u.telegram_id, u.username, u.first_name
  FROM ballast.star_subscriptions s JOIN ballast.users u ON u.id = s.user_id
 WHERE s.begun_at IS NOT NULL AND (%s::bigint IS NULL OR s.id = %s) AND (%s::bigint IS NULL OR u.telegram_id = %s)
   AND (%s::bigint IS NULL OR s.id < %s)
 ORDER BY s.id DESC LIMIT %s
"""
_CHARGES = """
SELECT p.charge_id FROM ballast.star_subscription_periods d JOIN ballast.star_payments p ON p.id = d.star_payment_id
 WHERE d.subscription_id = %s ORDER BY d.ends_at DESC, p.id DESC
"""


class Renewal(StrEnum):
    """Whether Telegram will charge for the next period."""

    ON = "on"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """The person could not pay for it."""


class ChangeKind(StrEnum):
    BEGUN = "begun"
    RENEWED = "renewed"
    CANCELLED = "cancelled"
    """It is not renewed any more; what is paid stays."""
    RESUMED = "resumed"
    """Its person turned the renewal on again."""
    FAILED = "failed"
    REFUNDED = "refunded"
    """A period was given back."""
    EXPIRED = "expired"
    ALLOWED = "allowed"
    """Its person can turn the renewal on again, which the bot had cancelled."""
    REFUSED = "refused"
    """Telegram did not do what was wanted."""


Wanted = Literal["cancelled", "allowed"]


@dataclass(frozen=True, slots=True)
class PlanInvoice:
    """What an invoice of a subscription says. payload -- whole: with its person it makes the subscription."""

    plan: str
    stars: int
    payload: str


@dataclass(frozen=True, slots=True)
class SubscriptionCharge:
    """What Telegram says of a charge of a subscription.

    invoice -- None of a refund that this bot asked for. amount -- minor units that the Stars are worth.
    is_first -- it begins the subscription; None if Telegram does not say: then it is the first one that is known.
    said_at -- the message's date; ends_at -- until when it is paid: seconds since 1970.
    """

    kind: PaymentKind
    charge_id: str
    payer: Profile
    stars: int
    amount: int
    invoice: PlanInvoice | None
    is_first: bool | None
    said_at: int
    ends_at: int


@dataclass(frozen=True, slots=True)
class Change:
    """What is new with a subscription. id -- grows with each change. expires_at -- until when it is paid now; None if
    no payment of it is known yet.
    """

    id: int
    kind: ChangeKind
    number: int
    telegram_id: int
    plan: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOutcome(Outcome):
    """What was booked. KEY_REUSED: the same charge was booked with another payer, number of Stars, or as a deposit.

    payment_id -- the receipt's number. number -- the subscription's. change -- None if nothing is new.
    """

    payment_id: int | None = None
    number: int | None = None
    plan: str | None = None
    expires_at: datetime | None = None
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """As it stands. stars -- for each period. expires_at -- until when it is paid; is_paid -- whether that is yet to
    come, by the database's clock. cancelled_by_bot -- its person cannot turn the renewal on until that is allowed.
    wanted -- what Telegram is being asked, by the change wanted_key. refusal -- why Telegram refused the last one.
    """

    number: int
    plan: str
    stars: int
    renewal: Renewal
    cancelled_by_bot: bool
    wanted: Wanted | None
    wanted_key: str | None
    refusal: str | None
    begun_at: datetime
    expires_at: datetime
    is_paid: bool
    owner: Party


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who wants something of a subscription of their own. key -- of the request."""

    key: str
    telegram_id: int


@dataclass(frozen=True, slots=True)
class CountsUntil:
    """Until when a person has a plan: seconds since 1970; None: they never had it. version -- grows with every change.
    seen_at -- when it was so, by the database's clock.
    """

    until: float | None
    version: int
    seen_at: float

    @property
    def counts(self) -> bool:
        return self.until is not None and self.until > self.seen_at


Follows = Callable[[Change], Sequence[outbox.Job]]
"""What follows from a change: jobs that are part of its commit."""


def book(engine: GuardedEngine, charge: SubscriptionCharge, *, follows: Follows) -> SubscriptionOutcome:
    """Begin or renew a subscription, or take a refunded period back. A refund that comes before its payment books both.

    Raises ValueError for an amount that cannot be booked.
    """
    if not (charge.stars > 0 and 0 < charge.amount <= MAX_AMOUNT):
        raise ValueError(f"{charge.stars} Stars are no {charge.amount} minor units")
    charge_id, invoice = storable(charge.charge_id), charge.invoice
    mark = fingerprint(
        "star subscription", charge_id, charge.payer.telegram_id, charge.stars, engine.currency
    )

    def work(connection: Connection) -> SubscriptionOutcome:
        status, reason, payment_id, _, _, number, plan, expires_at, kind, change_id = _row(
            connection,
            engine,
            _BOOK,
            (
                charge.kind is PaymentKind.REFUNDED,
                charge_id,
                mark,
                *charge.payer.parameters(),
                charge.payer.language_code,
                charge.stars,
                charge.amount,
                engine.currency,
                None if invoice is None else storable(invoice.payload),
                None if invoice is None else invoice.plan,
                charge.is_first,
                charge.said_at,
                charge.ends_at,
            ),
        )
        change = _change((number, plan, expires_at, kind, change_id), charge.payer.telegram_id)
        _enqueue(connection, engine, change, follows)
        return SubscriptionOutcome(
            status=OutcomeStatus(status),
            reason=None if reason is None else RejectionReason(reason),
            payment_id=payment_id,
            number=number,
            plan=plan,
            expires_at=expires_at,
            change=change,
        )

    return engine.call(work, name="star_subscriptions.book", replayable=True)


def refund(
    engine: GuardedEngine, *, charge_id: str, payer_id: int, stars: int, said_at: int, follows: Follows
) -> SubscriptionOutcome:
    """Telegram has given the Stars of a known charge back, because this bot asked for it."""
    charge = SubscriptionCharge(
        kind=PaymentKind.REFUNDED,
        charge_id=charge_id,
        payer=Profile(payer_id, None, ""),
        stars=stars,
        amount=stars,  # the charge keeps the amount that it was booked with
        invoice=None,
        is_first=None,
        said_at=said_at,
        ends_at=said_at,
    )
    return book(engine, charge, follows=follows)


def tell(
    engine: GuardedEngine,
    *,
    key: str,
    person: Profile,
    invoice: PlanInvoice,
    renewal: Renewal,
    said_at: int,
    follows: Follows,
) -> Change | None:
    """Telegram says what became of the renewal. None if that was known by this key.

    said_at -- when it came, seconds since 1970: Telegram names no time.
    """
    require_key(key)

    def work(connection: Connection) -> Change | None:
        row = _row(
            connection,
            engine,
            _TELL,
            (
                f"told:{key}",
                *person.parameters(),
                person.language_code,
                engine.currency,
                storable(invoice.payload),
                invoice.plan,
                invoice.stars,
                renewal.value,
                said_at,
            ),
        )
        change = _change(row, person.telegram_id)
        _enqueue(connection, engine, change, follows)
        return change

    return engine.call(work, name="star_subscriptions.tell", replayable=True)


def want(
    engine: GuardedEngine,
    *,
    by: Subscriber | AdminAction,
    number: int,
    wanted: Wanted,
    asks: outbox.Job,
) -> Outcome:
    """Have the renewal cancelled, or allowed again: Telegram is asked until it has answered, and only then it is so.

    by -- the subscriber, or an operator, whose action is in the audit log. asks -- the job that asks Telegram.
    """
    if isinstance(by, Subscriber):
        key, actor, owner = by.key, f"telegram:{by.telegram_id}", by.telegram_id
    else:
        key, actor, owner = by.action_id, by.actor, None
    require_key(key)

    def work(connection: Connection) -> Outcome:
        asked = (f"want:{key}", number, owner, wanted, storable(actor))
        status, reason = _row(connection, engine, _WANT, asked)
        outcome = Outcome(
            status=OutcomeStatus(status), reason=None if reason is None else RejectionReason(reason)
        )
        if isinstance(by, AdminAction):
            statement, parameters = insert_statement(by, DONE if reason is None else f"refused: {reason}")
            connection.exec_driver_sql(qualified(statement, engine.schema), parameters)
        if outcome.status is OutcomeStatus.APPLIED:
            mark = f"subscription-want-{fingerprint(key)[:32]}"
            outbox.add(connection, engine.schema, asks, key=mark, telegram_id=None)
        return outcome

    return engine.call(work, name="star_subscriptions.want", replayable=True)


def answer(
    engine: GuardedEngine, *, number: int, wanted_key: str, refusal: str | None, follows: Follows
) -> Change | None:
    """Telegram's answer to what was wanted: None is a yes. Returns None if it was kept before."""

    def work(connection: Connection) -> Change | None:
        said = None if refusal is None else storable(refusal)[:REFUSAL_LENGTH_MAX]
        *row, telegram_id = _row(connection, engine, _ANSWER, (number, wanted_key, said))
        change = _change(tuple(row), telegram_id)
        _enqueue(connection, engine, change, follows)
        return change

    return engine.call(work, name="star_subscriptions.answer", replayable=True)


def due(engine: GuardedEngine, *, asks: Callable[[int], outbox.Job], follows: Follows) -> list[Change]:
    """The sweep: notes what has expired, which it returns, and has Telegram asked what it has not answered.

    asks -- the job that asks Telegram about the subscription of this number.
    """

    def work(connection: Connection) -> list[Change]:
        rows = connection.exec_driver_sql(qualified(_DUE, engine.schema), (ASK_AGAIN_SECONDS, DUE_MAX)).all()
        expired = []
        for *row, telegram_id in rows:
            change = _change(tuple(row), telegram_id)
            if change is None:
                outbox.add(connection, engine.schema, asks(row[0]), key=None, telegram_id=None)
                continue
            _enqueue(connection, engine, change, follows)
            expired.append(change)
        return expired

    return engine.call(work, name="star_subscriptions.due", replayable=True)


def counts_until(engine: GuardedEngine, telegram_id: int, plan: str) -> CountsUntil:
    """Until when a person has a plan, whatever of its invoices they paid."""
    row = engine.fetch_row(_COUNTS_UNTIL, (telegram_id, plan), name="star_subscriptions.counts", writes=False)
    return CountsUntil(*row)


def find(engine: GuardedEngine, number: int) -> Subscription | None:
    found = listed(engine, number=number, limit=1)
    return found[0] if found else None


def listed(
    engine: GuardedEngine,
    *,
    telegram_id: int | None = None,
    number: int | None = None,
    before: int | None = None,
    limit: int = LISTED_MAX,
) -> list[Subscription]:
    """The newest first: of one person, or of all. before -- the number of the last one that was seen."""
    rows = engine.fetch_rows(
        _LIST,
        (number, number, telegram_id, telegram_id, before, before, min(limit, LISTED_MAX)),
        name="star_subscriptions.list",
        writes=False,
    )
    return [_subscription(row) for row in rows]


def charges(engine: GuardedEngine, number: int) -> list[str]:
    """Of its payments, the newest first."""
    rows = engine.fetch_rows(_CHARGES, (number,), name="star_subscriptions.charges", writes=False)
    return [charge_id for (charge_id,) in rows]


def _subscription(row: tuple[Any, ...]) -> Subscription:
    number, plan, stars, renewal, by_bot, wanted, wanted_key, refusal, begun_at, expires_at, is_paid, *who = (
        row
    )
    owner = party(*who)
    assert owner is not None  # noqa: S101  joined
    return Subscription(
        number,
        plan,
        stars,
        Renewal(renewal),
        by_bot,
        wanted,
        wanted_key,
        refusal,
        begun_at,
        expires_at,
        is_paid,
        owner,
    )


def _row(
    connection: Connection, engine: GuardedEngine, statement: str, parameters: tuple[Any, ...]
) -> tuple[Any, ...]:
    return tuple(connection.exec_driver_sql(qualified(statement, engine.schema), parameters).one())


def _change(row: tuple[Any, ...], telegram_id: int) -> Change | None:
    number, plan, expires_at, kind, change_id = row
    if change_id is None:
        return None
    return Change(change_id, ChangeKind(kind), number, telegram_id, plan, expires_at)


def _enqueue(connection: Connection, engine: GuardedEngine, change: Change | None, follows: Follows) -> None:
    if change is None:
        return
    for place, job in enumerate(follows(change)):
        key = f"subscription:{change.id}:{place}"
        outbox.add(connection, engine.schema, job, key=key, telegram_id=change.telegram_id)
