"""Tickets from WHM: what is signed on a server, and what a panel makes of it."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache import tickets
from easyapache.tickets import BadKey, BadTicket, fault, origin, signed, verified

PEM = tickets.new_key()
KEY = tickets.public_key(PEM)
PANEL = "https://panel.example.test:8443"
NOW = 1_800_000_000


def ticket(**more: Any) -> str:
    given: dict[str, Any] = {"server": "web03", "user": "root", "root": True}
    given |= {"audience": PANEL, "now": NOW}
    return signed(PEM, **(given | more))


def resigned(**claims: Any) -> str:
    """A ticket of the right key with other claims than the server would sign."""
    body = json.loads(base64.urlsafe_b64decode(ticket().split(".")[1] + "=="))
    raw = json.dumps(body | claims).encode()
    signature = tickets._private(PEM).sign(tickets._SIGNED_AS + raw)
    return f"ea4whm1.{tickets._encoded(raw)}.{tickets._encoded(signature)}"


def test_a_ticket_says_what_was_signed() -> None:
    claims = verified(ticket(), KEY)
    assert (claims.server, claims.user, claims.root, claims.audience) == (
        *("web03", "root", True),
        PANEL,
    )
    assert claims.expires - claims.issued == tickets.LIFETIME
    assert fault(claims, audiences=frozenset({PANEL}), now=NOW + 1) == ""


def test_no_two_tickets_are_alike() -> None:
    assert len({verified(ticket(), KEY).nonce for _ in range(50)}) == 50


def test_no_new_key_looks_like_an_option_to_a_command_line() -> None:
    keys = [tickets.public_key(tickets.new_key()) for _ in range(600)]
    assert not [key for key in keys if key.startswith("-")]


_P = 2**255 - 19
_Y8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
LOW_ORDER = [
    (y | sign << 255).to_bytes(32, "little")
    for y in (0, 1, _P - 1, _Y8, _P - _Y8, _P, _P + 1)
    for sign in (0, 1)
]
"""Each point whose order divides 8, in each of its encodings."""


@pytest.mark.parametrize("raw", LOW_ORDER, ids=bytes.hex)
def test_a_key_for_which_anyone_can_sign_is_no_key_of_a_server(raw: bytes) -> None:
    key = tickets._encoded(raw)
    with pytest.raises(BadKey):
        tickets.checked_key(key)
    body = ticket().split(".")[1]
    # R is the point itself and S is 0: with the neutral one as key, valid for every text.
    forged = f"ea4whm1.{body}.{tickets._encoded(raw + bytes(32))}"
    with pytest.raises(BadTicket, match="signature"):
        verified(forged, key)


def test_bytes_that_are_no_point_of_the_curve_are_no_key() -> None:
    keys = [tickets._encoded(bytes([n, 7] + [0] * 30)) for n in range(64)]
    taken = []
    for key in keys:
        with suppress(BadKey):
            taken.append(tickets.checked_key(key))
    assert 16 < len(taken) < 48  # about half of all numbers are the y of a point
    assert all(tickets.checked_key(tickets.public_key(tickets.new_key())) for _ in range(50))


def test_a_ticket_of_another_key_is_refused() -> None:
    with pytest.raises(BadTicket, match="signature"):
        verified(ticket(), tickets.public_key(tickets.new_key()))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_ticket_with_one_byte_changed_is_refused(place: int, turn: int) -> None:
    whole = ticket().encode()
    place %= len(whole)
    changed = bytearray(whole)
    changed[place] ^= turn
    with pytest.raises(BadTicket):
        verified(changed.decode("latin-1"), KEY)


@given(st.text(max_size=3000))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadTicket):
        tickets.server_of(text)


@pytest.mark.parametrize(
    "claims",
    [
        {"server": "Web03"},
        {"server": "web03\n"},
        {"user": "root admin"},
        {"user": ""},
        {"user": 7},
        {"root": 1},
        {"issued": True},
        {"issued": 1.5},
        {"expires": -1},
        {"expires": 2**50},
        {"nonce": "1"},
        {"audience": "http://panel.example.test"},
        {"audience": "https://panel.example.test/somewhere"},
        {"more": "than a ticket says"},
    ],
)
def test_claims_that_cannot_be_meant_are_refused_though_signed(claims: dict[str, Any]) -> None:
    with pytest.raises(BadTicket):
        verified(resigned(**claims), KEY)


def test_what_else_a_key_has_signed_is_no_ticket() -> None:
    body = base64.urlsafe_b64decode(ticket().split(".")[1] + "==")
    signature = tickets._private(PEM).sign(body)
    with pytest.raises(BadTicket, match="signature"):
        verified(f"ea4whm1.{tickets._encoded(body)}.{tickets._encoded(signature)}", KEY)


@pytest.mark.parametrize(
    ("later", "verdict"),
    [
        (-tickets.SKEW - 1, "early"),
        (-tickets.SKEW, ""),
        (0, ""),
        (tickets.LIFETIME + tickets.SKEW - 1, ""),
        (tickets.LIFETIME + tickets.SKEW, "expired"),
        (3600, "expired"),
    ],
)
def test_a_ticket_is_good_for_a_minute_at_most(later: int, verdict: str) -> None:
    claims = verified(ticket(), KEY)
    assert fault(claims, audiences=frozenset({PANEL}), now=NOW + later) == verdict
    assert tickets.LIFETIME + tickets.SKEW <= 60


@pytest.mark.parametrize("expires", [NOW, NOW - 1, NOW + tickets.LIFETIME + 1, NOW + 86_400])
def test_a_server_cannot_sign_a_ticket_that_lasts_longer(expires: int) -> None:
    claims = verified(resigned(expires=expires), KEY)
    assert fault(claims, audiences=frozenset({PANEL}), now=NOW) == "lasting"


def test_a_ticket_for_another_panel_is_not_good_here() -> None:
    claims = verified(ticket(audience="https://other.example.test"), KEY)
    assert fault(claims, audiences=frozenset({PANEL}), now=NOW) == "audience"


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("https://Panel.Example.test/", "https://panel.example.test"),
        ("https://panel.example.test:443", "https://panel.example.test"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://panel.example.test", ""),
        ("https://panel.example.test/path", ""),
        ("https://user@panel.example.test", ""),
        ("https://panel.example.test?next=/", ""),
        ("https://panel.example.test:99999", ""),
        ("https://panel.example.test\n", ""),
        ('https://panel".example.test', ""),
        ("javascript:alert(1)", ""),
        ("//panel.example.test", ""),
        ("", ""),
    ],
)
def test_only_the_address_of_a_panel_is_one(address: str, known: str) -> None:
    assert origin(address) == known


def test_a_key_is_compared_by_its_fingerprint() -> None:
    assert len(KEY) == 43
    assert len(tickets.fingerprint(KEY).split()) == 8
    assert tickets.checked_key(f" {KEY}\n") == KEY


@pytest.mark.parametrize(
    "text",
    ["", "abc", KEY[:-1], f"{KEY}A", "é" * 43, PEM],
    ids=["nothing", "a word", "shorter", "longer", "other letters", "private"],
)
def test_what_is_not_a_public_key_is_refused(text: str) -> None:
    with pytest.raises(BadKey):
        tickets.checked_key(text)


def test_a_key_of_another_kind_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(BadKey, match="Ed25519"):
        tickets.public_key(other.decode())
    with pytest.raises(BadKey, match="PEM"):
        tickets.public_key("-----BEGIN NOTHING-----")
