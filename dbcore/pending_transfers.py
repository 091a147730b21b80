"""Transfers that wait for their sender's word: put before them by `create`, confirmed or cancelled by
`decide`.
"""

from __future__ import annotations

import secrets

from dbcore.engine import GuardedEngine
from dbcore.fingerprints import fingerprint
from dbcore.ledger import party, require_key
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Decision, DecisionOutcome, OutcomeStatus, Party, PendingOutcome, RejectionReason
from dbcore.text import storable
from dbcore.users import Profile, UserRef

_CREATE_SQL = (
    "SELECT * FROM pending_create(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s))"
)
_DECIDE_SQL = "SELECT * FROM pending_decide(%s, %s, %s, %s, %s, %s, make_interval(secs => %s))"
TOKEN_BYTES = 12  # 16 characters: guessing is hopeless, and a button's data holds 64 bytes with more to say


def create(
    engine: GuardedEngine,
    *,
    key: str,
    sender: Profile,
    recipient: UserRef,
    amount: int,
    memo: str,
    expires_after_seconds: float = 600,
) -> PendingOutcome:
    """Check what can be checked and ask the sender to confirm. No money moves.

    The same key answers with the same token, or is refused for the same reason.
    """
    require_key(key)
    if amount <= 0:
        raise ValueError(f"a transfer needs an amount above 0, got {amount}")
    sending = Party(sender.telegram_id, sender.username, sender.first_name)
    if amount > MAX_AMOUNT:
        return PendingOutcome(
            status=OutcomeStatus.REJECTED,
            reason=RejectionReason.AMOUNT_TOO_LARGE,
            token="",
            sender=sending,
            recipient=None,
            amount=amount,
            currency=engine.currency,
            balance=None,
        )
    recipient_id, recipient_username = recipient.parameters()
    mark = fingerprint(
        "pending",
        sender.telegram_id,
        recipient_id,
        recipient_username.lower() if recipient_username else None,
        amount,
        engine.currency,
        memo,
    )
    row = engine.fetch_row(
        _CREATE_SQL,
        (
            key,
            mark,
            secrets.token_urlsafe(TOKEN_BYTES),
            *sender.parameters(),
            recipient_id,
            recipient_username,
            amount,
            engine.currency,
            storable(memo),
            expires_after_seconds,
        ),
        name="pending_transfers.create",
    )
    status, reason, token, *recipient_row, balance = row
    return PendingOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        token=token or "",
        sender=sending,
        recipient=party(*recipient_row),
        amount=amount,
        currency=engine.currency,
        balance=balance,
    )


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
    require_key(key)
    row = engine.fetch_row(
        _DECIDE_SQL,
        (key, storable(token), *presser.parameters(), confirm, waited_seconds),
        name="pending_transfers.decide",
    )
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
    )
