"""What `python -m workers broadcast start` shows before it sends anything, and the question that it asks."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from ballast.broadcasts.audience import audience_size
from ballast.broadcasts.card import segment_text
from ballast.broadcasts.cost import stars_counted, stars_for
from ballast.builtin.broadcasts import StartBroadcast
from ballast.chat.markup import plain_text
from ballast.jobs import JobInvalid
from ballast.telegram.rate_limiter import FREE_MARGIN, FREE_PER_SECOND, PAID_MARGIN, PAID_PER_SECOND
from ballast.texts import ngettext
from ballast.texts.formats import duration
from dbcore.guard.engine import GuardedEngine
from dbcore.settings import Settings


def confirmed(job: StartBroadcast, engine: GuardedEngine, settings: Settings, *, yes: bool) -> StartBroadcast:
    """The job as it was agreed to. A paid one without a limit is limited to what it costs as things are.

    yes -- agreed to already.
    Raises JobInvalid where it cannot be started, or nobody agreed to it.
    """
    audience = audience_size(engine, job.segment.parts())
    stars = stars_for(audience)
    if job.paid and job.stars_max is None and job.scheduled_for is None:
        job = job.model_copy(update={"stars_max": stars})
    objection = job.objection(datetime.now(UTC))
    if objection is not None:
        raise JobInvalid(objection)
    print("\n".join(_shown(job, audience, stars, settings)))
    if yes:
        return job
    if not sys.stdin.isatty():
        raise JobInvalid(
            "nothing was sent: there is no terminal to ask at. Add --yes to send without a question"
        )
    if _answer(f"Send it to {_people(audience)}? [y/N] ") not in {"y", "yes"}:
        raise JobInvalid("nothing was sent")
    return job


def _people(count: int) -> str:
    return ngettext("{count} person", "{count} people", count)


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except (EOFError, KeyboardInterrupt):
        print()
        return "no"


def _shown(job: StartBroadcast, audience: int, stars: int, settings: Settings) -> list[str]:
    segment = segment_text(job.segment.parts(), settings)
    pieces = 1 if job.original is None else len(job.original.message_ids)
    rate = PAID_MARGIN * PAID_PER_SECOND if job.paid else FREE_MARGIN * FREE_PER_SECOND
    cost = f"at most {stars_counted(stars)}" if job.paid else "free"
    lines = [
        f"To:     {segment}; that is {_people(audience)} now",
        f"When:   {'now' if job.scheduled_for is None else job.scheduled_for.isoformat()}",
    ]
    if job.quiet_hours is not None:
        quiet = job.quiet_hours
        lines.append(f"Quiet:  {quiet.begin}-{quiet.end} {quiet.zone}")
    rule = job.canary_rule
    if rule is not None:
        first = f"{job.canary}" if rule.percent is None else f"{rule.percent:g} %"
        then = (
            "wait for `resume`"
            if rule.failures_max is None
            else f"go on if at most {rule.failures_max:g} % failed"
        )
        lines.append(f"First:  {first}; then {then}")
    lines.append(f"Takes:  about {duration(audience * pieces / rate)}, {cost}")
    if job.original is not None:
        ids = ", ".join(map(str, job.original.message_ids))
        lines += [
            f"Copies: message {ids} of chat {job.original.chat_id}, without its buttons. They get it as it is then:",
            "        nobody should edit or delete it before the broadcast is over",
        ]
    if job.media is not None:
        lines.append(f"Media:  {job.media.type} {job.media.file_id}")
    if job.text is not None:
        lines += _text("Text", job.text)
    if job.other is not None:
        lines += _text("Other", job.other.text)
    for row in job.buttons:
        lines += [f"Button: {each.text} | {each.url or each.data}" for each in row]
    return lines


def _text(name: str, source: str) -> list[str]:
    text = plain_text(source)
    lines = [
        f"{name + ':':8}{ngettext('{count} character', '{count} characters', len(text))}, without tags:",
        "",
        *(f"    {line}" for line in text.splitlines()),
    ]
    if text != source.strip():
        lines += ["", "        with its tags:", "", *(f"    {line}" for line in source.strip().splitlines())]
    return [*lines, ""]
