"""An app that renames, replaces and switches off built-in commands; run as a program, what the bot says then."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from ballast import App, JobContext, Reply
from ballast.builtin import button_data
from ballast.builtin.broadcasts import StartBroadcast
from ballast.builtin.transfers import ShowHistory
from ballast.builtin.users import SetUserStatus

app = App("shop")
app.rename("send", "pay")
app.rename("credit", "topup")
app.rename("cancel", "stopthat")
app.switch_off(
    *("help", "history", "broadcast", "debit", "resume"),
    buttons=["history"],
    jobs=[ShowHistory, SetUserStatus, StartBroadcast],
)


@app.command("balance", help="How rich you are", database="none", replace=True)
def balance(ctx: JobContext) -> Reply:
    return Reply("Rich.")


def main() -> None:
    from ballast.builtin.replies import DeliverReply
    from ballast.builtin.transfers import CancelTransfers
    from ballast.chat.notices import late_notice
    from ballast.chat.origins import Origin
    from ballast.queueing.envelope import Envelope
    from bot_frontend.conversation import Conversation
    from bot_frontend.router import is_ours, route
    from bot_frontend.texts import ADMIN_COMMANDS, menu
    from bot_frontend.updates import ButtonPress, MembershipChange, Sender, TextMessage
    from dbcore.ledger.history import HistoryEntry, HistoryPage
    from dbcore.ledger.users import UserAccount, UserStatus
    from dbcore.roles import Role
    from dbcore.settings import load_settings
    from workers import texts

    settings = load_settings()

    def said(
        words: str, conversation: Conversation | None = None, sender: int = 8
    ) -> tuple[str, Conversation | None]:
        """Or the kind of the job that the words make; and whether no handler of python-telegram-bot may have them."""
        reading = TextMessage(5, 1, sender, True, Sender(sender, "bob", "Bob"), words)
        intention = route(reading, conversation, settings)
        assert intention is not None
        job = intention.job
        text = job.messages[0].text if isinstance(job, DeliverReply) else job.kind
        return f"{text}{' (ours)' if is_ours(reading, settings) else ''}", intention.conversation

    bob = Sender(8, "bob", "Bob")
    press = ButtonPress(6, 1, 8, 9, bob, "callback", button_data.history(8, 1))
    pressed = route(press, None, settings)
    assert pressed is not None
    assert isinstance(pressed.job, DeliverReply)
    entry = HistoryEntry(5, 1, 5, "credit", "", None, datetime.now(UTC))
    page = HistoryPage([entry], newest_version=9, currency=settings.currency, balance=9)
    everybody = json.loads(sys.argv[1])
    found = {words: said(words)[0] for words in everybody}
    found |= {f"admin: {words}": said(words, sender=1001)[0] for words in json.loads(sys.argv[2])}
    asked, conversation = said("/pay @carol")
    found |= {"asked": asked, "5": said("5", conversation)[0], "left": said("/stopthat", conversation)[0]}
    waiting = Envelope.of(CancelTransfers(telegram_id=8), job_id="1", lane="user:8", origin=Origin(8, 8))
    account = UserAccount(1, 8, "bob", "Bob", UserStatus.ACTIVE, 1, 0, settings.currency, 0, created=True)
    found |= {
        "saved": late_notice(waiting, settings)[0].text,
        "welcome": texts.welcome(account, settings),
        "failed": texts.failed("ABC"),
        "stopped": texts.broadcasts_stopped(),
        "pressed": f"{pressed.job.messages[0].text}{' (ours)' if is_ours(press, settings) else ''}",
        "blocked": str(route(MembershipChange(7, 1, bob, is_blocked=True), None, settings)),
        "buttons": str(texts.history_buttons(page, 8, 1)),
    }
    print(
        json.dumps(
            {
                "said": found,
                "menu": dict(menu(payments=False, withdrawals=False, exchange=False)),
                "admins": {
                    name: line
                    for name, line in menu(Role.OWNER, withdrawals=False, exchange=False)
                    if name in ADMIN_COMMANDS
                },
            }
        )
    )


if __name__ == "__main__":
    main()
