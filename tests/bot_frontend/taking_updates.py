"""An app whose functions take updates; run as a program, where they are answered and what people are told."""

from __future__ import annotations

import json
import sys

from telegram import Update
from telegram.ext import filters

from ballast import App, JobContext, Reply

app = App("shop")


def everything(ctx: JobContext, update: Update) -> None: ...


def message(ctx: JobContext, update: Update) -> None: ...


app.update(filters.ALL, unavailable="refuse")(message)
for kind in ("edited_message", "message_reaction", "poll_answer", "chat_join_request", "business_message"):
    everything.__name__ = kind
    app.update(kind, unavailable=Reply("Later.") if kind == "poll_answer" else "queue")(everything)


def main() -> None:
    from ballast.chat.notices import late_notice, waits_for_the_database
    from bot_frontend.handlers import AppHandlers, allowed_updates
    from bot_frontend.updates import read
    from dbcore.settings import load_settings

    handlers = AppHandlers(load_settings(), 1, lambda: "ballast_local_bot")
    found = {}
    for name, raw in json.loads(sys.argv[1]).items():
        envelope = handlers.envelope(raw, read(raw))
        assert envelope is not None
        waits = waits_for_the_database(envelope)
        found[name] = [
            envelope.kind,
            envelope.lane,
            [envelope.chat_id, envelope.asker_id, envelope.command_id, envelope.thread_id],
            late_notice(envelope, load_settings())[0].text if waits else None,
        ]
    print(json.dumps({"found": found, "allowed": allowed_updates()}))


if __name__ == "__main__":
    main()
