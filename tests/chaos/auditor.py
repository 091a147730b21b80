"""The independent auditor: compares what the commands must have come to with what they came to.

It knows nothing of job ids, keys or the inbox, and shares no code with Ballast: commands, answers and rows are
joined by their memos alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.expectations import ALARM, NOTICE, SHOWN_ALONE, Expected, Move, expect, name_of
from tests.chaos.truth import Entry, Pending, Record, Transfer


@dataclass
class Verdict:
    """findings -- one sentence each; none is a clean bill.

    lost -- commands without their effect or without their answer. doubled -- effects beyond the first.
    replies_doubled -- answers beyond the first: allowed after a fault alone, for between the answer and its record
    stands a window that cannot be closed.
    notices -- "queued" said, while the database was away.
    notices_left -- "queued" that still stands beside its answer: allowed after a fault alone, for a process that dies
    between saying it and noting its message leaves nobody who could take it back.
    latencies -- (when asked, seconds until the answer), for commands whose answer is beyond doubt.
    """

    findings: list[str] = field(default_factory=list)
    commands: int = 0
    lost: int = 0
    doubled: int = 0
    replies_doubled: int = 0
    notices: int = 0
    notices_left: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)

    def lose(self, finding: str) -> None:
        self.lost += 1
        self.findings.append(finding)

    def double(self, finding: str, count: int) -> None:
        self.doubled += count
        self.findings.append(finding)


def audit(record: Record) -> Verdict:
    verdict = Verdict(commands=len(record.asked))
    expected = expect(record)
    verdict.findings += [f"a command that no plan has: {odd}" for odd in expected.odd]
    verdict.findings += [f"a dead letter: {letter}" for letter in record.dead_letters]
    for asked in record.asked:
        if not asked.acknowledged:
            verdict.lose(f"update {asked.update_id} was never acknowledged: {asked.text or asked.data}")
    _intake(verdict, record)
    _moves(verdict, record, expected)
    _questions(verdict, record, expected)
    _answers(verdict, record, expected)
    _balances(verdict, record, expected)
    _double_entry(verdict, record)
    return verdict


def _intake(verdict: Verdict, record: Record) -> None:
    """What people wrote down is at Telegram, once each."""
    texts = Counter((asked.sender, asked.text) for asked in record.asked)
    for written, times in Counter(record.written).items():
        if texts[written] != times:
            verdict.findings.append(
                f"written {times} times by {written[0]}, {texts[written]} updates: {written[1]}"
            )


def _moves(verdict: Verdict, record: Record, expected: Expected) -> None:
    """Each credit and each confirmed transfer moved its money exactly once, and nothing else moved."""
    applied: defaultdict[str, list[Transfer]] = defaultdict(list)
    for transfer in record.transfers:
        if transfer.status == "applied":
            applied[transfer.memo].append(transfer)
        else:
            verdict.findings.append(f"the ledger refused {transfer.memo}: {transfer.reason}")
    for move in (*expected.credits, *expected.confirmed):
        found = applied.pop(move.memo, [])
        if not found:
            verdict.lose(f"never applied: {move}")
        if len(found) > 1:
            verdict.double(f"applied {len(found)} times: {move}", len(found) - 1)
        for transfer in found:
            if (transfer.sender, transfer.recipient, transfer.amount) != (
                move.sender,
                move.recipient,
                move.amount,
            ):
                verdict.findings.append(f"asked for {move}, applied {transfer}")
    for unasked in applied.values():
        verdict.double(f"nobody asked for, or confirmed, {unasked}", len(unasked))


def _questions(verdict: Verdict, record: Record, expected: Expected) -> None:
    """Each /send and /credit was put before its writer once, or refused for the right reason, and as pressed."""
    pendings: defaultdict[str, list[Pending]] = defaultdict(list)
    for pending in record.pendings:
        pendings[pending.memo].append(pending)
    wanted: Iterable[tuple[str, Sequence[Move]]] = (
        ("confirmed", [*expected.credits, *expected.confirmed]),
        ("cancelled", expected.cancelled),
        ("pending", expected.undecided),
    )
    for status, moves in wanted:
        for move in moves:
            _question(verdict, pendings.pop(move.memo, []), move, status)
    for refusal in expected.refusals:
        found = pendings.pop(refusal.memo, [])
        if [(p.sender, p.status, p.reason) for p in found] != [(refusal.sender, "refused", refusal.reason)]:
            verdict.lose(f"expected {refusal}, found {found}")
    for unasked in pendings.values():
        verdict.double(f"nobody asked for {unasked}", len(unasked))


def _question(verdict: Verdict, found: Sequence[Pending], move: Move, status: str) -> None:
    if not found:
        verdict.lose(f"never put before its sender: {move}")
    if len(found) > 1:
        verdict.double(f"put before its sender {len(found)} times: {move}", len(found) - 1)
    for pending in found:
        said = (pending.sender, pending.recipient, pending.amount, pending.status)
        if said != (move.sender, move.recipient, move.amount, status):
            verdict.findings.append(f"expected {move} {status}, found {pending}")
        if (pending.transfer_id is not None) != (status == "confirmed"):
            verdict.findings.append(f"{status}, and its transfer is {pending.transfer_id}: {pending}")


def _answers(verdict: Verdict, record: Record, expected: Expected) -> None:
    """Every command was answered; twice only in the wake of a fault."""
    came: Counter[tuple[int, str, str]] = Counter()
    for said in record.said:
        name = name_of(said)
        if name[1] == NOTICE:
            verdict.notices += 1
            continue
        if name[1] == ALARM:
            continue
        came[name] += 1
        if name in expected.asked_at and came[name] == 1:
            asked_at = expected.asked_at[name]
            verdict.latencies.append((asked_at, said.at - asked_at))
        if name not in expected.answers:
            verdict.findings.append(f"an answer nobody waits for, in chat {said.chat}: {said.text!r}")
        elif came[name] > expected.answers[name]:
            verdict.replies_doubled += 1
            if not record.in_the_wake_of_a_fault(said.at):
                verdict.findings.append(f"answered twice in fair weather: {name}")
    for left in record.standing:
        if name_of(left)[1] == NOTICE:
            verdict.notices_left += 1
            if not record.in_the_wake_of_a_fault(left.at):
                verdict.findings.append(f"in fair weather {left.text!r} still stands in chat {left.chat}")
    for name, count in (expected.answers - came).items():
        if name[1] in SHOWN_ALONE and record.storms:
            continue  # it can only be shown within seconds, and what it says stands in the chat
        verdict.lose(f"{count} answers are missing: {name}")


def _balances(verdict: Verdict, record: Record, expected: Expected) -> None:
    """What the commands and presses add up to, without a look at the ledger."""
    sums: Counter[int] = Counter()
    for move in (*expected.credits, *expected.confirmed):
        sums[move.recipient] += move.amount
        if move.sender is not None:
            sums[move.sender] -= move.amount
    for owner in sorted(sums.keys() | record.balances.keys()):
        if record.balances.get(owner) != sums[owner]:
            verdict.findings.append(f"{owner} should have {sums[owner]} and has {record.balances.get(owner)}")


def _double_entry(verdict: Verdict, record: Record) -> None:
    """Both sides of each transfer, a gapless history of each account, and the last balance is the balance."""
    sides: defaultdict[int, list[Entry]] = defaultdict(list)
    accounts: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in record.entries:
        sides[entry.transfer_id].append(entry)
        if entry.owner is not None:
            accounts[entry.owner].append(entry)
    for transfer in record.transfers:
        legs = {(entry.owner, entry.amount) for entry in sides.pop(transfer.id, [])}
        right = {(transfer.sender, -transfer.amount), (transfer.recipient, transfer.amount)}
        if legs != (right if transfer.status == "applied" else set()):
            verdict.findings.append(f"entries {legs} do not make {transfer}")
    verdict.findings += [f"entries of no transfer: {stray}" for stray in sides.values()]
    for owner, history in accounts.items():
        running = 0
        history.sort(key=lambda entry: entry.version or 0)
        for version, entry in enumerate(history, start=1):
            running += entry.amount
            if (entry.version, entry.balance_after) != (version, running):
                verdict.findings.append(
                    f"{owner}, entry {version}: expected balance {running}, found {entry}"
                )
        if running < 0 or record.balances.get(owner) != running:
            verdict.findings.append(
                f"{owner}: entries sum to {running}, balance is {record.balances.get(owner)}"
            )
