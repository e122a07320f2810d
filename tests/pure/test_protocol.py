from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyapache.ea4.profile import Package, Profile, Transaction
from easyapache.ea4.protocol import ChangeRequest, Goal, PreviewRequest, Report, host_queue
from easyapache.ea4.schema import BadMessage
from tests.pure.servers import NAMES, sound_servers

ID = "0123456789abcdef" * 2
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
package_names = st.lists(st.sampled_from(NAMES), max_size=5, unique=True).map(sorted).map(tuple)
goals = st.builds(Goal, install=package_names, remove=package_names, may_remove=package_names)


def a_change(**parts: Any) -> dict[str, Any]:
    package = {"name": "ea-apr", "version": "1.7.5", "release": "1", "arch": "x86_64"}
    return {
        "change": ID,
        "server": "web03.example",
        "goal": {"install": ["ea-apache24-mod_mpm_event"]},
        "transaction": {"install": [package], "remove": []},
        "mpm": "event",
        "itk": False,
        **parts,
    }


@given(goals)
def test_a_goal_arrives_as_it_was_sent(goal: Goal) -> None:
    assert Goal.from_json(json.loads(json.dumps(goal.as_json()))) == goal


def test_a_change_request_arrives_as_it_was_sent() -> None:
    request = ChangeRequest.from_json(
        a_change(undo_of=ID, note={"why": "test"}, not_after="2026-03-03T21:00:00+00:00")
    )
    assert ChangeRequest.from_json(json.loads(json.dumps(request.as_json()))) == request
    assert request.transaction.install == (Package("ea-apr", "1.7.5", "1", "x86_64"),)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-y",
        "--installroot=/",
        "httpd",
        "ea-x;id",
        "ea-$(id)",
        "ea-a b",
        "../ea-x",
        "/tmp/x.rpm",
        "EA-x",
        "ea-x\n",
        "ea-",
        "*",
    ],
)
@pytest.mark.parametrize("part", ["install", "remove", "may_remove"])
def test_no_name_outside_easyapache_reaches_the_package_manager(name: str, part: str) -> None:
    goal = {"install": ["ea-apache24"], part: [name]}
    with pytest.raises(BadMessage, match="an EasyApache 4 package name"):
        Goal.from_json(goal)
    with pytest.raises(BadMessage):
        ChangeRequest.from_json(a_change(goal=goal))
    with pytest.raises(BadMessage):
        PreviewRequest.from_json({"preview": ID, "goal": goal})


@pytest.mark.parametrize(
    "parts",
    [
        {"change": "../../etc"},
        {"change": ID.upper()},
        {"change": ID + "\n"},
        {"change": None},
        {"change": 10**31},
        {"note": "ab"},
        {"note": [1]},
        {"server": "web 03"},
        {"server": "host/x"},
        {"mpm": "itk"},
        {"mpm": None},
        {"itk": 1},
        {"itk": "false"},
        {"undo_of": "x"},
        {"transaction": None},
        {"transaction": {"install": [{"name": "ea-apr"}]}},
        {"transaction": {"install": "ea-apr"}},
        {"transaction": {"install": [{"name": 5, "version": "1", "release": "1", "arch": "x"}]}},
        {"goal": None},
        {"goal": {"install": "ea-apr"}},
        {"goal": {}},
        {"restart_method": "graceful"},
        {"restart_method": None},
        {"not_after": "tomorrow"},
        {"not_after": "2026-03-03T21:00:00"},
        {"not_after": 1893456000},
        {
            "transaction": {
                "install": [
                    {"name": "a", "version": "1", "release": "1", "arch": "x", "epoch": math.inf}
                ]
            }
        },
    ],
)
def test_a_change_request_that_is_not_exactly_right_is_refused_whole(parts: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        ChangeRequest.from_json(a_change(**parts))


@pytest.mark.parametrize("reader", [Goal, PreviewRequest, ChangeRequest, Report])
@given(message=anything)
def test_nonsense_is_a_bad_message_and_never_another_error(reader: Any, message: Any) -> None:
    with pytest.raises(BadMessage):
        reader.from_json(message)


@given(st.sampled_from([*a_change(), "note", "undo_of", "restart_method"]), anything)
def test_one_wrong_part_is_a_bad_message_or_no_harm(key: str, value: Any) -> None:
    try:
        request = ChangeRequest.from_json(a_change(**{key: value}))
    except BadMessage:
        return
    assert ChangeRequest.from_json(json.loads(json.dumps(request.as_json()))) == request


SHORT = st.text(max_size=200)


@given(st.integers(1), SHORT, SHORT, st.dictionaries(st.text(), st.integers()))
def test_a_report_arrives_as_it_was_sent(
    seq: int, at: str, kind: str, data: dict[str, int]
) -> None:
    report = Report(seq, at, kind, data)
    assert Report.from_json(json.loads(json.dumps(report.as_json()))) == report


@pytest.mark.parametrize("name", ["", "-", "a/b", "A", "a" * 64, "a\n", "a b", ".a"])
def test_a_queue_is_named_only_for_a_proper_server(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        host_queue(name)
    assert host_queue("web03") == "host.web03"


@given(sound_servers())
def test_a_profile_and_its_digest_survive_the_journey(profile: Profile) -> None:
    again = Profile.from_json(json.loads(json.dumps(profile.as_json())))
    assert again == profile
    assert again.digest == profile.digest
    shuffled = Profile(tuple(reversed(profile.packages)), profile.configured, profile.running)
    assert shuffled.digest == profile.digest


@given(sound_servers())
def test_a_transaction_survives_the_journey_and_turns_round(profile: Profile) -> None:
    half = len(profile.packages) // 2
    there = Transaction(profile.packages[:half], profile.packages[half:], {"ea-apr": "asked"})
    again = Transaction.from_json(json.loads(json.dumps(there.as_json())))
    assert again == there
    assert there.inverse.inverse.digest == there.digest
    assert (there.inverse.digest == there.digest) is (there.install == there.remove)


def test_sizes_travel_with_a_transaction_and_change_neither_digest_nor_identity() -> None:
    package = Package("ea-apache24-mod_mpm_event", "2.4.67", "2", "x86_64")
    bare = Transaction(install=(package,))
    sized = replace(bare, sizes={"install": {package.name: 300_000}, "remove": {}})
    assert Transaction.from_json(sized.as_json()).sizes == sized.sizes
    assert sized == bare
    assert sized.digest == bare.digest
    assert "sizes" not in bare.as_json()


def test_reports_are_sent_in_messages_that_are_let_in() -> None:
    from easyapache.agent.change.reporter import REPORTS_BYTES, _fitting

    large = [Report(n, "x", "step", {"detail": "x" * 300_000}) for n in range(1, 5)]
    assert len(_fitting(large)) == 1
    assert len(_fitting([Report(1, "x", "step", {"detail": "x" * 2 * REPORTS_BYTES})])) == 1
    assert len(_fitting([Report(n, "x", "step", {}) for n in range(1, 51)])) == 50
    assert _fitting([]) == []
