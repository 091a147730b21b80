"""What admins are told by alarms, and of their ends: Telegram's HTML, in the language that is spoken."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ballast.apps.command_names import joined, mention
from ballast.backups.record import Record
from ballast.inbox import Overdue
from ballast.payouts.paying import key_of
from ballast.reconciling.provider_record import Compared
from ballast.reconciling.record import Finished
from ballast.texts import gettext, gettext_noop
from ballast.texts.formats import duration
from dbcore.breaker.rules import BreakerReason
from dbcore.ledger.withdrawals import Stuck, WithdrawalState
from dbcore.redis_condition import RedisTrouble
from dbcore.text import one_line

CAUSE_LENGTH_MAX = 120

PAUSED_QUEUE_SECONDS = 600.0
"""Whoever pauses a queue knows for so long."""

LASTED = "{lasted}"
"""In what is said of an end: for how long it lasted, which is not known yet."""

_WHAT: dict[BreakerReason, str] = {
    BreakerReason.OUTAGE: gettext_noop("The database does not answer"),
    BreakerReason.SATURATION: gettext_noop("The database is overloaded"),
    BreakerReason.AMBIGUOUS: gettext_noop("The database's provider refuses us, and does not say why"),
    BreakerReason.QUOTA: gettext_noop("The database's quota is used up"),
    BreakerReason.STORAGE: gettext_noop("The database cannot be written to"),
    BreakerReason.CONFIGURATION: gettext_noop(
        "The database refuses us: a password, a role or a name is wrong"
    ),
}

_AUTO = "<code>python -m dbcore breaker auto</code>"
_LETTERS_LIST = "<code>ballast jobs list</code>"


def paused(by: str | None, *, moves: bool) -> str:
    """moves -- while the database moves to another server."""
    told = gettext(
        "{who} has paused the bot. Commands wait in Redis, and people are told that it is paused for maintenance.",
        who=escape(by, quote=False) if by else gettext("An operator"),
    )
    if moves:
        more = gettext("The database is being moved to another server; the bot resumes by itself.")
    else:
        more = gettext("{command} ends the pause.", command=_AUTO)
    return f"{told} {more}"


def outage(reason: BreakerReason) -> str:
    return joined(
        gettext(
            "{what} (reason: {reason}). The breaker is open; commands wait in Redis, and people are told so.",
            what=gettext(_WHAT[reason]),
            reason=reason,
        ),
        mention("dbstatus", "{command} shows more."),
    )


def quota() -> str:
    return gettext(
        "The database says that its quota is used up. Nothing is lost: commands wait in Redis and are done once it "
        "answers again. It will not recover before the plan renews: upgrade the plan at your database's provider, "
        "then run {command} to resume at once.",
        command=_AUTO,
    )


def failed_job(causes: Sequence[tuple[str, str, int]] = ()) -> str:
    """causes -- kind, first line of the error, and how many are open."""
    told = gettext(
        "A job failed and needs you. {command} shows all open failed jobs. Others that fail within ten minutes of "
        "each other are not reported one by one.",
        command=_LETTERS_LIST,
    )
    lines = [
        f"{count} × <code>{escape(kind, quote=False)}</code> {escape(one_line(cause, CAUSE_LENGTH_MAX), quote=False)}"
        for kind, cause, count in causes
    ]
    return "\n".join([told, *lines])


def damaged_data() -> str:
    return gettext(
        "PostgreSQL reports damaged data (SQLSTATE {codes}). Jobs that meet it fail and are on record; all others go "
        "on. Back up the database now, before anything else. PostgreSQL's log names the table or index: a damaged "
        "index is rebuilt by {reindex}, a damaged table is restored from a backup. Then run {audit} and retry the "
        "failed jobs ({list}).",
        codes="XX001, XX002",
        reindex="<code>REINDEX</code>",
        audit="<code>python -m dbcore audit</code>",
        list=_LETTERS_LIST,
    )


def stuck(broadcast_id: int) -> str:
    return gettext(
        "Broadcast {id} is stuck: no batch has finished for three minutes. {command} shows its state.",
        id=str(broadcast_id),
        command=f"<code>python -m workers broadcast show {broadcast_id}</code>",
    )


def stuck_withdrawal(found: Stuck) -> str:
    number = str(found.number)
    if found.state is WithdrawalState.APPROVED:
        return gettext(
            "Withdrawal {number} is stuck: it was approved {duration} ago, and no worker pays it. The log of the "
            "workers says why, as {event}. {decline} returns the money.",
            number=number,
            duration=duration(found.seconds),
            event="<code>payout_waits</code>",
            decline=f"<code>ballast withdrawals decline {number}</code>",
        )
    return gettext(
        "Withdrawal {number} is stuck: {name} has not said for {duration} whether it is paid. Its money is held. "
        "Look there for the key {key}, then run {paid} or {unpaid}.",
        number=number,
        name=f"<code>{escape(found.adapter)}</code>",
        duration=duration(found.seconds),
        key=f"<code>{key_of(found.token)}</code>",
        paid=f"<code>ballast withdrawals paid {number}</code>",
        unpaid=f"<code>ballast withdrawals unpaid {number}</code>",
    )


def stuck_withdrawal_over(number: int) -> str:
    return gettext(
        "Withdrawal {number} was stuck for {lasted}. It is being paid, or has ended.",
        number=str(number),
        lasted=LASTED,
    )


def outbox(waits_seconds: float) -> str:
    return gettext(
        "Jobs of committed transactions do not reach the workers: the oldest has waited for {duration} in the table "
        "{table}. Nothing is lost. Look for {event} in the log of the workers on the queue {queue}.",
        duration=duration(waits_seconds),
        table="outbox",
        event="<code>relay_waits</code>",
        queue="health",
    )


def overdue(job: Overdue) -> str:
    return gettext(
        "Commands are not being answered: the oldest has waited for {duration} in the queue {queue}, though the "
        "database is available. Its workers hang, or there are too few. See Workers on the status page.",
        duration=duration(job.seconds),
        queue=f"<code>{job.queue}</code>",
    )


def paused_queue(queue: str) -> str:
    return gettext(
        "The queue {queue} has been paused for {duration}. Its jobs wait, and people are told so. {command} ends the "
        "pause.",
        queue=f"<code>{queue}</code>",
        duration=duration(PAUSED_QUEUE_SECONDS),
        command=f"<code>ballast queues resume {queue}</code>",
    )


def backup(record: Record, now: float) -> str:
    if record.failed is None:
        why = gettext("A backup is overdue.")
    else:
        error = escape(record.failed.error, quote=False)
        why = gettext("The last backup was not made, or failed its proof: {error}.", error=error)
    if record.proven is None:
        last = gettext("There is no proven backup.")
    else:
        ago = duration(max(0.0, now - record.proven.taken_at))
        last = gettext("The last proven backup was taken {duration} ago.", duration=ago)
    more = gettext(
        "Run {command} on the host of the worker for the queue {queue} to see more.",
        command="<code>ballast backup</code>",
        queue="health",
    )
    return f"{why} {last} {more}"


def broken_seal() -> str:
    return gettext(
        "Entries of the ledger were changed after they were sealed. {command} says which, and between which times. "
        "Only somebody who writes to PostgreSQL directly can do that: see {page}.",
        command="<code>ballast audit --full</code>",
        page="docs/security.md",
    )


def seals_over() -> str:
    return gettext("What was sealed of the ledger is whole again.")


def stars(found: Finished) -> str:
    return gettext(
        "Telegram's book of Stars and the ledger do not agree: {kinds}. {command} lists the differences; {page} says "
        "what each means. If one is as it should be, accept it with {accept}.",
        kinds=", ".join(f"{count} {kind}" for kind, count in sorted(found.counted.items())),
        command="<code>ballast reconcile</code>",
        page="docs/payments.md",
        accept="<code>ballast reconcile --accept</code>",
    )


def provider_differs(found: Compared) -> str:
    return gettext(
        "What {name} tells of payments and the ledger do not agree: {kinds}. {command} lists the differences; {page} "
        "says what each means. If one is as it should be, accept it with {accept}.",
        name=f"<code>{found.provider}</code>",
        kinds=", ".join(f"{count} <code>{kind}</code>" for kind, count in sorted(found.counted.items())),
        command=f"<code>ballast reconcile --provider {found.provider}</code>",
        page="<code>docs/payments.md</code>",
        accept="<code>--accept</code>",
    )


def provider_agrees(name: str) -> str:
    return gettext(
        "What {name} tells of payments and the ledger agree again after {lasted}.",
        name=f"<code>{name}</code>",
        lasted=LASTED,
    )


def pause_over() -> str:
    return gettext("The pause is over after {lasted}. Pending commands are being processed.", lasted=LASTED)


def outage_over(reason: BreakerReason) -> str:
    return gettext(
        "The database is back after {lasted} (reason: {reason}). Pending commands are being processed.",
        lasted=LASTED,
        reason=reason,
    )


def quota_over() -> str:
    return gettext(
        "The database has quota again after {lasted}. Pending commands are processed as soon as it answers.",
        lasted=LASTED,
    )


def redis_over(trouble: RedisTrouble) -> str:
    return gettext("Redis is healthy again after {lasted} ({trouble}).", lasted=LASTED, trouble=trouble)


def stuck_over(broadcast_id: int) -> str:
    return gettext(
        "Broadcast {id} was stuck for {lasted}. It is running again, or has ended.",
        id=str(broadcast_id),
        lasted=LASTED,
    )


def outbox_over() -> str:
    return gettext(
        "Jobs in the table {table} reach the workers again after {lasted}.", table="outbox", lasted=LASTED
    )


def overdue_over() -> str:
    return gettext("Commands are being answered again after {lasted}.", lasted=LASTED)


def paused_queue_over(queue: str) -> str:
    return gettext(
        "The queue {queue} was resumed after {lasted}.", queue=f"<code>{queue}</code>", lasted=LASTED
    )


def backup_over() -> str:
    return gettext("There is a proven backup again after {lasted}.", lasted=LASTED)


def stars_over() -> str:
    return gettext("Telegram's book of Stars and the ledger agree again after {lasted}.", lasted=LASTED)


def lasted(text: str, seconds: float) -> str:
    """What is said of an end, with for how long it lasted."""
    return text.replace(LASTED, duration(seconds))
