"""Moving money: each function is one SQL function, one round trip, applied once for its key.

A refusal by the ledger is recorded like an applied transfer, and the same key is refused again for the same
reason. Bad arguments are the program's mistake and raise ValueError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbcore.fingerprints import fingerprint
from dbcore.keys import OF_IMPORTS, RESERVED
from dbcore.ledger.balance_cache import BalanceSnapshot
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import AdjustOutcome, OutcomeStatus, Party, RejectionReason, TransferOutcome
from dbcore.text import storable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.ledger.users import UserRef

TRANSFER_SQL = (
    "SELECT done.*, sender.*, recipient.* FROM ballast.ledger_transfer(%s, %s, %s, %s, %s, %s, %s, %s) AS done, "
    "ballast.ledger_account_now(done.r_sender_id, %s) AS sender, "
    "ballast.ledger_account_now(done.r_recipient_id, %s) AS recipient"
)
ADJUST_SQL = (
    "SELECT done.*, target.* FROM ballast.ledger_find_key(%s, %s, %s, %s, %s, %s, %s, %s) AS found, "
    "ballast.ledger_adjust(found.r_key, found.r_fingerprint, %s, %s, %s, %s, %s, %s) AS done, "
    "ballast.ledger_account_now(done.r_target_id, %s) AS target"
)
_KEY_LENGTH_MAX = 200  # an index entry may hold 2,700 bytes


def require_key(key: str) -> None:
    """Raises ValueError for what cannot be an idempotency key."""
    if not key or len(key) > _KEY_LENGTH_MAX or key != storable(key):
        raise ValueError(f"an idempotency key has 1 to {_KEY_LENGTH_MAX} characters, got {key[:80]!r}")
    if key.startswith(RESERVED):
        raise ValueError(
            f"keys that begin with {' or '.join(map(repr, RESERVED))} belong to the ledger itself"
        )
    if key.startswith(OF_IMPORTS):
        raise ValueError(
            f"keys that begin with {' or '.join(map(repr, OF_IMPORTS))} belong to `ballast import`"
        )


def party(telegram_id: int | None, username: str | None, first_name: str | None) -> Party | None:
    """Someone from three columns of an outer join."""
    if telegram_id is None or first_name is None:
        return None
    return Party(telegram_id, username, first_name)


def balances_now(
    currency: str, *seen: tuple[int | None, int | None, int | None]
) -> tuple[BalanceSnapshot, ...]:
    """Of each who is known: Telegram id, balance and version, as ledger_account_now answers."""
    return tuple(
        BalanceSnapshot(telegram_id, currency, balance, version)
        for telegram_id, balance, version in seen
        if telegram_id is not None and balance is not None and version is not None
    )


def adjust(
    engine: GuardedEngine,
    *,
    key: str,
    target: UserRef,
    amount: int,
    memo: str,
    actor: str,
    earlier_key: str | None = None,
    currency: str | None = None,
) -> AdjustOutcome:
    """Credit (amount above zero) or debit (below) one user. The other side is `adjustments` if an admin or operator
    ordered it, and `house` if a program did.

    amount -- signed minor units. actor -- who ordered it, for the record: another actor with the same key, amount, memo
        and target is a repetition.
    earlier_key -- under which an earlier release may have applied the same (keys.py).
    currency -- one of the bot's; None is the first.
    """
    asked = adjustment(
        engine,
        key=key,
        target=target,
        amount=amount,
        memo=memo,
        actor=actor,
        earlier_key=earlier_key,
        currency=currency,
    )
    if isinstance(asked, AdjustOutcome):
        return asked
    row = engine.fetch_row(ADJUST_SQL, asked, name="ledger.adjust")
    if row[2] == RejectionReason.KEY_REUSED:
        # Or the same request was committed by somebody else, after this one looked for it. Now it is found.
        row = engine.fetch_row(ADJUST_SQL, asked, name="ledger.adjust")
    return adjusted(engine.known_currency(currency), amount, row)


def adjustment(
    engine: GuardedEngine,
    *,
    key: str,
    target: UserRef,
    amount: int,
    memo: str,
    actor: str,
    earlier_key: str | None,
    currency: str | None = None,
) -> tuple[Any, ...] | AdjustOutcome:
    """The parameters of ADJUST_SQL; or the outcome, if it is refused without asking. Raises ValueError."""
    require_key(key)
    currency = engine.known_currency(currency)
    if amount == 0:
        raise ValueError("an adjustment needs an amount other than 0")
    if abs(amount) > MAX_AMOUNT:
        return AdjustOutcome(
            status=OutcomeStatus.REJECTED,
            reason=RejectionReason.AMOUNT_TOO_LARGE,
            amount=amount,
            currency=currency,
        )
    telegram_id, username = target.parameters()
    mark = fingerprint(
        "adjust", telegram_id, username.lower() if username else None, amount, currency, memo, actor
    )
    asked = (telegram_id, username, amount, currency, storable(memo))
    return (key, earlier_key, mark, *asked, *asked, storable(actor), currency)


def adjusted(currency: str, amount: int, row: tuple[Any, ...]) -> AdjustOutcome:
    """The outcome from ADJUST_SQL's row."""
    transfer_id, status, reason, target_id, target_username, target_first_name, balance, *now = row
    return AdjustOutcome(
        status=OutcomeStatus(status),
        reason=_reason(reason),
        transfer_id=transfer_id,
        target=party(target_id, target_username, target_first_name),
        amount=amount,
        currency=currency,
        balance_after=balance,
        balances_now=balances_now(currency, (target_id, *now)),
    )


def transfer(
    engine: GuardedEngine,
    *,
    key: str,
    sender_telegram_id: int,
    recipient_telegram_id: int,
    amount: int,
    memo: str,
    kind: str = "transfer",
    currency: str | None = None,
) -> TransferOutcome:
    """Move `amount` minor units from one user to another. The sender must exist like the recipient.

    currency -- one of the bot's; None is the first.
    """
    require_key(key)
    currency = engine.known_currency(currency)
    if amount <= 0:
        raise ValueError(f"a transfer needs an amount above 0, got {amount}")
    if amount > MAX_AMOUNT:
        return TransferOutcome(
            status=OutcomeStatus.REJECTED,
            reason=RejectionReason.AMOUNT_TOO_LARGE,
            amount=amount,
            currency=currency,
            memo=memo,
        )
    mark = fingerprint("transfer", sender_telegram_id, recipient_telegram_id, amount, currency, memo, kind)
    row: tuple[Any, ...] = engine.fetch_row(
        TRANSFER_SQL,
        (
            key,
            mark,
            sender_telegram_id,
            recipient_telegram_id,
            amount,
            currency,
            kind,
            storable(memo),
            currency,
            currency,
        ),
        name="ledger.transfer",
    )
    return TransferOutcome(
        status=OutcomeStatus(row[1]),
        reason=_reason(row[2]),
        transfer_id=row[0],
        sender=party(row[3], row[4], row[5]),
        recipient=party(row[6], row[7], row[8]),
        amount=amount,
        currency=currency,
        memo=memo,
        sender_balance=row[9],
        recipient_balance=row[10],
        balances_now=balances_now(currency, (row[3], row[11], row[12]), (row[6], row[13], row[14])),
    )


def _reason(reason: str | None) -> RejectionReason | None:
    return None if reason is None else RejectionReason(reason)
