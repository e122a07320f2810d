"""Tickets that open the panel from a server's WHM: signed there, verified in the panel.

A ticket is three parts with dots between them: ``ea4whm1``, the claims as JSON and the signature,
both in URL-safe base64 without padding. It is signed with the Ed25519 key (RFC 8032) of one server,
which setup creates there. Its claims must not be used before its signature is verified with the
panel's public key of that server; ``fault`` checks whether it is valid now.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# cryptography is imported where something is signed or verified: most processes of a panel never
# do, and would hold ten megabytes of it.

FORMAT = "ea4whm1"
LIFETIME = 45
"""Seconds for which a ticket is good."""
SKEW = 15
"""Seconds that the clocks of server and panel may differ. On the panel's clock no ticket lasts
longer than LIFETIME and SKEW together: a minute."""
LARGEST = 2_000
"""Characters of a ticket."""

_SIGNED_AS = b"ea4-mpm whm ticket, version 1\0"
"""A prefix of the signed text, so that nothing else signed with the key is accepted as a ticket."""
_SERVER = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:]{2,39}\]")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class BadTicket(ValueError):
    """No ticket, or not signed by the server that it names; the message has the reason."""


class BadKey(ValueError):
    """No valid key of a server; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a ticket. ``server`` is the name of the server in the panel, ``user`` the WHM
    user, ``root`` whether that user has all of WHM's privileges, ``audience`` the address of the
    panel that the ticket is for, ``issued`` and ``expires`` are seconds since 1970, ``nonce`` is
    never used twice."""

    server: str
    user: str
    root: bool
    audience: str
    issued: int
    expires: int
    nonce: str

    @classmethod
    def of(cls, value: Any) -> Claims:
        """Raises BadTicket for anything but exactly these claims."""
        if not isinstance(value, dict) or set(value) != {field.name for field in fields(cls)}:
            raise BadTicket("the claims are not those of a ticket")
        texts = (
            ("server", _SERVER),
            ("user", _USER),
            ("nonce", _NONCE),
        )
        for name, pattern in texts:
            if not isinstance(value[name], str) or not pattern.fullmatch(value[name]):
                raise BadTicket(f"the claim {name} cannot be meant")
        for name in ("issued", "expires"):
            if type(value[name]) is not int or not 0 < value[name] < 2**40:
                raise BadTicket(f"the claim {name} is not a time")
        if type(value["root"]) is not bool:
            raise BadTicket("the claim root is neither true nor false")
        if not isinstance(value["audience"], str) or origin(value["audience"]) == "":
            raise BadTicket("the claim audience is not an address")
        return cls(**value)


def origin(address: str) -> str:
    """Scheme, host and port of a panel's address, without the default port; "" for an address that
    no panel can have. Plain HTTP is allowed on the machine itself only."""
    if len(address) > 300 or not address.isascii() or any(c <= " " or c in "\\@" for c in address):
        return ""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(host) or parts.path not in ("", "/") or parts.query or parts.fragment:
        return ""
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        return ""
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


# -- keys --------------------------------------------------------------------------------------


def new_key() -> str:
    """A private key, as PEM. Its public key does not begin with ``-``, which a command line would
    read as an option: one key in 64 would."""
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    while _encoded(key.public_key().public_bytes_raw()).startswith("-"):
        key = Ed25519PrivateKey.generate()
    plain = forms.NoEncryption()
    return key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, plain).decode("ascii")


def _private(pem: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError) as error:
        raise BadKey("this is not a private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey("this is not an Ed25519 key")
    return key


def public_key(pem: str) -> str:
    """The public key of a private one: 43 characters, what the panel is given. Raises BadKey."""
    return _encoded(_private(pem).public_key().public_bytes_raw())


def checked_key(text: str) -> str:
    """A public key as it was pasted. Raises BadKey, also for a key of low order: for some of these
    anyone can write a signature that is valid for every text."""
    try:
        raw = _decoded(text.strip())
    except BadTicket as error:
        raise BadKey("this is not the public key of a server") from error
    if not _has_a_private_half(raw):
        raise BadKey("this is not the public key of a server")
    return _encoded(raw)


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_LOW_ORDER = frozenset({0, 1, _P - 1, _OF_ORDER_8, _P - _OF_ORDER_8})
"""The y of the eight points of the curve whose order divides 8."""


def _has_a_private_half(raw: bytes) -> bool:
    """Whether these bytes are a point of the curve as RFC 8032 (5.1.3) encodes it, and not one of
    low order. cryptography takes any 32 bytes."""
    if len(raw) != 32:
        return False
    y = int.from_bytes(raw, "little") & ((1 << 255) - 1)
    if y >= _P or y in _LOW_ORDER:
        return False
    # x² = (y² - 1) / (d·y² + 1) must have a root; a fraction has one where its product does.
    square = (y * y - 1) * (_D * y * y + 1) % _P
    return pow(square, (_P - 1) // 2, _P) == 1


def fingerprint(key: str) -> str:
    """A public key for people to compare: the first half of its SHA-256, in groups of four."""
    digest = hashlib.sha256(_decoded(key)).hexdigest()[:32]
    return " ".join(digest[at : at + 4] for at in range(0, len(digest), 4))


# -- tickets -----------------------------------------------------------------------------------


def signed(pem: str, *, server: str, user: str, root: bool, audience: str, now: float) -> str:
    """A new ticket. Raises BadKey, and BadTicket for a server, user or address that cannot be."""
    claims = Claims.of(
        {
            "server": server,
            "user": user,
            "root": root,
            "audience": origin(audience),
            "issued": int(now),
            "expires": int(now) + LIFETIME,
            "nonce": secrets.token_hex(16),
        }
    )
    body = json.dumps(asdict(claims), sort_keys=True, separators=(",", ":")).encode("ascii")
    signature = _private(pem).sign(_SIGNED_AS + body)
    return f"{FORMAT}.{_encoded(body)}.{_encoded(signature)}"


def server_of(ticket: str) -> str:
    """The server that a ticket names, to find its key by; nothing is verified. Raises BadTicket."""
    return _parts(ticket)[0].server


def verified(ticket: str, key: str) -> Claims:
    """The claims of a ticket that was signed with the private half of ``key``. Raises BadTicket."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    claims, body, signature = _parts(ticket)
    try:
        raw = _decoded(checked_key(key))
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, _SIGNED_AS + body)
    except (InvalidSignature, ValueError) as error:  # BadKey is a ValueError
        raise BadTicket("the signature is not that of the server's key") from error
    return claims


def fault(claims: Claims, *, audiences: frozenset[str], now: float) -> str:
    """Why verified claims are not good now, as a code; "" when they are.

    ``expired``, ``early`` (the server's clock is ahead), ``lasting`` (good for longer than a ticket
    may be), ``audience`` (made for another panel)."""
    if claims.audience not in audiences:
        return "audience"
    if not 0 < claims.expires - claims.issued <= LIFETIME:
        return "lasting"
    if claims.issued > now + SKEW:
        return "early"
    return "expired" if now >= claims.expires + SKEW else ""


def _parts(ticket: str) -> tuple[Claims, bytes, bytes]:
    parts = ticket.split(".") if len(ticket) <= LARGEST else []
    if len(parts) != 3 or parts[0] != FORMAT:
        raise BadTicket("this is not a ticket")
    body, signature = _decoded(parts[1]), _decoded(parts[2])
    try:
        claims = Claims.of(json.loads(body))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadTicket):
            raise
        raise BadTicket("the claims are not JSON") from error
    return claims, body, signature


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    """Raises BadTicket for any encoding that ``_encoded`` would not write."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadTicket("a part is not URL-safe base64") from error
    if _encoded(raw) != text:
        raise BadTicket("a part is not URL-safe base64")
    return raw
