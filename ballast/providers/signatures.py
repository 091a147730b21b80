"""Whether a webhook's body is the provider's: HMAC-SHA256 over the bytes that came, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Literal

from ballast.providers.provider import Forged

STRIPE_SECONDS_MAX = 300


def verify_hmac_sha256(
    secret: bytes, body: bytes, signature: str | None, *, encoding: Literal["hex", "base64"] = "hex"
) -> None:
    """Raises Forged unless `signature` is that of the body. A prefix `sha256=` is ignored."""
    written = (signature or "").strip().removeprefix("sha256=")
    try:
        given = bytes.fromhex(written) if encoding == "hex" else base64.b64decode(written, validate=True)
    except (ValueError, binascii.Error):
        given = b""
    if not hmac.compare_digest(given, hmac.new(secret, body, hashlib.sha256).digest()):
        raise Forged("the signature is not of this body")


def verify_stripe(secret: bytes, body: bytes, header: str | None, *, now: float) -> None:
    """`t=<seconds>,v1=<hex>`, several `v1` while a secret is replaced. Raises Forged, also if it is 300 s old."""
    parts = [part.strip().partition("=") for part in (header or "").split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    if not (at.isascii() and at.isdecimal() and len(at) <= 12):
        raise Forged("the signature names no time")
    expected = hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
    matches = [
        hmac.compare_digest(value.encode(), expected.encode()) for name, _, value in parts if name == "v1"
    ]
    if not any(matches):
        raise Forged("the signature is not of this body")
    if abs(now - int(at)) > STRIPE_SECONDS_MAX:
        raise Forged("it was signed too long ago")
