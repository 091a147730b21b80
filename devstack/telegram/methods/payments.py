"""sendInvoice and answerPreCheckoutQuery. Who pays is a test, by the control API."""

from __future__ import annotations

from typing import Any

from devstack.telegram.errors import bad_request
from devstack.telegram.methods.recipients import writable_chat
from devstack.telegram.methods.sending import add_message
from devstack.telegram.parameters import Parameters
from devstack.telegram.telegram import Telegram

STARS = "XTR"
PAYLOAD_BYTES_MAX = 128


def send_invoice(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    """The payload is kept: the bot is told it again when somebody pays."""
    chat = writable_chat(telegram, params)
    for name in ("title", "description", "payload", "currency"):
        if not params.text(name).strip():
            raise bad_request(f"{name} is empty")
    payload, currency = params.text("payload"), params.text("currency")
    if len(payload.encode()) > PAYLOAD_BYTES_MAX:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    total = sum(_prices(params, currency))
    invoice = {
        "title": params.text("title"),
        "description": params.text("description"),
        "start_parameter": params.text("start_parameter"),
        "currency": currency,
        "total_amount": total,
    }
    pay = {"inline_keyboard": [[{"text": f"Pay {total} {currency}", "pay": True}]]}
    message = add_message(telegram, params, chat, {"invoice": invoice, "reply_markup": pay})
    telegram.checkouts.keep_invoice(message["message_id"], payload)
    return message


def answer_pre_checkout_query(telegram: Telegram, params: Parameters) -> bool:
    is_agreed, refusal = params.flag("ok"), params.text("error_message")
    if not is_agreed and not refusal:
        raise bad_request("error message must be non-empty")
    answer = {"ok": is_agreed, "error_message": refusal}
    if not telegram.checkouts.answer(params.text("pre_checkout_query_id"), answer):
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    return True


def _prices(params: Parameters, currency: str) -> list[int]:
    prices = params.json("prices", "prices")
    if not isinstance(prices, list) or not prices:
        raise bad_request("there must be at least one price")
    amounts = [
        price["amount"]
        for price in prices
        if isinstance(price, dict) and isinstance(price.get("amount"), int)
    ]
    if len(amounts) < len(prices):
        raise bad_request("can't parse labeled price: amount must be an Integer")
    if currency == STARS and len(amounts) != 1:
        raise bad_request("STARS_INVOICE_INVALID")
    if currency != STARS and not params.text("provider_token"):
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    if sum(amounts) <= 0:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
    return amounts
