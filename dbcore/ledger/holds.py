"""Money that is held: it stays on its owner's account, and nothing else can take it. A hold ends once: it is posted in
full or in part, voided, or expired by the database's clock.

What is available is the balance without what is held. Each check of funds is against that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dbcore.fingerprints import fingerprint
from dbcore.guard.engine import GuardedEngine
from dbcore.ledger.ledger import balances_now, require_key
from dbcore.ledger.users import UserRef
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import HoldEndOutcome, HoldOutcome, HoldState, OutcomeStatus, RejectionReason
from dbcore.text import storable

HOLD_SQL = "SELECT * FROM ballast.ledger_hold(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
END_SQL = (
    "SELECT ended.*, h.currency FROM (SELECT %s::text AS key, %s::text AS mark, %s::bigint AS id) AS asked "
    "LEFT JOIN ballast.holds h ON h.id = asked.id CROSS JOIN LATERAL "
    "ballast.ledger_end_hold(asked.key, asked.mark, asked.id, h.currency, %s, %s, %s, %s, %s) AS ended"
)
"""In the hold's own currency."""

ACCOUNTS_PER_SWEEP = 200


def hold(
    engine: GuardedEngine,
    *,
    key: str,
    owner: UserRef,
    amount: int,
    memo: str,
    actor: str,
    expires_after: timedelta | None = None,
    currency: str | None = None,
) -> HoldOutcome:
    """Hold `amount` minor units of one user.

    expires_after -- None: until it is posted or voided. currency -- one of the bot's; None is the first.
    """
    require_key(key)
    currency = engine.known_currency(currency)
    require_amount(amount)
    require_time(expires_after)
    if amount > MAX_AMOUNT:
        return HoldOutcome(
            status=OutcomeStatus.REJECTED,
            reason=RejectionReason.AMOUNT_TOO_LARGE,
            hold_id=None,
            state=None,
            amount=amount,
            currency=currency,
            available=None,
            expires_at=None,
        )
    telegram_id, username = owner.parameters()
    row = engine.fetch_row(
        HOLD_SQL,
        (
            key,
            hold_fingerprint(owner, amount, currency, memo, expires_after),
            telegram_id,
            username,
            amount,
            currency,
            storable(memo),
            storable(actor),
            expires_after,
        ),
        name="holds.hold",
    )
    hold_id, status, reason, state, available, expires_at = row
    return HoldOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        hold_id=None if reason else hold_id,
        state=None if reason else HoldState(state),
        amount=amount,
        currency=currency,
        available=available,
        expires_at=expires_at,
    )


def post(
    engine: GuardedEngine,
    *,
    key: str,
    hold_id: int,
    actor: str,
    amount: int | None = None,
    to: UserRef | None = None,
) -> HoldEndOutcome:
    """Take what is held. The rest, if there is any, is available again.

    amount -- minor units; None: all of it. to -- who receives it; None: the house.
    """
    if amount is not None:
        require_amount(amount)
    return _end(engine, key, hold_id, post=True, amount=amount, to=to, actor=actor)


def void(engine: GuardedEngine, *, key: str, hold_id: int, actor: str) -> HoldEndOutcome:
    """Give back what is held."""
    return _end(engine, key, hold_id, post=False, amount=None, to=None, actor=actor)


def _end(
    engine: GuardedEngine,
    key: str,
    hold_id: int,
    *,
    post: bool,
    amount: int | None,
    to: UserRef | None,
    actor: str,
) -> HoldEndOutcome:
    require_key(key)
    asked = end_parameters(key, hold_id, post=post, amount=amount, to=to, actor=actor)
    return ended(engine, engine.fetch_row(END_SQL, asked, name="holds.post" if post else "holds.void"))


def end_parameters(
    key: str, hold_id: int, *, post: bool, amount: int | None, to: UserRef | None, actor: str
) -> tuple[object, ...]:
    """Of END_SQL."""
    return (
        key,
        end_fingerprint(hold_id, post=post, amount=amount, to=to),
        hold_id,
        post,
        amount,
        *((None, None) if to is None else to.parameters()),
        storable(actor),
    )


def ended(engine: GuardedEngine, row: tuple[Any, ...]) -> HoldEndOutcome:
    """What END_SQL answered."""
    status, reason, state, transfer_id, posted, owner_id, balance, available, version, *recipient, of_hold = (
        row
    )
    currency = of_hold or engine.currency
    return HoldEndOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        state=None if state is None else HoldState(state),
        transfer_id=transfer_id,
        amount=posted,
        currency=currency,
        available=available,
        balances_now=balances_now(currency, (owner_id, balance, version), (*recipient,)),
    )


def sweep(engine: GuardedEngine) -> int:
    """End what is over, on up to ACCOUNTS_PER_SWEEP accounts. Returns how many holds it were."""
    (ended,) = engine.fetch_row(
        "SELECT ballast.ledger_sweep_holds(%s)", (ACCOUNTS_PER_SWEEP,), name="holds.sweep"
    )
    return int(ended)


def require_amount(amount: int) -> None:
    """Raises ValueError for what cannot be held or posted."""
    if isinstance(amount, bool) or not isinstance(amount, int) or amount <= 0:
        raise ValueError(f"an amount is an integer of minor units above zero, got {amount!r}")


def require_time(expires_after: timedelta | None) -> None:
    """Raises ValueError for a time that is no time from now on."""
    if expires_after is not None and not timedelta(0) < expires_after <= timedelta(days=3650):
        raise ValueError(f"a hold expires after a time of up to ten years, got {expires_after!r}")


def hold_fingerprint(
    owner: UserRef, amount: int, currency: str, memo: str, expires_after: timedelta | None
) -> str:
    """The same for the same request."""
    telegram_id, username = owner.parameters()
    seconds = None if expires_after is None else str(expires_after.total_seconds())
    return fingerprint(
        "hold", telegram_id, username.lower() if username else None, amount, currency, memo, seconds
    )


def end_fingerprint(hold_id: int, *, post: bool, amount: int | None, to: UserRef | None) -> str:
    """The same for the same request."""
    telegram_id, username = (None, None) if to is None else to.parameters()
    return fingerprint("end hold", hold_id, post, amount, telegram_id, username.lower() if username else None)
