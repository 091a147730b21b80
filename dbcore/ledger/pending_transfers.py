"""Transfers that wait for their sender's word: put before them by `create`, confirmed or cancelled by
`decide`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from dbcore.fingerprints import fingerprint
from dbcore.ledger.ledger import balances_now, party, require_key
from dbcore.money import MAX_AMOUNT
from dbcore.outcomes import Decision, DecisionOutcome, OutcomeStatus, Party, PendingOutcome, RejectionReason
from dbcore.text import storable

if TYPE_CHECKING:
    from dbcore.guard.engine import GuardedEngine
    from dbcore.ledger.users import Profile, UserRef

_CREATE_SQL = (
    "SELECT done.*, sender.* FROM ballast.pending_create("
    "%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, make_interval(secs => %s)) AS done, "
    # Of what is answered, so that it is asked after it.
    "ballast.ledger_account_now(CASE WHEN done.r_status IS NOT NULL THEN %s::bigint END, %s) AS sender"
)
_DECIDE_SQL = (
    "SELECT done.*, sender.*, recipient.* FROM ballast.pending_decide("
    "%s, %s, %s, %s, %s, %s, make_interval(secs => %s)) AS done, "
    "ballast.ledger_account_now(done.r_sender_id, done.r_currency) AS sender, "
    "ballast.ledger_account_now(done.r_recipient_id, done.r_currency) AS recipient"
)
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
    """Check what can be checked and ask the sender to confirm. No money moves.

    The same key answers with the same token, or is refused for the same reason.

    currency -- one of the bot's; None is the first.
    """
    require_key(key)
    currency = engine.known_currency(currency)
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
            currency=currency,
            balance=None,
        )
    recipient_id, recipient_username = recipient.parameters()
    mark = fingerprint(
        "pending",
        sender.telegram_id,
        recipient_id,
        recipient_username.lower() if recipient_username else None,
        amount,
        currency,
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
            currency,
            storable(memo),
            expires_after_seconds,
            sender.telegram_id,
            currency,
        ),
        name="pending_transfers.create",
    )
    status, reason, token, *recipient_row, balance, balance_now, version_now = row
    return PendingOutcome(
        status=OutcomeStatus(status),
        reason=None if reason is None else RejectionReason(reason),
        token=token or "",
        sender=sending,
        recipient=party(*recipient_row),
        amount=amount,
        currency=currency,
        balance=balance,
        balances_now=balances_now(currency, (sender.telegram_id, balance_now, version_now)),
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
        balances_now=balances_now(row[10] or engine.currency, (row[3], *row[14:16]), (row[6], *row[16:18])),
    )


def cancel_all(engine: GuardedEngine, *, key: str, sender_id: int) -> int:
    """Cancel every transfer of this sender that can still be confirmed. Returns how many this key has cancelled."""
    require_key(key)
    (count,) = engine.fetch_row(
        _CANCEL_ALL_SQL, (sender_id, NEWEST_SEARCHED, key, key), name="pending_transfers.cancel_all"
    )
    return int(count)
