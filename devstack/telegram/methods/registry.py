"""Which methods there are. Names are case-insensitive, as with Telegram."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devstack.telegram.methods import (
    chats,
    commands,
    copying,
    editing,
    files,
    payments,
    sending,
    subscriptions,
)
from devstack.telegram.parameters import Parameters
from devstack.telegram.telegram import Telegram


@dataclass(frozen=True, slots=True)
class Method:
    """A method; `limited` ones write to a chat and count against the sending limits."""

    name: str
    call: Callable[[Telegram, Parameters], Any]
    limited: bool = False


_METHODS = (
    Method("getMe", chats.get_me),
    Method("getChat", chats.get_chat),
    Method("sendChatAction", chats.send_chat_action),
    Method("answerCallbackQuery", chats.answer_callback_query),
    Method("getFile", files.get_file),
    Method("answerPreCheckoutQuery", payments.answer_pre_checkout_query),
    Method("createInvoiceLink", payments.create_invoice_link),
    Method("editUserStarSubscription", subscriptions.edit_user_star_subscription),
    Method("refundStarPayment", payments.refund_star_payment),
    Method("getStarTransactions", payments.get_star_transactions),
    Method("getMyStarBalance", payments.get_my_star_balance),
    Method("sendMessage", sending.send_message, limited=True),
    Method("sendPhoto", sending.send_photo, limited=True),
    Method("sendDocument", sending.send_document, limited=True),
    Method("sendInvoice", payments.send_invoice, limited=True),
    Method("copyMessage", copying.copy_message, limited=True),
    Method("copyMessages", copying.copy_messages, limited=True),
    Method("editMessageText", editing.edit_message_text, limited=True),
    Method("editMessageReplyMarkup", editing.edit_message_reply_markup, limited=True),
    Method("deleteMessage", editing.delete_message),
    Method("deleteMessages", editing.delete_messages),
    Method("setMyCommands", commands.set_my_commands),
    Method("getMyCommands", commands.get_my_commands),
    Method("deleteMyCommands", commands.delete_my_commands),
)
METHODS = {method.name.lower(): method for method in _METHODS}

# These wait, or stop the deliverer, so bot_api.py calls them itself.
RECEIVING = {name.lower(): name for name in ("getUpdates", "setWebhook", "deleteWebhook", "getWebhookInfo")}
