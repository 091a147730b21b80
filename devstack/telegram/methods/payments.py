"""Invoices, the question before a payment, and Telegram's own book of Stars. Who pays is a test, by the control API."""

from __future__ import annotations

from typing import Any

from devstack.telegram.errors import bad_request
from devstack.telegram.methods.recipients import writable_chat
from devstack.telegram.methods.sending import add_message
from devstack.telegram.parameters import Parameters
from devstack.telegram.state.messages import StoredMessage
from devstack.telegram.telegram import Telegram

STARS = "XTR"
PAYLOAD_BYTES_MAX = 128
TRANSACTIONS_MAX = 100
SUBSCRIPTION_SECONDS = 2_592_000
SUBSCRIPTION_STARS_MAX = 10_000


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


def create_invoice_link(telegram: Telegram, params: Parameters) -> str:
    """The link cannot be opened; that it is paid, or subscribed by, is said by the control API."""
    for name in ("title", "description", "payload", "currency"):
        if not params.text(name).strip():
            raise bad_request(f"{name} is empty")
    payload, currency = params.text("payload"), params.text("currency")
    if len(payload.encode()) > PAYLOAD_BYTES_MAX:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    total, period = sum(_prices(params, currency)), params.integer("subscription_period", 0) or None
    if period is not None and (currency != STARS or period != SUBSCRIPTION_SECONDS):
        raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
    if period is not None and total > SUBSCRIPTION_STARS_MAX:
        raise bad_request("SUBSCRIPTION_PRICE_INVALID")
    link = f"https://t.me/$local{telegram.messages.draw_id()}"
    telegram.subscriptions.keep_link(
        link,
        title=params.text("title"),
        payload=payload,
        currency=currency,
        total_amount=total,
        period=period,
    )
    return link


def tell_of_payment(
    telegram: Telegram,
    user_id: int,
    *,
    currency: str,
    total_amount: int,
    payload: str,
    charge_id: str,
    is_refund: bool,
    is_lost: bool = False,
    recurring: dict[str, Any] | None = None,
) -> tuple[StoredMessage, int | None]:
    """Money has moved: book it, and write the service message that says so. Its update's id too.

    is_lost -- the bot never gets the update, as if it had not come for it within a day.
    recurring -- what else is said of a subscription's payment.
    """
    if currency == STARS:
        telegram.stars.book(
            charge_id=charge_id, user_id=user_id, stars=total_amount, payload=payload, is_refund=is_refund
        )
    paid = {
        "currency": currency,
        "total_amount": total_amount,
        "invoice_payload": payload,
        "telegram_payment_charge_id": charge_id,
        "provider_payment_charge_id": "",
        **(recurring or {}),
    }
    content: dict[str, Any] = {
        "message_id": telegram.messages.draw_id(),
        "from": telegram.bot.api()
        if is_refund
        else telegram.users.require(user_id).api(),  # as Telegram does
        "chat": telegram.chats.api(telegram.chats.require(user_id)),
        "date": telegram.clock.date(),
        "refunded_payment" if is_refund else "successful_payment": paid,
    }
    message = telegram.messages.add(content, from_bot=False)
    return message, None if is_lost else telegram.updates.add("message", content, f"chat:{user_id}")


def refund_star_payment(telegram: Telegram, params: Parameters) -> bool:
    user_id, charge_id = params.integer("user_id"), params.text("telegram_payment_charge_id")
    paid = telegram.stars.paid(charge_id)
    if paid is None or paid["user_id"] != user_id:
        raise bad_request("CHARGE_ID_INVALID")
    if telegram.stars.is_refunded(charge_id):
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    tell_of_payment(
        telegram,
        user_id,
        currency=STARS,
        total_amount=paid["stars"],
        payload=paid["payload"],
        charge_id=charge_id,
        is_refund=True,
    )
    return True


def get_star_transactions(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    """Oldest first. A refund has the id of its payment, and a receiver instead of a source."""
    offset, limit = params.integer("offset", 0), params.integer("limit", 100)
    if offset < 0 or not 1 <= limit <= TRANSACTIONS_MAX:
        raise bad_request("invalid offset or limit")
    return {
        "transactions": [_transaction(telegram, row) for row in telegram.stars.transactions(offset, limit)]
    }


def _transaction(telegram: Telegram, row: dict[str, Any]) -> dict[str, Any]:
    partner = row["partner"] or {
        "type": "user",
        "transaction_type": "invoice_payment",
        "user": telegram.users.require(row["user_id"]).api(),
        "invoice_payload": row["payload"],
    }
    if (period := telegram.subscriptions.period_of(row["charge_id"])) is not None:
        partner["subscription_period"] = period
    return {
        "id": row["charge_id"],
        **_stars(row["stars"], row["nanostars"]),
        "date": row["date"],
        "receiver" if row["is_refund"] else "source": partner,
    }


def get_my_star_balance(telegram: Telegram, params: Parameters) -> dict[str, Any]:
    return _stars(*telegram.stars.balance())


def _stars(stars: int, nanostars: int) -> dict[str, int]:
    """As the Bot API says an amount: billionths are left out where there are none."""
    return {"amount": stars, **({"nanostar_amount": nanostars} if nanostars else {})}


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
