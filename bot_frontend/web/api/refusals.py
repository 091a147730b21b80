"""Problems that several paths answer with."""

from __future__ import annotations

from ballast.texts import gettext, said
from bot_frontend.web.api.problems import Problem
from dbcore.outcomes import RejectionReason
from dbcore.people.reasons import in_words


def unknown_user(telegram_id: int) -> Problem:
    return Problem(404, "not-found", gettext("There is no user {id}.", id=str(telegram_id)))


def key_reused() -> Problem:
    return Problem(
        409, "idempotency-key-reused", gettext("This Idempotency-Key came before, with another request.")
    )


def rejected(reason: RejectionReason) -> Problem:
    return Problem(409, "rejected", said(in_words(reason)), reason=reason.value)


def broadcasts_are_off() -> Problem:
    return Problem(409, "conflict", gettext("An app of BALLAST_APPS switched StartBroadcast off."))
