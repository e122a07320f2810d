"""What a worker lets in from the broker, and what it drops."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport.virtual import Message

from easyapache import envelopes
from easyapache.envelopes import LARGEST, NotOurs, opened

NOTHING_AFTER = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def packed(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def envelope(**other: Any) -> dict[str, Any]:
    """A message as panel and agents send it; ``other`` replaces parts of it."""
    return {
        "body": packed([[], {"nonce": "x"}, NOTHING_AFTER]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "host.ping", "id": "0d7c-1"},
        "properties": {
            "delivery_tag": "a",
            "delivery_info": {"exchange": "", "routing_key": "control"},
            "body_encoding": "base64",
        },
        **other,
    }


def line(**other: Any) -> bytes:
    return json.dumps(envelope(**other)).encode()


def headers(**more: Any) -> dict[str, Any]:
    return {"task": "host.ping", "id": "0d7c-1", **more}


def test_a_message_of_ours_is_let_in_with_its_call_and_its_number() -> None:
    read = json.loads(opened(line(headers=headers(expires="2026-03-03T21:00:00+00:00")), "host.x"))
    assert json.loads(base64.b64decode(read["body"]))[1] == {"nonce": "x"}
    assert read["headers"]["task"] == "host.ping"
    assert read["headers"]["id"] == "0d7c-1"
    assert read["headers"]["expires"] == "2026-03-03T21:00:00+00:00"
    assert read["properties"]["delivery_info"] == {"exchange": "", "routing_key": "host.x"}


def test_what_was_made_up_about_its_delivery_is_replaced() -> None:
    forged = {
        "delivery_tag": {"a": 1},
        "delivery_info": {"exchange": "celeryev", "routing_key": "host.other"},
        "reply_to": "control",
        "body_encoding": "base64",
    }
    read = json.loads(opened(line(properties=forged), "control"))
    assert read["properties"]["delivery_info"]["routing_key"] == "control"
    assert isinstance(read["properties"]["delivery_tag"], str)
    assert "reply_to" not in read["properties"]


def test_what_was_put_back_is_let_in_again() -> None:
    once = opened(line(), "control")
    again = {**json.loads(once), "redelivered": True}
    assert json.loads(opened(json.dumps(again).encode(), "control"))["body"] == envelope()["body"]


DEEP = b"[" * 100_000 + b"]" * 100_000
COMPRESSED = base64.b64encode(zlib.compress(b"x" * 10_000_000)).decode()


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(line(body="!!!!"), id="a body that is not base64"),
        pytest.param(line(body=None), id="no body"),
        pytest.param(line(body=packed("x")), id="a body that is no call"),
        pytest.param(line(body=packed([[1], {}, {}])), id="arguments without names"),
        pytest.param(line(body=packed([[], [], {}])), id="arguments in a list"),
        pytest.param(line(body=packed([[], {}, {"chain": [{"task": "x"}]}])), id="a chain"),
        pytest.param(line(body=packed([[], {"a": 1e400}, {}])), id="infinity in a body"),
        pytest.param(line(body=packed([[], {"a": 10**30}, {}])), id="an endless number"),
        pytest.param(
            line(body=packed([[], {"a": {"__type__": "uuid", "__value__": "x"}}, {}])),
            id="an object in disguise",
        ),
        pytest.param(line(body=base64.b64encode(DEEP).decode()), id="a deep body"),
        pytest.param(b"no JSON", id="no JSON"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"7", id="a bare number"),
        pytest.param(b"null", id="null"),
        pytest.param(b"NaN", id="no number"),
        pytest.param(DEEP, id="a deep envelope"),
        pytest.param(b'{"properties":' * 60 + b"1" + b"}" * 60, id="a nested envelope"),
        pytest.param(line(properties=None), id="no properties"),
        pytest.param(line(properties=[]), id="properties in a list"),
        pytest.param(line(properties={"body_encoding": "rot13"}), id="an unknown encoding"),
        pytest.param(line(headers=[1]), id="headers in a list"),
        pytest.param(line(headers=None), id="no headers"),
        pytest.param(line(headers=headers(compression="application/x-gzip")), id="gzip"),
        pytest.param(
            line(body=COMPRESSED, headers=headers(compression="bzip2")), id="a compressed body"
        ),
        pytest.param(line(headers=headers(eta="2999-01-01T00:00:00+00:00")), id="a far time"),
        pytest.param(line(headers=headers(timelimit=[1, 1])), id="a time limit"),
        pytest.param(line(headers=headers(timelimit=7)), id="a time limit that is a number"),
        pytest.param(line(headers=headers(expires=7)), id="expires as a number"),
        pytest.param(line(headers=headers(expires="9999-12-31T23:59:59-23:00")), id="the last day"),
        pytest.param(line(headers=headers(task="celery.chain")), id="a task of Celery"),
        pytest.param(line(headers=headers(task=["host.ping"])), id="a task in a list"),
        pytest.param(line(headers=headers(id="x\nforged line")), id="an id of two lines"),
        pytest.param(line(headers=headers(id=None)), id="no id"),
        pytest.param(line(**{"content-type": "application/x-python-serialize"}), id="pickle"),
        pytest.param(line(**{"content-encoding": "utf-16"}), id="another encoding"),
        pytest.param(line(filler="x" * LARGEST), id="too large"),
    ],
)
def test_what_is_not_a_message_of_ours_is_refused_with_the_reason(item: bytes) -> None:
    with pytest.raises(NotOurs, match=r"\w"):
        opened(item, "control")


def test_nothing_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> bytes:
        raise AssertionError("something was inflated")

    monkeypatch.setattr("kombu.message.decompress", never)
    with pytest.raises(NotOurs):
        opened(line(body=COMPRESSED, headers=headers(compression="gzip")), "control")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
_NAMES = st.sampled_from(
    [*envelope(), *headers(), "compression", "eta", "expires", "timelimit", "delivery_tag"]
)
_ODD = st.dictionaries(_NAMES, _VALUES, max_size=6)


class Bare:
    """What kombu asks of a channel to make a message."""

    no_ack_consumers: frozenset[str] = frozenset()

    def decode_body(self, body: str, encoding: str) -> bytes:
        assert encoding == "base64"
        return base64.b64decode(body)


def made(item: bytes) -> None:
    """Let it in and have kombu make a message of it, which must not fail; or refuse it."""
    try:
        read = json.loads(opened(item, "control"))
    except NotOurs:
        return
    message = Message(read, channel=Bare())  # type: ignore[arg-type]
    assert not message.errors
    message.accept = {"application/json"}
    assert message.decode()[0] == []


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_let_in_whole_or_refused(item: bytes) -> None:
    made(item)


@given(_VALUES)
def test_whatever_json_comes_it_is_let_in_whole_or_refused(value: Any) -> None:
    made(json.dumps(value).encode())


@given(_ODD, _ODD, _ODD, _VALUES)
def test_whatever_an_envelope_holds_it_is_let_in_whole_or_refused(
    parts: dict[str, Any], more: dict[str, Any], properties: dict[str, Any], call: Any
) -> None:
    made(line(**parts))
    made(line(headers=headers(**more)))
    made(line(properties={**envelope()["properties"], **properties}))
    made(line(body=packed(call)))
    made(line(body=packed([[], call, NOTHING_AFTER])))


def test_of_many_dropped_at_once_each_is_counted_and_few_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counter = envelopes.Counter()
    for _ in range(500):
        counter.drop("control", "it is not JSON")
    assert counter.count == 500
    assert counter.take() == 500
    assert counter.take() == 0
    assert len(caplog.records) < 100
