"""What rules, plans, services and servers say in English is said in German on a German page."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from string import Formatter
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils.translation import override

from easyapache.ea4.advice import Answers, recommend, within_memory
from easyapache.ea4.capacity import MIB, Measured, capacities
from easyapache.ea4.conditions import CATALOG
from easyapache.ea4.mpm import (
    CGI,
    CGID,
    FCGID,
    HCHECK,
    HTTP2,
    ITK,
    MPM,
    QOS,
    RUID2,
    SUEXEC,
    SUPHP,
    Choice,
)
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.plan import Plan, make_plan, plan_from_transaction
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from easyapache.ea4.rules.findings import Finding
from easyapache.ea4.sentences import Sentence, with_sentences, with_words
from mpm.access.services.actor import Busy, Refused, Stale
from mpm.changes.services.record import record_reports
from mpm.history.story import story
from mpm.models import Change
from mpm.servers.models import Server
from mpm.web.translation import in_words
from tests.pure.servers import (
    CATALOGUE,
    event,
    packages_of,
    prefork,
    with_itk,
    worker,
)
from tests.web.conftest import MPM as CHOOSER
from tests.web.conftest import report
from tests.web.test_languages import entries

PHP = "ea-php74-php"
EVENT, WORKER, PREFORK = Choice(MPM.EVENT), Choice(MPM.WORKER), Choice(MPM.PREFORK)
ITK_ON = Choice(MPM.PREFORK, itk=True)
BALANCER = "ea-apache24-mod_proxy_balancer"
PLACE: dict[str, Any] = {"path": "/etc/t.conf", "line": 3, "directive": "x 5"}
TORN: dict[str, Any] = {
    "unfinished_transaction": "dnf's 7 never ended",
    "foreign_mpm_files": ["/etc/apache2/conf.d/x.conf"],
    "excludes": ["ea-apache24-mod_mpm_e*"],
    "version_locks": [f"!{CGI}", f"!{CGID}"],
    "configured_error": "AH00526",
    "running_error": "connection refused",
    "missing_files": {CGI: ["/etc/x.conf"]},
    "edited_config_files": {"/etc/mpm.conf": MPM.PREFORK.package},
    "prefork_only_directives": [{"path": "/etc/t.conf", "line": 3, "directive": "MinSpareServers"}],
    "threaded_only_directives": [
        {
            "path": "/etc/a.conf",
            "line": 4,
            "directive": "AsyncRequestWorkerFactor 2",
            "refused_by": ["event", "worker", "prefork"],
        }
    ],
    "guarded_mpm_lines": [
        {"path": "/etc/g.conf", "line": 5, "directive": "LoadModule x", "under": []}
    ],
    "misnamed_sections": [
        {
            "path": "/etc/m.conf",
            "line": 6,
            "directive": "ServerLimit 5",
            "name": "mpm_event",
            "right": "mpm_event_module",
        }
    ],
    "config_unread": ["/etc/pipe.conf: is not a regular file"],
    "os": "AlmaLinux 9.4",
    "httpd_version": "2.2.34",
}


def adding(mpm: MPM, *names: str, itk: bool = False) -> Choice:
    return Choice(mpm, itk=itk, add=frozenset(names))


def aged(profile: Profile, version: str, release: str, *names: str) -> Profile:
    return Profile(
        tuple(
            Package(item.name, version, release, item.arch)
            if item.name in names or (not names and item.version == "2.4.67")
            else item
            for item in profile.packages
        )
    )


def bare(*drop: str, facts: dict[str, Any] | None = None) -> Profile:
    packages = packages_of(MPM.PREFORK.package)
    return Profile(tuple(item for item in packages if item.name not in drop), facts=facts or {})


def situations() -> Iterator[tuple[Profile, Choice]]:
    """Servers and choices about which, together, every rule has something to say."""
    own = Package("ea-vendor-module", "1.0", "1", "x86_64")
    related = {"relations": {own.name: {"requires": ["ea-apache24-mpm = forked"]}}}
    yield Profile(prefork(RUID2, PHP).packages, facts=TORN), EVENT
    yield Profile(prefork().packages, facts=TORN), adding(MPM.PREFORK, PHP, itk=True)
    yield prefork(), Choice(MPM.WORKER, itk=True)
    yield prefork(), adding(MPM.EVENT, MPM.WORKER.package, ITK, "ea-apache24-mod-http2")
    yield prefork(), adding(MPM.EVENT, "ea-zzzz")
    yield event(), adding(MPM.EVENT, RUID2)
    yield event(), adding(MPM.EVENT, QOS)
    yield event(), adding(MPM.PREFORK, HTTP2)
    yield event(), adding(MPM.PREFORK, SUEXEC, itk=True)
    yield event(), adding(MPM.PREFORK, RUID2, SUEXEC)
    yield prefork(RUID2, PHP), Choice(MPM.EVENT, keep=frozenset({RUID2, PHP}))
    yield event(), Choice(MPM.EVENT, keep=frozenset({HTTP2, HCHECK}))
    yield with_itk(), ITK_ON
    yield with_itk(), PREFORK
    yield bare(MPM.PREFORK.package, CGI), PREFORK
    yield Profile(()), EVENT
    both = {*packages_of(MPM.EVENT.package), *packages_of(MPM.PREFORK.package)}
    yield Profile(tuple(sorted(both))), EVENT
    yield Profile((*prefork().packages, Package("ea-apr", "1.7.0", "1", "x86_64"))), EVENT
    yield Profile(prefork().packages, configured=Observation(("event",), itk=True)), PREFORK
    yield (
        Profile(prefork().packages, Observation(("prefork",)), Observation(("event", "worker"))),
        PREFORK,
    )
    yield aged(prefork(), "2.4.66", "1", CGI), EVENT
    yield bare("ea-documentroot"), EVENT
    for sites in ([], ["shop.example"], ["shop.example", "blog.example"]):
        yield prefork(RUID2, PHP, facts={"php_dso_sites": {PHP: sites}}), EVENT
    yield worker(SUEXEC, SUPHP, FCGID, HTTP2), ITK_ON
    yield prefork(RUID2), ITK_ON
    yield aged(with_itk(), "2.4.7.2", "5", ITK), ITK_ON
    yield prefork(), adding(MPM.EVENT, HTTP2, HCHECK)
    yield event(HTTP2, HCHECK), PREFORK
    yield prefork(BALANCER), EVENT
    yield worker(QOS), EVENT
    yield Profile((*prefork(RUID2, PHP).packages, own), facts=related), EVENT
    yield aged(prefork(), "2.4.65", "4"), adding(MPM.EVENT, SUEXEC)
    yield prefork(), adding(MPM.PREFORK, "ea-apache24-mod_substitute")
    lines = [{**PLACE, "directive": "php_value a 1", "package": PHP}] * 7
    beyond = {
        "htaccess_directives": lines,
        "htaccess_incomplete": True,
        "overridden_limits": [{**PLACE, "by": PLACE}],
        "other_servers": [
            {"program": name, "port": 80, "pid": 7} for name in ("litespeed", "nginx")
        ],
    }
    yield prefork(RUID2, PHP, facts=beyond), EVENT
    left = {
        "module_directives": {RUID2: [PLACE]},
        "closed_roots": ["/home/one/public_html"],
        "folders_of_users": [PLACE],
        "userdir_returns": True,
        "local_templates": [{"path": "/x.local", "lines": []}],
        "immutable_files": {"/etc/apache2/conf/httpd.conf": ""},
        "reloads_a_day": 48,
    }
    yield prefork(RUID2, facts=left), EVENT
    refused = [{**PLACE, "refused_by": ["prefork"]}]
    full = {
        "local_templates": [{"path": "/x.local", "lines": refused}],
        "semaphores": {"used": 128, "limit": 128},
    }
    lsapi, nginx = (
        Package(name, "1", "1", "x86_64") for name in ("ea-apache24-mod_lsapi", "ea-nginx")
    )
    yield Profile((*event(HTTP2).packages, lsapi, nginx), facts=full), ITK_ON
    last = {"id": 7, "at": "2026-12-01T10:04:00+00:00", "command": "remove x"}
    yield bare("ea-apache24", facts={"last_transaction": last}), EVENT
    yield bare("ea-apache24"), EVENT


def updating(version: str = "2.4.66") -> Plan:
    """The answer of a server that has ``version`` and would install 2.4.67 of Apache along."""
    new = make_plan(prefork(), EVENT, CATALOGUE).transaction
    kept = {"ea-apache24", "ea-apache24-tools"}
    old = aged(prefork(), version, "7")
    said = Transaction(
        install=tuple(
            sorted({*new.install, *(p for p in prefork().packages if p.name in kept)}),
        ),
        remove=tuple(
            sorted(p for p in old.packages if p.name in {*kept, CGI, MPM.PREFORK.package, RUID2})
        ),
    )
    return plan_from_transaction(old, EVENT, said, CATALOGUE)


def plans() -> Iterator[Plan]:
    for profile, choice in situations():
        yield make_plan(profile, choice, CATALOGUE)
    yield updating()
    yield updating("2.4.68")
    known = {"incomplete_change": 37, "agent_offline": True}
    yield make_plan(prefork(facts=known), EVENT, CATALOGUE)
    torn = make_plan(bare(MPM.PREFORK.package, CGI), EVENT, CATALOGUE)
    yield torn.inverse
    moves = make_plan(prefork(), EVENT, CATALOGUE).transaction
    other = Opinion(("ea-apache24-mod_http2", "ea-apache24-mod_cache"), ("ea-nghttp2",))
    yield plan_from_transaction(prefork(), EVENT, moves, CATALOGUE, other)


def codes() -> set[str]:
    """Every code written in the rules and in the plan."""
    found: set[str] = set()
    folder = settings.BASE_DIR / "easyapache/ea4"
    for path in (*folder.glob("rules/*.py"), folder / "plan.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "finding":
                found |= {str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant)}
    assert len(found) > 20
    return found


def in_german(text: str) -> str:
    """The German; it must differ from the English and must have all values filled in."""
    with override("de"):
        german = in_words(text)
    assert german != text, text
    assert not re.search(r"(?<!\{)\{\w+\}", german), german
    return german


def texts(finding: Finding) -> Iterator[str]:
    yield finding.title
    yield finding.message
    if finding.remedy:
        yield finding.remedy
    yield from (fix.label for fix in finding.fixes)


def test_every_finding_is_said_in_german_with_its_values() -> None:
    found: dict[str, list[Finding]] = {}
    for plan in plans():
        for finding in plan.findings:
            found.setdefault(finding.code, []).append(finding)
    assert codes() - set(found) == set()
    for findings in found.values():
        for finding in findings:
            german = " ".join(in_german(text) for text in texts(finding))
            assert " and " not in german, german
            assert Finding.from_json(finding.as_json()) == finding


def test_a_stored_plan_is_said_like_a_new_one() -> None:
    for plan in plans():
        stored = Plan.from_json(plan.as_json())
        for mine, kept in zip(plan.findings, stored.findings, strict=True):
            assert [in_german(one) for one in texts(mine)] == [
                in_german(one) for one in texts(kept)
            ]
        for item in (*stored.install, *stored.remove, *stored.keep):
            in_german(item.reason)


def test_advice_and_capacity_are_said_in_german() -> None:
    asked = [(event(), Answers(threads=False)), (event(), Answers(safe_polling=False))]
    asked += [(one, Answers()) for one in (prefork(PHP), with_itk(), worker(QOS), event())]
    for profile, answers in asked:
        for sentence in recommend(profile, answers).why:
            in_german(sentence)
        little = Measured(64 * MIB, MPM.PREFORK, 20 * MIB)
        for runs in (None, *MPM):
            for load in ((), capacities(little)):
                found_best = within_memory(recommend(profile, answers), profile, runs, load)
                for sentence in (found_best.headline, *found_best.why):
                    in_german(sentence)
    found = set()
    for values in (
        {"MaxRequestWorkers": 150},
        {"MaxRequestWorkers": 10_000},
        {"MaxRequestWorkers": 10},
        {"MaxRequestWorkers": 130, "ThreadsPerChild": 70},
    ):
        measured = Measured(
            1024 * MIB, MPM.PREFORK, 20 * MIB, MIB, 512 * MIB, busiest=200, directives=values
        )
        for capacity in capacities(measured):
            for caution in capacity.warnings:
                found.add(caution.code)
                in_german(caution.message)
    assert found == {
        "does_not_fit",
        "may_not_fit",
        "limit_stays_150",
        "limit_too_low",
        "limits_corrected",
    }


def test_every_known_failure_is_said_in_german() -> None:
    for failure in CATALOG:
        for text in (failure.title, failure.text, failure.remedy):
            if text:
                with override("de"):
                    assert in_words(text) != text, text


def test_what_arrived_from_a_server_is_said_in_german() -> None:
    from easyapache.ea4.conditions.diagnosis import diagnose

    [found] = diagnose("AH00534: httpd: Configuration error: No MPM loaded.")
    said = in_german(with_sentences(found.as_finding())["message"])
    assert "AH00534" in said
    assert "Details: " in said


@pytest.mark.django_db
def test_refusals_are_said_in_german(server: Server, running_change: Change) -> None:
    plan = make_plan(prefork(), Choice(MPM.WORKER, itk=True), CATALOGUE)
    for refused in (Busy(running_change), Stale(plan), Refused(plan.blocks[0].title)):
        in_german(refused.message)
        if refused.remedy:
            in_german(refused.remedy)


def test_the_places_for_values_are_the_same_in_both_languages() -> None:
    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    for english, said in entries():
        if "{" in english and "%(" not in english:
            for german in said:
                assert places(german) == places(english), english


def test_the_chooser_explains_itself_in_german(admin: Client, server: Server) -> None:
    address = f"{CHOOSER}?server={server.name}&mpm=event&itk=on"
    page = admin.get(address, headers={"Accept-Language": "de"}).content.decode()
    assert "MPM ITK funktioniert nur mit prefork" in page
    assert "event verwendet Threads." in page
    assert "MPM ITK works with prefork only" not in page
    english = admin.get(address, headers={"Accept-Language": "en"}).content.decode()
    assert "MPM ITK works with prefork only" in english


def test_a_text_without_translation_stays_english() -> None:
    with override("de"):
        assert in_words("Nobody wrote this down.") == "Nobody wrote this down."
        assert in_words(Sentence("Nobody wrote {what} down.", what=1)) == "Nobody wrote 1 down."
        assert in_words("") == ""


@pytest.mark.django_db
def test_how_a_change_ended_is_told_in_german(running_change: Change) -> None:
    change = running_change
    said = Sentence(
        "Nothing was changed. {why}", why=Sentence("Another change is running on this server.")
    )
    outcome = with_words({"outcome": "failed", "decided_by": "lock", "sentence": said}, "sentence")
    received = json.loads(json.dumps(outcome))
    last = report(change.last_report + 1, "outcome", **received)
    record_reports(change.server_name, change.uuid, [last])
    change.refresh_from_db()
    assert change.sentence == "Nothing was changed. Another change is running on this server."
    assert change.sentence in story(change)
    with override("de"):
        assert (
            "Nichts wurde geändert. Auf diesem Server läuft bereits eine andere Änderung."
            in story(change)
        )
