"""What crosses a border: written by an earlier version it opens, and is written back as it was.

``tests/data/borders`` was written by the version before borders had schemas: a value and its digest
per line, and the folders of four changes on a simulated server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyapache.agent.change.folder import Before
from easyapache.agent.httpd.processes import Identity
from easyapache.agent.packages.kit import Manifest
from easyapache.agent.repair.repairs import Repaired
from easyapache.agent.server import Check, SiteAnswer
from easyapache.ea4.capacity import Measured
from easyapache.ea4.mpm import Choice
from easyapache.ea4.package_metadata import Description, Particulars
from easyapache.ea4.plan import Plan
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from easyapache.ea4.protocol import (
    CancelRequest,
    ChangeRequest,
    Goal,
    InspectRequest,
    Ping,
    PreviewRequest,
    RepairRequest,
    Report,
    SyncRequest,
)
from easyapache.ea4.rules.findings import Finding, Fix
from easyapache.ea4.schema import BadMessage, Schema, loads
from easyapache.ea4.sentences import Sentence

DATA = Path(__file__).parent.parent / "data" / "borders"
KINDS: tuple[type[Schema], ...] = (
    *(Check, ChangeRequest, Choice, Description, Finding, Fix, Goal, Identity),
    *(Measured, Observation, Package, Particulars, Plan, PreviewRequest, Profile),
    *(Repaired, SiteAnswer, Transaction),
)
WORDED_ANEW = {"headline"}
"""Worked out when it is written, and not read."""


def written_by(kind: type[Schema]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{kind.__name__}.jsonl").open()]


def bare(value: Any) -> str:
    return json.dumps({k: v for k, v in value.items() if k not in WORDED_ANEW})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_the_version_before_wrote_opens_and_is_written_back_as_it_was(
    kind: type[Schema],
) -> None:
    for line in written_by(kind):
        value: Any = kind.from_json(line["json"])
        assert bare(value.as_json()) == bare(line["json"])
        assert "digest" not in line or value.digest == line["digest"]


@pytest.mark.parametrize("change", ["succeeded", "restored", "not_started", "canceled"])
def test_the_journal_of_the_version_before_opens_and_is_written_back_as_it_was(change: str) -> None:
    text = (DATA / "spool" / change / "journal.jsonl").read_text()
    again = "".join(
        json.dumps(loads(Report, line).as_json(), separators=(",", ":")) + "\n"
        for line in text.splitlines()
    )
    assert again == text
    for line in text.splitlines():
        assert loads(Report, line).parsed() is not None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_field_of_a_newer_version_is_left_out_of_account(kind: type[Schema]) -> None:
    for line in written_by(kind):
        assert kind.from_json({**line["json"], "newer": {"a": [1]}}) == kind.from_json(line["json"])


def test_what_an_older_version_did_not_write_has_its_default() -> None:
    bare_profile = {"packages": [{"name": "a", "version": "1", "release": "1", "arch": "x"}]}
    profile = Profile.from_json(bare_profile)
    assert profile.packages[0].epoch == 0
    assert (profile.configured, profile.running, profile.facts) == (None, None, {})
    assert Transaction.from_json({}) == Transaction()


def test_a_sentence_keeps_what_it_was_made_of() -> None:
    check = Check("x", "t", Sentence("{name} is locked.", name="dnf"), "", ok=True)
    again = Check.from_json(json.loads(json.dumps(check.as_json())))
    assert isinstance(again.expected, Sentence)
    assert again.expected.template == "{name} is locked."
    forged = {**check.as_json(), "expected": "Another text."}
    assert type(Check.from_json(forged).expected) is str


A_GOAL = {"install": ["ea-apache24"]}
A_PACKAGE = {"name": "ea-apr", "version": "1", "release": "1", "arch": "x86_64"}


@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        (Goal, [], "the goal must be an object, not a list"),
        (Goal, {}, "install is missing"),
        (Goal, {"install": "ea-x"}, "install must be a list, not a string"),
        (Goal, {"install": ["-y"]}, "install[0] must be an EasyApache 4 package name"),
        (PreviewRequest, {"preview": "7", "goal": A_GOAL}, "preview must be an ID of 32 hexa"),
        (PreviewRequest, {"preview": "0" * 32, "goal": {}}, "goal.install is missing"),
        (Transaction, {"install": [A_PACKAGE] * 10_001}, "install must have at most 10000 entries"),
        (
            Transaction,
            {"install": [{**A_PACKAGE, "epoch": "1"}]},
            "install[0].epoch must be a",
        ),
        (Transaction, {"reasons": {"a": 5}}, "reasons.* must be a string, not a whole number"),
        (Transaction, {"reasons": {5: "a"}}, "a name in reasons must be a string, not a whole"),
        (Package, {**A_PACKAGE, "name": "x" * 201}, "name must have at most 200 characters"),
        (Report, {"seq": 0, "at": "", "kind": "", "data": {}}, "seq must be at least 1"),
        (Choice, {"mpm": "itk"}, "mpm must be one of event, worker, prefork"),
        (Observation, {"itk": 1}, "itk must be true or false, not a whole number"),
        (
            Finding,
            {"code": "x", "severity": "x", "title": "", "message": ""},
            "severity must be",
        ),
    ],
)
def test_an_error_is_one_sentence_that_names_the_field(
    kind: type[Schema], data: Any, sentence: str
) -> None:
    with pytest.raises(BadMessage) as caught:
        kind.from_json(data)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=30)
def test_whatever_stands_in_one_place_it_is_read_or_refused(
    kind: type[Schema], data: st.DataObject
) -> None:
    value = json.loads(json.dumps(data.draw(st.sampled_from(written_by(kind)))["json"]))
    place = value
    while place and data.draw(st.booleans()):
        names = [
            key
            for key in (place if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key]
        ]
        if not names:
            break
        place = place[data.draw(st.sampled_from(names))]
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    if keys:
        place[data.draw(st.sampled_from(keys))] = data.draw(_VALUES)
    try:
        again = kind.from_json(value)
    except BadMessage:
        return
    text = json.dumps(again.as_json())
    assert "NaN" in text or kind.from_json(json.loads(text)) == again


@pytest.mark.parametrize("change", ["succeeded", "restored"])
@pytest.mark.parametrize(
    ("name", "kind", "sort"), [("before.json", Before, True), ("kit-kit.json", Manifest, False)]
)
def test_what_a_folder_of_the_version_before_holds_is_written_back_as_it_was(
    change: str, name: str, kind: type[Schema], sort: bool
) -> None:
    text = (DATA / "spool" / change / name).read_text()
    again = json.dumps(loads(kind, text).as_json(), indent=1, sort_keys=sort)
    assert again == text.rstrip("\n")


def test_a_kit_from_before_there_were_seals_can_be_read() -> None:
    old = json.loads((DATA / "spool" / "succeeded" / "kit-kit.json").read_text())
    del old["sealed"], old["packages_before"]
    assert Manifest.from_json(old).sealed is None


REQUESTS: dict[type[Schema], dict[str, Any]] = {
    InspectRequest: {"request": "r1", "particulars": ""},
    CancelRequest: {"change": "a" * 32},
    SyncRequest: {"change": "a" * 32, "after_report": 3, "after_byte": 0},
    RepairRequest: {"request": "a" * 32, "action": "x", "asked_at": "2026-03-03T21:00:00+00:00"},
    Ping: {"nonce": "x"},
}


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_a_request_to_an_agent_is_written_as_it_was_before_it_had_a_schema(
    kind: type[Schema],
) -> None:
    sent = REQUESTS[kind]
    assert json.dumps(kind.from_json(sent).as_json()) == json.dumps(sent)


@pytest.mark.parametrize(
    ("kind", "odd", "sentence"),
    [
        (InspectRequest, {"request": 7}, "request must be a string, not a whole number"),
        (InspectRequest, {"request": "x" * 201}, "request must have at most 200 characters"),
        (Ping, {"nonce": ""}, "nonce must not be empty"),
        (CancelRequest, {"change": "../../etc"}, "change must be an ID of 32 hexadecimal digits"),
        (SyncRequest, {"after_report": -1}, "after_report must be at least 0"),
        (SyncRequest, {"after_byte": 2**53}, "after_byte must be"),
        (SyncRequest, {"after_byte": True}, "after_byte must be a whole number, not true"),
        (RepairRequest, {"asked_at": "yesterday"}, "asked_at must be a time in ISO 8601"),
        (RepairRequest, {"asked_at": "2026-03-03T21:00:00"}, "asked_at must be a time in ISO"),
    ],
)
def test_a_request_out_of_bounds_is_refused_in_one_sentence(
    kind: type[Schema], odd: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadMessage) as caught:
        kind.from_json({**REQUESTS[kind], **odd})
    assert str(caught.value).startswith(sentence)


_TOLD = ("step", "evidence", "finding", "interruption", "moved", "cancel", "outcome", "newer")


@given(
    st.sampled_from(_TOLD),
    st.dictionaries(
        st.sampled_from(
            [
                "step",
                "outcome",
                "transaction",
                "words",
                "strip",
                "refused",
                "probes",
                "profile",
                "reason",
            ]
        ),
        _VALUES,
        max_size=5,
    ),
)
def test_whatever_a_report_holds_it_is_read_or_refused(kind: str, data: dict[str, Any]) -> None:
    report = Report.from_json({"seq": 1, "at": "", "kind": kind, "data": data})
    try:
        parsed = report.parsed()
    except BadMessage:
        return
    assert (parsed is None) is (kind == "newer")


def test_what_is_nested_without_end_is_refused() -> None:
    with pytest.raises(BadMessage):
        loads(Report, "[" * 100_000)
