"""What a power cut leaves of packages whose content nobody had seen on the disk."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from easyapache.agent.change.spool import Spool
from easyapache.agent.packages import kit as kits
from lab.server import Lab
from tests.faults.field import AS_PLANNED, BEFORE, Field, unclean
from tests.faults.plug import disk
from tests.faults.report import RecordEnding
from tests.faults.test_matrix import unplug
from tests.faults.torture import PLUGS, plug_pulled
from tests.host.managed import Managed

pytestmark = pytest.mark.lab

MPM_FILE = "etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf"
MODULE = "etc/apache2/modules/mod_mpm_prefork.so"


def emptied(path: Path) -> None:
    """As ext4 leaves a file that rpm has written and the disk has not: its time is kept."""
    real = path.resolve()
    seen = real.stat()
    real.write_bytes(b"")
    os.utime(real, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize("name", [MPM_FILE, MODULE])
def test_a_file_that_a_power_cut_emptied_is_lost_and_comes_back(
    managed: Managed, name: str
) -> None:
    assert managed.lab is not None
    emptied(managed.lab.root / name)
    lost = managed.server.inspect().facts["missing_files"]
    assert list(lost) == ["ea-apache24-mod_mpm_prefork"]
    managed.server.reinstall(sorted(lost), managed.log)
    now = managed.server.inspect()
    assert "missing_files" not in now.facts
    assert unclean(managed.lab, now.names) == []
    assert (managed.lab.root / name).stat().st_size > 0


def test_a_file_that_somebody_edited_is_not_taken_for_torn(managed: Managed) -> None:
    assert managed.lab is not None
    path = managed.lab.root / MPM_FILE
    path.write_text(f"{path.read_text()}# mine\n")
    facts = managed.server.inspect().facts
    assert "missing_files" not in facts
    assert "ea-apache24-mod_mpm_prefork" in facts["edited_config_files"].values()


def test_a_stored_transaction_that_cannot_be_read_stands_in_nobodys_way(
    managed: Managed,
) -> None:
    goal, transaction = managed.plan("event")
    change = uuid.uuid4().hex
    folder = managed.config.spool / change / "output"
    managed.server.start_packages(change, goal, transaction, folder, managed.log)
    while not list(folder.glob("packages.exit")):
        pass
    (folder / "transaction.json").write_bytes(b"")
    assert managed.server.follow_packages(change, folder, managed.log) == 0
    assert (folder / "hooks-done").exists()


@pytest.mark.parametrize("reachable", [True, False], ids=["from the repository", "from a kit"])
def test_torn_packages_of_a_kit_do_not_bar_the_way_back(managed: Managed, reachable: bool) -> None:
    assert managed.lab is not None
    field = Field(managed.lab)
    before = managed.server.inspect()
    kit, _ = managed.switch("event")
    kits.seal(kit.folder)
    if not reachable:
        other = kits.prepare(
            managed.config.spool / uuid.uuid4().hex / "kit",
            uuid.uuid4().hex,
            before,
            kit.transaction,
            managed.config,
        )
        assert kits.gather(other, managed.config.spool) == []
        for path in other.folder.rglob("*.rpm"):  # a file of its own, not the same one
            path.write_bytes((path.rename(path.with_suffix(".old"))).read_bytes())
        unplug(managed.lab)
    for path in kit.folder.rglob("*.rpm"):
        path.write_bytes(b"")
    managed.server.undo_packages(kit, managed.log)
    assert "damaged or missing in the restore point" in managed.text or not reachable
    after = managed.server.inspect()
    assert after.packages == before.packages
    assert after.configured == before.configured
    assert unclean(field.lab, after.names) == []


def test_a_torn_file_in_a_kit_is_fetched_again_before_a_change_goes_on(managed: Managed) -> None:
    _, transaction = managed.plan("event")
    kit = managed.kit(transaction)
    whole = {path: path.read_bytes() for path in kit.folder.rglob("*.rpm")}
    for number, path in enumerate(whole):
        path.write_bytes(b"" if number % 2 else whole[path][:100])
    managed.server.download(transaction, kit, managed.log)
    assert {path: path.read_bytes() for path in whole} == whole


def test_what_packages_wrote_is_on_the_disk_before_they_count_as_moved(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    folder = managed.config.spool / ("c" * 32) / "output"

    def note(_: object) -> None:
        seen.append((folder / "hooks-done").exists())

    monkeypatch.setattr("easyapache.agent.real.sync_disks", note)
    goal, transaction = managed.plan("event")
    managed.packages(goal, transaction, "c" * 32)
    assert seen == [False, False], "after the hooks before, and before the packages count as moved"
    assert (folder / "hooks-done").exists()
    assert Spool(managed.config.spool).folder("c" * 32) is not None


@pytest.mark.parametrize("fault", PLUGS)
def test_whenever_the_plug_is_pulled_a_change_ends_as_asked_or_as_before(
    record_ending: RecordEnding, fault: str
) -> None:
    with disk() as pullable:
        lab = Lab.create(pullable.place / "lab", "minimal").up()
        field = Field(lab)
        try:
            for _ in range(2):
                ending, field = plug_pulled(field, pullable, fault)
                assert record_ending(ending).end in (AS_PLANNED, BEFORE), ending
        finally:
            field.lab.down()
