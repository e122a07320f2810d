"""What goes wrong with packages: each case is recognised, and the server comes back from it."""

from __future__ import annotations

import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from easyapache.agent.change.spool import Spool
from easyapache.agent.packages import hooks
from easyapache.agent.packages.dnf import LOCKED, classify
from easyapache.agent.repair import repairs
from easyapache.agent.server import HostError, Kit
from easyapache.ea4.profile import Transaction
from lab.hooks import NOTES
from lab.repository import Variant
from tests.host.conftest import Manage
from tests.host.managed import PREFIX, Managed
from tests.host.test_obstacles import force, holding
from tests.host.test_server_contract import shows


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("package_manager_busy", "Error: RPMDB already locked by 4711"),
        ("package_manager_busy", "Waiting for process with pid 4711 to finish."),
        ("repository_unreachable", "Error: Failed to download metadata for repo 'EA4'"),
        ("repository_unreachable", "Error: Error downloading packages:\n  Status code: 404"),
        ("repository_unreachable", "Error: Cache-only enabled but no cache for 'EA4'"),
        ("no_such_package", "Error: Unable to find a match: ea-nosuch"),
        ("unsatisfiable", "Error: \n Problem: package a conflicts with b"),
        (
            "protected",
            (
                "Error: \n Problem: The operation would result in removing the following "
                "protected packages: ea-php74-php"
            ),
        ),
        ("bad_signature", "Package x.rpm is not signed\nError: GPG check FAILED"),
        ("bad_signature", "Public key for x.rpm is not installed"),
        ("bad_signature", "Import of key(s) didn't help, wrong key(s)?"),
        ("bad_signature", "Problem opening package x.rpm"),
        ("bad_signature", "repomd.xml GPG signature verification error: Bad GPG signature"),
        ("bad_checksum", "Package x.rpm has incorrect checksum"),
        ("disk_full", "Transaction test error:\n  installing x needs 44KB more space on /"),
        ("disk_full", "[Errno 28] No space left on device: '/var/cache/dnf'"),
        ("transaction_failed", "Error: Transaction failed"),
        ("package_manager", "Error: something nobody has seen before"),
    ],
)
def test_the_words_of_dnf_are_understood(code: str, text: str) -> None:
    error = classify(text)
    assert error.code == code
    assert error.remedy
    assert error.output == text


@pytest.mark.parametrize(
    ("variant", "codes"),
    [
        (Variant(unsigned=(f"{PREFIX}mpm_event",)), {"bad_signature"}),
        (Variant(tampered=(f"{PREFIX}mpm_event",)), {"bad_signature"}),
        (Variant(corrupt=(f"{PREFIX}mpm_event",)), {"bad_checksum", "repository_unreachable"}),
        (Variant(unsigned=(f"{PREFIX}mpm_prefork",)), {"bad_signature"}),
    ],
    ids=["unsigned", "tampered", "corrupt", "unsigned way back"],
)
def test_a_bad_package_is_refused_when_it_is_downloaded(
    make_managed: Manage, variant: Variant, codes: set[str]
) -> None:
    managed = make_managed("minimal")
    assert managed.lab is not None
    managed.lab.use_repository(variant)
    before = managed.server.inspect()
    _, transaction = managed.plan("event")
    with pytest.raises(HostError) as refused:
        managed.kit(transaction)
    assert refused.value.code in codes, refused.value.output
    assert managed.server.inspect().digest == before.digest


def test_a_build_that_no_repository_has_any_more_means_no_kit(make_managed: Manage) -> None:
    managed = make_managed("minimal")
    assert managed.lab is not None
    managed.lab.use_repository(Variant(release=2))
    before = managed.server.inspect()
    _, transaction = managed.plan("event")
    with pytest.raises(HostError) as refused:
        managed.kit(Transaction(remove=tuple(p for p in before.packages if "prefork" in p.name)))
    assert refused.value.code == "kit"
    assert "mpm_prefork" in refused.value.message
    assert transaction.install


def test_the_download_keeps_both_ways_and_changes_nothing(managed: Managed) -> None:
    before = managed.server.inspect()
    _, transaction = managed.plan("event")
    kit = managed.kit(transaction)
    assert len(list((kit.folder / "incoming").glob("*.rpm"))) == len(transaction.install)
    assert len(list((kit.folder / "rpms").glob("*.rpm"))) == len(transaction.remove)
    assert managed.server.inspect().digest == before.digest


def test_the_transaction_needs_no_repository_once_downloaded(managed: Managed) -> None:
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    repo = managed.config.root / "etc/yum.repos.d/EA4.repo"
    repo.write_text(
        repo.read_text().replace("repo_gpgcheck=1", "repo_gpgcheck=1\nmetadata_expire=0")
    )
    assert managed.packages(goal, transaction) == 0
    assert f"{PREFIX}mpm_event" in managed.server.inspect().names


def test_a_transaction_while_another_holds_the_lock_changes_nothing(managed: Managed) -> None:
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    before = managed.server.inspect()
    with holding(managed.config.root / "var/lib/rpm/.rpm.lock"):
        managed.packages(goal, transaction)
    assert managed.server.inspect().packages == before.packages


@contextmanager
def reading_repositories(managed: Managed) -> Iterator[None]:
    """Another process has dnf's lock on the metadata, as a look at the repositories takes it."""
    with subprocess.Popen(["/bin/sleep", "60"]) as reader:
        lock = managed.config.root / "var/cache/dnf/metadata_lock.pid"
        lock.write_text(str(reader.pid))
        try:
            yield
        finally:
            reader.kill()
            lock.unlink(missing_ok=True)


def test_a_transaction_that_a_look_at_the_repositories_turned_away_begins_again(
    managed: Managed,
) -> None:
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    change = uuid.uuid4().hex
    folder = managed.config.spool / change / "output"
    with reading_repositories(managed):
        assert managed.packages(goal, transaction, change) == LOCKED
    assert managed.server.start_packages_again(change, folder, managed.log)
    assert managed.server.follow_packages(change, folder, managed.log) == 0
    assert f"{PREFIX}mpm_event" in managed.server.inspect().names
    assert "starting the transaction again (2 of 5)" in managed.text
    assert not managed.server.start_packages_again(change, folder, managed.log)


def test_a_lock_that_stays_is_given_way_to(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easyapache.agent.packages.dnf.AT_MOST", 2)
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    before = managed.server.inspect()
    change = uuid.uuid4().hex
    folder = managed.config.spool / change / "output"
    with reading_repositories(managed):
        managed.packages(goal, transaction, change)
        assert managed.server.start_packages_again(change, folder, managed.log)
        assert managed.server.follow_packages(change, folder, managed.log) == LOCKED
        assert not managed.server.start_packages_again(change, folder, managed.log)
    assert managed.server.inspect().packages == before.packages


def test_a_transaction_that_failed_otherwise_does_not_begin_again(managed: Managed) -> None:
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    change = uuid.uuid4().hex
    folder = managed.config.spool / change / "output"
    assert not managed.server.start_packages_again(change, folder, managed.log)
    with holding(managed.config.root / "var/lib/rpm/.rpm.lock"):
        assert managed.packages(goal, transaction, change) not in (0, LOCKED)
    assert not managed.server.start_packages_again(change, folder, managed.log)


def test_more_than_was_confirmed_never_moves(managed: Managed) -> None:
    """Confirmed: event and cgid for prefork and cgi. Since then something was installed that
    would have to go too."""
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    assert managed.lab is not None
    managed.lab.dnf("-y", "install", f"{PREFIX}mpm_itk", "--allowerasing")
    before = managed.server.inspect()
    managed.packages(goal, transaction)
    assert managed.server.inspect().packages == before.packages


def test_the_change_is_named_in_dnfs_own_history(managed: Managed) -> None:
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    change = "c" * 32
    managed.packages(goal, transaction, change)
    assert managed.lab is not None
    assert change in managed.lab.dnf("history", "info", "last")


def test_cpanels_hook_does_not_restart_httpd_but_its_others_run(make_managed: Manage) -> None:
    managed = make_managed("minimal", hooks=True)
    began = managed.server.inspect().facts["httpd_started"]
    goal, transaction = managed.plan("event")
    managed.kit(transaction)
    managed.packages(goal, transaction)
    assert "020-rebuild-httpdconf" in managed.text
    assert "500-restartsrv_httpd" not in managed.text
    assert managed.server.inspect().facts["httpd_started"] == began


def noted(managed: Managed) -> list[str]:
    path = managed.config.root / NOTES
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.rstrip() for line in lines]


def test_all_of_cpanels_hooks_run_as_its_plugin_runs_them_and_only_the_restart_does_not(
    make_managed: Manage,
) -> None:
    """The same packages there by dnf with the plugin, and there and back by us without it."""
    managed = make_managed("minimal", hooks=True)
    assert managed.lab is not None
    goal, transaction = managed.plan("event")
    kit = managed.kit(transaction)
    assert noted(managed) == []
    managed.packages(goal, transaction)
    ours = noted(managed)
    managed.server.undo_packages(kit, managed.log)
    back = noted(managed)
    managed.lab.dnf("-y", "install", f"{PREFIX}mpm_event", "--allowerasing")
    assert ours == back == noted(managed)
    moved = " ".join(sorted(p.name for p in (*transaction.install, *transaction.remove)))
    assert ours == [
        f"multi_pkgs/pre_transaction/ea-__WILDCARD__/001-ensure-nobody {moved}",
        "pkgs/ea-apache24-mod_mpm_event/transaction/100-event",
        "transaction/900-any",
    ]


@pytest.mark.parametrize(
    ("package", "folders"),
    [
        ("ea-php82-php-fpm", ["__WILDCARD__-php__WILDCARD__", "ea-php__WILDCARD__"]),
        ("ea-apache24-config", ["ea-apache24-config"]),
        ("glibc", []),
    ],
)
def test_a_hook_runs_for_the_packages_its_folder_names(
    make_managed: Manage, package: str, folders: list[str]
) -> None:
    managed = make_managed("minimal", hooks=True)
    found = hooks.scripts(managed.config.root, hooks.AFTER, [package])
    here = [path.parent.name for path, told in found if told and path.parent.name in folders]
    assert sorted(here) == sorted(folders)
    assert not [path for path, _ in found if "restartsrv_httpd" in path.name]
    assert ("ea-__WILDCARD__" in {path.parent.name for path, _ in found}) is (package != "glibc")


def back(managed: Managed, kit: Kit) -> None:
    managed.server.undo_packages(kit, managed.log)
    managed.server.config_test(managed.log)
    managed.server.restart("auto", managed.log)


@pytest.mark.parametrize(
    "fault",
    [
        (f"{PREFIX}mpm_event", "failpre"),
        (f"{PREFIX}mpm_event", "failpost"),
        (f"{PREFIX}cgid", "failpre"),
    ],
    ids="-".join,
)
def test_undo_after_a_scriptlet_of_what_comes_in_failed(
    make_managed: Manage, fault: tuple[str, str]
) -> None:
    managed = make_managed("minimal")
    assert managed.lab is not None
    managed.lab.use_repository(Variant(faults=(fault,)))
    before = managed.server.inspect()
    goal, transaction = managed.plan("event")
    kit = managed.kit(transaction)
    managed.packages(goal, transaction)
    back(managed, kit)
    now = managed.server.inspect()
    assert now.packages == before.packages
    assert shows(now, "prefork")
    assert not now.facts.get("missing_files")


@pytest.mark.parametrize("word", ["failpreun", "failpostun"])
def test_undo_after_a_scriptlet_of_what_leaves_failed(make_managed: Manage, word: str) -> None:
    variant = Variant(faults=((f"{PREFIX}mpm_prefork", word),))
    managed = make_managed("minimal", variant=variant)
    before = managed.server.inspect()
    goal, transaction = managed.plan("event")
    kit = managed.kit(transaction)
    managed.packages(goal, transaction)
    back(managed, kit)
    now = managed.server.inspect()
    assert now.packages == before.packages
    assert shows(now, "prefork")


def torn(managed: Managed, state: str) -> None:
    lab = managed.lab
    assert lab is not None
    if state == "both MPMs":
        force(managed, f"{PREFIX}mpm_event")
        force(managed, f"{PREFIX}cgid")
    elif state == "no MPM":
        lab.rpm("-e", "--nodeps", f"{PREFIX}mpm_prefork", f"{PREFIX}cgi")
    elif state == "files missing":
        for name in ("mod_mpm_prefork.so", "mod_cgi.so"):
            (managed.config.root / "usr/lib64/apache2/modules" / name).unlink()
    elif state == "new MPM without its companion":
        lab.rpm("-e", "--nodeps", f"{PREFIX}mpm_prefork", f"{PREFIX}cgi")
        force(managed, f"{PREFIX}mpm_event")
    else:
        lab.rpm("-e", "--nodeps", f"{PREFIX}mpm_prefork")
        force(managed, f"{PREFIX}mpm_event")


TORN = ("both MPMs", "no MPM", "files missing", "new MPM without its companion", "new MPM, old cgi")


@pytest.mark.parametrize("state", TORN)
def test_undo_from_a_torn_state_with_the_repository_gone(managed: Managed, state: str) -> None:
    before = managed.server.inspect()
    _, transaction = managed.plan("event")
    kit = managed.kit(transaction)
    torn(managed, state)
    (managed.config.root / "etc/yum.repos.d/EA4.repo").unlink()
    back(managed, kit)
    now = managed.server.inspect()
    assert now.packages == before.packages
    assert shows(now, "prefork")
    assert not now.facts.get("missing_files")


@pytest.mark.parametrize("mpm", ["prefork", "worker"])
@pytest.mark.parametrize("state", TORN)
def test_repair_gives_a_torn_server_one_mpm(managed: Managed, state: str, mpm: str) -> None:
    torn(managed, state)
    managed.server.repair(mpm, managed.log)
    managed.server.restart("auto", managed.log)
    now = managed.server.inspect()
    assert shows(now, mpm)
    assert not now.facts.get("missing_files")
    companion = f"{PREFIX}cgi" if mpm == "prefork" else f"{PREFIX}cgid"
    assert companion in now.names


def lose_tls(managed: Managed) -> None:
    """The module's file and its LoadModule line are gone, rpm believes in both, and httpd has
    been started without them since: nobody is answered on the TLS port."""
    modules = managed.config.root / "usr/lib64/apache2/modules"
    (modules / "mod_ssl.so").unlink()
    (managed.config.server_root / "conf.modules.d/495_mod_ssl.conf").unlink()
    assert managed.lab is not None
    managed.lab.down()
    managed.lab.up()
    assert managed.server.inspect().facts["missing_files"].keys() == {f"{PREFIX}ssl"}
    assert any(site.error for site in managed.server.sites())


def bring_back(managed: Managed) -> repairs.Repaired:
    return repairs.repair("reinstall-files", managed.server, Spool(managed.config.spool))


def test_missing_files_of_any_package_are_brought_back_and_loaded(managed: Managed) -> None:
    before = managed.server.inspect()
    lose_tls(managed)
    done = bring_back(managed)
    assert done.ok, done
    now = managed.server.inspect()
    assert "missing_files" not in now.facts
    assert now.packages == before.packages
    assert not [site for site in managed.server.sites() if site.error]
    assert bring_back(managed).message == "No files are missing."


def test_missing_files_are_brought_back_from_a_kit_when_the_repository_is_gone(
    managed: Managed,
) -> None:
    before = managed.server.inspect()
    ssl = next(package for package in before.packages if package.name == f"{PREFIX}ssl")
    managed.kit(Transaction(remove=(ssl,)))
    lose_tls(managed)
    (managed.config.root / "etc/yum.repos.d/EA4.repo").unlink()
    done = bring_back(managed)
    assert done.ok, done
    now = managed.server.inspect()
    assert "missing_files" not in now.facts
    assert now.packages == before.packages


def test_missing_files_that_nobody_has_any_more_are_named_and_nothing_else_is_changed(
    managed: Managed,
) -> None:
    assert managed.lab is not None
    lose_tls(managed)
    before = managed.server.inspect()
    managed.lab.use_repository(Variant(release=2))
    done = bring_back(managed)
    assert not done.ok
    assert f"{PREFIX}ssl" in done.message
    assert "dnf upgrade" in done.message
    now = managed.server.inspect()
    assert now.packages == before.packages
    assert now.facts["httpd_started"] == before.facts["httpd_started"]


def test_an_undo_waits_for_a_package_manager_that_came_in_between(managed: Managed) -> None:
    before = managed.server.inspect()
    goal, transaction = managed.plan("event")
    kit = managed.kit(transaction)
    managed.packages(goal, transaction)
    lock = managed.config.root / "var/lib/dnf/rpmdb_lock.pid"
    with subprocess.Popen(["dnf", "3"], executable="/bin/sleep") as other:
        lock.write_text(str(other.pid))
        reaper = threading.Thread(target=other.wait)
        reaper.start()
        back(managed, kit)
        reaper.join()
    assert "another package manager is running: waiting for process" in managed.text
    assert "rpm does the rest" not in managed.text
    assert managed.server.inspect().packages == before.packages
