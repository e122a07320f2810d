"""What the engine may rely on, whichever driver the server is behind."""

from __future__ import annotations

import uuid

import pytest

from easyapache.agent.server import HostError
from easyapache.ea4.profile import Profile, Transaction
from easyapache.ea4.protocol import Goal
from tests.host.conftest import Manage
from tests.host.managed import PREFIX, Managed


def shows(profile: Profile, mpm: str, *, itk: bool = False) -> bool:
    packages = {n for n in profile.names if n.startswith(f"{PREFIX}mpm_")} - {f"{PREFIX}mpm_itk"}
    seen = (profile.configured, profile.running)
    return packages == {f"{PREFIX}mpm_{mpm}"} and all(
        item is not None and item.mpm == mpm and item.itk is itk for item in seen
    )


def test_a_fresh_server_is_seen_the_same_by_packages_configuration_and_process(
    server: Managed,
) -> None:
    assert shows(server.server.inspect(), "prefork")


def test_looking_twice_gives_the_same_digest(server: Managed) -> None:
    assert server.server.inspect().digest == server.server.inspect().digest


def test_resolving_changes_nothing(server: Managed) -> None:
    before = server.server.inspect()
    server.plan("event")
    assert server.server.inspect().digest == before.digest


def test_the_solver_brings_the_cgi_companion_and_takes_what_conflicts(server: Managed) -> None:
    _, transaction = server.plan("event")
    coming = {package.name for package in transaction.install}
    leaving = {package.name for package in transaction.remove}
    assert {f"{PREFIX}mpm_event", f"{PREFIX}cgid"} <= coming
    assert {f"{PREFIX}mpm_prefork", f"{PREFIX}cgi", f"{PREFIX}ruid2"} <= leaving


def test_dnf_says_what_every_package_that_moves_weighs(managed: Managed) -> None:
    _, transaction = managed.plan("event")
    coming = {package.name for package in transaction.install}
    leaving = {package.name for package in transaction.remove}
    assert set(transaction.sizes["install"]) == set(transaction.sizes["download"]) == coming
    assert set(transaction.sizes["remove"]) == leaving
    assert all(size > 0 for by in transaction.sizes.values() for size in by.values())


def test_a_protected_package_makes_the_solver_refuse(server: Managed) -> None:
    goal = Goal((f"{PREFIX}mpm_event", f"{PREFIX}cgid"), (), (f"{PREFIX}mpm_prefork",))
    with pytest.raises(HostError) as refused:
        server.server.resolve(goal, protect=True)
    assert refused.value.code in ("protected", "unsatisfiable")


def test_an_unknown_package_is_no_such_package(server: Managed) -> None:
    with pytest.raises(HostError) as refused:
        server.server.resolve(Goal(("ea-apache24-mod_nosuch",)), protect=False)
    assert refused.value.code in ("no_such_package", "unsatisfiable")


def test_a_goal_that_is_reached_already_is_an_empty_transaction(server: Managed) -> None:
    _, transaction = server.plan("prefork")
    assert transaction.empty


def test_nothing_stands_in_the_way_on_a_sound_server(server: Managed) -> None:
    goal, transaction = server.plan("event")
    assert list(server.server.obstacles(goal, transaction)) == []


def test_a_whole_change_ends_as_asked_and_every_check_agrees(server: Managed) -> None:
    before = server.server.sites()
    goal, transaction = server.plan("event")
    server.kit(transaction)
    with server.server.watch(server.config.spool / "window", server.log):
        server.packages(goal, transaction)
        server.server.config_test(server.log)
        interruption = server.server.restart("auto", server.log)
    assert interruption.probes > 0
    assert interruption.refused == 0
    assert shows(server.server.inspect(), "event")
    wrong = [c for c in server.server.checks(transaction, "event", False, before) if not c.ok]
    assert wrong == []


def test_before_the_restart_the_checks_say_that_the_old_mpm_still_runs(server: Managed) -> None:
    before = server.server.sites()
    goal, transaction = server.plan("event")
    server.kit(transaction)
    server.packages(goal, transaction)
    checks = server.server.checks(transaction, "event", False, before)
    assert "running" in {check.name for check in checks if not check.ok}


def test_itk_comes_on_and_goes_off(server: Managed) -> None:
    server.switch("prefork", itk=True)
    assert shows(server.server.inspect(), "prefork", itk=True)
    server.switch("prefork", add=(f"{PREFIX}suexec",))
    now = server.server.inspect()
    assert shows(now, "prefork")
    assert f"{PREFIX}suexec" in now.names


def test_a_full_start_changes_what_httpd_started_says(server: Managed) -> None:
    before = server.server.inspect().facts["httpd_started"]
    assert server.server.inspect().facts["httpd_started"] == before
    assert server.server.httpd_start() == before
    server.server.restart("auto", server.log)
    assert server.server.inspect().facts["httpd_started"] != before
    assert server.server.inspect().facts["httpd_started"] == server.server.httpd_start()


def test_undo_brings_back_exactly_what_was(server: Managed) -> None:
    before = server.server.inspect()
    kit, _ = server.switch("worker")
    server.server.undo_packages(kit, server.log)
    server.server.restart("auto", server.log)
    now = server.server.inspect()
    assert now.packages == before.packages
    assert shows(now, "prefork")


def test_a_server_whose_command_is_yum_goes_there_and_back(make_managed: Manage) -> None:
    managed = make_managed("minimal", yum=True)
    assert any(word.endswith("/yum") for word in managed.config.package_manager)
    before = managed.server.inspect()
    kit, _ = managed.switch("event")
    assert shows(managed.server.inspect(), "event")
    managed.server.undo_packages(kit, managed.log)
    managed.server.restart("auto", managed.log)
    now = managed.server.inspect()
    assert shows(now, "prefork")
    assert now.packages == before.packages


def test_what_a_kit_keeps_is_enough_to_go_there_as_well(server: Managed) -> None:
    goal, transaction = server.plan("event")
    kit = server.kit(transaction)
    answer = server.server.resolve(goal, protect=True, kept=kit.folder / "incoming")
    assert answer.digest == transaction.digest
    server.server.packages_from_kit(kit, server.log)
    came = {package.nevra for package in transaction.install}
    assert came <= {package.nevra for package in server.server.inspect().packages}


def test_undoing_twice_does_no_harm(server: Managed) -> None:
    before = server.server.inspect()
    kit, _ = server.switch("event")
    server.server.undo_packages(kit, server.log)
    server.server.undo_packages(kit, server.log)
    assert server.server.inspect().packages == before.packages


def test_a_transaction_is_begun_at_most_once_per_change(server: Managed) -> None:
    goal, transaction = server.plan("event")
    server.kit(transaction)
    change = uuid.uuid4().hex
    folder = server.config.spool / change / "output"
    server.server.start_packages(change, goal, transaction, folder, server.log)
    server.server.start_packages(change, goal, transaction, folder, server.log)
    server.server.follow_packages(change, folder, server.log)
    after = server.server.inspect()
    server.server.start_packages(change, goal, transaction, folder, server.log)
    server.server.follow_packages(change, folder, server.log)
    assert server.server.inspect().packages == after.packages


def test_following_what_was_never_begun_says_nothing(server: Managed) -> None:
    folder = server.config.spool / "never"
    folder.mkdir()
    assert server.server.follow_packages("0" * 32, folder, server.log) is None


def test_every_kind_of_site_is_asked(server: Managed) -> None:
    kinds = {site.kind.split()[0] for site in server.server.sites()}
    assert {"static", "cgi"} <= kinds


def test_capabilities_name_the_restart_and_why(server: Managed) -> None:
    known = server.server.capabilities()
    assert known["restart_method"]
    assert known["restart_reason"]


def test_an_empty_transaction_passes_the_checks_of_the_present_state(server: Managed) -> None:
    before = server.server.sites()
    checks = server.server.checks(Transaction(), "prefork", False, before)
    assert [check for check in checks if not check.ok] == []
