"""Transfers that wait for their sender's word: put before them by `create`, confirmed or cancelled by
`decide`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dbcore.fingerprints import fingerprint
from dbcore.ledger.ledger import balances_now, party, require_key
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Decision, DecisionOutcome, OutcomeStatus, Party, PendingOutcome, RejectionReason
from dbcore.text import storable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.ledger.users import Profile, UserRef

# In the order of senders, for rows of users may be written to: two batches are not to wait in a circle.
_CREATE_SQL = """
SELECT done.*, sender.*
  FROM (SELECT *
          FROM unnest(%(keys)s::text[], %(marks)s::text[], %(tokens)s::text[], %(sender_ids)s::bigint[],
                      %(usernames)s::text[], %(first_names)s::text[], %(recipient_ids)s::bigint[],
                      %(recipient_usernames)s::text[], %(amounts)s::bigint[], %(currencies)s::text[],
                      %(memos)s::text[], %(seconds)s::float[])
               WITH ORDINALITY AS given (key, mark, token, sender_id, username, first_name, recipient_id,
                                         recipient_username, amount, currency, memo, seconds, place)
         ORDER BY sender_id, place) AS ask
 CROSS JOIN LATERAL ballast.pending_create(ask.key, ask.mark, ask.token, ask.sender_id, ask.username, ask.first_name,
                                           ask.recipient_id, ask.recipient_username, ask.amount, ask.currency,
                                           ask.memo, make_interval(secs => ask.seconds)) AS done
    -- of what is answered, so that it is asked after it
 CROSS JOIN LATERAL ballast.ledger_account_now(CASE WHEN done.r_status IS NOT NULL THEN ask.sender_id END,
                                               ask.currency) AS sender
 ORDER BY ask.place
"""
_DECIDED = """
SELECT done.*, sender.*, recipient.*
  FROM unnest(%(keys)s::text[], %(tokens)s::text[], %(presser_ids)s::bigint[], %(usernames)s::text[],
              %(first_names)s::text[], %(confirms)s::boolean[], %(waits)s::float[])
       WITH ORDINALITY AS press (key, token, presser_id, username, first_name, confirm, waited_seconds, place)
 CROSS JOIN LATERAL ballast.pending_decide(press.key, press.token, press.presser_id, press.username, press.first_name,
                                           press.confirm, make_interval(secs => press.waited_seconds)) AS done
 CROSS JOIN LATERAL ballast.ledger_account_now(done.r_sender_id, done.r_currency) AS sender
 CROSS JOIN LATERAL ballast.ledger_account_now(done.r_recipient_id, done.r_currency) AS recipient
 ORDER BY press.place
"""
# Everything that the decisions lock is locked first, in one order, as of adjustments (pending_adjustments.py): their
# rows, those of the users whom they touch, and accounts.
_DECIDE_MANY_SQL = f"""
SELECT set_config('lock_timeout', '500ms', true);
SELECT FROM ballast.pending_transfers p WHERE p.token = ANY(%(tokens)s::text[]) ORDER BY p.id FOR NO KEY UPDATE;
SELECT ballast.users_touch(own.presser_id, own.username, own.first_name, own.currency)
  FROM (SELECT DISTINCT ON (press.presser_id, p.currency) press.*, p.currency
          FROM unnest(%(tokens)s::text[], %(presser_ids)s::bigint[], %(usernames)s::text[], %(first_names)s::text[])
               AS press (token, presser_id, username, first_name)
          JOIN ballast.pending_transfers p ON p.token = press.token AND p.status <> 'refused'
          JOIN ballast.users u ON u.id = p.sender_user_id AND u.telegram_id = press.presser_id
         ORDER BY press.presser_id, p.currency) AS own;
SELECT FROM ballast.accounts a
 WHERE (a.user_id, a.currency) IN (SELECT unnest(ARRAY[p.sender_user_id, p.recipient_user_id]), p.currency
                                     FROM ballast.pending_transfers p WHERE p.token = ANY(%(tokens)s::text[]))
 ORDER BY a.id FOR NO KEY UPDATE;
{_DECIDED}
"""  # noqa: S608  both are ours
_CANCEL_ALL_SQL = """
WITH mine AS (
    SELECT p.id, p.status, p.decided_key, p.expires_at
      FROM ballast.pending_transfers p JOIN ballast.users u ON u.id = p.sender_user_id
     WHERE u.telegram_id = %s AND p.id > (SELECT max(id) FROM ballast.pending_transfers) - %s
), cancelled AS (
    UPDATE ballast.pending_transfers p SET status = 'cancelled', decided_key = %s, decided_at = clock_timestamp()
      FROM mine
     WHERE p.id = mine.id AND p.status = 'pending' AND p.expires_at > clock_timestamp()
 RETURNING p.id
)
SELECT (SELECT count(*) FROM cancelled)
     + (SELECT count(*) FROM mine WHERE status = 'cancelled' AND decided_key = %s)
"""
NEWEST_SEARCHED = 20_000
"""Transfers that `cancel_all` looks through, for they have no index by sender. One expires after ten minutes, so this
is enough for 33 a second.
"""
EXPIRES_AFTER_SECONDS = 600.0
TOKEN_BYTES = 12  # 16 characters: guessing is hopeless, and a button's data holds 64 bytes with more to say


@dataclass(frozen=True, slots=True)
class Ask:
    """A transfer that its sender asks for.

    amount -- minor units, above zero.
    currency -- one of the bot's; None is the first.
    """

    key: str
    sender: Profile
    recipient: UserRef
    amount: int
    memo: str
    expires_after_seconds: float = EXPIRES_AFTER_SECONDS
    currency: str | None = None


def create(
    engine: GuardedEngine,
    *,
    key: str,
    sender: Profile,
    recipient: UserRef,
    amount: int,
    memo: str,
    expires_after_seconds: float = EXPIRES_AFTER_SECONDS,
    currency: str | None = None,
) -> PendingOutcome:
    """Check what can be checked and ask the sender to confirm. No money moves. The arguments are those of an `Ask`.

    The same key answers with the same token, or is refused for the same reason.
    """
    (outcome,) = create_many(
        engine, [Ask(key, sender, recipient, amount, memo, expires_after_seconds, currency)]
    )
    return outcome


def create_many(engine: GuardedEngine, asks: Sequence[Ask]) -> list[PendingOutcome]:
    """`create` several in one round trip and one transaction, each under its own key and with its own outcome. An error
    of one is an error of all, and nothing of any is kept.
    """
    currencies = [engine.known_currency(ask.currency) for ask in asks]
    for ask in asks:
        require_key(ask.key)
        if ask.amount <= 0:
            raise ValueError(f"a transfer needs an amount above 0, got {ask.amount}")
    rows = rows_of_those_with_room(asks, currencies, partial(_created, engine), _TOO_LARGE)
    return [_asked(*each) for each in zip(asks, currencies, rows, strict=True)]


class HasAmount(Protocol):
    """What somebody asks for, in minor units."""

    @property
    def amount(self) -> int: ...


A = TypeVar("A", bound=HasAmount)
Row = tuple[Any, ...]


def rows_of_those_with_room(
    asks: Sequence[A],
    currencies: Sequence[str],
    create: Callable[[Sequence[A], Sequence[str]], Sequence[Row]],
    too_large: Row,
) -> list[Row]:
    """What the database answers of each, in their order.

    create -- asks it.
    too_large -- what it would answer of an amount that it has no room for.
    """
    within = [abs(ask.amount) <= MAX_AMOUNT for ask in asks]
    created: Iterator[Row] = iter(())
    if any(within):
        created = iter(create([*compress(asks, within)], [*compress(currencies, within)]))
    return [next(created) if has_room else too_large for has_room in within]


def _created(engine: GuardedEngine, asks: Sequence[Ask], currencies: Sequence[str]) -> list[Row]:
    senders = [ask.sender.parameters() for ask in asks]
    recipients = [ask.recipient.parameters() for ask in asks]
    marks = [
        fingerprint(
            "pending",
            ask.sender.telegram_id,
            recipient_id,
            username.lower() if username else None,
            ask.amount,
            currency,
            ask.memo,
        )
        for ask, currency, (recipient_id, username) in zip(asks, currencies, recipients, strict=True)
    ]
    return engine.fetch_rows(
        _CREATE_SQL,
        {
            "keys": [ask.key for ask in asks],
            "marks": marks,
            "tokens": [secrets.token_urlsafe(TOKEN_BYTES) for _ in asks],
            "sender_ids": [telegram_id for telegram_id, _, _ in senders],
            "usernames": [username for _, username, _ in senders],
            "first_names": [first_name for _, _, first_name in senders],
            "recipient_ids": [telegram_id for telegram_id, _ in recipients],
            "recipient_usernames": [username for _, username in recipients],
            "amounts": [ask.amount for ask in asks],
            "currencies": [*currencies],
            "memos": [storable(ask.memo) for ask in asks],
            "seconds": [ask.expires_after_seconds for ask in asks],
        },
        name="pending_transfers.create",
    )


_TOO_LARGE = (OutcomeStatus.REJECTED, RejectionReason.AMOUNT_TOO_LARGE, *[None] * 7)


def _asked(ask: Ask, currency: str, row: tuple[Any, ...]) -> PendingOutcome:
    status, reason, token, *recipient, balance, balance_now, version_now = row
    return PendingOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        token=token or "",
        sender=Party(ask.sender.telegram_id, ask.sender.username, ask.sender.first_name),
        recipient=party(*recipient),
        amount=ask.amount,
        currency=currency,
        balance=balance,
        balances_now=balances_now(currency, (ask.sender.telegram_id, balance_now, version_now)),
    )


def restart_expiry(
    engine: GuardedEngine, *, key: str, expires_after_seconds: float = EXPIRES_AFTER_SECONDS
) -> None:
    """The question came to its sender only now: the time to answer it begins now, by the database's clock.

    key -- of the request's `create`. What was decided already stays decided.
    """
    restart_expiry_in(engine, "pending_transfers", key, expires_after_seconds)


def restart_expiry_in(engine: GuardedEngine, table: str, key: str, seconds: float) -> None:
    """Of any table of questions that expire."""
    engine.fetch_row(
        f"WITH restarted AS (UPDATE {table} SET expires_at = clock_timestamp() + make_interval(secs => %s) "  # noqa: S608
        "WHERE idempotency_key = %s AND status = 'pending' RETURNING 1) SELECT count(*) FROM restarted",
        (seconds, key),
        name=f"{table}.restart_expiry",
    )


@dataclass(frozen=True, slots=True)
class Press:
    """One decision of several; the fields are the arguments of `decide`."""

    key: str
    token: str
    presser: Profile
    confirm: bool
    waited_seconds: float = 0.0


def decide(
    engine: GuardedEngine,
    *,
    key: str,
    token: str,
    presser: Profile,
    confirm: bool,
    waited_seconds: float = 0.0,
) -> DecisionOutcome:
    """Carry out the sender's press, in one transaction with the transfer.

    key -- the job's. The same job again is answered as the first time; another press after the decision is
    refused with what was decided; someone else's press changes nothing and is told nothing.
    waited_seconds -- for how long the press has waited to be carried out: one made in time counts.
    """
    (outcome,) = _decided(
        engine,
        _DECIDED,
        [Press(key, token, presser, confirm, waited_seconds)],
        name="pending_transfers.decide",
    )
    return outcome


def decide_many(engine: GuardedEngine, presses: Sequence[Press]) -> list[DecisionOutcome]:
    """Carry out several presses in one round trip and one transaction, in their order, each under its own key and with
    its own outcome. An error of one is an error of all, and nothing of any is applied.
    """
    return _decided(engine, _DECIDE_MANY_SQL, presses, name="pending_transfers.decide_many")


def _decided(
    engine: GuardedEngine, statement: str, presses: Sequence[Press], *, name: str
) -> list[DecisionOutcome]:
    for press in presses:
        require_key(press.key)
    pressers = [press.presser.parameters() for press in presses]
    rows = engine.fetch_rows(
        statement,
        {
            "keys": [press.key for press in presses],
            "tokens": [storable(press.token) for press in presses],
            "presser_ids": [telegram_id for telegram_id, _, _ in pressers],
            "usernames": [username for _, username, _ in pressers],
            "first_names": [first_name for _, _, first_name in pressers],
            "confirms": [press.confirm for press in presses],
            "waits": [press.waited_seconds for press in presses],
        },
        name=name,
    )
    return [_decision(engine, row) for row in rows]


def _decision(engine: GuardedEngine, row: tuple[Any, ...]) -> DecisionOutcome:
    return DecisionOutcome(
        status=OutcomeStatus(row[0]),
        reason=None if row[1] is None else RejectionReason(row[1]),
        decision=None if row[2] is None else Decision(row[2]),
        sender=party(row[3], row[4], row[5]),
        recipient=party(row[6], row[7], row[8]),
        amount=row[9],
        currency=row[10],
        memo=row[11],
        sender_balance=row[12],
        recipient_balance=row[13],
        balances_now=balances_now(row[10] or engine.currency, (row[3], *row[14:16]), (row[6], *row[16:18])),
    )


def cancel_all(engine: GuardedEngine, *, key: str, sender_id: int) -> int:
    """Cancel every transfer of this sender that can still be confirmed. Returns how many this key has cancelled."""
    require_key(key)
    (count,) = engine.fetch_row(
        _CANCEL_ALL_SQL, (sender_id, NEWEST_SEARCHED, key, key), name="pending_transfers.cancel_all"
    )
    return int(count)
