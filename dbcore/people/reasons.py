"""Why the ledger refused something, in words for operators and users."""

from __future__ import annotations

from dbcore.outcomes import RejectionReason
from dbcore.sentences import Sentence, sentence

_WORDS = {
    RejectionReason.INSUFFICIENT_FUNDS: sentence("There was not enough money."),
    RejectionReason.UNKNOWN_USER: sentence("The other user does not use this bot yet."),
    RejectionReason.AMBIGUOUS_USER: sentence("More than one user had this name."),
    RejectionReason.SAME_ACCOUNT: sentence("Sender and recipient were the same."),
    RejectionReason.KEY_REUSED: sentence("The key had been used for something else."),
    RejectionReason.AMOUNT_TOO_LARGE: sentence("The amount was too large."),
    RejectionReason.BALANCE_OVERFLOW: sentence(
        "The balance would have been larger than the ledger can hold."
    ),
    RejectionReason.EXPIRED: sentence("It was not confirmed in time."),
    RejectionReason.OVER_LIMIT: sentence("It was more than one credit or debit may move."),
    RejectionReason.OVER_DAILY_LIMIT: sentence("It was more than the admin may move in 24 hours."),
    RejectionReason.ACCOUNT_FROZEN: sentence("The account that would send was frozen."),
    RejectionReason.RECIPIENT_FROZEN: sentence("The account that would receive was frozen."),
    RejectionReason.NOT_REVERSIBLE: sentence("A transfer of this kind cannot be reversed."),
    RejectionReason.ALREADY_REVERSED: sentence("All of it had been reversed."),
    RejectionReason.OVER_WHAT_IS_LEFT: sentence("It was more than is left to reverse."),
    RejectionReason.UNKNOWN_TRANSFER: sentence("There is no such transfer."),
    RejectionReason.NOT_YOURS: sentence("The request was somebody else's."),
    RejectionReason.ALREADY_CONFIRMED: sentence("It had already been confirmed."),
    RejectionReason.ALREADY_CANCELLED: sentence("It had already been cancelled."),
    RejectionReason.UNKNOWN_HOLD: sentence("There is no such reservation."),
    RejectionReason.ALREADY_POSTED: sentence("What was reserved had already been paid out."),
    RejectionReason.ALREADY_VOIDED: sentence("What was reserved had already been released."),
    RejectionReason.MORE_THAN_HELD: sentence("It was more than was reserved."),
    RejectionReason.UNKNOWN_PAYMENT: sentence("There is no such payment."),
    RejectionReason.ALREADY_REFUNDED: sentence("The payment had already been refunded."),
    RejectionReason.REFUND_UNDER_WAY: sentence("The payment was already being refunded."),
    RejectionReason.TOO_LATE: sentence("The payment was too old to be refunded."),
    RejectionReason.UNKNOWN_WITHDRAWAL: sentence("There is no such withdrawal."),
    RejectionReason.HELD_FOR_WITHDRAWAL: sentence("It is reserved for a withdrawal."),
    RejectionReason.PAYOUTS_STOPPED: sentence("Payouts are stopped at the moment."),
    RejectionReason.ALREADY_APPROVED: sentence("The withdrawal had already been approved."),
    RejectionReason.NOT_APPROVED: sentence("The withdrawal is not approved."),
    RejectionReason.PAYOUT_UNDER_WAY: sentence("The withdrawal is being paid."),
    RejectionReason.TAKEN_BACK: sentence("It was taken back."),
    RejectionReason.REFUSED_BY_PROVIDER: sentence("The provider refused it."),
    RejectionReason.WITHDRAWAL_ENDED: sentence("The withdrawal had already ended."),
    RejectionReason.UNKNOWN_SUBSCRIPTION: sentence("There is no such subscription."),
    RejectionReason.SUBSCRIPTION_CHANGE_UNDER_WAY: sentence("Telegram has not answered the last change yet."),
    RejectionReason.SUBSCRIPTION_ENDED: sentence("The subscription has ended."),
    RejectionReason.RENEWAL_IS_CANCELLED: sentence("The renewal is already cancelled."),
    RejectionReason.RENEWAL_IS_ALLOWED: sentence("The renewal is not blocked by this bot."),
    RejectionReason.NO_RATE: sentence("There is no rate for these currencies."),
    RejectionReason.RATE_CHANGED: sentence("The rate had changed."),
    RejectionReason.AMOUNT_TOO_SMALL: sentence("The amount was too small."),
    RejectionReason.EXCHANGE_SHORT: sentence("The account exchange does not have enough."),
}


def in_words(reason: str) -> Sentence | str:
    """reason -- a RejectionReason's value; any other text, such as an app's own, is returned as it is."""
    try:
        return _WORDS[RejectionReason(reason)]
    except ValueError:
        return reason
