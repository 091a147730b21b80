"""Buttons that stand for a job, kept where a press finds them (ballast/apps/buttons.py)."""

from __future__ import annotations

import json
from collections.abc import Sequence

import redis

from ballast.apps.buttons import AppButtons, PressedJob
from ballast.apps.installed import INSTALLED
from ballast.builtin import button_data
from ballast.messages import Button as Shown
from ballast.replies import Button
from dbcore.fingerprints import fingerprint


def keep(
    client: redis.Redis, job_id: str, rows: Sequence[Sequence[Button]], owner_id: int, place: int = 0
) -> list[list[Shown]]:
    """As a message carries them; what they stand for is kept by then. Raises redis.RedisError.

    job_id -- of the job that shows them: the same button has the same token in each attempt. owner_id -- the Telegram
    id of the one person who may press them. place -- of the message among those of the job.
    """
    kept = AppButtons(client)
    shown: list[list[Shown]] = []
    for row_number, row in enumerate(rows):
        shown.append([])
        for number, button in enumerate(row):
            INSTALLED.require_job(button.job.kind)
            written = button.job.model_dump_json()
            token = fingerprint("button", job_id, place, row_number, number, button.job.kind, written)
            kept.keep(token, PressedJob(kind=button.job.kind, fields=json.loads(written), owner_id=owner_id))
            shown[-1].append(Shown(text=button.text, data=button_data.app(token)))
    return shown
