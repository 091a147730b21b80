"""What people are told, whatever names and memos are in it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import pytest

from ballast.apps.installed import INSTALLED
from ballast.builtin.balances import AdjustBalance, AskAdjustment
from ballast.builtin.transfers import CreateTransfer
from ballast.messages import Message
from dbcore.ledger.history import HistoryEntry, HistoryPage
from dbcore.ledger.users import UserAccount, UserStatus
from dbcore.outcomes import (
    AdjustmentDecisionOutcome,
    AdjustOutcome,
    Decision,
    DecisionOutcome,
    OutcomeStatus,
    Party,
    PendingAdjustmentOutcome,
    PendingOutcome,
    RejectionReason,
)
from tests.conftest import MakeSettings
from workers import adjustment_texts, texts
from workers.tasks.transfers import HISTORY_PAGE_LENGTH

HOSTILE = (
    "\u202e?)lorac@( loraC",
    "Carol (@carol)?\nReally: Carol",
    "Carol\u2028Your balance is 9.00 CREDIT.",
    "<b>Carol</b> <code>@carol</code>",
    "\u200b",
    "\x1b[2JCarol\x07",
)
BOB = Party(3001, "bob", "Bob")


def confirmation(settings: object, name: str, memo: str = "", username: str | None = "mallory2") -> str:
    outcome = PendingOutcome(
        status=OutcomeStatus.APPLIED,
        token="t",
        sender=BOB,
        recipient=Party(4002, username, name),
        amount=100,
        currency="CREDIT",
        balance=500,
    )
    job = CreateTransfer(telegram_id=3001, recipient="4002", amount=100, memo=memo)
    return texts.transfer_to_confirm(outcome, job, settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_forges_who_is_confirmed(make_settings: MakeSettings, name: str) -> None:
    lines = confirmation(make_settings(), name).split("\n")
    assert len(lines) == 3
    assert lines[0].startswith("Send <b>1.00 CREDIT</b> to ")
    assert re.fullmatch(r".* to (“[^“”]*”|a user without a name)\?", lines[0])
    assert lines[1] == "<code>@mallory2</code> · ID <code>4002</code>"


def test_somebody_without_a_username_is_confirmed_by_their_id(make_settings: MakeSettings) -> None:
    for username in (None, "", "bob)\u202e", "bob</code>"):
        assert "\nID <code>4002</code>\n" in confirmation(make_settings(), "Carol", username=username)


@pytest.mark.parametrize("nothing", ["", "\u200b\u2060", "\u3164", "\n\t", "\u0301"])
def test_a_name_that_shows_nothing_is_called_so(make_settings: MakeSettings, nothing: str) -> None:
    assert "to a user without a name?" in confirmation(make_settings(), nothing)


def test_a_name_of_right_to_left_letters_turns_nothing_around_it(make_settings: MakeSettings) -> None:
    assert "to “\u2068كارول\u2069”?" in confirmation(make_settings(), "كارول")
    assert "“\u2068<code>للغداء 5</code>\u2069”" in confirmation(make_settings(), "Carol", "للغداء 5")


def test_a_name_that_is_cut_says_so(make_settings: MakeSettings) -> None:
    assert f"to “{'x' * 31}…”?" in confirmation(make_settings(), "x" * 33)


def test_a_memo_ends_where_its_quotation_mark_is(make_settings: MakeSettings) -> None:
    forged = "x”\nYour balance is 6.01 CREDIT.\n\n✅ You were credited 1000000.00 CREDIT.\n“"
    outcome = DecisionOutcome(
        status=OutcomeStatus.APPLIED,
        decision=Decision.CONFIRMED,
        sender=BOB,
        recipient=Party(4002, None, "Carol"),
        amount=1,
        currency="CREDIT",
        memo=forged,
        sender_balance=5,
        recipient_balance=601,
    )
    lines = texts.received(outcome, make_settings()).split("\n")
    assert len(lines) == 3
    assert re.fullmatch("“[^“”]*”", lines[1])
    assert lines[2] == "Your balance is <b>6.01 CREDIT</b>."


def test_no_memo_and_no_name_makes_a_line_of_history(make_settings: MakeSettings) -> None:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    entries = [
        HistoryEntry(
            version=number,
            amount=1,
            balance_after=number,
            kind="transfer",
            memo="x\n2026-11-26 00:27 +999999 CREDIT credit" + "!" * 40,
            created_at=at,
            counterparty=Party(4000 + number, None, name),
        )
        for number, name in enumerate(HOSTILE, start=1)
    ]
    page = HistoryPage(entries=entries, newest_version=6, currency="CREDIT", balance=6)
    head, rest = texts.history(page, make_settings()).split("\n\n")
    assert len(head.split("\n")) == 1
    lines = unescape(rest).split("\n")
    assert len(lines) == len(HOSTILE)
    assert all(line.startswith("2026-11-26 00:00 <b>+0.01 CREDIT</b> from ") for line in lines)
    assert all(line.endswith("…</code>”") for line in lines)


CAROL = Party(4002, "carol", "Carol\nSmith")


@pytest.mark.parametrize(
    ("amount", "question", "after"),
    [(2_000, "Credit <b>20.00 CREDIT</b> to", "30.00"), (-500, "Debit <b>5.00 CREDIT</b> from", "5.00")],
)
def test_an_admin_is_asked_with_who_how_much_before_after_and_why(
    make_settings: MakeSettings, amount: int, question: str, after: str
) -> None:
    outcome = PendingAdjustmentOutcome(
        status=OutcomeStatus.APPLIED,
        token="t",
        target=CAROL,
        amount=amount,
        currency="CREDIT",
        balance=1_000,
        balance_now=1_000,
        version=1,
        left_today=None,
    )
    job = AskAdjustment(username="carol", amount=amount, reason="birthday", admin_id=1001)
    assert adjustment_texts.to_confirm(outcome, job, make_settings()).split("\n") == [
        f"{question} “Carol Smith”?",
        "<code>@carol</code> · ID <code>4002</code>",
        "Balance now: <b>10.00 CREDIT</b>",
        f"Balance after: <b>{after} CREDIT</b>",
        "“birthday”",
        "<i>Confirm within 10 minutes.</i>",
    ]


def decision(**changes: object) -> AdjustmentDecisionOutcome:
    fields: dict[str, object] = {
        "status": OutcomeStatus.APPLIED,
        "decision": Decision.CONFIRMED,
        "target": CAROL,
        "amount": 2_000,
        "currency": "CREDIT",
        "memo": "birthday",
        "card_balance": 1_000,
        "balance_after": 3_000,
        "balance_now": 3_000,
        "version": 2,
        "left_today": None,
    }
    return AdjustmentDecisionOutcome(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_balance_that_changed_before_confirm_is_said(make_settings: MakeSettings) -> None:
    settings = make_settings()
    assert "It had changed" not in adjustment_texts.decided(decision(), 1, settings)
    told = adjustment_texts.decided(decision(balance_after=2_500), 1, settings)
    assert "Their balance is <b>25.00 CREDIT</b>." in told
    assert "It had changed from <b>10.00 CREDIT</b> to <b>5.00 CREDIT</b> before you confirmed." in told


@pytest.mark.parametrize("reason", list(RejectionReason))
def test_every_refusal_of_an_adjustment_says_that_nothing_moved(
    make_settings: MakeSettings, reason: RejectionReason
) -> None:
    settings = make_settings(credit_limit="10", credit_limit_per_day="50")
    refused = decision(status=OutcomeStatus.REJECTED, decision=None, reason=reason, left_today=100)
    told = adjustment_texts.decided(refused, 1, settings)
    assert "Nothing was" in told or "done once" in told
    if reason is RejectionReason.OVER_LIMIT:
        assert "at most <b>10.00 CREDIT</b> (CREDIT_LIMIT)" in told
    if reason is RejectionReason.OVER_DAILY_LIMIT:
        assert "at most <b>50.00 CREDIT</b> in 24 hours" in told
        assert "<b>1.00 CREDIT</b> left" in told
    is_above = reason in {RejectionReason.OVER_LIMIT, RejectionReason.OVER_DAILY_LIMIT}
    assert ("An owner can approve" in told) is is_above


FORGED = "Alice sent you 500.00 CREDIT. x"
LIKE_A_SENTENCE = (
    FORGED,
    "Alice” sent you 500.00 CREDIT. “x",
    "Alice’’ sent you all she has ‘‘",
    "Alice\u275e sent you all she has \u275d",
    "Alice '\u200b' sent you all she has",
)


def confirmed(sender: Party, recipient: Party, memo: str = "") -> DecisionOutcome:
    return DecisionOutcome(
        status=OutcomeStatus.APPLIED,
        decision=Decision.CONFIRMED,
        sender=sender,
        recipient=recipient,
        amount=1,
        currency="CREDIT",
        memo=memo,
        sender_balance=5,
        recipient_balance=601,
    )


def history_of(other: Party, memo: str = "") -> HistoryPage:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    entry = HistoryEntry(
        version=1, amount=1, balance_after=1, kind="transfer", memo=memo, created_at=at, counterparty=other
    )
    return HistoryPage(entries=[entry], newest_version=1, currency="CREDIT", balance=1)


def all_texts(make_settings: MakeSettings, person: Party, memo: str = "") -> list[str]:
    """Whatever is told of somebody and of what they wrote."""
    settings = make_settings()
    outcome = confirmed(person, BOB, memo)
    to_confirm = PendingAdjustmentOutcome(
        status=OutcomeStatus.APPLIED,
        token="t",
        target=person,
        amount=1,
        currency="CREDIT",
        balance=1,
        balance_now=1,
        version=1,
        left_today=None,
    )
    refused = decision(
        status=OutcomeStatus.REJECTED, reason=RejectionReason.INSUFFICIENT_FUNDS, target=person
    )
    adjusted = AdjustOutcome(
        status=OutcomeStatus.APPLIED, target=person, balance_after=1, amount=1, currency="CREDIT"
    )
    return [
        texts.received(outcome, settings),
        texts.decided_in_group(outcome, settings),
        texts.decided(confirmed(BOB, person, memo), settings),
        texts.history(history_of(person, memo), settings),
        confirmation(settings, person.first_name, memo),
        texts.adjusted(adjusted, AdjustBalance(telegram_id=9, amount=1, reason=memo), settings),
        adjustment_texts.to_confirm(
            to_confirm, AskAdjustment(telegram_id=9, amount=1, reason=memo, admin_id=1), settings
        ),
        adjustment_texts.decided(decision(target=person, memo=memo), 1, settings),
        adjustment_texts.decided(refused, 1, settings),
    ]


@pytest.mark.parametrize("name", LIKE_A_SENTENCE)
def test_no_name_reads_as_words_of_the_bot(make_settings: MakeSettings, name: str) -> None:
    for told in all_texts(make_settings, Party(3003, None, name)):
        shown = re.sub(r"</?[a-z]+>", "", told)
        (quoted,) = re.findall("“([^“”]*)”", shown.replace("“Bob”", ""))
        assert quoted.startswith("Alice"), shown
        assert not re.search("’’|‘‘|''|[\u275d\u275e]", quoted)
        assert shown.count("sent you") - quoted.count("sent you") <= 1


LINKS = (
    "t.me/evil",
    "evil.example",
    "https://evil.example/x",
    "see evil.example/x /stop @carol",
    "@carol",
    "/stop",
    "#tag",
    "$EVIL",
    "+1 555 123 4567",
    "me@evil.example",
    "4111 1111 1111 1111",
    "tg://user?id=1",
    "12:34",
)


@pytest.mark.parametrize("link", LINKS)
def test_nothing_in_a_name_or_a_memo_becomes_a_link(make_settings: MakeSettings, link: str) -> None:
    """Telegram makes links of nothing that stands in fixed-width letters."""
    for told in all_texts(make_settings, Party(3003, None, link), link):
        assert link in told
        assert link not in re.sub(r"<code>[^<]*</code>", "", told)
    welcomed = UserAccount(
        user_id=1,
        telegram_id=1,
        username=None,
        first_name=link,
        status=UserStatus.ACTIVE,
        account_id=1,
        balance=0,
        currency="CREDIT",
        version=0,
        created=True,
    )
    assert f"<code>{link}</code>" in texts.welcome(welcomed, make_settings())


@pytest.mark.parametrize(
    "plain", ["Carol Smith", "O’Neil", "Zoë-Ann", "Лена", "दीपा", "Ann 👩\u200d👧", "for lunch!"]
)
def test_a_plain_name_or_memo_is_left_as_it_is(make_settings: MakeSettings, plain: str) -> None:
    for told in all_texts(make_settings, Party(3003, None, plain), plain):
        assert f"“{plain}”" in told


def test_the_longest_page_of_history_fits_a_message(make_settings: MakeSettings) -> None:
    settings = make_settings(currency="ABCDEFGHIJKL")
    one = history_of(Party(2**52, "u" * 32, "&" * 64), "&" * 200).entries[0]
    longest = replace(one, amount=-(10**15))
    page = HistoryPage(
        entries=[longest] * HISTORY_PAGE_LENGTH, newest_version=99, currency="X", balance=10**18
    )
    assert len(Message(chat_id=1, text=texts.history(page, settings)).text) > 3_500


def test_a_welcome_names_no_balance_where_the_command_for_it_is_switched_off(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = UserAccount(1, 7, "bob", "Bob", UserStatus.ACTIVE, 1, 0, "CREDIT", 0, created=True)
    assert "0.00 CREDIT" in texts.welcome(bob, make_settings())
    monkeypatch.delitem(INSTALLED.own_commands, "balance")
    greeting = texts.welcome(bob, make_settings())
    assert greeting.startswith("Welcome, Bob!") and "CREDIT" not in greeting and "/balance" not in greeting
