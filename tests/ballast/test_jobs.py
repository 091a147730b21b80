from __future__ import annotations

from typing import Any

import pytest

from ballast.builtin.balances import AdjustBalance, ShowBalance
from ballast.builtin.broadcasts import StartBroadcast
from ballast.builtin.replies import DeliverReply
from ballast.builtin.transfers import CreateTransfer
from ballast.jobs import JobInvalid, task_name
from ballast.messages import Button, Message
from ballast.queueing.envelope import Envelope, job_id_of_update, queue_of, reference_of
from ballast.queueing.kinds import JOB_TYPES
from ballast.queueing.queues import QUEUES


def test_every_kind_belongs_to_a_queue_that_workers_consume() -> None:
    assert {queue_of(kind) for kind in JOB_TYPES} <= set(QUEUES)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "telegram_id: Field required"),
        ({"telegram_id": "7"}, "telegram_id: Input should be a valid integer, got '7'"),
        ({"telegram_id": 7, "amuont": 5}, "amuont: Extra inputs are not permitted, got 5"),
        ({"telegram_id": -7}, "telegram_id: Input should be greater than 0"),
        ({"telegram_id": 2**52}, "telegram_id: Input should be less than"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected_and_what_came(
    fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(JobInvalid, match=r"^workers\.balances\.show: ") as error:
        ShowBalance.decode(fields)
    assert complaint in str(error.value)


@pytest.mark.parametrize("amount", ["550", "5.50", "1 000", "1,000", "$5", 5.5, 5.0, 1e3, True, None])
@pytest.mark.parametrize(("job_type", "whom"), [(AdjustBalance, {}), (CreateTransfer, {"recipient": "@bob"})])
def test_an_operator_s_amount_is_a_whole_number_of_minor_units_or_refused(
    job_type: type[AdjustBalance | CreateTransfer], whom: dict[str, Any], amount: object
) -> None:
    assert job_type.decode({"telegram_id": 7, "amount": 550, **whom}).amount == 550
    with pytest.raises(JobInvalid, match="amount: "):
        job_type.decode({"telegram_id": 7, "amount": amount, **whom})


def test_what_people_wrote_is_not_in_what_is_said_of_a_wrong_field() -> None:
    texts = {"reason": "marked " * 50, "username": "marked " * 50, "telegram_id": 7, "amount": 5}
    for job_type, fields in (
        (AdjustBalance, texts),
        (AdjustBalance, {"amount": 5, "reason": "marked"}),
        (AdjustBalance, {"telegram_id": 7, "amount": 5, "raeson": "marked"}),
        (AdjustBalance, {"positional_arguments": ["marked"], "amount": 5}),
        (CreateTransfer, {"telegram_id": 7, "amount": 5, "recipient": "marked " * 50}),
        (StartBroadcast, {"text": "marked " * 1000}),
        (StartBroadcast, {"text": {"marked": "marked"}}),
        (StartBroadcast, {"text": "marked", "broadcast_id": 1}),
    ):
        with pytest.raises(JobInvalid) as error:
            job_type.decode(fields)
        assert "marked" not in str(error.value)


def test_an_adjustment_names_exactly_one_user_and_a_real_amount() -> None:
    assert AdjustBalance.decode({"telegram_id": 7, "amount": -5}).amount == -5
    for fields in (
        {"amount": 5},
        {"amount": 5, "telegram_id": 7, "username": "bob"},
        {"amount": 0, "telegram_id": 7},
        {"amount": 5.5, "telegram_id": 7},
        {"amount": True, "telegram_id": 7},
    ):
        with pytest.raises(JobInvalid):
            AdjustBalance.decode(fields)


def test_an_adjustment_that_the_release_before_queued_is_still_one() -> None:
    fields = {"telegram_id": None, "username": "bob", "amount": 5, "reason": "a\nb", "actor": "telegram:1001"}
    job = AdjustBalance.decode(fields)
    assert (task_name(job.kind), job.reason, job.actor) == (
        "workers.balances.adjust",
        "a\nb",
        "telegram:1001",
    )


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1])
def test_a_transfer_of_nothing_or_of_too_much_is_no_job(amount: int) -> None:
    with pytest.raises(JobInvalid, match="amount"):
        CreateTransfer.decode({"telegram_id": 7, "recipient": "@bob", "amount": amount})


def test_a_job_survives_the_way_through_its_envelope() -> None:
    job = DeliverReply(messages=(Message(chat_id=1, text="hi", buttons=((Button(text="a", data="b"),),)),))
    envelope = Envelope.of(job, job_id="1-2-3", lane="user:1", chat_id=1)
    again = Envelope.model_validate_json(envelope.model_dump_json())
    assert again == envelope
    assert DeliverReply.decode(again.fields) == job


def test_an_update_id_that_comes_again_after_a_quiet_week_makes_another_job() -> None:
    assert job_id_of_update(1, 2, 1_700_000_000) == job_id_of_update(1, 2, 1_700_000_000)
    assert job_id_of_update(1, 2, 1_700_000_000) != job_id_of_update(1, 2, 1_700_700_000)


def test_a_reference_is_short_enough_to_be_read_out() -> None:
    assert len(reference_of("1-2-3")) == 8
    assert reference_of("1-2-3") != reference_of("1-2-4")
