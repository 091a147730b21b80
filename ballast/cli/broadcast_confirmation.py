"""What `ballast broadcast start` shows before it sends anything, and the question that it asks."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from ballast.broadcasts.audience import audience_size
from ballast.broadcasts.card import segment_text
from ballast.broadcasts.cost import stars_counted, stars_for
from ballast.builtin.broadcasts import Original, StartBroadcast
from ballast.builtin.composition import CanaryRule
from ballast.chat.markup import plain_text
from ballast.jobs import JobInvalid
from ballast.telegram.rate_limiter import FREE_MARGIN, FREE_PER_SECOND, PAID_MARGIN, PAID_PER_SECOND
from ballast.texts import gettext, ngettext, pgettext
from ballast.texts.columns import left
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
            gettext(
                "nothing was sent: there is no terminal to ask at. Add {option} to send without a question",
                option="--yes",
            )
        )
    question = ngettext("Send it to {count} person?", "Send it to {count} people?", audience)
    if _answer(f"{question} [y/N] ") not in {"y", "yes"}:
        raise JobInvalid(gettext("nothing was sent"))
    return job


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except (EOFError, KeyboardInterrupt):
        print()
        return "no"


def _row(label: str, words: str) -> str:
    return f"{left(label and f'{label}:', 7)} {words}"


def _shown(job: StartBroadcast, audience: int, stars: int, settings: Settings) -> list[str]:
    pieces = 1 if job.original is None else len(job.original.message_ids)
    rate = PAID_MARGIN * PAID_PER_SECOND if job.paid else FREE_MARGIN * FREE_PER_SECOND
    to = ngettext(
        "{segment}; that is {count} person now",
        "{segment}; that is {count} people now",
        audience,
        segment=segment_text(job.segment.parts(), settings),
    )
    when = pgettext("broadcast", "now") if job.scheduled_for is None else job.scheduled_for.isoformat()
    lines = [
        _row(pgettext("label of a broadcast", "To"), to),
        _row(pgettext("label of a broadcast", "When"), when),
    ]
    if job.quiet_hours is not None:
        quiet = job.quiet_hours
        hours = f"{quiet.begin}-{quiet.end} {quiet.zone}"
        lines.append(_row(pgettext("label of a broadcast", "Quiet"), hours))
    if job.canary_rule is not None:
        lines.append(_row(pgettext("label of a broadcast", "First"), _canary(job.canary, job.canary_rule)))
    time = duration(audience * pieces / rate)
    if job.paid:
        takes = gettext("about {time}, at most {stars}", time=time, stars=stars_counted(stars))
    else:
        takes = gettext("about {time}, free", time=time)
    lines.append(_row(pgettext("label of a broadcast", "Takes"), takes))
    if job.original is not None:
        lines += _copies(job.original)
    if job.media is not None:
        media = f"{job.media.type} {job.media.file_id}"
        lines.append(_row(pgettext("label of a broadcast", "Media"), media))
    if job.text is not None:
        lines += _text(pgettext("label of a broadcast", "Text"), job.text)
    if job.other is not None:
        lines += _text(pgettext("label of a broadcast", "Other"), job.other.text)
    for row in job.buttons:
        label = pgettext("label of a broadcast", "Button")
        lines += [_row(label, f"{each.text} | {each.url or each.data}") for each in row]
    return lines


def _canary(count: int, rule: CanaryRule) -> str:
    first = f"{count}" if rule.percent is None else f"{rule.percent:g} %"
    if rule.failures_max is None:
        return gettext("{first}; then wait for {command}", first=first, command="`resume`")
    percent = f"{rule.failures_max:g}"
    return gettext("{first}; then go on if at most {percent} % failed", first=first, percent=percent)


def _copies(original: Original) -> list[str]:
    copied = gettext(
        "message {ids} of chat {chat}, without its buttons. They get it as it is then:",
        ids=", ".join(map(str, original.message_ids)),
        chat=str(original.chat_id),
    )
    kept = gettext("nobody should edit or delete it before the broadcast is over")
    return [_row(pgettext("label of a broadcast", "Copies"), copied), _row("", kept)]


def _text(label: str, source: str) -> list[str]:
    text = plain_text(source)
    length = ngettext("{count} character, without tags:", "{count} characters, without tags:", len(text))
    lines = [_row(label, length), "", *(f"    {line}" for line in text.splitlines())]
    if text != source.strip():
        with_tags = gettext("with its tags:")
        lines += ["", _row("", with_tags), ""]
        lines += [f"    {line}" for line in source.strip().splitlines()]
    return [*lines, ""]
