"""The auditor finds what is wrong with a record that was doctored, and nothing wrong with an honest one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.auditor import Verdict, audit
from tests.chaos.fault_injector import schedule
from tests.chaos.faults import KINDS
from tests.chaos.plan import plans
from tests.chaos.truth import Asked, Entry, Pending, Record, Said, Transfer

ADMIN, ALICE, BORIS = 1001, 5001, 5002


def honest() -> Record:
    """Alice is credited 10.00, sends Boris 4.00 (confirmed, pressed twice), cancels another, is refused two."""
    texts = [
        (ADMIN, "/credit @alice 10.00 reason-1"),
        (ALICE, "/send 5002 4.00 memo-1"),
        (ALICE, "/send 5002 1.00 memo-2"),
        (ALICE, "/send 5002 99.00 memo-3"),
        (ALICE, "/send @ghost 1.00 memo-4"),
        (ALICE, "/balance"),
    ]
    presses = [(ADMIN, "ac:zero", 20), (ALICE, "c:one", 21), (ALICE, "c:one", 21), (ALICE, "x:two", 22)]
    asked = [
        Asked(place, place, 100.0 + place, sender, acknowledged=True, text=text)
        for place, (sender, text) in enumerate(texts, start=1)
    ] + [
        Asked(place, place, 100.0 + place, presser, acknowledged=True, data=data, message_id=message)
        for place, (presser, data, message) in enumerate(presses, start=7)
    ]
    card = "Credit 10.00 CREDIT to “Alice”?\n@alice · ID 5001\nBalance now: 0.00 CREDIT\nBalance after: 10.00 CREDIT"
    answers = [
        (ADMIN, f"{card}\n“reason-1”\nConfirm within 10 minutes.", None),
        (
            ADMIN,
            "Credited 10.00 CREDIT to “Alice” (@alice).\n“reason-1”\nTheir balance is 10.00 CREDIT.",
            None,
        ),
        (ALICE, "You were credited 10.00 CREDIT.\n“reason-1”\nYour balance is 10.00 CREDIT.", None),
        (ALICE, "Send 4.00 CREDIT to “Boris”?\n@boris · ID 5002\n“memo-1”\nConfirm within 10 minutes.", None),
        (ALICE, "Send 1.00 CREDIT to “Boris”?\n@boris · ID 5002\n“memo-2”\nConfirm within 10 minutes.", None),
        (ALICE, "You do not have 99.00 CREDIT. Your balance is 10.00 CREDIT.", None),
        (
            ALICE,
            "I do not know @ghost. They need to send me /start once before they can receive money.",
            None,
        ),
        (ALICE, "Your balance is 10.00 CREDIT.", None),
        (ALICE, "Sent 4.00 CREDIT to “Boris” (@boris).\n“memo-1”\nYour balance is 6.00 CREDIT.", 21),
        (BORIS, "“Alice” (@alice) sent you 4.00 CREDIT.\n“memo-1”\nYour balance is 4.00 CREDIT.", None),
        (ALICE, "This transfer was already confirmed. It was made once and will not be made again.", None),
        (ALICE, "Cancelled. No money was sent.", 22),
    ]
    return Record(
        asked=asked,
        said=[Said(120.0, chat, text, edited) for chat, text, edited in answers],
        transfers=[
            Transfer(1, "a", None, ALICE, 1000, "credit", "applied", None, "reason-1", 110.0),
            Transfer(2, "b", ALICE, BORIS, 400, "transfer", "applied", None, "memo-1", 111.0),
        ],
        entries=[
            Entry(1, None, -1000, None, None),
            Entry(1, ALICE, 1000, 1000, 1),
            Entry(2, ALICE, -400, 600, 2),
            Entry(2, BORIS, 400, 400, 1),
        ],
        pendings=[
            Pending("zero", None, ALICE, 1000, "reason-1", "confirmed", None, 1),
            Pending("one", ALICE, BORIS, 400, "memo-1", "confirmed", None, 2),
            Pending("two", ALICE, BORIS, 100, "memo-2", "cancelled", None, None),
            Pending("t", ALICE, BORIS, 9900, "memo-3", "refused", "insufficient_funds", None),
            Pending("u", ALICE, None, 100, "memo-4", "refused", "unknown_user", None),
        ],
        balances={ALICE: 600, BORIS: 400},
        written=texts,
        admins=frozenset({ADMIN}),
        people={"@alice": ALICE, "5001": ALICE, "@boris": BORIS, "5002": BORIS},
    )


def test_an_honest_record_is_found_to_be_right() -> None:
    verdict = audit(honest())
    assert verdict.findings == []
    assert (verdict.commands, verdict.lost, verdict.doubled, verdict.replies_doubled) == (10, 0, 0, 0)


def double_a_transfer(record: Record) -> None:
    """With entries and balances that fit, as a bug that forgot the key would leave them."""
    record.transfers.append(replace(record.transfers[1], id=3, key="c"))
    record.entries += [Entry(3, ALICE, -400, 200, 3), Entry(3, BORIS, 400, 800, 2)]
    record.balances = {ALICE: 200, BORIS: 800}


def lose_a_transfer(record: Record) -> None:
    del record.transfers[1]
    del record.entries[2:]
    record.balances = {ALICE: 1000, BORIS: 0}


def lose_an_answer(record: Record) -> None:
    record.said = [said for said in record.said if "sent you" not in said.text]


def lose_a_common_answer(record: Record) -> None:
    record.said = [said for said in record.said if said.text != "Your balance is 10.00 CREDIT."]


def change_a_balance(record: Record) -> None:
    record.balances[BORIS] += 1


def change_an_entry(record: Record) -> None:
    record.entries[2] = replace(record.entries[2], balance_after=601)


def drop_one_side(record: Record) -> None:
    del record.entries[0]


def move_another_amount(record: Record) -> None:
    record.transfers[0] = replace(record.transfers[0], amount=1001)


def move_without_being_asked(record: Record) -> None:
    record.transfers.append(replace(record.transfers[1], id=3, memo="memo-9"))


def confirm_what_was_cancelled(record: Record) -> None:
    record.pendings[2] = replace(record.pendings[2], status="confirmed")


def refuse_for_the_wrong_reason(record: Record) -> None:
    record.pendings[4] = replace(record.pendings[4], reason="same_account")


def answer_twice_in_fair_weather(record: Record) -> None:
    record.said.append(record.said[0])


def say_something_strange(record: Record) -> None:
    record.said.append(Said(121.0, ALICE, "That did not work, and it is our fault."))


def leave_a_notice_standing(record: Record) -> None:
    record.standing.append(
        Said(
            121.0,
            ALICE,
            "We have a technical problem. Your /start is saved, and I'll answer it here. (Ref. ABCDEFGH)",
        )
    )


def leave_an_update_behind(record: Record) -> None:
    record.asked[0] = replace(record.asked[0], acknowledged=False)


def forget_a_message(record: Record) -> None:
    record.written.append((ALICE, "/balance"))


def write_a_dead_letter(record: Record) -> None:
    record.dead_letters.append("balances.show ABCDEFGH: parked")


@pytest.mark.parametrize(
    ("doctor", "count"),
    [
        (double_a_transfer, "doubled"),
        (lose_a_transfer, "lost"),
        (lose_an_answer, "lost"),
        (lose_a_common_answer, "lost"),
        (change_a_balance, ""),
        (change_an_entry, ""),
        (drop_one_side, ""),
        (move_another_amount, ""),
        (move_without_being_asked, "doubled"),
        (confirm_what_was_cancelled, ""),
        (refuse_for_the_wrong_reason, "lost"),
        (answer_twice_in_fair_weather, "replies_doubled"),
        (say_something_strange, ""),
        (leave_a_notice_standing, ""),
        (leave_an_update_behind, "lost"),
        (forget_a_message, ""),
        (write_a_dead_letter, ""),
    ],
)
def test_a_doctored_record_is_found_out(doctor: Callable[[Record], None], count: str) -> None:
    record = honest()
    doctor(record)
    verdict = audit(record)
    assert verdict.findings
    if count:
        assert getattr(verdict, count) == 1


def test_an_answer_that_comes_twice_in_the_wake_of_a_fault_is_counted_and_allowed() -> None:
    record = honest()
    record.said.append(replace(record.said[0], at=125.0))
    record.storms = [(119.0, 120.0)]
    verdict: Verdict = audit(record)
    assert (verdict.findings, verdict.replies_doubled) == ([], 1)


def test_a_seed_replays_its_plan_and_its_faults_and_another_seed_does_not() -> None:
    assert plans(7, 30) == plans(7, 30) != plans(8, 30)
    assert schedule(7, 30) == schedule(7, 30) != schedule(8, 30)


def test_every_kind_of_fault_comes_up_and_no_two_texts_of_a_run_are_equal() -> None:
    drawn = {fault.kind for seed in range(20) for fault in schedule(seed, 60)}
    assert drawn == set(KINDS)
    texts = [act.text for acts in plans(7, 60).values() for act in acts if act.text.startswith("/credit")]
    assert len(set(texts)) == len(texts)
