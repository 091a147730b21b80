"""A job's sender in dbcore's terms."""

from __future__ import annotations

from ballast.builtin.jobs import UserJob
from dbcore.ledger.users import Profile


def profile_of(job: UserJob) -> Profile:
    return Profile(
        telegram_id=job.telegram_id,
        username=job.username,
        first_name=job.first_name,
        language_code=job.language_code,
    )
