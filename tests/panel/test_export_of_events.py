"""An export of sealed events proves itself anywhere, and shows when a part of it is missing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from mpm.history.export import events_as_json
from mpm.history.services.retention import prune
from mpm.history.verification.export import BadExport, verify_export
from mpm.history.verification.verdict import Verdict
from mpm.models import Chain, Change, Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def export(story_of_two: list[Change], tmp_path: Path) -> Path:
    path = tmp_path / "export.json"
    path.write_text("".join(events_as_json()))
    return path


def lines_of(export: Path) -> list[str]:
    """The events of the two chains, one after another, and the end."""
    return [line.rstrip(",") for line in export.read_text().splitlines() if line not in "[]"]


def of_lines(export: Path, lines: list[str]) -> Verdict:
    export.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    return verify_export(export)


def messages(verdict: Verdict) -> str:
    return " ".join(fault.message for fault in verdict.faults)


def test_a_whole_export_proves_itself_and_names_its_heads(export: Path) -> None:
    *events, end = json.loads(export.read_text())
    assert len(events) == Event.objects.count()
    assert end["heads"] == [[one.server_name, one.seq, one.hash] for one in Chain.objects.all()]
    verdict = verify_export(export)
    assert (verdict.faults, verdict.complete, verdict.chains) == ((), True, 2)
    assert verdict.heads["web02"][0] == 3


def test_an_export_of_one_chain_proves_itself(story_of_two: list[Change], tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text("".join(events_as_json("web01")))
    assert verify_export(path).faults == ()
    path.write_text(path.read_text().replace("and back", "and gone"))
    assert "not what was sealed" in messages(verify_export(path))


def test_an_export_that_was_cut_off_is_incomplete(export: Path) -> None:
    lines = lines_of(export)
    for kept in (lines[:-1], lines[:-3], lines[:1]):
        verdict = of_lines(export, kept)
        assert (verdict.complete, "incomplete" in messages(verdict)) == (False, True)


def test_a_chain_without_its_newest_events_is_noticed(export: Path) -> None:
    lines = lines_of(export)
    verdict = of_lines(export, [*lines[:-3], lines[-1]])
    assert "should end with event 3" in messages(verdict)


def test_a_chain_without_its_first_events_is_noticed(export: Path) -> None:
    assert "Events 1 to 2 are missing" in messages(of_lines(export, lines_of(export)[2:]))


def test_a_whole_chain_that_was_left_out_is_noticed(export: Path) -> None:
    lines = [line for line in lines_of(export) if '"server_name":"web02"' not in line]
    assert "All of its 3 events are missing" in messages(of_lines(export, lines))


def test_a_file_without_anything_is_incomplete(export: Path) -> None:
    for text in ("", "[\n]\n", "[]\n"):
        export.write_text(text)
        verdict = verify_export(export)
        assert (verdict.complete, bool(verdict.faults)) == (False, True)


def test_events_taken_out_of_the_middle_are_noticed_behind_another_chain(export: Path) -> None:
    *events, end = lines_of(export)
    first = [line for line in events if '"server_name":"web01"' in line]
    other = [line for line in events if '"server_name":"web02"' in line]
    verdict = of_lines(export, [*first[:6], *other, *first[9:], end])
    assert "appears twice" in messages(verdict)


def test_a_chain_that_the_end_does_not_know_is_noticed(export: Path) -> None:
    *events, end = lines_of(export)
    heads = [head for head in json.loads(end)["heads"] if head[0] != "web02"]
    assert "does not know this chain" in messages(
        of_lines(export, [*events, json.dumps({"heads": heads})])
    )


def test_what_was_pruned_is_explained_in_the_export(export: Path) -> None:
    prune(timezone.now() + timedelta(days=400), 365)
    export.write_text("".join(events_as_json()))
    assert verify_export(export).faults == ()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        '{"a": 1}',
        '{"heads": 5}',
        '{"heads": []}\n{"heads": []}',
        '{"server_name": "", "seq": "x", "hash": ""}',
    ],
)
def test_what_is_no_export_is_said_to_be_none(export: Path, text: str) -> None:
    export.write_text(text)
    with pytest.raises(BadExport):
        verify_export(export)
