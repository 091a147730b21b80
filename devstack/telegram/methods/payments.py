"""answerPreCheckoutQuery. Invoices are not sent here: a test says what Telegram would of one, by the control API."""

from __future__ import annotations

from devstack.telegram.errors import bad_request
from devstack.telegram.parameters import Parameters
from devstack.telegram.telegram import Telegram


def answer_pre_checkout_query(telegram: Telegram, params: Parameters) -> bool:
    is_agreed, refusal = params.flag("ok"), params.text("error_message")
    if not is_agreed and not refusal:
        raise bad_request("error message must be non-empty")
    answer = {"ok": is_agreed, "error_message": refusal}
    if not telegram.checkouts.answer(params.text("pre_checkout_query_id"), answer):
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    return True
