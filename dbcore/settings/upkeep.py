"""How often health is looked at, and how long records are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbcore.settings.options import Section


class UpkeepOptions(Section):
    """Health probes, a managed database's quota, and retention."""

    health_probe_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    health_probe_mode: Literal["always", "thrifty"] = "always"
    quota_compute_hours: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    quota_renews_on_day: Annotated[int, Field(ge=1, le=28)] = 1
    quota_sleeps_after_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    effects_keep_days: Annotated[int | None, Field(ge=30, le=36_500)] = None
    deliveries_keep_days: Annotated[int, Field(ge=3, le=36_500)] = 90
    failed_jobs_keep_days: Annotated[int, Field(ge=7, le=36_500)] = 365
    health_probes_keep_days: Annotated[int, Field(ge=1, le=30)] = 30
    provider_events_keep_days: Annotated[int, Field(ge=30, le=36_500)] = 180
