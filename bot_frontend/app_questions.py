"""What an answer to a question of an app's handler means: the next question, or the job with all its fields. Pure."""

from __future__ import annotations

from ballast.apps.command_names import leave
from ballast.apps.installed import INSTALLED
from ballast.apps.questions import JobQuestion
from ballast.arguments import ArgumentsRefused, question, read_json
from ballast.asking import answer_as_json, missing_fields
from ballast.builtin.replies import DeliverReply
from ballast.jobs import Job
from ballast.queueing.kinds import JOB_TYPES
from bot_frontend.conversation import Conversation
from bot_frontend.routed import Routed, written
from bot_frontend.updates import TextMessage
from dbcore.settings import Settings


def is_known(asked: JobQuestion) -> bool:
    """Whether this release has the job and its field: another one may have asked."""
    return asked.kind in INSTALLED.jobs and asked.asks in JOB_TYPES[asked.kind].model_fields


def after_answer(asked: JobQuestion, text: str, settings: Settings) -> Job | JobQuestion:
    """Raises ArgumentsRefused, with what was expected, if it does not fit."""
    job_type = JOB_TYPES[asked.kind]
    answer = answer_as_json(
        job_type,
        asked.asks,
        text,
        exponent=settings.currency_exponent,
        currency=settings.currency,
    )
    given = {**asked.given, asked.asks: answer}
    if missing := missing_fields(job_type, given):
        name = missing[0]
        asks = f"{question(job_type, name)}{leave()}"
        return JobQuestion(kind=asked.kind, asks=name, given=given, question=asks)
    return read_json(job_type, given)


def answered(message: TextMessage, asked: JobQuestion, settings: Settings) -> Routed | None:
    """The answer to what a handler asked. A wrong one is corrected and asked again. None if this release has no such
    question: another one asked.
    """
    if not is_known(asked):
        return None
    following, correction = asked, ""
    try:
        outcome = after_answer(asked, written(message), settings)
    except ArgumentsRefused as refused:
        correction = f"{refused} "
    else:
        if isinstance(outcome, Job):
            return Routed(outcome)
        following = outcome
    return Routed(
        DeliverReply(messages=(following.message(message.origin, correction),)),
        Conversation(job=following, asked_by=message.update_id, command_id=message.origin.command_id),
    )
