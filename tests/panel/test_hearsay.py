"""What agents, or somebody in their name, tell and what of it is believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Package, Profile
from easyapache.ea4.schema import BadMessage
from mpm.access.services.users import add_user
from mpm.changes.models.change import Origin, new_id
from mpm.changes.services import unrequested
from mpm.changes.services.record import record_log, record_reports
from mpm.changes.services.request import request_change
from mpm.history.diagnosis import examined
from mpm.history.services.text_checks import storable, visible
from mpm.history.unrequested import CONTRADICTED, TOO_MANY, UNREQUESTED
from mpm.models import Change, Event, Report, State
from mpm.servers.looks import request_number
from mpm.servers.models import Server
from mpm.servers.services.inspection import ANSWER_WITHIN, record_inspection
from tests.panel.reports import ADMIN, after, outcome, report, step

EVIL = Package("ea-apache24-mod_evil", "1", "1", "x86_64")


@pytest.fixture
def change(known_server: Callable[..., Server]) -> Change:
    made = request_change(known_server(), Choice.parse("event"), actor=ADMIN)
    record_reports("web01", made.uuid, [step(1, "preflight")])
    made.refresh_from_db()
    return made


def kinds(server: str = "web01") -> list[str]:
    return list(Event.objects.filter(server_name=server).values_list("kind", flat=True))


def scanned(profile: Profile, **other: Any) -> Change | None:
    seen = Profile.from_json({**profile.as_json(), **other})
    return record_inspection("web01", request_number(timezone.now()), seen)


def without(profile: Profile, *names: str) -> Profile:
    kept = tuple(package for package in profile.packages if package.name not in names)
    return replace(profile, packages=kept)


def test_more_than_was_confirmed_is_no_success_and_a_change_from_outside(change: Change) -> None:
    firewall = "ea-apache24-mod_security2"
    seen = after(change)
    assert firewall in seen.names
    reports = [outcome(2, "succeeded", without(seen, firewall))]
    record_reports("web01", change.uuid, reports)
    change.refresh_from_db()
    assert change.state == State.FAILED
    assert firewall in change.sentence
    outside = Change.objects.get(origin=Origin.OUTSIDE)
    assert [item["name"] for item in outside.plan["remove"]] == [firewall]


def test_exactly_what_was_confirmed_is_a_success(change: Change) -> None:
    record_reports("web01", change.uuid, [outcome(2, "succeeded", after(change))])
    change.refresh_from_db()
    assert change.state == State.SUCCEEDED
    assert not Change.objects.filter(origin=Origin.OUTSIDE).exists()


def test_a_known_report_with_other_content_is_told_once(change: Change) -> None:
    record_reports("web01", change.uuid, [step(1, "preflight")])
    assert CONTRADICTED not in kinds()
    for _ in range(3):
        record_reports("web01", change.uuid, [step(1, "packages")])
    assert kinds().count(CONTRADICTED) == 1


def test_a_change_that_was_not_requested_is_told_once_and_not_without_end(
    known_server: Callable[..., Server],
) -> None:
    server, number = known_server(), new_id()
    for _ in range(3):
        record_reports("web01", number, [step(1, "preflight")])
        record_log("web01", number, 0, "eA==")
    assert kinds().count(UNREQUESTED) == 1
    (finding,) = [f for f in examined(server, None).findings if f.code == "change_not_requested"]
    assert number in finding.seen
    for _ in range(unrequested.MOST_AN_HOUR + 5):
        record_reports("web01", new_id(), [step(1, "preflight")])
    record_reports("web01", "../../etc", [step(1, "preflight")])
    assert kinds().count(UNREQUESTED) == unrequested.MOST_AN_HOUR
    record_reports("nosuch", new_id(), [step(1, "preflight")])
    assert kinds("nosuch") == []


def test_the_id_of_a_change_in_a_comment_hides_nothing(
    change: Change, stock_profile: Callable[..., Profile]
) -> None:
    record_reports("web01", change.uuid, [outcome(2, "succeeded", after(change))])
    seen = after(change)
    comment = {"id": 9, "comment": change.uuid, "user": "root"}
    less = without(seen, "ea-apache24-mod_deflate")
    found = scanned(replace(less, facts={"last_transaction": comment}))
    assert found is not None
    again = without(less, "ea-apache24-mod_expires")
    comment = {"id": 10, "comment": found.uuid, "user": "root"}
    assert scanned(replace(again, facts={"last_transaction": comment})) is not None


def test_a_change_from_outside_takes_neither_reports_nor_log(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    known_server()
    found = scanned(without(stock_profile(), "ea-apache24-mod_deflate"))
    assert found is not None
    assert record_reports("web01", found.uuid, [step(1, "preflight")]) == 0
    assert record_log("web01", found.uuid, 0, "eA==") == 0


@pytest.mark.parametrize("number", ["a" * 32, "0" * 32, "x", ""])
def test_a_look_that_nobody_asked_for_is_not_believed(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile], number: str
) -> None:
    known_server()
    less = without(stock_profile(), "ea-apache24-mod_deflate")
    with pytest.raises(ValueError, match="request"):
        record_inspection("web01", number, less)
    old = request_number(timezone.now() - ANSWER_WITHIN - timedelta(minutes=1))
    with pytest.raises(BadMessage):
        record_inspection("web01", old, less)
    assert not Change.objects.exists()


def test_changes_from_outside_are_bounded_in_an_hour_and_that_is_said(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    known_server()
    stock = stock_profile()
    less = without(stock, "ea-apache24-mod_deflate")
    for _ in range(unrequested.MOST_AN_HOUR):
        scanned(less)
        scanned(stock)
    assert Change.objects.filter(origin=Origin.OUTSIDE).count() == unrequested.MOST_AN_HOUR
    assert kinds().count(TOO_MANY) == 1


def test_the_log_of_a_change_is_bounded(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrequested, "LONGEST_LOG", 10)
    assert record_log("web01", change.uuid, 0, "eHh4eHh4eHg=") == 8
    with pytest.raises(BadMessage):
        record_log("web01", change.uuid, 8, "eHh4eHh4eHg=")


ODD = [
    ("evidence", {"phase": {"a": 1}, "observations": {"x": 1}}),
    ("evidence", {"phase": "after", "observations": ["x"]}),
    ("finding", {"title": {"a": 1}}),
    ("interruption", {"refused": "many", "probes": 1}),
    ("interruption", {"strip": {"a": 1}}),
    ("moved", {"transaction": 7}),
    ("moved", {}),
    ("step", {"step": ["preflight"]}),
    ("outcome", {"outcome": "succeeded", "sentence": {"a": 1}}),
    ("step", {"step": "preflight", "words": 7}),
]


@pytest.mark.parametrize(("kind", "data"), ODD)
def test_a_report_of_another_shape_is_refused_whole(
    change: Change, kind: str, data: dict[str, Any]
) -> None:
    with pytest.raises(BadMessage):
        record_reports("web01", change.uuid, [report(2, kind, **data)])
    assert change.reports.count() == 1


def test_what_was_recorded_of_another_shape_does_not_break_its_page(
    change: Change, client: Client
) -> None:
    _, password = add_user("anna", "administrator", actor=ADMIN)
    assert client.login(username="anna", password=password)
    for number, (kind, data) in enumerate(ODD[:2], 2):
        Report.objects.create(change=change, seq=number, at=timezone.now(), kind=kind, data=data)
    for path in (reverse("change", args=[change.pk]), reverse("change-live", args=[change.pk])):
        assert client.get(path).status_code in (200, 286), path


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b]0;x", r"\x1b]0;x"),
        ("a\u202eb", r"a\u202eb"),
        ("\ud800", r"\ud800"),
        ("\x9b31m", r"\x9b31m"),
        ("one\n\ttwo", "one\n\ttwo"),
        ("größer", "größer"),
        ("\x00", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_what_controls_a_terminal_is_made_visible(said: str, shown: str) -> None:
    assert visible(said) == shown
    assert storable({"a": [said]}) == {"a": [shown]}


def test_facts_of_another_shape_are_as_if_nobody_had_told_them(
    stock_profile: Callable[..., Profile],
) -> None:
    odd: dict[str, Any] = {
        "php_dso_sites": "x",
        "excludes": 5,
        "missing_files": ["x"],
        "relations": 5,
        "prefork_only_directives": ["x"],
        "last_transaction": [1],
        "load": "x",
        "threads": "yes",
        "version_locks": {"a": 1},
        "httpd_said": ["x"],
    }
    good = {"excludes": ["ea-*"], "relations": {}, "something_new": 1}
    profile = stock_profile()
    assert Profile.from_json({**profile.as_json(), "facts": odd}).facts == {}
    assert Profile.from_json({**profile.as_json(), "facts": good}).facts == good
    assert Profile.from_json({**profile.as_json(), "facts": 7}).facts == {}
