"""What people read of what an operator did about their account."""

from __future__ import annotations

from ballast.builtin.people import TellUser
from ballast.texts import gettext
from ballast.texts.phrases import money, shown
from dbcore.settings import Settings
from workers.texts import adjusted_for_you, your_balance_is


def told(job: TellUser, settings: Settings) -> str:
    """In the language that is spoken."""
    settings = settings.in_currency(job.currency)
    match job.about:
        case "adjusted":
            return adjusted_for_you(job.amount, job.balance, job.text, settings)
        case "given_back" | "taken_back":
            words = (
                gettext(
                    "You got {amount} back: transfer {number} was reversed.",
                    amount=money(job.amount, settings),
                    number=f"#{job.number}",
                )
                if job.about == "given_back"
                else gettext(
                    "{amount} was taken back from you: transfer {number} was reversed.",
                    amount=money(job.amount, settings),
                    number=f"#{job.number}",
                )
            )
            return f"{words}\n{your_balance_is(job.balance, settings)}"
        case "frozen":
            return gettext("Your account was frozen: you can receive money, but not send any.")
        case "frozen_both_ways":
            return gettext("Your account was frozen: you can neither send nor receive money.")
        case "unfrozen":
            return gettext("Your account is no longer frozen. You can send and receive money again.")
        case "message":
            return gettext("A message from the operators of this bot:") + f"\n{_lines(job.text)}"


def _lines(text: str) -> str:
    return "\n".join(shown(line) for line in text.splitlines())
