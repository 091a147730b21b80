"""In the pseudo-language nothing that is said stays plain, and all of it fits though it is a third longer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ballast.alerts import notifier
from ballast.apps.command_names import not_your_history
from ballast.apps.installed import INSTALLED
from ballast.arguments import ArgumentsRefused, parse, question
from ballast.backups import record as backup_record
from ballast.broadcasts import card
from ballast.broadcasts.cards import View
from ballast.builtin.balances import AdjustBalance, AskAdjustment
from ballast.builtin.broadcasts import CardQuestion
from ballast.builtin.payments import RecordPayment
from ballast.builtin.transfers import CreateTransfer
from ballast.builtin.words import not_permitted
from ballast.chat import notices, origins
from ballast.chat.markup import plain_text
from ballast.chat.origins import Origin
from ballast.inbox import Overdue
from ballast.messages import Button, Message, cannot_ask_there
from ballast.queueing.envelope import Envelope
from ballast.reconciling.record import Finished
from ballast.texts import LANGUAGES, gettext, said, speaking
from ballast.texts.catalogues import use_folder
from bot_frontend import broadcast_form, redis_alarm
from bot_frontend import texts as frontend
from bot_frontend.conversation import DraftQuestion
from dbcore.breaker import FleetView
from dbcore.breaker.connection_budget import FleetConnections
from dbcore.breaker.rules import BreakerReason, BreakerState
from dbcore.broadcasts.broadcasts import AudienceTooLarge, BroadcastStatus, DraftChanged
from dbcore.ledger.history import HistoryPage
from dbcore.ledger.payments import PaymentKind
from dbcore.ledger.users import UserAccount, UserRefError, UserStatus
from dbcore.money import AmountError, parse_amount_and_note
from dbcore.outcomes import (
    AdjustOutcome,
    Decision,
    OutcomeStatus,
    Party,
    PendingAdjustmentOutcome,
    PendingOutcome,
    RejectionReason,
)
from dbcore.redis_condition import RedisTrouble
from dbcore.roles import Role
from dbcore.settings import Settings
from tests.ballast.broadcasts import test_cards as cards
from tests.ballast.test_arguments import Code, Gift, Nothing
from tests.conftest import MakeSettings
from tests.texts import pseudo
from tests.workers import test_texts as told
from workers import adjustment_texts, alert_texts, payment_texts, texts
from workers import status_report as report
from workers.status_report import StatusReport
from workers.tasks.transfers import HISTORY_PAGE_LENGTH

PERSON = Party(4002, "u1", "Ĥ")
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pseudo")
    pseudo.write(folder)
    return folder


@pytest.fixture(autouse=True)
def _spoken(folder: Path) -> Iterator[None]:
    use_folder(folder)
    with speaking(pseudo.LANGUAGE):
        yield
    use_folder(None)


def shown(text: str) -> str:
    return plain_text(text) if "<" in text else text


def assert_translated(*said_to_people: str, beside: frozenset[str] = frozenset()) -> None:
    """beside -- words that are the same in each language."""
    commands = {*INSTALLED.commands, "start"}
    for text in said_to_people:
        assert "⟦" in text, text
        plain = [
            word for word in pseudo.plain_words(shown(text)) if word not in commands | beside | {"CREDIT"}
        ]
        assert not plain, text


def test_what_the_frontend_says(make_settings: MakeSettings) -> None:
    settings = make_settings()
    plain = [
        getattr(frontend, name)()
        for name, value in vars(frontend).items()
        if callable(value)
        and getattr(value, "__module__", "") == frontend.__name__
        and not name.startswith("_")
        and not value.__code__.co_argcount
        and not value.__code__.co_kwonlyargcount
    ]
    assert len(plain) > 20
    assert_translated(
        *plain,
        *(line for _, line in frontend.menu(Role.OWNER)),
        frontend.help_text(Role.OWNER),
        frontend.ask_amount("@u1"),
        frontend.ask_amount("12345"),
        frontend.two_people("@u1"),
        frontend.only_your_own("balance", is_admin=True),
        frontend.only_your_own("balance", is_admin=False),
        frontend.unknown_command("x1"),
        frontend.adjust_usage("credit"),
        *(
            broadcast_form.question(DraftQuestion(broadcast_id=1, asks=asks), settings)
            for asks in CardQuestion
        ),
        cannot_ask_there(),
        origins.answered_in_private(),
        origins.private_chat_closed(),
        origins.perhaps_answered_in_private(),
        beside=frozenset({"News", "Europe", "Berlin", "Lisbon", "UTC", "name", "username"}),
    )


@pytest.mark.parametrize(
    "words",
    [
        "",
        "five",
        "1 000",
        "1 000,50",
        "5 k",
        "5 and 5",
        "5 - 3",
        "$5",
        "5 cents",
        "5 EUR",
        "0",
        "-5",
        "+5",
        "5.555",
        "99999999999999999",
        "1.000.000",
        "5 EUR/2",
        "1 2 tickets",
    ],
)
@pytest.mark.parametrize("exponent", [0, 2, 3])
def test_why_an_amount_is_refused(words: str, exponent: int) -> None:
    try:
        parse_amount_and_note(words, exponent, "EUR" if "EUR/" in words else "CREDIT")
    except AmountError as error:
        assert_translated(said(error), beside=frozenset({"EUR", "USD", "tickets"}))
    assert_translated(said(UserRefError()), beside=frozenset({"username"}))


@pytest.mark.parametrize(
    ("model", "words"), [(Gift, ""), (Gift, "five"), (Nothing, "x"), (Code, ""), (Code, "TOOLONG")]
)
def test_why_arguments_of_an_app_are_refused(model: type[BaseModel], words: str) -> None:
    """What the author says of a field is for the author's catalogues."""
    with pytest.raises(ArgumentsRefused) as refused:
        parse("gift", model, words)
    authors = frozenset({"gift", "AMOUNT", "NOTE", "CODE", "code", "such", "HELLO"})
    assert_translated(str(refused.value), beside=authors)
    assert_translated(*(question(model, name) for name in model.model_fields), beside=authors)


def test_what_people_are_told_of_money(make_settings: MakeSettings) -> None:
    settings = make_settings(credit_limit="10", credit_limit_per_day="50")
    account = UserAccount(1, 8, "u1", "Ĥ", UserStatus.ACTIVE, 1, 0, "CREDIT", 0, created=True)
    job = CreateTransfer(telegram_id=1, recipient="@u1", amount=100)
    done = told.confirmed(PERSON, PERSON)
    assert_translated(
        *told.all_texts(make_settings, PERSON),
        *(
            texts.welcome(replace(account, created=each, first_name=name), settings)
            for each, name in WELCOMED
        ),
        texts.balance(account, settings),
        texts.history(HistoryPage([], 0, "CREDIT", 0), settings),
        texts.cancelled(0),
        texts.cancelled(1),
        texts.cancelled(3),
        texts.failed("7"),
        not_your_history(),
        texts.broadcasts_stopped(),
        texts.broadcasts_wanted(),
        texts.language_chosen(),
        texts.time_zone_chosen(settings),
        texts.decided(replace(done, decision=Decision.CANCELLED), settings),
        texts.adjusted_for_you(5, 5, "", settings),
        texts.adjusted_for_you(-5, 5, "", settings),
        not_permitted(),
        *(refusal for reason in RejectionReason for refusal in refusals(reason, job, settings)),
        beside=frozenset(
            {
                "UTC",
                "LIMIT",
                "PER",
                "DAY",
                *NAMES,
                *reason_words(),
            }
        ),
    )
    for buttons in (texts.transfer_buttons("t", 1), adjustment_texts.buttons("t", 1)):
        assert_translated(*(button.text for row in buttons for button in row))


NAMES = ("Bob", "bob", "birthday", "Carol", "Smith", "carol", "mallory")

WELCOMED = [(True, "Ĥ"), (True, ""), (False, "Ĥ"), (False, "")]


def reason_words() -> set[str]:
    """Of refusals that have no sentence of their own."""
    return {word for reason in RejectionReason for word in reason.value.split("_")}


def refusals(reason: RejectionReason, job: CreateTransfer, settings: Settings) -> list[str]:
    no = OutcomeStatus.REJECTED
    refused = PendingOutcome(
        status=no,
        reason=reason,
        token="",
        sender=PERSON,
        recipient=None,
        amount=100,
        currency="CREDIT",
        balance=50,
    )
    done = told.confirmed(PERSON, PERSON)
    decided = replace(done, status=no, reason=reason, decision=None)
    adjustment = told.decision(status=no, decision=None, reason=reason, left_today=100)
    adjusted = AdjustOutcome(status=no, reason=reason, amount=-1, currency="CREDIT")
    return [
        texts.transfer_refused(refused, job, settings),
        texts.decided(decided, settings),
        texts.decided_in_group(decided, settings),
        texts.adjusted(adjusted, AdjustBalance(telegram_id=9, amount=-1), settings),
        adjustment_texts.decided(adjustment, 1, settings),
    ]


def test_what_people_are_told_while_a_job_waits(make_settings: MakeSettings) -> None:
    settings = make_settings()
    fields = {
        "amount": 100,
        "recipient": "@u1",
        "username": "u1",
        "telegram_id": 8,
        "confirm": True,
        "token": "t",
    }
    for kind, handler in INSTALLED.handlers.items():
        if handler.declared is None or handler.declared.waiting is None:
            continue
        for chat_id in (8, -100):
            envelope = Envelope(
                job_id="1",
                lane="1",
                kind=kind,
                fields=fields,
                chat_id=chat_id,
                asker_id=8,
                language=pseudo.LANGUAGE,
            )
            queued = notices.queued_notice(envelope, settings, paused=True)
            assert queued is not None
            spoken = [*notices.late_notice(envelope, settings)]
            spoken += [Message.model_validate(each) for each in queued.fields["messages"]]
            assert_translated(*(re.sub(r"[A-Z2-7]{8}", "", each.text) for each in spoken))
    assert Origin(-100, 8).privately("x")[1].text == origins.answered_in_private()


@pytest.mark.parametrize("event", [PaymentKind.PAID, PaymentKind.REFUNDED])
@pytest.mark.parametrize("currency", ["XTR", "EUR", "?1"])
def test_what_people_are_told_of_payments(event: PaymentKind, currency: str) -> None:
    job = RecordPayment(
        telegram_id=8, first_name="", event=event.value, charge_id="1", amount=5, currency=currency, said_at=1
    )
    same = frozenset({"XTR", "EUR", "paid", "refunded", "refundStarPayment", "ballast", "jobs", "show"})
    assert_translated(
        payment_texts.receipt(job),
        payment_texts.alarm(job),
        payment_texts.doubtful(job),
        payment_texts.contradiction(job),
        payment_texts.unreadable("7"),
        payment_texts.unreadable_alarm("7", None),
        payment_texts.unreadable_alarm("7", 8),
        beside=same,
    )


@pytest.mark.parametrize("status", list(BroadcastStatus))
@pytest.mark.parametrize("view", list(View))
def test_what_a_card_says_and_its_buttons(
    make_settings: MakeSettings, status: BroadcastStatus, view: View
) -> None:
    settings = make_settings()
    changes: dict[str, Any] = {
        "segment": {"active_days": 3, "balance_min": 5, "telegram_ids": [1], "language": "de"},
        "paid": True,
        "stars_max": 5,
        "scheduled_for": NOW,
        "quiet_hours": {"begin": "22:00", "end": "08:00", "zone": "UTC"},
        "halted_reason": "1",
        "finished_at": NOW,
    }
    shown_card = replace(cards.sending(status=status), **changes)
    said_of_it = [
        card.progress_text(shown_card, 5.0, None, settings),
        card.progress_text(shown_card, 5.0, NOW, settings),
        card.list_text([shown_card]),
        card.list_text([]),
        card.draft_text(shown_card, 5, 1.0, settings),
    ]
    rows = [*card.buttons(shown_card, view), *card.list_buttons([shown_card])]
    labels = [button.text for row in rows for button in row if not button.text.isdecimal()]
    assert_translated(*said_of_it, *labels, beside=frozenset({"UTC", "Hello"}))
    assert all(len(button.text) <= 64 for row in rows for button in row)


def test_why_a_broadcast_is_refused() -> None:
    assert_translated(said(DraftChanged(7)), said(AudienceTooLarge(5_000)))


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        (CardQuestion.ACTIVE, "0"),
        (CardQuestion.ACTIVE, "?"),
        (CardQuestion.BALANCE, "99999999999999999"),
        (CardQuestion.LANGUAGE, "1!"),
        (CardQuestion.IDS, ""),
        (CardQuestion.IDS, "0"),
        (CardQuestion.TIME, "?"),
        (CardQuestion.TIME, "2026-13-01 18:00"),
        (CardQuestion.TIME, "1969-12-31 23:58"),
        (CardQuestion.QUIET, "?"),
        (CardQuestion.QUIET, "22:00-22:00"),
        (CardQuestion.QUIET, "22:00-08:00 Europe"),
        (CardQuestion.STARS, "99999999999"),
    ],
)
def test_why_an_admins_answer_is_refused(make_settings: MakeSettings, asks: CardQuestion, words: str) -> None:
    asked = DraftQuestion(broadcast_id=1, asks=asks)
    with pytest.raises(broadcast_form.AnswerError) as refused:
        broadcast_form.answered(asked, words, 1001, make_settings(), now=NOW)
    assert_translated(said(refused.value), beside=frozenset({"UTC"}))


@pytest.mark.parametrize("state", list(BreakerState))
@pytest.mark.parametrize("ok", [True, False])
def test_what_dbstatus_says(make_settings: MakeSettings, state: BreakerState, ok: bool) -> None:
    probe = {"ok": ok, "probed_at": 50.0, "latency_ms": 1.5, "server_version": "16", "connections": 1}
    probe |= {"max_connections": 100, "database_bytes": 5_000_000}
    found = StatusReport(
        now=100.0,
        breaker=FleetView(state, BreakerReason.OUTAGE, 5.0, None, 40.0, ()),
        probe=probe,
        answered_at=None,
        probes=[{"probed_at": 50.0, "ok": ok, "latency_ms": 1.5}],
        waiting=2,
        oldest_seconds=2.0,
        processes=3,
        connections=FleetConnections(open=0, possible=8),
        budget=5,
        broadcasts=1,
        stuck=[7],
    )
    for each in (found, replace(found, breaker=None, probe=None, budget=None, oldest_seconds=None, stuck=[])):
        text = report.text(each, make_settings())
        assert len(text) <= 1024, "it stands under a picture"
        assert_translated(
            *text.split("\n"),
            beside=frozenset({"outage", "UTC", "PostgreSQL", "python", "dbcore", "breaker"}),
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_longest_page_of_history_fits_a_message_in_each_language(
    make_settings: MakeSettings, language: str
) -> None:
    settings = make_settings(currency="ABCDEFGHIJKL")
    one = told.history_of(Party(2**52, "u" * 32, "&" * 64), "&" * 200).entries[0]
    page = HistoryPage([replace(one, amount=-(10**15))] * HISTORY_PAGE_LENGTH, 99, "X", 10**18)
    with speaking(language):
        assert Message(chat_id=1, text=texts.history(page, settings))
        assert all(isinstance(button, Button) for row in texts.history_buttons(page, 1, 8) for button in row)


def test_an_admin_is_asked_in_their_language(make_settings: MakeSettings) -> None:
    job = AskAdjustment(username="u1", amount=5, reason="", admin_id=1001)
    assert "⟦" in adjustment_texts.refused(replace_reason(RejectionReason.UNKNOWN_USER), job, make_settings())


def replace_reason(reason: RejectionReason) -> Any:
    return PendingAdjustmentOutcome(
        status=OutcomeStatus.REJECTED,
        token="",
        target=None,
        amount=5,
        currency="CREDIT",
        balance=None,
        balance_now=None,
        version=None,
        left_today=None,
        reason=reason,
    )


@pytest.mark.parametrize("reason", list(BreakerReason))
def test_what_an_alarm_of_the_breaker_says(reason: BreakerReason) -> None:
    same = frozenset({reason.value, "python", "dbcore", "breaker", "auto"})
    assert_translated(
        alert_texts.outage(reason),
        alert_texts.paused("\u0124", moves=True),
        alert_texts.paused(None, moves=False),
        beside=same,
    )


def test_what_other_alarms_say() -> None:
    proven = backup_record.Proven("", "", 1.0, 1, sealed=True, inbox=None)
    records = [
        backup_record.Record(proven=before, failed=failed)
        for before in (None, proven)
        for failed in (None, backup_record.Failed(1.0, ""))
    ]
    stars = Finished(0.0, 0.0, 0, 0, 0, 0, {"unbooked": 1}, 0, ())
    same = pseudo.plain_words(
        "python -m workers, ballast jobs list, broadcast show, dbcore audit, breaker auto, backup, reconcile "
        "--accept, SQLSTATE, REINDEX, alarm, relay_waits, outbox, health, main, {lasted}, disk, docs/payments, outage, "
        "unbooked"
    )
    assert_translated(
        alert_texts.quota(),
        alert_texts.failed_job(),
        alert_texts.damaged_data(),
        *(alert_texts.backup(record, 9.0) for record in records),
        alert_texts.stuck(7),
        alert_texts.stuck_over(7),
        alert_texts.outbox(60.0),
        alert_texts.stars(stars),
        alert_texts.overdue(Overdue(60.0, "main")),
        alert_texts.redis_over(RedisTrouble.DISK),
        *(gettext(trouble.words) for trouble in RedisTrouble),
        *(
            getattr(alert_texts, f"{name}_over")()
            for name in ("pause", "quota", "outbox", "overdue", "backup", "stars")
        ),
        alert_texts.outage_over(BreakerReason.OUTAGE),
        *(notifier.headed("", over=over) for over in (True, False)),
        gettext(redis_alarm.NO_ANSWER),
        beside=frozenset(same),
    )
