from __future__ import annotations

from typing import Any

import pytest

from ballast.builtin.broadcasts import StartBroadcast
from ballast.jobs import JobInvalid
from ballast.queueing.envelope import Envelope


def test_a_broadcast_survives_the_way_through_its_envelope() -> None:
    fields = {
        "copy": {"chat_id": 5, "message_ids": [1, 2]},
        "segment": {"active_days": 3, "telegram_ids": [7]},
        "scheduled_for": "2026-12-01T18:00:00+01:00",
        "quiet_hours": {"begin": "22:00", "end": "08:00", "zone": "Europe/Berlin"},
    }
    job = StartBroadcast.decode(fields)
    assert StartBroadcast.decode(Envelope.of(job, job_id="a", lane="b").fields) == job
    assert job.payload == {"copy": fields["copy"]}
    assert job.segment.parts() == fields["segment"]


def test_a_text_is_as_long_as_people_see_it() -> None:
    links = "".join(f'<a href="https://example.org/{"x" * 60}">{n % 10}</a>' for n in range(300))
    assert len(links) > 4096
    assert StartBroadcast.decode({"text": links + "a" * 3796}).text is not None


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "expected one of text, copy and broadcast_id"),
        ({"text": "a", "broadcast_id": 1}, "expected one of text, copy and broadcast_id"),
        ({"copy": {"chat_id": 1, "message_ids": []}}, "copy.message_ids: "),
        ({"text": "a", "segment": {"active_days": 0}}, "segment.active_days: "),
        ({"text": "a", "segment": {"activ_days": 1}}, "segment.activ_days: Extra inputs are not permitted"),
        ({"text": "a", "segment": {"language": "klingon!"}}, "segment.language: "),
        ({"text": "a", "canary": 0}, "canary: "),
        (
            {"text": "<b>Hi</i>"},
            "expected Telegram's HTML: </i> stands where </b> was expected (line 1, character 6)",
        ),
        ({"text": "<b> </b>"}, "expected 1 to 4,096 characters without tags, got 0"),
        ({"text": "a" * 4097}, "expected 1 to 4,096 characters without tags, got 4,097"),
        (
            {"text": "a", "scheduled_for": "2026-12-01T18:00:00"},
            "scheduled_for: Input should have timezone info",
        ),
        ({"text": "a", "quiet_hours": {"begin": "24:00", "end": "08:00"}}, "quiet_hours.begin: "),
        ({"text": "a", "quiet_hours": {"begin": "08:00", "end": "08:00"}}, "expected an end other than"),
        (
            {"text": "a", "quiet_hours": {"begin": "22:00", "end": "08:00", "zone": "Berlin/Europe"}},
            "expected a time zone such as Europe/Berlin",
        ),
    ],
)
def test_a_broadcast_that_makes_no_sense_is_refused_with_what_was_expected(
    fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(JobInvalid, match=r"^workers\.broadcasts\.start: ") as error:
        StartBroadcast.decode(fields)
    assert complaint in str(error.value)
