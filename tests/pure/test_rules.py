from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from easyapache.ea4.conditions.condition import Severity
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
from easyapache.ea4.plan import Plan, make_plan, plan_from_transaction
from easyapache.ea4.profile import Observation, Package, Profile, Transaction
from easyapache.ea4.rules.findings import Finding
from tests.pure.servers import (
    CATALOGUE,
    event,
    packages_of,
    prefork,
    server,
    with_itk,
    worker,
)

PHP = "ea-php74-php"
P = "ea-apache24-"
EVENT, WORKER, PREFORK = Choice(MPM.EVENT), Choice(MPM.WORKER), Choice(MPM.PREFORK)
ITK_ON = Choice(MPM.PREFORK, itk=True)


def plan(profile: Profile, choice: Choice) -> Plan:
    return make_plan(profile, choice, CATALOGUE)


def found(profile: Profile, choice: Choice) -> dict[str, Finding]:
    return {finding.code: finding for finding in plan(profile, choice).findings}


def adding(mpm: MPM, *names: str, itk: bool = False) -> Choice:
    return Choice(mpm, itk=itk, add=frozenset(names))


def bare(*drop: str, **parts: Any) -> Profile:
    packages = tuple(p for p in packages_of(MPM.PREFORK.package) if p.name not in drop)
    return Profile(packages, **parts)


# -- the choice


def test_itk_with_threads_is_blocked_with_two_ways_out() -> None:
    finding = found(prefork(), Choice(MPM.WORKER, itk=True))["itk_needs_prefork"]
    assert finding.severity is Severity.BLOCK
    assert "worker uses threads" in finding.message
    for fix in finding.fixes:
        choice = Choice(MPM.WORKER, itk=True).with_fix(mpm=fix.mpm, itk=fix.itk)
        assert not plan(prefork(), choice).blocked


def test_itk_wants_apache_24() -> None:
    assert "itk_needs_apache_24" in found(prefork(facts={"httpd_version": "2.2.34"}), ITK_ON)
    assert "itk_needs_apache_24" not in found(prefork(facts={"httpd_version": "2.4.67"}), ITK_ON)


def test_another_mpm_cannot_be_added() -> None:
    findings = found(prefork(), adding(MPM.EVENT, MPM.WORKER.package))
    assert findings["more_than_one_mpm"].severity is Severity.BLOCK
    assert findings["more_than_one_mpm"].fixes[0].mpm == "worker"
    assert "unsatisfiable" not in findings


def test_adding_the_package_of_itk_is_not_switching_it_on() -> None:
    assert found(prefork(), adding(MPM.PREFORK, ITK))["itk_is_a_switch"].fixes[0].itk is True
    assert plan(with_itk(), adding(MPM.PREFORK, ITK)).blocked


def test_an_unknown_package_is_blocked_with_a_suggestion() -> None:
    finding = found(prefork(), adding(MPM.EVENT, f"{P}mod-http2"))["no_such_package"]
    assert finding.severity is Severity.BLOCK
    assert f"Did you mean {HTTP2}" in finding.message
    assert "misspelled" in found(prefork(), adding(MPM.EVENT, "ea-zzzz"))["no_such_package"].message


def test_a_package_that_only_the_server_knows_exists_and_is_no_part_of_an_mpm_change() -> None:
    choice = adding(MPM.EVENT, "ea-vendor-module")
    assert found(prefork(), choice)["no_such_package"].severity is Severity.BLOCK
    stored = plan(prefork(), Choice(MPM.EVENT)).transaction
    brought = Package("ea-vendor-module", "1.0", "1", "x86_64")
    answer = Transaction(install=(*stored.install, brought), remove=stored.remove)
    answered = plan_from_transaction(prefork(), choice, answer, CATALOGUE)
    assert [finding.code for finding in answered.blocks] == ["beyond_the_mpm"]
    assert answered.blocks[0].packages == ("ea-vendor-module",)


def test_a_package_that_is_no_companion_is_blocked_on_the_plan_while_the_mpm_stays() -> None:
    header = f"{P}mod_substitute"
    finding = found(prefork(), adding(MPM.PREFORK, header))["beyond_the_mpm"]
    assert finding.severity is Severity.BLOCK
    assert finding.packages == (header,)
    assert "beyond_the_mpm" not in found(prefork(), adding(MPM.EVENT, header))
    assert "beyond_the_mpm" not in found(event(), adding(MPM.EVENT, HTTP2))


def test_php_inside_apache_is_not_for_every_system() -> None:
    new = prefork(facts={"os": "AlmaLinux 9.4 (Seafoam Ocelot)"})
    finding = found(new, adding(MPM.PREFORK, PHP))["package_not_for_this_system"]
    assert finding.severity is Severity.BLOCK
    assert "ea-php74-php-fpm" in finding.remedy
    old = prefork(facts={"os": "AlmaLinux 8.10 (Cerulean Leopard)"})
    assert not plan(old, adding(MPM.PREFORK, PHP)).blocked
    lab = prefork(facts={"os": "EasyApache 4 lab on Debian GNU/Linux 12"})
    assert not plan(lab, adding(MPM.PREFORK, PHP)).blocked


@pytest.mark.parametrize(
    ("choice", "words", "ways"),
    [
        (adding(MPM.EVENT, RUID2), "requires a forked MPM", {"prefork"}),
        (adding(MPM.WORKER, PHP), "requires a forked MPM", {"prefork"}),
        (adding(MPM.EVENT, QOS), "works with worker only", {"worker"}),
        (adding(MPM.PREFORK, HTTP2), "conflicts with prefork", {"event", "worker"}),
        (adding(MPM.PREFORK, HCHECK), "conflicts with prefork", {"event", "worker"}),
        (adding(MPM.PREFORK, SUEXEC, itk=True), "conflicts with MPM ITK", set(MPM)),
        (adding(MPM.EVENT, CGI), "requires a forked MPM", {"prefork"}),
    ],
)
def test_what_does_not_go_with_the_choice_says_what_it_goes_with(
    choice: Choice, words: str, ways: set[str]
) -> None:
    finding = found(event(), choice)["extra_package_conflicts"]
    assert finding.severity is Severity.BLOCK
    assert words in finding.message
    assert {fix.mpm for fix in finding.fixes} == ways
    for fix in finding.fixes:
        assert not plan(event(), choice.with_fix(mpm=fix.mpm, itk=fix.itk)).blocked


def test_additions_that_exclude_each_other_are_explained() -> None:
    finding = found(event(), adding(MPM.PREFORK, RUID2, SUEXEC))["unsatisfiable"]
    assert finding.severity is Severity.BLOCK
    assert "conflicts with" in finding.message


def test_keeping_what_must_go_blocks_the_change() -> None:
    profile = prefork(RUID2, PHP)
    finding = found(profile, Choice(MPM.EVENT, keep=frozenset({RUID2, PHP})))[
        "kept_package_removed"
    ]
    assert finding.severity is Severity.BLOCK
    assert set(finding.packages) == {RUID2, PHP}
    stay, let_go = finding.fixes
    assert stay.mpm == "prefork"
    choice = Choice(MPM.EVENT, keep=frozenset({RUID2, PHP})).with_fix(unkeep=let_go.unkeep)
    assert not plan(profile, choice).blocked


def test_keeping_what_is_not_there_is_pointed_out() -> None:
    assert "kept_package_not_installed" in found(
        event(), Choice(MPM.EVENT, keep=frozenset({HTTP2}))
    )


def test_nothing_to_do_is_said_only_when_all_three_agree() -> None:
    assert "nothing_to_do" in found(prefork(), PREFORK)
    assert "nothing_to_do" in found(with_itk(), ITK_ON)
    waiting = Profile(prefork().packages, running=Observation(("event",)))
    assert "nothing_to_do" not in found(waiting, PREFORK)
    assert "nothing_to_do" not in found(prefork(), EVENT)


def test_the_default_is_named_where_there_is_none() -> None:
    assert "default_mpm" in found(bare(MPM.PREFORK.package, CGI), PREFORK)


# -- the server


def test_without_apache_there_is_nothing_to_choose() -> None:
    assert found(Profile(()), EVENT)["no_apache"].severity is Severity.BLOCK


def test_a_torn_server_is_the_doctors_before_it_is_changed() -> None:
    none = found(bare(MPM.PREFORK.package, CGI), EVENT)["no_mpm"]
    assert "AH00534" in none.message
    assert "Diagnostics" in none.remedy
    assert none.severity is Severity.BLOCK
    both = {*packages_of(MPM.EVENT.package), *packages_of(MPM.PREFORK.package)}
    finding = found(Profile(tuple(sorted(both))), EVENT)["several_mpms"]
    assert finding.severity is Severity.BLOCK
    assert finding.packages == (MPM.EVENT.package, MPM.PREFORK.package)


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        ({"unfinished_transaction": "dnf's 7 never ended"}, "unfinished_transaction", "dnf's 7"),
        ({"foreign_mpm_files": ["/etc/apache2/conf.d/x.conf"]}, "foreign_mpm_file", "x.conf"),
        ({"excludes": ["ea-apache24-mod_mpm_e*"]}, "excluded", "mod_mpm_event"),
        ({"excludes": [MPM.PREFORK.package]}, "excluded", "mod_mpm_prefork"),
        ({"version_locks": [f"{CGID}-0:2.4.66-1.*"]}, "version_locked", "mod_cgid"),
        ({"missing_files": {CGI: ["/etc/x.conf"]}}, "files_missing", "/etc/x.conf"),
        ({"configured_error": "AH00526: Syntax error"}, "configuration_broken", "AH00526"),
        (
            {"prefork_only_directives": [{"path": "/t.conf", "line": 3, "directive": "X 5"}]},
            "prefork_only_directives",
            "X 5 in /t.conf line 3",
        ),
    ],
)
def test_an_obstacle_on_the_server_blocks_the_change(
    facts: Mapping[str, Any], code: str, words: str
) -> None:
    finding = found(prefork(facts=facts), EVENT)[code]
    assert finding.severity is Severity.BLOCK
    assert words in finding.message
    assert finding.remedy


def test_an_obstacle_that_this_change_does_not_meet_is_not_mentioned() -> None:
    facts = {"foreign_mpm_files": ["/x"], "excludes": ["ea-apache24-mod_mpm_e*"]}
    assert not plan(prefork(facts=facts), PREFORK).blocked
    assert "excluded" not in found(prefork(facts=facts), WORKER)


def test_packages_in_two_versions_block_the_change() -> None:
    twice = (*prefork().packages, Package("ea-apr", "1.7.0", "1", "x86_64"))
    assert found(Profile(twice), EVENT)["duplicate_packages"].packages == ("ea-apr",)


def test_three_observations_that_disagree_are_told_apart() -> None:
    packages = prefork().packages
    torn = Profile(packages, configured=Observation(("event",)), running=Observation(("event",)))
    assert "configuration_differs" in found(torn, PREFORK)
    assert "pending_restart" not in found(torn, PREFORK)
    waiting = Profile(
        packages, configured=Observation(("prefork",)), running=Observation(("event",))
    )
    assert "pending_restart" in found(waiting, PREFORK)
    assert "configuration_differs" not in found(waiting, PREFORK)
    assert "pending_restart" not in found(prefork(), EVENT)


def test_what_could_not_be_observed_is_said() -> None:
    facts = {"configured_error": "AH00526", "running_error": "connection refused"}
    findings = found(Profile(prefork().packages, facts=facts), EVENT)
    assert "AH00526" in findings["configuration_broken"].message
    assert "refused" in findings["httpd_down"].message


def test_missing_and_edited_files_are_named() -> None:
    conf = "/etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf"
    facts = {
        "missing_files": {CGI: ["/etc/apache2/conf.modules.d/005_mod_cgi.conf"]},
        "edited_config_files": {conf: MPM.PREFORK.package, "/etc/apache2/x.conf": "ea-apache24"},
    }
    findings = found(prefork(facts=facts), EVENT)
    assert "005_mod_cgi.conf" in findings["files_missing"].message
    assert findings["edited_files_saved_aside"].packages == (MPM.PREFORK.package,)
    assert "edited_files_saved_aside" not in found(prefork(facts=facts), PREFORK)


def test_directives_of_prefork_stop_event_from_starting() -> None:
    place = {"path": "/etc/apache2/conf.d/tune.conf", "line": 3, "directive": "MinSpareServers 5"}
    facts = {"prefork_only_directives": [place]}
    message = found(prefork(facts=facts), EVENT)["prefork_only_directives"].message
    assert "MinSpareServers 5 in /etc/apache2/conf.d/tune.conf line 3" in message
    assert "prefork_only_directives" not in found(prefork(facts=facts), PREFORK)


def test_a_directive_is_in_the_way_of_those_mpms_alone_that_refuse_it() -> None:
    place = {"path": "/t.conf", "line": 3, "directive": "x 5"}
    facts = {"prefork_only_directives": [{**place, "refused_by": ["worker"]}]}
    assert "prefork_only_directives" in found(prefork(facts=facts), WORKER)
    assert "prefork_only_directives" not in found(prefork(facts=facts), EVENT)
    facts = {"threaded_only_directives": [{**place, "refused_by": ["worker", "prefork"]}]}
    assert (
        found(prefork(facts=facts), WORKER)["threaded_only_directives"].severity is Severity.BLOCK
    )
    assert "threaded_only_directives" not in found(prefork(facts=facts), EVENT)


def test_what_has_no_effect_is_a_note_and_blocks_nothing() -> None:
    place = {"path": "/t.conf", "line": 3, "directive": "MaxRequestWorkers 9"}
    facts: dict[str, Any] = {
        "guarded_mpm_lines": [{**place, "under": ["worker"]}],
        "misnamed_sections": [{**place, "name": "mpm_event", "right": "mpm_event_module"}],
        "config_unread": ["/pipe: is not a regular file"],
    }
    findings = found(prefork(facts=facts), EVENT)
    for code in ("guarded_mpm_lines", "misnamed_sections", "config_unread"):
        assert findings[code].severity is Severity.NOTE
    assert "mpm_event_module instead of mpm_event" in findings["misnamed_sections"].message
    assert "foreign_mpm_file" not in findings
    assert found(prefork(facts=facts), WORKER)["foreign_mpm_file"].severity is Severity.BLOCK


@pytest.mark.parametrize(
    "lock",
    [
        *("ea-apache24-mod_cgid-0:2.4.66-1.*", "ea-apache24-mod_cgid-2.4.66"),
        *("0:ea-apache24-mod_cgid-2.4.66-1.x86_64", "ea-apache24-mod_cg*-0:2.4.66-1.*"),
        *("!ea-apache24-mod_cgid-0:2.4.67-2.*", "!ea-apache24-mod_cgid"),
    ],
)
def test_a_version_lock_in_the_way_is_named(lock: str) -> None:
    facts = {"version_locks": [lock]}
    assert CGID in found(prefork(facts=facts), EVENT)["version_locked"].packages


@pytest.mark.parametrize(
    "locks",
    [
        *(["ea-php*"], ["ea-apache24-mod_cgi-0:2.4.67-2.*"], ["!ea-apache24-mod_cgi"]),
        *(["ea-apache24-mod_cgid-0:2.4.67-2.*"], ["ea-apache24-mod_cgid"], ["ea-apache24*"]),
        ["ea-apache24-mod_cgid-0:2.4.66-1.*", "ea-apache24-mod_cgid-0:2.4.67-2.*"],
    ],
)
def test_a_version_lock_of_what_leaves_or_of_what_comes_is_in_nobodys_way(
    locks: list[str],
) -> None:
    """As dnf 4.14 with the versionlock plugin 4.3.1 resolved them in the lab."""
    assert "version_locked" not in found(prefork(facts={"version_locks": locks}), EVENT)


def test_versions_out_of_step_are_told_from_other_faults() -> None:
    odd = tuple(
        Package(p.name, "2.4.66", "1", p.arch) if p.name == CGI else p for p in prefork().packages
    )
    assert found(Profile(odd), EVENT)["mixed_versions"].packages == (CGI,)
    assert "packages_contradict" in found(bare("ea-documentroot"), EVENT)
    assert "packages_contradict" not in found(prefork(), EVENT)


# -- packages and modules


def test_php_inside_apache_goes_and_its_sites_are_named() -> None:
    facts = {"php_dso_sites": {PHP: ["shop.example", "blog.example"]}}
    finding = found(prefork(RUID2, PHP, facts=facts), EVENT)["php_dso_needs_prefork"]
    assert finding.severity is Severity.WARN
    assert "2 sites use it: shop.example, blog.example." in finding.message
    assert finding.fixes[0].mpm == "prefork"
    assert "Couldn't detect" in found(prefork(RUID2, PHP), EVENT)["php_dso_needs_prefork"].message
    none = prefork(RUID2, PHP, facts={"php_dso_sites": {PHP: []}})
    assert "No site uses it" in found(none, EVENT)["php_dso_needs_prefork"].message


def test_code_that_would_run_as_nobody_can_be_kept_from_it() -> None:
    finding = found(prefork(RUID2), EVENT)["code_runs_as_nobody"]
    assert finding.severity is Severity.WARN
    assert finding.fixes[0].add == (SUEXEC,)
    fixed = found(prefork(RUID2), adding(MPM.EVENT, *finding.fixes[0].add))
    assert "code_runs_as_nobody" not in fixed
    assert RUID2 in fixed["packages_removed"].packages
    for choice in (EVENT, WORKER, PREFORK):
        of_itk = found(with_itk(), choice)["code_runs_as_nobody"]
        assert of_itk.fixes[0].add == (SUEXEC,)
        kept = adding(choice.mpm, *of_itk.fixes[0].add)
        assert "code_runs_as_nobody" not in found(with_itk(), kept)
    assert "code_runs_as_nobody" not in found(event(SUEXEC), WORKER)


def test_itk_says_what_it_takes_over_and_what_it_does_without() -> None:
    findings = found(worker(SUEXEC, SUPHP, FCGID, HTTP2), ITK_ON)
    assert set(findings["itk_replaces_modules"].packages) == {SUEXEC, SUPHP, FCGID, HTTP2}
    assert findings["php_handlers_change"].severity is Severity.WARN
    assert set(findings["php_handlers_change"].packages) == {SUPHP, FCGID}
    assert "mail()" in findings["itk_seccomp"].title
    assert "UserDir" in findings["itk_limits"].message
    of_ruid2 = found(prefork(RUID2), ITK_ON)
    assert of_ruid2["itk_replaces_modules"].severity is Severity.NOTE
    assert "php_handlers_change" not in of_ruid2
    assert not {"itk_limits", "itk_seccomp"} & set(found(with_itk(), ITK_ON))


def test_an_itk_that_crashes_is_pointed_out() -> None:
    old = tuple(
        Package(ITK, "2.4.7.2", "5", p.arch) if p.name == ITK else p for p in with_itk().packages
    )
    assert "itk_too_old" in found(Profile(old), ITK_ON)
    assert "itk_too_old" not in found(with_itk(), ITK_ON)


def test_the_cgi_modules_take_each_others_place() -> None:
    assert found(prefork(), EVENT)["cgi_swapped"].packages == (CGI, CGID)
    assert found(event(), PREFORK)["cgi_swapped"].packages == (CGID, CGI)
    assert "cgi_swapped" not in found(event(), WORKER)


def test_http2_is_gained_and_lost_with_threads() -> None:
    gain = found(prefork(), EVENT)["http2_possible"]
    assert gain.severity is Severity.GAIN
    assert "http2_installed" in found(prefork(), adding(MPM.EVENT, *gain.fixes[0].add))
    assert found(event(HTTP2), PREFORK)["http2_needs_threads"].severity is Severity.WARN
    assert "http2_possible" not in found(event(HTTP2), WORKER)


def test_health_checks_are_gained_and_lost_with_threads() -> None:
    assert found(event(HCHECK), PREFORK)["hcheck_needs_threads"].severity is Severity.WARN
    balancer = f"{P}mod_proxy_balancer"
    assert found(prefork(balancer), EVENT)["hcheck_possible"].severity is Severity.GAIN
    assert "hcheck_possible" not in found(prefork(), EVENT)
    assert "hcheck_installed" in found(prefork(), adding(MPM.EVENT, HCHECK))


def test_mod_qos_lives_with_worker_alone() -> None:
    assert found(worker(QOS), EVENT)["qos_needs_worker"].fixes[0].mpm == "worker"
    assert "qos_needs_worker" in found(worker(QOS), PREFORK)


def test_packages_nobody_asked_about_are_named_once() -> None:
    own = Package("ea-vendor-module", "1.0", "1", "x86_64")
    facts = {"relations": {own.name: {"requires": ["ea-apache24-mpm = forked"]}}}
    profile = Profile((*prefork(RUID2, PHP).packages, own), facts=facts)
    assert found(profile, EVENT)["packages_removed"].packages == (own.name,)
    assert "packages_removed" not in found(prefork(RUID2, PHP), EVENT)


def test_a_server_that_would_update_along_says_so() -> None:
    old = tuple(
        Package(p.name, "2.4.66", "7", p.arch) if p.version == "2.4.67" else p
        for p in prefork().packages
    )
    new = make_plan(prefork(), EVENT, CATALOGUE)
    kept = {"ea-apache24", "ea-apache24-tools"}
    moves = Transaction(
        install=tuple(
            sorted({*new.transaction.install, *(p for p in prefork().packages if p.name in kept)})
        ),
        remove=tuple(sorted(p for p in old if p.name in {*kept, CGI, MPM.PREFORK.package, RUID2})),
    )
    answered = plan_from_transaction(Profile(old), EVENT, moves, CATALOGUE)
    codes = {finding.code: finding for finding in answered.findings}
    assert set(codes["updates_included"].packages) == kept
    assert not kept & answered.removed
    assert answered.headline == "prefork → event · 2 to install · 2 to update · 3 to remove"


def test_an_apache_that_would_be_downgraded_blocks_the_change() -> None:
    """As with cPanel's delayed repository: installed is newer than what is offered."""
    newer = tuple(
        Package(p.name, "2.4.68", "1", p.arch) if p.version == "2.4.67" else p
        for p in prefork().packages
    )
    offered = make_plan(prefork(), EVENT, CATALOGUE).transaction
    main = {p.name: p for p in prefork().packages}["ea-apache24"]
    answer = Transaction(
        install=tuple(sorted({*offered.install, main})),
        remove=tuple(p for p in newer if p.name in {"ea-apache24", CGI, MPM.PREFORK.package}),
    )
    answered = plan_from_transaction(Profile(newer), EVENT, answer, CATALOGUE)
    findings = {finding.code: finding for finding in answered.findings}
    assert findings["apache_downgraded"].severity is Severity.BLOCK
    assert "2.4.68-1 → 2.4.67-2" in findings["apache_downgraded"].message
    assert "updates_included" not in findings


@pytest.mark.parametrize(("version", "warned"), [("2.4.65-4", True), ("2.4.66-5", False)])
def test_the_suexec_that_conflicts_with_itself_is_pointed_out(version: str, warned: bool) -> None:
    number, release = version.split("-")
    old = tuple(
        Package(p.name, number, release, p.arch) if p.version == "2.4.67" else p
        for p in prefork().packages
    )
    findings = found(Profile(old), adding(MPM.EVENT, SUEXEC))
    assert ("suexec_conflicts_with_itself" in findings) is warned


def test_what_changes_for_capacity_is_said() -> None:
    assert "150" in found(prefork(), EVENT)["limit_stays_150"].message
    assert "limit_stays_150" not in found(event(), WORKER)
    assert "one_process_per_request" in found(event(), PREFORK)
    assert "one_process_per_request" not in found(prefork(), ITK_ON)


def test_a_server_in_order_is_not_nagged() -> None:
    (finding,) = plan(server(MPM.EVENT.package, SUEXEC), EVENT).findings
    assert finding.code == "nothing_to_do"


# -- what a server tells of itself


def place(directive: str, line: int = 3, **more: Any) -> dict[str, Any]:
    return {"path": "/etc/apache2/conf.d/x.conf", "line": line, "directive": directive, **more}


def with_facts(profile: Profile, **facts: Any) -> Profile:
    return Profile(
        profile.packages, profile.configured, profile.running, {**profile.facts, **facts}
    )


def beside(profile: Profile, *names: str) -> Profile:
    """With packages that are in no catalog."""
    extra = tuple(Package(name, "1", "1", "x86_64") for name in names)
    return Profile((*profile.packages, *extra), profile.configured, profile.running, profile.facts)


def test_an_apache_that_was_removed_is_not_one_that_never_was() -> None:
    """By removing the MPM first, to install another one later."""
    last = {"id": 7, "at": "2026-12-01T10:04:00+00:00", "command": "remove ea-apache24-mod_mpm_x"}
    findings = found(bare(P[:-1], facts={"last_transaction": last}), EVENT)
    assert "no_apache" not in findings
    assert "transaction is 7, of 2026-12-01 10:04: remove" in findings["apache_removed"].message
    assert findings["apache_removed"].remedy == "As root, run: dnf history undo 7"
    assert findings["apache_removed"].severity is Severity.BLOCK
    unknown = found(bare(P[:-1]), EVENT)["apache_removed"]
    assert "Installed parts of it" in unknown.message


def test_behind_nginx_http2_does_not_go_with_the_mpm() -> None:
    behind = beside(event(HTTP2), "ea-nginx")
    assert "http2_behind_nginx" in found(behind, PREFORK)
    assert "http2_needs_threads" not in found(behind, PREFORK)
    assert "http2_needs_threads" in found(event(HTTP2), PREFORK)
    assert "http2_possible" not in found(beside(prefork(), "ea-nginx"), EVENT)
    assert "http2_possible" in found(prefork(), EVENT)


def test_an_nginx_that_requires_apaches_http2_leaves_with_it() -> None:
    """As ea-nginx-http2 did for a day."""
    relations = {"ea-nginx-http2": {"requires": ["ea-nginx", HTTP2]}}
    profile = beside(event(HTTP2), "ea-nginx", "ea-nginx-http2")
    made = plan(with_facts(profile, relations=relations), PREFORK)
    assert "ea-nginx-http2" in made.removed


@pytest.mark.parametrize("choice", [ITK_ON, adding(MPM.PREFORK, RUID2)])
def test_lsapi_is_told_apart_from_what_runs_sites_as_their_users(choice: Choice) -> None:
    with_lsapi = beside(event(SUEXEC), f"{P}mod_lsapi")
    assert "lsapi_without_its_user" in found(with_lsapi, choice)
    assert "lsapi_without_its_user" not in found(with_lsapi, WORKER)
    assert "lsapi_without_its_user" not in found(event(SUEXEC), choice)


def test_few_semaphores_matter_to_prefork() -> None:
    few = with_facts(event(), semaphores={"used": 103, "limit": 128})
    assert "103 of 128 sets are in use." in found(few, PREFORK)["few_semaphores_left"].message
    assert "few_semaphores_left" not in found(few, WORKER)
    enough = with_facts(event(), semaphores={"used": 102, "limit": 128})
    assert "few_semaphores_left" not in found(enough, PREFORK)
    for odd in ({}, {"used": 1}, {"used": "1", "limit": 2}, [1]):
        assert "few_semaphores_left" not in found(with_facts(event(), semaphores=odd), PREFORK)


def test_an_apache_that_is_reloaded_every_hour_is_told_about_slots() -> None:
    often = with_facts(prefork(), reloads_a_day=48)
    assert "About 48 times a day." in found(often, EVENT)["frequent_reloads"].message
    assert "frequent_reloads" not in found(with_facts(prefork(), reloads_a_day=23), EVENT)
    assert "frequent_reloads" not in found(with_facts(event(), reloads_a_day=48), PREFORK)


def test_directives_of_a_module_that_stays_are_no_concern() -> None:
    facts = {"module_directives": {HTTP2: [place("h2push on")], RUID2: [place("rmode config")]}}
    finding = found(with_facts(event(HTTP2), **facts), PREFORK)["directives_of_removed_module"]
    assert "h2push on in /etc/apache2/conf.d/x.conf line 3." in finding.message
    assert "rmode" not in finding.message
    assert finding.severity is Severity.BLOCK
    assert "directives_of_removed_module" not in found(with_facts(event(HTTP2), **facts), WORKER)


def test_sites_that_only_their_own_users_may_read_are_counted() -> None:
    roots = [f"/home/user{number}/public_html" for number in range(7)]
    server_with = with_facts(prefork(RUID2), closed_roots=roots, userdir_returns=True)
    findings = found(server_with, EVENT)
    assert "7 document roots: /home/user0/public_html" in findings["document_roots_closed"].message
    assert "…" in findings["document_roots_closed"].message
    assert "userdir_returns" in findings
    stays = found(server_with, PREFORK)
    assert not {"document_roots_closed", "userdir_returns"} & stays.keys()
    assert "document_roots_closed" not in found(server_with, ITK_ON), "ITK reads them as they do"


def test_only_immutable_files_that_a_change_replaces_are_in_its_way() -> None:
    facts = {"immutable_files": {"/etc/apache2/conf.modules.d/490.conf": f"{P}mod_bwlimited"}}
    assert "immutable_files" not in found(with_facts(prefork(), **facts), EVENT)
    facts = {"immutable_files": {"/etc/apache2/conf/httpd.conf": ""}}
    finding = found(with_facts(prefork(), **facts), EVENT)["immutable_files"]
    assert "/etc/apache2/conf/httpd.conf." in finding.message
    assert "immutable_files" not in found(with_facts(prefork(), **facts), PREFORK)


@pytest.mark.parametrize(
    "odd",
    [
        {"module_directives": {HTTP2: "x"}},
        {"module_directives": [1]},
        {"closed_roots": "x", "userdir_returns": "yes", "folders_of_users": [1]},
        {"local_templates": [{"path": "/x"}]},
        {"immutable_files": ["x"], "reloads_a_day": "often"},
    ],
)
def test_what_is_of_another_shape_is_left_out(odd: dict[str, Any]) -> None:
    for profile in (event(HTTP2), prefork(RUID2)):
        for choice in (EVENT, PREFORK):
            assert found(with_facts(profile, **odd), choice).keys() == found(profile, choice).keys()
