"""Plans that people can subscribe to, as STARS_SUBSCRIPTIONS lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dbcore.currencies import STARS_MAX
from dbcore.sentences import Refusal, sentence

PLANS_MAX = 12
TITLE_LENGTH_MAX = 32
"""As Telegram takes an invoice's."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,19}")
_EXAMPLE = "premium:250:Premium; pro:900:Pro for a month"


@dataclass(frozen=True, slots=True)
class SubscriptionPlan:
    """name -- by which code and the shell know it. stars -- for 30 days. title -- what people read."""

    name: str
    stars: int
    title: str


def read_plans(value: str) -> tuple[SubscriptionPlan, ...]:
    """Raises ValueError for what lists no plans. Nothing is none."""
    parts = [part.strip() for part in value.split(";") if part.strip()]
    plans = tuple(map(_read, parts))
    if len(plans) > PLANS_MAX:
        raise Refusal(
            sentence("expected at most {number} plans, got {count}", number=PLANS_MAX, count=len(plans))
        )
    if len({plan.name for plan in plans}) < len(plans):
        raise Refusal(sentence("expected each plan's name once"))
    return plans


def _read(part: str) -> SubscriptionPlan:
    name, stars, title = ([each.strip() for each in part.split(":", 2)] + ["", ""])[:3]
    if NAME.fullmatch(name) is None:
        raise Refusal(
            sentence(
                "expected a name of 1 to 20 of a-z, 0-9 and _, a letter first, as in {example}",
                example=_EXAMPLE,
            )
        )
    if re.fullmatch(r"[1-9][0-9]{0,4}", stars) is None or int(stars) > STARS_MAX:
        raise Refusal(
            sentence(
                "expected 1 to {number} Stars behind the name of a plan, as in {example}",
                number=str(STARS_MAX),
                example=_EXAMPLE,
            )
        )
    if not 1 <= len(title) <= TITLE_LENGTH_MAX or not title.isprintable():
        raise Refusal(
            sentence(
                "expected a title of 1 to {number} characters, as in {example}",
                number=TITLE_LENGTH_MAX,
                example=_EXAMPLE,
            )
        )
    return SubscriptionPlan(name, int(stars), title)
