"""How a delivery proves where it comes from: the signature of the Standard Webhooks. Pure.

The receiver gets ``webhook-id``, ``webhook-timestamp`` (seconds) and ``webhook-signature``: one
or more ``v1,<base64>`` of HMAC-SHA256(secret, "id.timestamp.body"), separated by blanks; two while
a secret is being rotated. Libraries for it exist in most languages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix is public, what follows it is not
TOLERANCE_SECONDS = 300


class BadSignature(ValueError):
    """A delivery that was not signed with this secret, was altered, or is too old."""


def derive_secret(pepper: bytes, webhook: str, generation: int) -> str:
    """The secret of one webhook: computed whenever it is needed and stored nowhere."""
    message = f"webhook:{webhook}:{generation}".encode()
    key = hmac.new(pepper, message, hashlib.sha256).digest()
    return SECRET_PREFIX + base64.b64encode(key).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise BadSignature("The secret is not the one that was shown.") from error


def sign(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    message = f"{identity}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), message, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers_for(
    secrets: Iterable[str], identity: str, timestamp: int, body: bytes
) -> dict[str, str]:
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            sign(secret, identity, timestamp, body) for secret in secrets
        ),
    }


def verify(secret: str, headers: dict[str, str], body: bytes, now: int) -> None:
    """What a receiver does. Header names in lower case. Raises BadSignature."""
    identity = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        raise BadSignature("The delivery is too old, or has no time.")
    expected = sign(secret, identity, int(stamp), body)
    offered = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected, item) for item in offered):
        raise BadSignature("The signature is not from this secret and this body.")
