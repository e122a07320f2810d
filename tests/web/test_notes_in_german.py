"""What an agent notes while it works, and what is wrong with what somebody typed, in German.

The reports are those of a real engine on a simulated server, with every fault it knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils.translation import override

from easyapache.agent.change.engine import UNDO_ATTEMPTS
from easyapache.agent.httpd.sites import difference, summary
from easyapache.agent.httpd.verification import itk_check, mpm_check, package_checks
from easyapache.agent.server import Interruption
from easyapache.agent.simulated.state import FAULTS
from easyapache.ea4.mpm import Choice
from easyapache.ea4.profile import Observation, Profile
from easyapache.ea4.protocol import Failure, Report
from easyapache.ea4.sentences import with_sentences
from mpm.changes.detail import change_detail
from mpm.changes.services.planning import request_preview
from mpm.changes.services.record import record_reports
from mpm.changes.services.repairs import repair
from mpm.changes.services.request import request_change
from mpm.changes.views.pictures import probe_strip
from mpm.history.customer import ticket_text
from mpm.history.story import timeline
from mpm.models import Change
from mpm.servers.models import Server
from mpm.servers.services.heartbeat import record_heartbeat
from mpm.servers.services.inspection import record_preview
from mpm.web.translation import in_words
from tests.engine.simulation import Simulation
from tests.web.conftest import ADMIN, HISTORY, report

GERMAN = {"Accept-Language": "de"}
ENGLISH = re.compile(
    r"\b(the|and|with|were|are|is|not|of|nothing|there|here|started|expected|saw|asked|stands|"
    r"left|came|packages|answers?|should|could|cannot|would|failed|see|look|read|check)\b"
)
"""Words that no German sentence has."""
SAID_BY_PROGRAMS = re.compile(r"simulated|connection refused|AH\d{5}|dnf|rpm|LoadModule")
FIELDS = ("detail", "decided_by", "title", "message", "remedy", "reason", "sentence")
EA4 = "/software/easyapache4/"


def reports_of_an_engine(folder: Path, faults: dict[str, int]) -> list[dict[str, Any]]:
    """The journal of one change as it travels to the panel."""
    folder.mkdir()
    simulation = Simulation(folder, faults)
    request = simulation.request("event")
    journal = simulation.folder(request)
    simulation.engine(journal).run()
    return [json.loads(json.dumps(one.as_json())) for one in journal.reports()]


def sentences_of(reports: list[dict[str, Any]]) -> Iterator[str]:
    for one in reports:
        data = with_sentences(one["data"])
        yield from (data[name] for name in FIELDS if data.get(name))
        for observation in map(with_sentences, data.get("observations", ())):
            yield from (observation[name] for name in ("title", "expected", "seen"))


def english_in(german: str) -> str:
    """The English that is left, unless a program said it."""
    own, _, _quoted = german.partition(" Details: ")
    return "" if SAID_BY_PROGRAMS.search(own) else " ".join(ENGLISH.findall(own))


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_whatever_happens_the_agent_tells_it_in_german(fault: str, tmp_path: Path) -> None:
    reports = reports_of_an_engine(tmp_path / "sim", {fault: UNDO_ATTEMPTS} if fault else {})
    with override("de"):
        left = {text: in_words(text) for text in sentences_of(reports)}
    assert {english: german for english, german in left.items() if english_in(german)} == {}


def recorded(server: Server, reports: list[dict[str, Any]]) -> Change:
    change = request_change(server, Choice.parse("event"), actor=ADMIN)
    kept = [
        one | {"data": {k: v for k, v in one["data"].items() if k != "profile"}} for one in reports
    ]
    record_reports(server.name, change.uuid, map(Report.from_json, kept))
    change.refresh_from_db()
    assert change.finished
    return change


@pytest.mark.parametrize("fault", ["", "configtest", "locked", "site_differs"])
def test_the_page_of_a_change_is_german_down_to_its_notes(
    fault: str, admin: Client, server: Server, tmp_path: Path
) -> None:
    reports = reports_of_an_engine(tmp_path / "sim", {fault: 1} if fault else {})
    change = recorded(server, reports)
    page = admin.get(f"{HISTORY}{change.pk}/?print=1", headers=GERMAN).content.decode()
    cards = (
        r'<section class="card" aria-labelledby="(?:steps-title|evidence|timeline)".*?</section>'
    )
    parts = re.findall(cards, page, re.DOTALL)
    assert len(parts) == 3
    for part in parts:
        # Who did something is a name, and names stay as they are in the history.
        words = unescape(re.sub(r"<[^>]+>", " ", part)).replace("agent of web01", "")
        assert english_in(words) == "", words
    if fault != "locked":
        assert "Websites geprüft. Keine Probleme gefunden." in page
        assert "Konfiguriertes MPM" in page
    if not fault:
        assert "simulierter Server" in page
    english = admin.get(f"{HISTORY}{change.pk}/?print=1").content.decode()
    if fault != "locked":
        assert "sites checked. No problems found." in english


def test_programs_get_english_without_what_it_was_made_of(
    admin: Client, server: Server, tmp_path: Path
) -> None:
    change = recorded(server, reports_of_an_engine(tmp_path / "sim", {"configtest": 1}))
    with override("de"):
        said = json.dumps(change_detail(change).as_json())
    assert '"words"' not in said
    assert "sites checked. No problems found." in said
    assert "Configured MPM" in said


def test_timeline_and_ticket_tell_findings_in_german(server: Server, tmp_path: Path) -> None:
    change = recorded(server, reports_of_an_engine(tmp_path / "sim", {"locked": 1}))
    assert change.diagnosis
    title = with_sentences(change.diagnosis[0])["title"]
    with override("de"):
        german = in_words(title)
        assert german != title
        told = [entry.title for entry in timeline(change) if entry.kind == "finding"]
        assert german in told
        assert title not in told
        # What a check found is for those who run the server, not for a ticket.
        assert "Nicht begonnen" in ticket_text(change)
        assert german not in ticket_text(change)
        assert title not in ticket_text(change)


def test_a_cancel_that_came_too_late_is_explained_in_german(
    admin: Client, server: Server, running_change: Change
) -> None:
    from easyapache.agent.change.cancellation import ALREADY_TOO_LATE

    Change.objects.filter(pk=running_change.pk).update(state="canceling")
    data = {"accepted": False, "reason": ALREADY_TOO_LATE}
    record_reports(
        server.name, running_change.uuid, [report(running_change.last_report + 1, "cancel", **data)]
    )
    page = admin.get(f"{HISTORY}{running_change.pk}/", headers=GERMAN).content.decode()
    assert "Zum Abbrechen zu spät" in page


def test_the_strip_of_probes_is_told_in_the_readers_language() -> None:
    strip = {"strip": [[0, 0.8, "ok"], [5, 12.5, "slow"], [1000, 3, "refused"], [1010, 4, "reset"]]}
    with override("de"):
        shown = probe_strip(strip)
    assert shown is not None
    assert [bar.title for bar in shown.bars] == [
        "nach 0 ms: beantwortet, 0,8 ms",
        "nach 5 ms: langsam beantwortet, 12,5 ms",
        "nach 1000 ms: abgewiesen, 3,0 ms",
        "nach 1010 ms: unterbrochen, 4,0 ms",
    ]


def test_the_way_of_restarting_is_explained_in_german(admin: Client, server: Server) -> None:
    from easyapache.ea4.sentences import Sentence, with_words

    why = Sentence(
        "the old and new Apache share the ports ({why})",
        why=Sentence("supported by this kernel and the agent's permissions"),
    )
    how = with_words({"restart_method": "overlap", "restart_reason": why}, "restart_reason")
    record_heartbeat(server.name, "1.0", json.loads(json.dumps(how)))
    said = (
        "alter und neuer Apache teilen sich die Ports (von diesem Kernel und den Rechten des "
        "Agenten unterstützt)"
    )
    assert said in admin.get("/servers/web01/", headers=GERMAN).content.decode()
    assert escape(why) in admin.get("/servers/web01/").content.decode()
    told = Interruption("overlap", why).as_json()
    with override("de"):
        assert in_words(with_sentences(told)["reason"]) == said


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("result=wonderful", "'wonderful' muss eines von scheduled, queued"),
        ("since=yesterday", "'yesterday' ist kein Datum. Verwenden Sie ein Format wie 2026-03-03."),
        ("since=2026-13-45", "'2026-13-45' ist kein Datum."),
        ("itk=perhaps", "'perhaps' muss yes oder no sein."),
        ("cursor=x1", "Ungültiger Cursor."),
        (f"text={'x' * 201}", "Der Suchtext darf höchstens 200 Zeichen haben."),
    ],
)
def test_a_filter_that_means_nothing_is_explained_in_german(
    query: str, said: str, admin: Client, server: Server
) -> None:
    page = admin.get(f"{HISTORY}?{query}", headers=GERMAN)
    assert page.status_code == 422
    assert said in unescape(page.content.decode())
    if not query.startswith("cursor"):
        export = admin.get(f"{HISTORY}export.csv?{query}", headers=GERMAN)
        assert said in unescape(export.content.decode())


GOOD = {"name": "Mine", "desc": "", "version": "1.0", "tags": [], "pkgs": ["ea-apache24"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "Die Datei ist kein JSON (Zeile 1)."),
        (b"[" * 100_000, "Die Datei ist kein JSON."),
        (b"\xff\xfe", "Die Datei ist kein UTF-8-Text."),
        (b"[]", "Ein Profil muss ein JSON-Objekt sein."),
        (json.dumps({"name": "x"}).encode(), "Im Profil fehlt desc, version, tags, pkgs."),
        (
            json.dumps(GOOD | {"tags": "x"}).encode(),
            "„tags“ muss eine Liste von Zeichenketten sein.",
        ),
        (
            json.dumps(GOOD | {"version": True}).encode(),
            "„version“ muss eine Zeichenkette oder eine Zahl sein",
        ),
        (
            json.dumps(GOOD | {"name": " "}).encode(),
            "„name“ muss eine nicht leere Zeichenkette sein",
        ),
        (json.dumps(GOOD | {"desc": 1}).encode(), "„desc“ muss eine Zeichenkette sein."),
        (json.dumps(GOOD | {"pkgs": "x"}).encode(), "„pkgs“ muss eine Liste von Paketnamen sein."),
        (json.dumps(GOOD | {"pkgs": ["../x"]}).encode(), "; das ist kein Paketname."),
        (b" " * (1024 * 1024 + 1), "Die Datei ist größer als 1024 kB"),
    ],
)
def test_a_file_that_is_no_profile_is_explained_in_german(
    content: bytes, said: str, admin: Client, server: Server
) -> None:
    sent = {"file": SimpleUploadedFile("mine.json", content)}
    page = admin.post(f"{EA4}profiles/upload/", sent, headers=GERMAN)
    assert page.status_code == 422
    assert said in unescape(page.content.decode())


def test_a_name_that_is_taken_or_cannot_be_is_explained_in_german(
    admin: Client, server: Server
) -> None:
    form = {"name": "Mine", "file_name": "mine", "server": "web01"}
    assert admin.post(f"{EA4}profiles/save/", form).status_code == 302
    taken = admin.post(f"{EA4}profiles/save/", form, headers=GERMAN)
    assert "Ein Profil namens mine.json ist bereits vorhanden." in taken.content.decode()
    wrong = admin.post(f"{EA4}profiles/save/", form | {"file_name": ".."}, headers=GERMAN)
    assert "enthält keinen Schrägstrich." in wrong.content.decode()


def test_an_answer_to_a_repair_keeps_its_values_in_german(admin: Client, server: Server) -> None:
    from easyapache.agent.repair.repairs import Repaired
    from easyapache.ea4.sentences import Sentence
    from mpm.tasks import repaired

    asked = repair(server, "restart-httpd", ADMIN)
    done = Repaired(ok=True, message=Sentence("Apache runs {mpm}.", mpm="event"))
    answer = json.loads(json.dumps(done.as_json()))
    repaired(server=server.name, request=asked, action="restart-httpd", **answer)
    address = f"{EA4}doctor/?server=web01&asked={asked}"
    assert "Apache läuft mit event." in admin.get(address, headers=GERMAN).content.decode()
    assert "Apache runs event." in admin.get(address).content.decode()


def test_a_preview_that_failed_says_why_in_german(admin: Client, server: Server) -> None:
    from easyapache.agent.server import HostError
    from easyapache.agent.worker import _error
    from easyapache.ea4.sentences import Sentence

    preview = request_preview(server, Choice.parse("event"), ADMIN)
    error = HostError(
        "no_such_package",
        Sentence("No repository provides {names} anymore.", names="ea-apache24"),
        Sentence("Refresh the plan."),
    )
    failure = Failure.from_json(json.loads(json.dumps(_error(error))))
    record_preview(server.name, preview.uuid, None, failure)
    page = admin.get(f"{EA4}mpm/review/{preview.uuid}/", headers=GERMAN).content.decode()
    assert "Kein Repository stellt ea-apache24 noch bereit." in page
    assert "Aktualisieren Sie den Plan." in page


def test_observations_of_a_real_server_are_said_in_german() -> None:
    from easyapache.agent.server import SiteAnswer
    from easyapache.ea4.profile import Transaction

    nothing = Profile(packages=())
    good = SiteAnswer("http://x/", "x", "php", 200, content_type="text/html", size_class=11)
    found = [
        *package_checks(nothing, Transaction(), "event", True),
        mpm_check("running", "Running MPM", None, "", "event"),
        mpm_check("running", "Running MPM", Observation(("event", "worker")), "", "event"),
        itk_check("running_itk", "Running ITK", None, True),
    ]
    said = [text for check in found for text in (check.title, check.expected, check.seen)]
    said += [
        difference(good, replace(good, status=500)),
        difference(good, replace(good, location="http://y/")),
        difference(good, replace(good, content_type="")),
        difference(good, replace(good, size_class=2)),
        difference(good, replace(good, error="timed out")),
        summary(replace(good, error="timed out")),
    ]
    with override("de"):
        assert [text for text in map(in_words, said) if english_in(text)] == []
