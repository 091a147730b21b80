"""Who says what and when: drawn from the seed before anything starts, so that a seed replays the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from tests.harness.cluster import ADMIN_IDS

USERS = 12
FIRST_USER_ID = 5001
START_CREDIT = "10000.00"
"""Minor units never run short by ordinary transfers, so a refusal of one is a mistake and not an order of events."""

USER_GAP_SECONDS = 1.6
ADMIN_GAP_SECONDS = 1.2
NOBODY_HAS = 1_000_000


class ActKind(StrEnum):
    BALANCE = "balance"
    CREDIT = "credit"
    SEND = "send"
    OVERDRAW = "overdraw"
    """More than anybody has."""
    STRANGER = "stranger"
    """To somebody who does not exist."""
    REDELIVER = "redeliver"
    """Telegram hands an update of this person out once more, acknowledged or not."""


@dataclass(frozen=True)
class Act:
    """One thing that a person does.

    text -- what they write; no two texts of a run are equal, but for /balance, which takes no arguments.
    button -- what they press when the question comes, `Confirm` or `Cancel`.
    deliveries -- how often the app sends the press, each an update of its own.
    again_after_seconds -- they press once more, so long after the first; None for not.
    pick -- which earlier update comes again, as a share of all so far.
    """

    at_seconds: float
    kind: ActKind
    text: str = ""
    button: str = ""
    deliveries: int = 1
    again_after_seconds: float | None = None
    pick: float = 0.0


def user_ids() -> range:
    return range(FIRST_USER_ID, FIRST_USER_ID + USERS)


def plans(seed: int, seconds: float) -> dict[int, tuple[Act, ...]]:
    """What each person does, by Telegram id. One generator a person: the plans do not depend on each other."""
    made = {user: tuple(_user(random.Random(f"{seed}:{user}"), user, seconds)) for user in user_ids()}
    return made | {
        admin: tuple(_admin(random.Random(f"{seed}:{admin}"), admin, seconds)) for admin in ADMIN_IDS
    }


def _moments(draw: random.Random, gap_seconds: float, seconds: float) -> list[float]:
    moments, at = [], draw.expovariate(1 / gap_seconds)
    while at < seconds:
        moments.append(round(at, 3))
        at += draw.expovariate(1 / gap_seconds)
    return moments


def _admin(draw: random.Random, admin: int, seconds: float) -> list[Act]:
    acts = []
    for number, at in enumerate(_moments(draw, ADMIN_GAP_SECONDS, seconds)):
        if number and draw.random() < 0.1:
            acts.append(Act(at, ActKind.REDELIVER, pick=draw.random()))
            continue
        target = draw.choice(user_ids())
        whom = str(target) if draw.random() < 0.5 else f"@{username(target)}"
        amount = f"{draw.randint(1, 99999) / 100:.2f}"
        text = f"/credit {whom} {amount} reason-{admin}-{number}"
        deliveries = 2 if draw.random() < 0.25 else 1
        acts.append(Act(at, ActKind.CREDIT, text, button="Confirm", deliveries=deliveries))
    return acts


def _user(draw: random.Random, user: int, seconds: float) -> list[Act]:
    acts = []
    for number, at in enumerate(_moments(draw, USER_GAP_SECONDS, seconds)):
        kind = draw.choices(
            [ActKind.BALANCE, ActKind.SEND, ActKind.OVERDRAW, ActKind.STRANGER, ActKind.REDELIVER],
            [25, 50, 8, 7, 10 if number else 0],
        )[0]
        match kind:
            case ActKind.BALANCE:
                acts.append(Act(at, kind, "/balance"))
            case ActKind.SEND:
                acts.append(_send(draw, user, number, at))
            case ActKind.OVERDRAW:
                recipient = draw.choice([other for other in user_ids() if other != user])
                amount = f"{NOBODY_HAS * (number + 1)}.00"
                acts.append(Act(at, kind, f"/send {recipient} {amount} memo-{user}-{number}"))
            case ActKind.STRANGER:
                acts.append(Act(at, kind, f"/send @ghost_{user}_{number} 1.00 memo-{user}-{number}"))
            case _:
                acts.append(Act(at, kind, pick=draw.random()))
    return acts


def _send(draw: random.Random, user: int, number: int, at: float) -> Act:
    recipient = draw.choice([other for other in user_ids() if other != user])
    whom = str(recipient) if draw.random() < 0.5 else f"@{username(recipient)}"
    amount = f"{draw.randint(1, 999) / 100:.2f}"
    return Act(
        at,
        ActKind.SEND,
        f"/send {whom} {amount} memo-{user}-{number}",
        button="Confirm" if draw.random() < 0.75 else "Cancel",
        deliveries=2 if draw.random() < 0.25 else 1,
        again_after_seconds=round(draw.uniform(0.5, 5), 3) if draw.random() < 0.25 else None,
    )


def username(user: int) -> str:
    return f"person{user}"
