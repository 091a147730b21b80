"""`tx.ledger`: money in the transaction of a `transact`, by the ledger's own SQL functions.

Each movement has an idempotency key of its own in the ledger: the transact's key, `#`, and its number in the work. In a
batch it is the job's key, `#`, and the number of the call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, overload

from sqlalchemy.orm import Session

from dbcore.currencies import Currencies
from dbcore.errors import UsageError
from dbcore.fingerprints import fingerprint
from dbcore.guard.refusal import Refuse
from dbcore.ledger.holds import (
    END_SQL,
    HOLD_SQL,
    end_fingerprint,
    hold_fingerprint,
    require_amount,
    require_time,
)
from dbcore.ledger.users import TELEGRAM_ID_LIMIT, Profile, UserRef, touch
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import OutcomeStatus, RejectionReason
from dbcore.qualified_names import qualified
from dbcore.text import storable

M = TypeVar("M")

User = int | str | UserRef
"""Whose account: a Telegram id, a @username, or a UserRef."""

_ITEMS = (
    "FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::text[]) "
    "WITH ORDINALITY AS item(key, mark, telegram_id, username, other_id, amount, memo, place)"
)
_ADJUST = (
    f"SELECT done.r_transfer_id, done.r_status, done.r_reason, done.r_balance, NULL {_ITEMS}, "
    "LATERAL ballast.ledger_adjust(item.key, item.mark, item.telegram_id, item.username, item.amount, %s, item.memo, "
    "%s) AS done ORDER BY item.place"
)
_TRANSFER = (
    "SELECT done.r_transfer_id, done.r_status, done.r_reason, done.r_sender_balance, done.r_recipient_balance "
    f"{_ITEMS}, LATERAL ballast.ledger_transfer(item.key, item.mark, item.telegram_id, item.other_id, item.amount, %s, "
    "%s, item.memo) AS done ORDER BY item.place"
)
_BALANCE = (
    "SELECT coalesce(a.balance, 0), coalesce(a.held, 0) FROM ballast.users_find(%s, %s, %s) AS found "
    "LEFT JOIN ballast.accounts a ON a.id = found.r_account_id WHERE found.r_reason IS NULL"
)

_WORDS = {
    RejectionReason.INSUFFICIENT_FUNDS: "There is not enough money in the account.",
    RejectionReason.UNKNOWN_USER: "There is no such user.",
    RejectionReason.SAME_ACCOUNT: "Sender and recipient are the same.",
    RejectionReason.AMOUNT_TOO_LARGE: "The amount is too large.",
    RejectionReason.BALANCE_OVERFLOW: "The account cannot hold so much.",
    RejectionReason.UNKNOWN_HOLD: "There is no such hold.",
    RejectionReason.ALREADY_POSTED: "What was held has been taken.",
    RejectionReason.ALREADY_VOIDED: "What was held has been given back.",
    RejectionReason.EXPIRED: "The hold has expired.",
    RejectionReason.MORE_THAN_HELD: "Less is held.",
    RejectionReason.ACCOUNT_FROZEN: "The account is frozen.",
    RejectionReason.RECIPIENT_FROZEN: "The recipient's account is frozen.",
}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """For `credit_many` and `debit_many`: a user, an amount above zero in minor units, and a memo."""

    user: User
    minor: int
    memo: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """For `transfer_many`: two Telegram ids, an amount above zero in minor units, and a memo."""

    sender: int
    recipient: int
    minor: int
    memo: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """A movement of money.

    minor -- the amount, above zero, in minor units. balance_after -- the user's right after it; of a transfer, the
    sender's. recipient_balance_after -- of a transfer. reason -- why it was refused, if it was (`partial=True` only);
    `transfer_id` and the recipient's balance are None then, and `balance_after` is the balance that refused it.
    """

    transfer_id: int | None
    minor: int
    balance_after: int | None
    recipient_balance_after: int | None = None
    reason: RejectionReason | None = None

    @property
    def applied(self) -> bool:
        """Whether money moved."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Held:
    """Money that is held.

    hold_id -- for `post` and `void`, also in later transactions: keep it in a row of yours. minor -- the amount, in
    minor units. available_after -- what the user could spend right after it was held. expires_at -- None: never.
    """

    hold_id: int
    minor: int
    available_after: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Item:
    key: str
    telegram_id: int | None
    username: str | None
    recipient: int | None
    amount: int
    memo: str


class Accounts:
    """Users and their money in the session of one transaction."""

    def __init__(self, session: Session, currencies: Currencies, schema: str | None, *, actor: str) -> None:
        self._session = session
        self._currencies = currencies
        self._schema = schema
        self._actor = storable(actor)

    def register(self, telegram_id: int, username: str | None = None, first_name: str = "") -> int:
        """Make the user with an empty account, or note their names. Returns their balance in minor units.

        username -- it is taken from whoever had it. first_name -- empty: names stay as they are.
        Needs no key. Raises ValueError for an id that Telegram never gives to a person.
        """
        is_number = isinstance(telegram_id, int) and not isinstance(telegram_id, bool)
        if not is_number or not 0 < telegram_id < TELEGRAM_ID_LIMIT:
            raise ValueError(f"a Telegram id of a person is an integer above zero, got {telegram_id!r}")
        self._session.flush()
        profile = Profile(telegram_id, username.removeprefix("@") if username else None, first_name)
        return touch(self._session.connection(), profile, self._code(None), self._schema)

    def balance(self, user: User, *, currency: str | None = None) -> int:
        """As it is now, with what this transaction moved, in minor units. Raises Refuse for somebody unknown."""
        return self._figures(user, currency)[0]

    def available(self, user: User, *, currency: str | None = None) -> int:
        """What the user can spend now: the balance without what is held. Raises Refuse for somebody unknown."""
        balance, held = self._figures(user, currency)
        return balance - held

    def _code(self, currency: str | None) -> str:
        """Raises UsageError for a currency that the bot does not have."""
        if currency is None:
            return self._currencies.first.code
        if self._currencies.get(currency) is None:
            raise UsageError(f"expected one of the bot's currencies {self._currencies}, got {currency!r}")
        return currency

    def _figures(self, user: User, currency: str | None) -> tuple[int, int]:
        row = self._row(_BALANCE, (*_reference(user).parameters(), self._code(currency)))
        if row is None:
            raise _refusal(RejectionReason.UNKNOWN_USER)
        return int(row[0]), int(row[1])

    def _row(self, statement: str, parameters: tuple[Any, ...]) -> Any:
        self._session.flush()
        connection = self._session.connection()
        return connection.exec_driver_sql(qualified(statement, self._schema), parameters).one_or_none()

    def _adjust(self, items: Sequence[_Item], currency: str | None, *, partial: bool) -> list[Moved]:
        return self._move(_ADJUST, items, (self._code(currency), self._actor), partial=partial)

    def _transfer(self, items: Sequence[_Item], currency: str | None, *, partial: bool) -> list[Moved]:
        return self._move(_TRANSFER, items, (self._code(currency), "transfer"), partial=partial)

    def _move(
        self, statement: str, items: Sequence[_Item], rest: tuple[str, str], *, partial: bool
    ) -> list[Moved]:
        """rest -- the currency, and what the statement takes behind it."""
        if not items:
            return []
        self._session.flush()
        too_large = [abs(item.amount) > MAX_AMOUNT for item in items]
        asked = [item for item, large in zip(items, too_large, strict=True) if not large]
        rows = iter(self._rows(statement, asked, rest) if asked else [])
        moved = [
            Moved(None, abs(item.amount), None, reason=RejectionReason.AMOUNT_TOO_LARGE)
            if large
            else _moved(item, next(rows))
            for item, large in zip(items, too_large, strict=True)
        ]
        refused = next((each.reason for each in moved if each.reason is not None), None)
        if refused is not None and not partial:
            raise _refusal(refused)
        return moved

    def _rows(self, statement: str, items: Sequence[_Item], rest: tuple[str, str]) -> Sequence[Any]:
        columns = (
            [item.key for item in items],
            [
                fingerprint(
                    "transact",
                    item.telegram_id,
                    item.username,
                    item.recipient,
                    item.amount,
                    rest[0],
                    item.memo,
                )
                for item in items
            ],
            [item.telegram_id for item in items],
            [item.username for item in items],
            [item.recipient for item in items],
            [item.amount for item in items],
            [item.memo for item in items],
        )
        # The session's, which makes the savepoint of a begin_nested() only when it is asked for its connection.
        connection = self._session.connection()
        return connection.exec_driver_sql(qualified(statement, self._schema), (*columns, *rest)).all()


class TransactionLedger(Accounts):
    """Money of users, moved when the transaction commits. `register` makes its users.

    currency -- the code of one of the bot's currencies; None is the first. Raises UsageError for any other.

    Amounts are integers of minor units, above zero. A movement that the ledger refuses raises Refuse, whose `reason` is
    a RejectionReason: everything is rolled back, unless the work catches it. Needs a transact with a key, or raises
    UsageError: without, a repetition would move the money again.
    """

    def __init__(
        self,
        session: Session,
        currencies: Currencies,
        schema: str | None,
        *,
        key: str | None,
        actor: str,
    ) -> None:
        super().__init__(session, currencies, schema, actor=actor)
        self._key = key
        self._numbers = itertools.count(1)

    def credit(self, user: User, minor: int, memo: str = "", *, currency: str | None = None) -> Moved:
        """From the house to the user."""
        return self.credit_many([Adjustment(user, minor, memo)], currency=currency)[0]

    def debit(self, user: User, minor: int, memo: str = "", *, currency: str | None = None) -> Moved:
        """From the user to the house. Refused if the account has less."""
        return self.debit_many([Adjustment(user, minor, memo)], currency=currency)[0]

    def transfer(
        self, sender: int, recipient: int, minor: int, memo: str = "", *, currency: str | None = None
    ) -> Moved:
        """From one user to another, by their Telegram ids."""
        return self.transfer_many([Transfer(sender, recipient, minor, memo)], currency=currency)[0]

    def credit_many(
        self, adjustments: Iterable[Adjustment], *, currency: str | None = None, partial: bool = False
    ) -> list[Moved]:
        """As many `credit`s, in their order and one statement.

        partial -- what is refused moves nothing and is told in its `reason`; the others go on.
        """
        items = [_adjustment(self._next_key(), each, 1) for each in adjustments]
        return self._adjust(items, currency, partial=partial)

    def debit_many(
        self, adjustments: Iterable[Adjustment], *, currency: str | None = None, partial: bool = False
    ) -> list[Moved]:
        """As many `debit`s; as `credit_many`."""
        items = [_adjustment(self._next_key(), each, -1) for each in adjustments]
        return self._adjust(items, currency, partial=partial)

    def transfer_many(
        self, transfers: Iterable[Transfer], *, currency: str | None = None, partial: bool = False
    ) -> list[Moved]:
        """As many `transfer`s; as `credit_many`."""
        items = [_transfer_of(self._next_key(), each) for each in transfers]
        return self._transfer(items, currency, partial=partial)

    def hold(
        self,
        user: User,
        minor: int,
        memo: str = "",
        *,
        currency: str | None = None,
        expires_after: timedelta | None = None,
    ) -> Held:
        """Set money of the user aside: it stays theirs, and nothing but `post` takes it.

        expires_after -- by the database's clock; it is available again then. None: until `post` or `void`.
        Raises Refuse if less is available.
        """
        require_time(expires_after)
        currency = self._code(currency)
        owner, key = _reference(user), self._next_key()
        if _amount(minor) > MAX_AMOUNT:
            raise _refusal(RejectionReason.AMOUNT_TOO_LARGE)
        mark = hold_fingerprint(owner, minor, currency, storable(memo), expires_after)
        asked = (*owner.parameters(), minor, currency, storable(memo), self._actor, expires_after)
        hold_id, status, reason, _, available, expires_at = self._row(HOLD_SQL, (key, mark, *asked))
        _require_new(key, status, reason)
        return Held(hold_id, minor, available, expires_at)

    def post(self, hold_id: int, minor: int | None = None, *, to: User | None = None) -> Moved:
        """Take what `hold` set aside. What is left of it is available again.

        minor -- None: all of it. to -- who receives it; None: the house.
        Raises Refuse for a hold that has ended, or that holds less.
        """
        if minor is not None:
            require_amount(minor)
        return self._end(hold_id, post=True, minor=minor, to=None if to is None else _reference(to))

    def void(self, hold_id: int) -> None:
        """Make available again what `hold` set aside. Raises Refuse for a hold that has ended."""
        self._end(hold_id, post=False, minor=None, to=None)

    def _end(self, hold_id: int, *, post: bool, minor: int | None, to: UserRef | None) -> Moved:
        key, mark = self._next_key(), end_fingerprint(hold_id, post=post, amount=minor, to=to)
        recipient = (None, None) if to is None else to.parameters()
        row = self._row(END_SQL, (key, mark, hold_id, post, minor, *recipient, self._actor))
        status, reason, _, transfer_id, posted, _, balance, _, _, _, recipient_balance, _, _ = row
        _require_new(key, status, reason)
        return Moved(transfer_id, posted or 0, balance, recipient_balance)

    def _next_key(self) -> str:
        if self._key is None:
            raise UsageError(
                "money needs a key: transact(work, key=...), the same for each repetition of one request, such as "
                'f"redeem-{update_id}"'
            )
        return f"{self._key}#{next(self._numbers)}"


class BatchLedger(Accounts):
    """Money of users in the transaction of several jobs: each movement belongs to one of them, and has that job's key.

    `credit_many`, `debit_many` and `transfer_many` take one movement per job that the work got, in the same order; None
    for a job that moves nothing. They return what became of each. A movement that the ledger refuses raises Refuse, and
    everything is rolled back, unless `partial=True`. currency -- of all of them: the code of one of the bot's; None is
    the first.
    """

    def __init__(
        self, session: Session, currencies: Currencies, schema: str | None, *, keys: Sequence[str], actor: str
    ) -> None:
        super().__init__(session, currencies, schema, actor=actor)
        self._keys = keys
        self._calls = itertools.count(1)

    @overload
    def credit_many(
        self, adjustments: Iterable[Adjustment], *, currency: str | None = ..., partial: bool = ...
    ) -> list[Moved]: ...

    @overload
    def credit_many(
        self, adjustments: Iterable[Adjustment | None], *, currency: str | None = ..., partial: bool = ...
    ) -> list[Moved | None]: ...

    def credit_many(
        self, adjustments: Iterable[Adjustment | None], *, currency: str | None = None, partial: bool = False
    ) -> list[Any]:
        """From the house to the users.

        partial -- what is refused moves nothing and is told in its `reason`; the others go on.
        """
        keyed = self._keyed(adjustments)
        items = [_adjustment(*each, 1) if each else None for each in keyed]
        return self._each(items, self._adjust, currency, partial=partial)

    @overload
    def debit_many(
        self, adjustments: Iterable[Adjustment], *, currency: str | None = ..., partial: bool = ...
    ) -> list[Moved]: ...

    @overload
    def debit_many(
        self, adjustments: Iterable[Adjustment | None], *, currency: str | None = ..., partial: bool = ...
    ) -> list[Moved | None]: ...

    def debit_many(
        self, adjustments: Iterable[Adjustment | None], *, currency: str | None = None, partial: bool = False
    ) -> list[Any]:
        """From the users to the house; as `credit_many`."""
        keyed = self._keyed(adjustments)
        items = [_adjustment(*each, -1) if each else None for each in keyed]
        return self._each(items, self._adjust, currency, partial=partial)

    @overload
    def transfer_many(
        self, transfers: Iterable[Transfer], *, currency: str | None = ..., partial: bool = ...
    ) -> list[Moved]: ...

    @overload
    def transfer_many(
        self, transfers: Iterable[Transfer | None], *, currency: str | None = ..., partial: bool = ...
    ) -> list[Moved | None]: ...

    def transfer_many(
        self, transfers: Iterable[Transfer | None], *, currency: str | None = None, partial: bool = False
    ) -> list[Any]:
        """From users to users; as `credit_many`."""
        keyed = self._keyed(transfers)
        items = [_transfer_of(*each) if each else None for each in keyed]
        return self._each(items, self._transfer, currency, partial=partial)

    def _keyed(self, movements: Iterable[M | None]) -> list[tuple[str, M] | None]:
        asked, call = list(movements), next(self._calls)
        if len(asked) != len(self._keys):
            raise UsageError(
                f"expected one movement per job, in the order of the jobs, or None for one that moves nothing: "
                f"{len(self._keys)} in all, got {len(asked)}"
            )
        return [
            None if each is None else (f"{key}#{call}", each)
            for key, each in zip(self._keys, asked, strict=True)
        ]

    def _each(
        self,
        items: Sequence[_Item | None],
        move: Callable[..., list[Moved]],
        currency: str | None,
        *,
        partial: bool,
    ) -> list[Moved | None]:
        # By account, so that two batches on the same accounts seldom wait for each other in a circle.
        order = sorted(
            (number for number, item in enumerate(items) if item is not None),
            key=lambda number: _accounts_of(items[number]),
        )
        moved: list[Moved | None] = [None] * len(items)
        done = move([items[number] for number in order], currency, partial=partial)
        for number, each in zip(order, done, strict=True):
            moved[number] = each
        return moved


def _accounts_of(item: _Item | None) -> tuple[int, str]:
    assert item is not None  # noqa: S101  sorted are only those that are there
    ids = [each for each in (item.telegram_id, item.recipient) if each is not None]
    return min(ids, default=0), item.username or ""


def _adjustment(key: str, adjustment: Adjustment, sign: int) -> _Item:
    telegram_id, username = _reference(adjustment.user).parameters()
    return _Item(
        key, telegram_id, username, None, sign * _amount(adjustment.minor), storable(adjustment.memo)
    )


def _transfer_of(key: str, transfer: Transfer) -> _Item:
    amount, memo = _amount(transfer.minor), storable(transfer.memo)
    return _Item(key, transfer.sender, None, transfer.recipient, amount, memo)


def _amount(minor: int) -> int:
    require_amount(minor)
    return minor


def _reference(user: User) -> UserRef:
    if isinstance(user, UserRef):
        return user
    return UserRef.parse(user) if isinstance(user, str) else UserRef(telegram_id=user)


def _require_new(key: str, status: str, reason: str | None) -> None:
    """Raises Refuse for what the ledger refused."""
    _require_unused(key, status, reason)
    if reason is not None:
        raise _refusal(RejectionReason(reason))


def _require_unused(key: str, status: str, reason: str | None) -> None:
    if status == OutcomeStatus.REPLAYED or reason == RejectionReason.KEY_REUSED:
        raise UsageError(
            f"the ledger knows the key {key!r} already, though the transact's key is new: its row of effects was "
            "removed, or another request has used the ledger's key. Nothing was moved; take another key"
        )


def _moved(item: _Item, row: Any) -> Moved:
    transfer_id, status, reason, balance, recipient_balance = row
    _require_unused(item.key, status, reason)
    why = None if reason is None else RejectionReason(reason)
    return Moved(
        None if why else transfer_id, abs(item.amount), balance, None if why else recipient_balance, why
    )


def _refusal(reason: RejectionReason) -> Refuse:
    return Refuse(_WORDS.get(reason, f"The ledger refused: {reason.value}."), reason.value)
