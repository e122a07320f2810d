"""The signature of a delivery, as in Standard Webhooks. Pure.

The receiver gets ``webhook-id``, ``webhook-timestamp`` (seconds) and ``webhook-signature``: one or
more ``v1,<base64>`` of HMAC-SHA256(secret, "id.timestamp.body"), separated by blanks; two while a
secret is being rotated. The library ``standardwebhooks`` signs here and verifies at receivers; it
exists for most languages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix is public, what follows it is not


def derive_secret(pepper: bytes, webhook: str, generation: int) -> str:
    """The secret of one webhook: computed when needed and never stored."""
    message = f"webhook:{webhook}:{generation}".encode()
    key = hmac.new(pepper, message, hashlib.sha256).digest()
    return SECRET_PREFIX + base64.b64encode(key).decode()


def headers_for(
    secrets: Iterable[str], identity: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """``timestamp``: seconds since 1970. ``body``: UTF-8, exactly as it is sent."""
    moment, text = datetime.fromtimestamp(timestamp, UTC), body.decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            Webhook(secret).sign(identity, moment, text) for secret in secrets
        ),
    }
