"""Moving money: each function is one SQL function, one round trip, applied once for its key.

A refusal by the ledger is recorded like an applied transfer, and the same key is refused again for the same
reason. Bad arguments are the program's mistake and raise ValueError.
"""

from __future__ import annotations

from typing import Any

from dbcore.engine import GuardedEngine
from dbcore.fingerprints import fingerprint
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import AdjustOutcome, OutcomeStatus, Party, RejectionReason, TransferOutcome
from dbcore.text import storable
from dbcore.users import UserRef

TRANSFER_SQL = "SELECT * FROM ledger_transfer(%s, %s, %s, %s, %s, %s, %s, %s)"
ADJUST_SQL = "SELECT * FROM ledger_adjust(%s, %s, %s, %s, %s, %s, %s, %s)"
_KEY_LENGTH_MAX = 200  # an index entry may hold 2,700 bytes


def require_key(key: str) -> None:
    """Raises ValueError for what cannot be an idempotency key."""
    if not key or len(key) > _KEY_LENGTH_MAX or key != storable(key):
        raise ValueError(f"an idempotency key has 1 to {_KEY_LENGTH_MAX} characters, got {key[:80]!r}")
    if key.startswith(("pending:", "pending_adjustment:")):
        raise ValueError(
            "keys that begin with 'pending:' or 'pending_adjustment:' belong to what was confirmed"
        )


def party(telegram_id: int | None, username: str | None, first_name: str | None) -> Party | None:
    """Someone from three columns of an outer join."""
    if telegram_id is None or first_name is None:
        return None
    return Party(telegram_id, username, first_name)


def adjust(
    engine: GuardedEngine, *, key: str, target: UserRef, amount: int, memo: str, actor: str
) -> AdjustOutcome:
    """Credit (amount above zero) or debit (below) one user against the house.

    amount -- signed minor units. actor -- who ordered it, for the record.
    """
    require_key(key)
    if amount == 0:
        raise ValueError("an adjustment needs an amount other than 0")
    if abs(amount) > MAX_AMOUNT:
        return AdjustOutcome(
            status=OutcomeStatus.REJECTED,
            reason=RejectionReason.AMOUNT_TOO_LARGE,
            amount=amount,
            currency=engine.currency,
        )
    telegram_id, username = target.parameters()
    mark = fingerprint(
        "adjust", telegram_id, username.lower() if username else None, amount, engine.currency, memo, actor
    )
    row = engine.fetch_row(
        ADJUST_SQL,
        (key, mark, telegram_id, username, amount, engine.currency, storable(memo), storable(actor)),
        name="ledger.adjust",
    )
    transfer_id, status, reason, target_id, target_username, target_first_name, balance = row
    return AdjustOutcome(
        status=OutcomeStatus(status),
        reason=_reason(reason),
        transfer_id=transfer_id,
        target=party(target_id, target_username, target_first_name),
        amount=amount,
        currency=engine.currency,
        balance_after=balance,
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
) -> TransferOutcome:
    """Move `amount` minor units from one user to another. The sender must exist like the recipient."""
    require_key(key)
    if amount <= 0:
        raise ValueError(f"a transfer needs an amount above 0, got {amount}")
    if amount > MAX_AMOUNT:
        return TransferOutcome(
            status=OutcomeStatus.REJECTED,
            reason=RejectionReason.AMOUNT_TOO_LARGE,
            amount=amount,
            currency=engine.currency,
            memo=memo,
        )
    mark = fingerprint(
        "transfer", sender_telegram_id, recipient_telegram_id, amount, engine.currency, memo, kind
    )
    row: tuple[Any, ...] = engine.fetch_row(
        TRANSFER_SQL,
        (key, mark, sender_telegram_id, recipient_telegram_id, amount, engine.currency, kind, storable(memo)),
        name="ledger.transfer",
    )
    return TransferOutcome(
        status=OutcomeStatus(row[1]),
        reason=_reason(row[2]),
        transfer_id=row[0],
        sender=party(row[3], row[4], row[5]),
        recipient=party(row[6], row[7], row[8]),
        amount=amount,
        currency=engine.currency,
        memo=memo,
        sender_balance=row[9],
        recipient_balance=row[10],
    )


def _reason(reason: str | None) -> RejectionReason | None:
    return None if reason is None else RejectionReason(reason)
