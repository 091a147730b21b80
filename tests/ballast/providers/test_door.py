"""What may come to /pay/<name>: only what the provider signed, byte for byte, is a job, and an amount that no ledger
holds is none.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from ballast.builtin.providers import RecordProviderPayment
from ballast.providers import door
from ballast.providers.provider import Unreadable
from ballast.webhooks import Received, WebhookRequest
from dbcore.guard.refusal import Refuse
from devstack import providers as local
from tests.ballast.providers.test_adapters import (
    RECORDED_INVOICE,
    RECORDED_REFUND,
    crypto_pay,
    of_crypto_pay,
    of_stripe,
    stripe,
)


def received(body: bytes, headers: dict[str, str], *, by: Any = None) -> Received | None:
    answer = door.receiving(by or stripe())(WebhookRequest(body, headers))
    assert answer is None or isinstance(answer, Received)
    return answer


def changed(event: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    made = copy.deepcopy(event)
    at: Any = made
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = to
    return made


def test_what_was_signed_is_a_job_and_the_same_again_is_the_same_one() -> None:
    body, headers = of_stripe(RECORDED_REFUND)
    first, again = received(body, headers), received(*of_stripe({**RECORDED_REFUND, "pending_webhooks": 0}))
    assert first is not None
    assert first == again
    assert isinstance(first.job, RecordProviderPayment)
    assert (first.job.paid, first.job.refunded) == (1250, 500)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda body: body[:-1],
        lambda body: body + b" ",
        lambda body: body[: len(body) // 2],
        lambda body: b"",
        gzip.compress,
        lambda body: body.replace(b"12", b"92"),
        lambda body: b"\xef\xbb\xbf" + body,
    ],
    ids=["cut", "longer", "half", "empty", "gzip", "changed", "marked"],
)
def test_any_other_bytes_are_not_genuine(tamper: Any) -> None:
    for by, (body, headers) in (
        (stripe(), of_stripe(RECORDED_REFUND)),
        (crypto_pay(), of_crypto_pay(RECORDED_INVOICE)),
    ):
        with pytest.raises(Refuse, match="not genuine"):
            received(tamper(body), headers, by=by)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda time_, signed: "",
        lambda time_, signed: signed,
        lambda time_, signed: f"v1={signed}",
        lambda time_, signed: f"t=,v1={signed}",
        lambda time_, signed: f"t={time_},v0={signed}",
        lambda time_, signed: f"t={time_},v1=",
        lambda time_, signed: f"t={time_},v1={signed[:-1]}",
        lambda time_, signed: f"t={int(time_) + 1},t={time_},v1={signed}",
        lambda time_, signed: f"t=-{time_},v1={signed}",
        lambda time_, signed: f"t={time_}.0,v1={signed}",
        lambda time_, signed: f"t={'9' * 5_000},v1={signed}",
        lambda time_, signed: f"t=\u0661\u0662,v1={signed}",
        lambda time_, signed: f"t={time_},v1=\xff{signed}",
    ],
)
def test_a_header_that_is_bent_is_not_genuine(rewrite: Any) -> None:
    body, headers = of_stripe(RECORDED_REFUND)
    stamp, signed = (part.partition("=")[2] for part in headers["stripe-signature"].split(","))
    assert received(body, {"stripe-signature": f"v1=0,t={stamp}, v1={signed}"}) is not None
    with pytest.raises(Refuse, match="not genuine"):
        received(body, {"stripe-signature": rewrite(stamp, signed)})
    with pytest.raises(Refuse, match="not genuine"):
        received(body, {}, by=crypto_pay())


@pytest.mark.parametrize("skew_seconds", [-301, 301])
def test_a_signature_of_another_time_is_not_genuine_whichever_clock_is_wrong(skew_seconds: int) -> None:
    body, headers = of_stripe(RECORDED_REFUND)
    provider = stripe()
    provider._clock = lambda: time.time() + skew_seconds
    with pytest.raises(Refuse, match="not genuine"):
        received(body, headers, by=provider)


@pytest.mark.parametrize(
    ("path", "lie"),
    [
        (("data", "object", "amount_captured"), -1250),
        (("data", "object", "amount_captured"), 0),
        (("data", "object", "amount_captured"), 2**63),
        (("data", "object", "amount_captured"), float("inf")),
        (("data", "object", "amount_captured"), None),
        (("data", "object", "amount_refunded"), -1),
        (("data", "object", "currency"), ""),
        (("data", "object", "metadata"), ["ballast_order"]),
        (("data", "object", "created"), -1),
        (("data", "object"), "ch_1"),
        (("id",), ""),
        (("id",), "\ud800"),
        (("data", "object", "payment_intent"), "p" * 201),
    ],
)
def test_signed_and_yet_no_payment_it_is_no_job_and_the_provider_repeats_it(
    path: tuple[str, ...], lie: Any
) -> None:
    with pytest.raises(Unreadable):
        received(*of_stripe(changed(RECORDED_REFUND, *path, to=lie)))


@pytest.mark.parametrize("amount", ["-1", "0", "1e30", "1e999999", "NaN", "Infinity", "12.5000001", [], None])
def test_an_amount_of_crypto_pay_that_is_none_is_no_job(amount: Any) -> None:
    with pytest.raises(Unreadable):
        received(*of_crypto_pay(changed(RECORDED_INVOICE, "payload", "amount", to=amount)), by=crypto_pay())


def test_brackets_without_end_are_no_job() -> None:
    body = b"[" * 100_000
    for by in (stripe(), crypto_pay()):
        with pytest.raises(Unreadable):
            received(body, signed(body, by), by=by)


def signed(body: bytes, by: Any) -> dict[str, str]:
    if by.name == "stripe":
        now = int(time.time())
        text = hmac.new(local.STRIPE_SECRET.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
        return {"stripe-signature": f"t={now},v1={text}"}
    key = hashlib.sha256(local.CRYPTO_PAY_TOKEN.encode()).digest()
    return {"crypto-pay-api-signature": hmac.new(key, body, hashlib.sha256).hexdigest()}


def test_the_same_event_with_other_words_is_another_job_of_the_same_event() -> None:
    first = received(*of_stripe(RECORDED_REFUND))
    other = received(*of_stripe(changed(RECORDED_REFUND, "data", "object", "amount_refunded", to=600)))
    assert first is not None and other is not None
    assert first.key != other.key
    assert isinstance(first.job, RecordProviderPayment) and isinstance(other.job, RecordProviderPayment)
    assert first.job.event_id == other.job.event_id
    assert json.dumps(first.job.mark) != json.dumps(other.job.mark)
