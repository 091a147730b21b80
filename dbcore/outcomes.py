"""What became of a request about money. A typed answer, so that an outage is never mistaken for a balance of
zero.

APPLIED, REPLAYED and REJECTED come from the ledger. UNAVAILABLE and UNKNOWN are what `dbcore.integration`
makes of the errors in `dbcore.errors`; the functions of the ledger raise those errors instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from dbcore.failures import FailureKind
from dbcore.ledger.balance_cache import BalanceSnapshot


class OutcomeStatus(StrEnum):
    """How a request ended."""

    APPLIED = "applied"
    REPLAYED = (
        "replayed"  # the same key was applied before; nothing moved now, and the answer is that of then
    )
    REJECTED = (
        "rejected"  # refused, and recorded as refused: the same key is refused again for the same reason
    )
    UNAVAILABLE = "unavailable"  # nothing was applied
    UNKNOWN = "unknown"  # it may have been applied; the same key again resolves it


class RejectionReason(StrEnum):
    """Why a request was refused."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    UNKNOWN_USER = "unknown_user"
    AMBIGUOUS_USER = (
        "ambiguous_user"  # no longer given; requests refused before say it when they are replayed
    )
    SAME_ACCOUNT = "same_account"
    KEY_REUSED = "key_reused"  # the key was used before, for a different request
    AMOUNT_TOO_LARGE = "amount_too_large"
    BALANCE_OVERFLOW = "balance_overflow"  # the receiving account would pass the largest balance kept
    EXPIRED = "expired"
    NOT_YOURS = "not_yours"
    ALREADY_CONFIRMED = "already_confirmed"
    ALREADY_CANCELLED = "already_cancelled"
    UNKNOWN_TRANSFER = "unknown_transfer"
    UNKNOWN_HOLD = "unknown_hold"
    ALREADY_POSTED = "already_posted"
    ALREADY_VOIDED = "already_voided"
    MORE_THAN_HELD = "more_than_held"
    UNKNOWN_PAYMENT = "unknown_payment"
    ALREADY_REFUNDED = "already_refunded"
    REFUND_UNDER_WAY = "refund_under_way"
    TOO_LATE = "too_late"
    OVER_LIMIT = "over_limit"  # more than one adjustment may move
    OVER_DAILY_LIMIT = "over_daily_limit"  # more than is left to this admin for 24 hours
    ACCOUNT_FROZEN = "account_frozen"  # an operator froze the account that would send
    RECIPIENT_FROZEN = "recipient_frozen"  # an operator froze the account that would receive
    NOT_REVERSIBLE = "not_reversible"  # refused itself, a reversal, or a payment in Telegram Stars
    ALREADY_REVERSED = "already_reversed"  # all of it
    OVER_WHAT_IS_LEFT = "over_what_is_left"  # more than was not reversed yet
    UNKNOWN_WITHDRAWAL = "unknown_withdrawal"
    HELD_FOR_WITHDRAWAL = "held_for_withdrawal"  # the withdrawal alone ends its hold
    PAYOUTS_STOPPED = "payouts_stopped"  # an operator stopped all of them
    ALREADY_APPROVED = "already_approved"
    NOT_APPROVED = "not_approved"  # so it cannot be paid
    PAYOUT_UNDER_WAY = "payout_under_way"  # the provider was asked to pay, or may have been
    WITHDRAWAL_ENDED = "withdrawal_ended"
    TAKEN_BACK = "taken_back"  # by whoever asked for the withdrawal
    REFUSED_BY_PROVIDER = "refused_by_provider"  # it paid nothing
    UNKNOWN_SUBSCRIPTION = "unknown_subscription"
    SUBSCRIPTION_CHANGE_UNDER_WAY = (
        "subscription_change_under_way"  # Telegram has not answered the one before
    )
    SUBSCRIPTION_ENDED = "subscription_ended"
    RENEWAL_IS_CANCELLED = "renewal_is_cancelled"
    RENEWAL_IS_ALLOWED = "renewal_is_allowed"  # the bot did not cancel it, or allowed it again
    NO_RATE = "no_rate"  # the pair of currencies is not exchanged
    RATE_CHANGED = "rate_changed"  # since the exchange was put before whoever asked for it
    AMOUNT_TOO_SMALL = "amount_too_small"  # less than a minor unit would be got for it
    EXCHANGE_SHORT = "exchange_short"  # the account `exchange` would fall below its floor


class HoldState(StrEnum):
    """What became of a hold. Only an open one can be ended, and once."""

    OPEN = "open"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Decision(StrEnum):
    """What was pressed, by whoever was asked."""

    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Party:
    """Someone as others may see them. The names are as Telegram says them, not escaped for anything."""

    telegram_id: int
    username: str | None
    first_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What every outcome says. `failure` and `retry_after_seconds` are set with UNAVAILABLE and UNKNOWN only.

    balances_now -- of those concerned, as they are now: also on a replay and a refusal, whose own balances are those of
    the first time.
    """

    status: OutcomeStatus
    reason: RejectionReason | None = None
    failure: FailureKind | None = None
    retry_after_seconds: float | None = None
    balances_now: tuple[BalanceSnapshot, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustOutcome(Outcome):
    """An adjustment against the house. `amount` is signed; `balance_after` of a refusal is the balance that
    refused.
    """

    transfer_id: int | None = None
    target: Party | None = None
    amount: int
    currency: str
    balance_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOutcome(Outcome):
    """A transfer between two users. Balances are those right after it; of a refusal, the one that refused it."""

    transfer_id: int | None = None
    sender: Party | None = None
    recipient: Party | None = None
    amount: int
    currency: str
    memo: str
    sender_balance: int | None = None
    recipient_balance: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversalOutcome(Outcome):
    """A transfer back. `payer` received the money before, `payee` sent it; None is the house or another system account.

    reverses_id -- the transfer that it reverses. left -- what of that is still to be reversed; None if it is unknown.
    Balances are those right after it; the payer's of a refusal is the one that refused it.
    """

    transfer_id: int | None = None
    reverses_id: int
    payer: Party | None = None
    payee: Party | None = None
    amount: int
    currency: str
    left: int | None = None
    payer_balance: int | None = None
    payee_balance: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingOutcome(Outcome):
    """A transfer put before its sender. No money has moved; `token` is empty where it was refused."""

    token: str
    sender: Party
    recipient: Party | None
    amount: int
    currency: str
    balance: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOutcome(Outcome):
    """What a press of Confirm or Cancel led to. Nothing of the transfer is told to someone it does not belong
    to.
    """

    decision: Decision | None
    sender: Party | None
    recipient: Party | None
    amount: int | None
    currency: str | None
    memo: str | None
    sender_balance: int | None
    recipient_balance: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAdjustmentOutcome(Outcome):
    """A credit or debit put before the admin who asked for it. No money has moved.

    token -- empty where it was refused. amount -- signed. balance -- the target's, that the admin is shown.
    balance_now, version -- of the target's account as it is. left_today -- what the admin may still move, where that is
    limited and the limit refused it.
    """

    token: str
    target: Party | None
    amount: int
    currency: str
    balance: int | None
    balance_now: int | None
    version: int | None
    left_today: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentDecisionOutcome(Outcome):
    """What an admin's press led to. Nothing of the adjustment is told to someone it does not belong to.

    card_balance -- the target's, that the admin was shown. balance_after -- right after the transfer; of a refusal by
    the ledger, the one that refused it. balance_now, version -- of the target's account as it is, on replays too.
    """

    decision: Decision | None
    target: Party | None
    amount: int | None
    currency: str | None
    memo: str | None
    card_balance: int | None
    balance_after: int | None
    balance_now: int | None
    version: int | None
    left_today: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOutcome(Outcome):
    """An exchange put before whoever asked for it. No money has moved.

    token -- empty where it was refused. given_amount, got_amount -- minor units; got_amount is None without a rate.
    rate -- units got for one given. available -- what they could spend of what is given.
    """

    token: str
    given_amount: int
    given_currency: str
    got_amount: int | None
    got_currency: str
    rate: Decimal | None
    available: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeDecisionOutcome(Outcome):
    """What the press of whoever asked led to. Nothing of it is told to someone it does not belong to.

    given_balance, got_balance -- theirs, right after the exchange.
    """

    decision: Decision | None
    given_amount: int | None
    given_currency: str | None
    given_balance: int | None
    got_amount: int | None
    got_currency: str | None
    got_balance: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOutcome(Outcome):
    """Money that was held, or why it was not.

    hold_id -- for posting or voiding it; None where it was refused. state -- as it is now: a replay may tell of a hold
    that has ended since. available -- right after it was held, or what refused it. expires_at -- None: never.
    """

    hold_id: int | None
    state: HoldState | None
    amount: int
    currency: str
    available: int | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldEndOutcome(Outcome):
    """A hold that was posted or voided, or why it was not: then it is as it was.

    state -- of the hold now. amount -- what was posted; None if nothing was. available -- what its owner has now,
    besides what is still held.
    """

    state: HoldState | None
    transfer_id: int | None
    amount: int | None
    currency: str
    available: int | None
