"""One catalogue of conditions: one code, one title and one remedy for a cause, everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from string import Formatter

import pytest

from easyapache.agent.change.preflight import Preflight
from easyapache.ea4.conditions import BY_CODE, CATALOG
from easyapache.ea4.conditions.condition import Place
from easyapache.ea4.conditions.diagnosis import diagnose
from easyapache.ea4.conditions.renamed import RENAMED, code_of
from easyapache.ea4.faults import faults_of
from easyapache.ea4.mpm import CGI, CGID, ITK, MPM, RUID2, Choice
from easyapache.ea4.plan import make_plan
from easyapache.ea4.profile import Observation, Package, Profile
from tests.pure.servers import CATALOGUE, event, packages_of, prefork

ROOT = Path(__file__).parents[2]
PHP = "ea-php74-php"
EVENT = Choice(MPM.EVENT)


# -- the catalogue itself


def test_no_two_conditions_have_the_same_title() -> None:
    titles = [condition.title for condition in CATALOG]
    assert len(set(titles)) == len(titles)
    assert len(BY_CODE) == len(CATALOG)


def test_only_what_a_plan_alone_shows_has_places_for_values() -> None:
    for condition in CATALOG:
        assert not list(places(condition.text)), condition.code
        if list(places(condition.title)) or list(places(condition.remedy)):
            assert condition.places == (Place.PLAN,), condition.code


def places(template: str) -> Iterator[str]:
    return (name for _, name, _, _ in Formatter().parse(template) if name)


def first_arguments(folder: str, *names: str) -> dict[str, set[str]]:
    """Strings that are the first argument of calls of these names, and the files they are in."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0]
            if name in names and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.setdefault(first.value, set()).add(path.name)
    return found


def test_every_code_that_is_emitted_is_in_the_catalogue() -> None:
    emitted = {
        **first_arguments("easyapache/ea4", "finding"),
        **first_arguments("easyapache/agent", "Obstacle", "known"),
        **first_arguments("mpm", "known"),
    }
    assert len(emitted) > 60
    assert {code for code in emitted if code not in BY_CODE} == set()


def test_every_error_of_the_agent_has_a_condition() -> None:
    codes = first_arguments("easyapache/agent", "HostError", "Undecided")
    assert len(codes) > 15
    assert {code for code in codes if code_of(code) not in BY_CODE} == set()


def test_a_condition_of_a_plan_is_emitted_by_a_rule() -> None:
    emitted = set(first_arguments("easyapache/ea4", "finding"))
    planned = {condition.code for condition in CATALOG if Place.PLAN in condition.places}
    assert planned == emitted


def test_every_renamed_code_leads_into_the_catalogue_and_is_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert set(RENAMED.values()) <= set(BY_CODE)
    for old, new in RENAMED.items():
        assert old not in BY_CODE
        assert f"| Condition | `{old}` | `{new}` |" in changelog


# -- one cause, the same code and title everywhere


def torn(*mpms: str) -> Profile:
    names = {MPM(name).package for name in mpms}
    packages = {p for name in mpms for p in packages_of(MPM(name).package)}
    kept = {p for p in packages_of(MPM.PREFORK.package) if "mod_mpm" not in p.name}
    found = {p for p in packages | kept if "mod_mpm" not in p.name or p.name in names}
    return Profile(tuple(sorted(found)))


def facts(**given: object) -> Profile:
    return prefork(facts=given)


LINE = {"path": "/etc/apache2/conf.d/x.conf", "line": 3, "directive": "MinSpareServers 5"}
THREADS = {**LINE, "directive": "ThreadsPerChild 25", "refused_by": ["prefork"]}
RUNNING = replace(prefork(), running=Observation(("event",)))
DSO = prefork(RUID2, PHP)
DSO_THREADED = replace(
    event(),
    packages=(*event().packages, Package(PHP, "7.4.33", "15", "x86_64")),
)
ITK_THREADED = replace(
    event(),
    packages=(*event().packages, Package(ITK, "2.4.7.4", "5", "x86_64")),
    configured=Observation(("event",), True),
    running=Observation(("event",), True),
)
TWICE = replace(prefork(), packages=(*prefork().packages, Package("ea-apr", "1.0", "1", "x86_64")))
DOWN = replace(prefork(facts={"running_error": "no process"}), running=None)

Cause = tuple[Profile, Choice, str, Profile | None]
"""A server and a choice whose plan shows it; words of a program that do; a server whose
Diagnostics do, where it is another one."""
CAUSES: Mapping[str, Cause] = {
    "several_mpms": (
        torn("event", "prefork"),
        EVENT,
        "AH00534: httpd: Configuration error: More than one MPM loaded.",
        None,
    ),
    "no_mpm": (torn(), EVENT, "AH00534: httpd: Configuration error: No MPM loaded.", None),
    "files_missing": (
        facts(missing_files={CGI: ["/etc/apache2/conf.modules.d/005_mod_cgi.conf"]}),
        EVENT,
        "missing   c /etc/apache2/conf.modules.d/005_mod_cgi.conf",
        None,
    ),
    "configuration_broken": (
        facts(configured_error="AH00526: Syntax error on line 3"),
        EVENT,
        "AH00526: Syntax error on line 3 of /etc/apache2/conf.d/x.conf",
        None,
    ),
    "excluded": (
        facts(excludes=["ea-apache24-mod_mpm_e*"]),
        EVENT,
        "All matches were filtered out by exclude filtering for argument: ea-apache24",
        None,
    ),
    "version_locked": (
        facts(version_locks=[f"{CGID}-0:2.4.66-1.*"]),
        EVENT,
        "ea-apache24-mod_cgid-0:2.4.67-2.* is excluded by versionlock",
        None,
    ),
    "itk_needs_prefork": (
        prefork(),
        Choice(MPM.EVENT, itk=True),
        "mpm-itk cannot use threaded MPMs; please use prefork.",
        ITK_THREADED,
    ),
    "php_dso_needs_prefork": (
        DSO,
        EVENT,
        "Apache is running a threaded MPM, but your PHP Module is not compiled to be threadsafe.",
        DSO_THREADED,
    ),
    "unfinished_transaction": (
        facts(unfinished_transaction="dnf's 7"),
        EVENT,
        "There are unfinished transactions remaining.",
        None,
    ),
    "duplicate_packages": (TWICE, EVENT, "ea-apr-1.7 is a duplicate with ea-apr-1.0", None),
    "pending_restart": (RUNNING, EVENT, "Running MPM: expected prefork, got event", None),
    "httpd_down": (DOWN, EVENT, "httpd (no pid file) not running", None),
    "prefork_only_directives": (
        facts(prefork_only_directives=[LINE]),
        EVENT,
        "Invalid command 'MinSpareServers', perhaps misspelled",
        event(facts={"prefork_only_directives": [LINE]}),
    ),
    "threaded_only_directives": (
        event(facts={"threaded_only_directives": [THREADS]}),
        Choice(MPM.PREFORK),
        "Invalid command 'ThreadsPerChild', perhaps misspelled",
        facts(threaded_only_directives=[THREADS]),
    ),
    "itk_too_old": (
        replace(
            prefork(),
            packages=(
                *(p for p in prefork().packages if p.name != RUID2),
                Package(ITK, "2.4.7.2", "5", "x86_64"),
            ),
            configured=Observation(("prefork",), True),
            running=Observation(("prefork",), True),
        ),
        Choice(MPM.PREFORK, itk=True),
        "mpm-itk: child pid 7 exit signal Segmentation fault (11)",
        None,
    ),
}


@pytest.mark.parametrize("code", list(CAUSES))
def test_one_cause_has_one_code_title_and_remedy_everywhere(code: str) -> None:
    """On the plan, in Diagnostics of the server, and by what programs write in a failed change."""
    profile, choice, words, other = CAUSES[code]
    condition = BY_CODE[code]
    planned = {item.code: item for item in make_plan(profile, choice, CATALOGUE).findings}[code]
    in_change = diagnose(f"some line\n{words}\n")[0]
    on_server = {item.code: item for item in diagnose("", other or profile)}[code]
    assert in_change.code == code
    assert {planned.title, in_change.title, on_server.title} == {condition.title}
    assert {planned.remedy, in_change.fix, on_server.fix} == {condition.remedy}
    assert {in_change.repair, on_server.repair} == {condition.repair}
    assert {planned.severity, in_change.severity, on_server.severity} == {condition.severity}
    if Place.HEALTH in condition.listed_in:
        assert code in faults_of(other or profile)


def test_a_sound_server_has_no_fault_of_health() -> None:
    for profile in (prefork(), event()):
        assert faults_of(profile) == ()
    assert faults_of(Profile(())) == ()


@pytest.mark.parametrize("code", ["several_mpms", "no_mpm", "files_missing", "duplicate_packages"])
def test_preflight_names_a_torn_server_as_its_plan_does(code: str) -> None:
    profile = CAUSES[code][0]
    [found] = [item for item in Stub(profile).packages_torn() if item.code == code]
    assert (found.title, found.remedy) == (BY_CODE[code].title, BY_CODE[code].remedy)
    assert found.as_json()["severity"] == "block"


class Stub(Preflight):
    """Preflight's questions to a profile, without a server."""

    def __init__(self, profile: Profile) -> None:
        object.__setattr__(self, "profile", profile)


# -- what a profile shows beyond the MPM


def found(profile: Profile, choice: Choice) -> dict[str, str]:
    return {item.code: item.message for item in make_plan(profile, choice, CATALOGUE).findings}


def test_htaccess_directives_count_only_where_their_module_is_removed() -> None:
    line = {"path": "/home/user1/public_html/.htaccess", "line": 6, "package": PHP}
    given = {
        "htaccess_directives": [{**line, "directive": f"php_value a {n}"} for n in range(7)],
        "htaccess_incomplete": True,
    }
    profile = prefork(RUID2, PHP, facts=given)
    message = found(profile, EVENT)["htaccess_directives"]
    assert "php_value a 0 in /home/user1/public_html/.htaccess line 6" in message
    assert "2 more lines. Not all folders were searched." in message
    assert "htaccess_directives" not in found(profile, Choice(MPM.PREFORK))


def test_limits_that_are_set_again_are_on_the_plan_and_in_diagnostics() -> None:
    early = {"path": "/a/pre_main_global.conf", "line": 3, "directive": "serverlimit 8"}
    later = {"path": "/a/httpd.conf", "line": 90, "directive": "serverlimit 256"}
    profile = facts(overridden_limits=[{**early, "by": later}])
    words = "serverlimit 8 in /a/pre_main_global.conf line 3, then serverlimit 256 in"
    assert words in found(profile, EVENT)["limits_overridden"]
    assert "limits_overridden" in {item.code for item in diagnose("", profile)}


def test_litespeed_in_place_of_apache_blocks_and_nginx_in_front_is_a_note() -> None:
    servers = [
        {"program": "litespeed", "port": 80, "pid": 7},
        {"program": "nginx", "port": 443, "pid": 8},
    ]
    profile = facts(other_servers=servers)
    plan = make_plan(profile, EVENT, CATALOGUE)
    assert "replaced_by_another_server" in {item.code for item in plan.blocks}
    seen = found(profile, EVENT)
    assert "litespeed (process 7) listens on port 80." in seen["replaced_by_another_server"]
    assert "nginx (process 8) listens on port 443." in seen["server_in_front"]
    assert not make_plan(facts(other_servers=servers[1:]), EVENT, CATALOGUE).blocked


def test_facts_of_another_shape_are_as_if_they_were_not_there() -> None:
    for odd in ("x", 7, ["x"], [{"path": 1}], {"a": 1}):
        profile = facts(
            overridden_limits=odd,
            other_servers=odd,
            htaccess_directives=odd,
            repository_filters=odd,
            prefork_only_directives=odd,
        )
        assert not make_plan(profile, EVENT, CATALOGUE).blocked
        diagnose("", profile)
