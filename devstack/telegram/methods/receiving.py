"""getUpdates, setWebhook, deleteWebhook, getWebhookInfo."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from devstack.telegram.errors import bad_request, conflict
from devstack.telegram.parameters import Parameters
from devstack.telegram.polling import LIMIT_MAX, TIMEOUT_SECONDS_MAX, WEBHOOK_SET
from devstack.telegram.telegram import Telegram
from devstack.telegram.webhook import Webhook, WebhookSettings

_SECRET = re.compile(r"[A-Za-z0-9_-]*")
SECRET_LENGTH_MAX = 256


async def get_updates(
    telegram: Telegram, webhook: Webhook, params: Parameters, is_gone: Callable[[], bool]
) -> list[dict[str, Any]]:
    if webhook.settings is not None:
        raise conflict(
            "can't use getUpdates method while webhook is active;"
            " use deleteWebhook to delete the webhook first"
        )
    _remember_allowed(telegram, params)
    return await telegram.poller.poll(
        offset=params.integer("offset"),
        limit=params.integer("limit", LIMIT_MAX, 1, LIMIT_MAX),
        timeout_seconds=params.integer("timeout", 0, 0, TIMEOUT_SECONDS_MAX),
        is_gone=is_gone,
    )


async def set_webhook(telegram: Telegram, webhook: Webhook, params: Parameters) -> tuple[bool, str]:
    """The result and its description; an empty url deletes the webhook."""
    url = params.text("url").strip()
    if not url:
        return await delete_webhook(telegram, webhook, params)
    secret = params.text("secret_token")
    if len(secret) > SECRET_LENGTH_MAX:
        raise bad_request("secret token is too long")
    if not _SECRET.fullmatch(secret):
        raise bad_request("secret token contains unallowed characters")
    # Plain http and any port, as a Bot API server started with --local allows.
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise bad_request("bad webhook: invalid webhook URL specified")
    _remember_allowed(telegram, params)
    if params.flag("drop_pending_updates"):
        telegram.updates.drop_pending()
    settings = WebhookSettings(
        url=url,
        secret_token=secret,
        max_connections=params.integer("max_connections", 40, 1, 100),
        ip_address=params.text("ip_address") or None,
        has_custom_certificate=params.upload("certificate") is not None,
    )
    if settings == webhook.settings:
        return True, "Webhook is already set"
    telegram.poller.terminate(WEBHOOK_SET)
    await webhook.set(settings)
    return True, "Webhook was set"


async def delete_webhook(telegram: Telegram, webhook: Webhook, params: Parameters) -> tuple[bool, str]:
    if params.flag("drop_pending_updates"):
        telegram.updates.drop_pending()
    if webhook.settings is None:
        return True, "Webhook is already deleted"
    await webhook.set(None)
    return True, "Webhook was deleted"


def _remember_allowed(telegram: Telegram, params: Parameters) -> None:
    """Nothing given keeps what was asked for last; an empty list means the default kinds."""
    kinds = params.json("allowed_updates", "allowed updates")
    if kinds is None:
        return
    if not isinstance(kinds, list):
        raise bad_request("can't parse allowed_updates: expected an Array of String")
    telegram.updates.allow([kind for kind in kinds if isinstance(kind, str)])
