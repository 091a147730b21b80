"""A webhook's body is the provider's, or nothing is done for it."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from ballast.providers.provider import Forged
from ballast.providers.signatures import verify_hmac_sha256, verify_stripe

BODY = b'{"id": "evt_1"}'
SECRET = b"whsec_test"
NOW = 1_700_000_000.0


def stripe(at: int, secret: bytes = SECRET, body: bytes = BODY) -> str:
    return hmac.new(secret, b"%d." % at + body, hashlib.sha256).hexdigest()


def test_the_generic_scheme_takes_hex_base64_and_a_prefix() -> None:
    digest = hmac.new(SECRET, BODY, hashlib.sha256)
    verify_hmac_sha256(SECRET, BODY, digest.hexdigest())
    verify_hmac_sha256(SECRET, BODY, f"sha256={digest.hexdigest().upper()}")
    verify_hmac_sha256(SECRET, BODY, base64.b64encode(digest.digest()).decode(), encoding="base64")


@pytest.mark.parametrize("signature", [None, "", "zz", "sha256=", "00" * 32, "é"])
def test_the_generic_scheme_refuses_what_is_no_signature_of_the_body(signature: str | None) -> None:
    with pytest.raises(Forged):
        verify_hmac_sha256(SECRET, BODY, signature)
    with pytest.raises(Forged):
        verify_hmac_sha256(SECRET, BODY, signature, encoding="base64")


def test_one_changed_byte_of_the_body_is_forged() -> None:
    digest = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
    with pytest.raises(Forged):
        verify_hmac_sha256(SECRET, BODY + b" ", digest)


def test_stripes_signature_holds_for_five_minutes_and_not_a_second_longer() -> None:
    header = f"t={int(NOW)},v1={stripe(int(NOW))}"
    verify_stripe(SECRET, BODY, header, now=NOW + 300)
    verify_stripe(SECRET, BODY, header, now=NOW - 300)
    for now in (NOW + 301, NOW - 301):
        with pytest.raises(Forged, match="too long ago"):
            verify_stripe(SECRET, BODY, header, now=now)


def test_either_of_two_secrets_will_do_while_one_is_replaced() -> None:
    verify_stripe(
        SECRET, BODY, f"t={int(NOW)},v1={stripe(int(NOW), b'old')},v1={stripe(int(NOW))},v0=x", now=NOW
    )


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=,v1=",
        "v1=00",
        f"t={int(NOW)}",
        f"t={int(NOW)},v1=é",
        "t=99999999999999,v1=0",
        "t=-1,v1=0",
    ],
)
def test_stripes_signature_is_refused_in_every_other_form(header: str | None) -> None:
    with pytest.raises(Forged):
        verify_stripe(SECRET, BODY, header, now=NOW)


def test_stripes_signature_covers_its_time() -> None:
    with pytest.raises(Forged):
        verify_stripe(SECRET, BODY, f"t={int(NOW) + 1},v1={stripe(int(NOW))}", now=NOW)
