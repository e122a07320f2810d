"""Every way in which a change is known to fail, provoked on a real server."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from easyapache.agent.change.folder import ChangeFolder
from easyapache.ea4.protocol import ChangeRequest
from lab import installroot
from lab.repository import Variant
from lab.server import Lab
from lab.system import distribution
from tests.faults.field import AS_PLANNED, BEFORE, Ending, Field
from tests.faults.report import RecordEnding
from tests.labs import MakeLab

PREFORK = "ea-apache24-mod_mpm_prefork"
EVENT = "ea-apache24-mod_mpm_event"

pytestmark = pytest.mark.lab


def run(field: Field, fault: str, request: ChangeRequest | None = None) -> Ending:
    before, sites = field.server.inspect(), field.server.sites()
    request = request or field.request("event")
    field.finish(field.folder(request))
    return field.judge(fault, request, before, sites)


def findings(field: Field) -> set[str]:
    codes: set[str] = set()
    for folder in field.spool.folders():
        codes |= {r.data["code"] for r in folder.reports() if r.kind == "finding"}
    return codes


def sentence(field: Field) -> str:
    outcome = field.spool.folders()[-1].outcome
    assert outcome is not None
    return str(outcome.data["sentence"])


@pytest.mark.parametrize(
    ("scriptlet", "package", "end"),
    [
        ("failpre", EVENT, BEFORE),
        ("failpreun", PREFORK, BEFORE),
        ("failpost", EVENT, AS_PLANNED),
        ("failpostun", PREFORK, AS_PLANNED),
    ],
)
def test_a_failing_scriptlet(
    make_lab: MakeLab, record_ending: RecordEnding, scriptlet: str, package: str, end: str
) -> None:
    field = Field(make_lab(variant=Variant(faults=((package, scriptlet),))).up())
    ending = record_ending(run(field, f"%{scriptlet.removeprefix('fail')} fails"))
    assert ending.end == end, ending
    if end == BEFORE:
        assert ending.outcome == "restored"
        assert "scriptlet_failed" in findings(field)


@pytest.mark.parametrize(
    ("name", "variant", "code"),
    [
        ("not signed", Variant(unsigned=(EVENT,)), "bad_signature"),
        ("altered on the mirror", Variant(tampered=(EVENT,)), "bad_signature"),
        ("broken download", Variant(corrupt=(EVENT,)), "bad_checksum"),
        ("altered metadata", Variant(bad_metadata=True), "bad_signature"),
    ],
)
def test_a_bad_signature_touches_nothing(
    make_lab: MakeLab, record_ending: RecordEnding, name: str, variant: Variant, code: str
) -> None:
    field = Field(make_lab().up())
    request = field.request("event")
    field.lab.use_repository(variant)
    ending = record_ending(run(field, f"bad signature: {name}", request))
    assert (ending.end, ending.outcome) == (BEFORE, "not_started"), ending
    assert "Nothing was changed" in sentence(field)
    assert code in findings(field)


def unplug(lab: Lab) -> None:
    """The repository is gone, and what was cached of it."""
    text = lab.place.repo_file.read_text()
    lines = [
        "baseurl=file:///nowhere" if line.startswith("baseurl") else line
        for line in text.splitlines()
    ]
    lab.place.repo_file.write_text("\n".join(lines) + "\n")
    lab.place.forget_metadata()


def test_a_repository_that_is_gone_touches_nothing(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    request = field.request("event")
    unplug(field.lab)
    ending = record_ending(run(field, "repository gone", request))
    assert (ending.end, ending.outcome) == (BEFORE, "not_started"), ending
    assert findings(field)


@contextmanager
def lock_on(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield


def test_a_lock_that_is_held_touches_nothing_and_names_the_holder(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    request = field.request("event")
    with lock_on(field.lab.root / "var/lib/rpm/.rpm.lock"):
        before, sites = field.server.inspect(), field.server.sites()
        field.finish(field.folder(request))
    ending = record_ending(field.judge("lock held", request, before, sites))
    assert (ending.end, ending.outcome) == (BEFORE, "not_started"), ending
    assert str(os.getpid()) in sentence(field)


def drop_in(lab: Lab, text: str) -> None:
    (lab.root / "etc/apache2/conf.d/zz-fault.conf").write_text(text)


def test_an_httpd_that_does_not_come_up_is_undone(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """`httpd -t` and the rehearsal accept it; only the real start, which opens this log, fails."""
    field = Field(make_lab().up())
    drop_in(
        field.lab,
        "<IfModule mpm_event_module>\n"
        f"PidFile {field.lab.root}/no/such/folder/httpd.pid\n"
        "</IfModule>\n",
    )
    ending = record_ending(run(field, "Apache does not start"))
    assert ending.end == BEFORE, ending


def test_itk_under_event_is_found_by_the_rehearsal(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    module = distribution().module("mpm_itk")
    assert module is not None
    # In a file that a package owns: one of nobody's is refused before any rehearsal.
    owned = field.lab.root / "etc/apache2/conf.modules.d/020_mod_alias.conf"
    owned.write_text(owned.read_text() + f"LoadModule mpm_itk_module {module}\n")
    field.lab.down()
    field.lab.up()
    ending = record_ending(run(field, "ITK under event"))
    assert (ending.end, ending.outcome) == (BEFORE, "not_started"), ending
    assert "Nothing was changed" in sentence(field)
    assert "itk_needs_prefork" in findings(field)


def test_php_as_a_module_under_event_is_found_before_anything_is_touched(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    field = Field(make_lab().up())
    library = distribution().libphp
    assert library is not None
    drop_in(field.lab, f"LoadModule php_module {library}\n")
    field.lab.down()
    field.lab.up()
    ending = record_ending(run(field, "DSO PHP under event"))
    assert (ending.end, ending.outcome) == (BEFORE, "not_started"), ending
    assert "php_dso_needs_prefork" in findings(field)


# -- a disk that is full ------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    folder.mkdir()
    folder.chmod(0o755)
    size = f"size={megabytes}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "lab", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Take all room but ``leave`` bytes, whoever else is taking some meanwhile."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as handle, suppress(OSError):
        while leave < (space := os.statvfs(folder)).f_bavail * space.f_frsize:
            handle.write(bytes(min(1 << 20, space.f_bavail * space.f_frsize - leave)))
    return path


@pytest.fixture
def cramped(lab_folder: Path) -> Iterator[Callable[[Variant | None], Field]]:
    """Makes a server on a disk of its own."""
    made: list[Lab] = []
    with small_disk(lab_folder / "disk", 160) as disk:

        def make(variant: Variant | None = None) -> Field:
            lab = Lab.create(disk / "lab", "minimal", variant=variant).up()
            made.append(lab)
            return Field(lab)

        yield make
        for lab in made:
            lab.down()
            installroot.remove(lab.folder)


def test_a_disk_that_is_full_before_touches_nothing(
    cramped: Callable[[Variant | None], Field], record_ending: RecordEnding
) -> None:
    field = cramped(None)
    request = field.request("event")
    before, sites = field.server.inspect(), field.server.sites()
    folder = field.folder(request)
    filler = fill(field.lab.folder.parent, 200_000)
    field.finish(folder)
    filler.unlink()
    ending = record_ending(field.judge("disk full before", request, before, sites))
    assert (ending.end, ending.outcome) == (BEFORE, "not_started"), ending
    assert "Nothing was changed" in sentence(field)


def test_a_disk_that_fills_up_within_the_transaction_is_undone_once_there_is_room(
    cramped: Callable[[Variant | None], Field], record_ending: RecordEnding
) -> None:
    """The room comes back while the engine still tries, as when a log is rotated away."""
    field = cramped(Variant(faults=((EVENT, "slowpre=1"),)))
    request = field.request("event")
    before, sites = field.server.inspect(), field.server.sites()
    folder = field.folder(request)
    engine = field.start_engine(folder)
    assert field.until(engine, lambda: field.dnf_printed(folder, b"Running transaction\n"))
    filler = fill(field.lab.folder.parent, 0)
    field.until(engine, lambda: undoing(folder))
    time.sleep(0.5)
    filler.unlink()
    field.finish(folder, engine)
    ending = record_ending(field.judge("disk full within", request, before, sites))
    assert ending.end in (BEFORE, AS_PLANNED), ending


def undoing(folder: ChangeFolder) -> bool:
    lines = [r.data.get("step") for r in ChangeFolder(folder.path).reports()]
    return "undo_packages" in lines or "restart" in lines


# -- files without a line in the database --------------------------------------------------


def test_files_of_a_package_that_never_came_are_swept_away(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """What a dnf leaves that is killed between a package's files and its line in the database."""
    field = Field(make_lab().up())
    before, sites = field.server.inspect(), field.server.sites()
    request = field.request("event")
    folder = field.folder(request)
    engine = field.start_engine(folder)
    assert field.until(engine, lambda: (folder.path / "rehearsal").exists())
    field.kill(lambda line: "easyapache.agent.change.engine" in line)
    engine.wait()
    with folder.engine_lock():
        folder.report("step", {"step": "packages", "status": "started", "detail": ""})
    (event,) = (folder.kit / "incoming").glob("*mod_mpm_event*.rpm")
    field.lab.rpm("-U", "--nodeps", "--force", str(event))
    field.lab.rpm("-e", "--justdb", "--nodeps", EVENT)
    assert len(field.server.inspect().configured.mpms) == 2  # type: ignore[union-attr]
    field.finish(folder)
    ending = record_ending(field.judge("files without their package", request, before, sites))
    assert ending.end == BEFORE, ending


def test_a_stray_module_is_swept_away_even_where_the_database_says_nothing_moved(
    make_lab: MakeLab, record_ending: RecordEnding
) -> None:
    """As above, but with a package that brings no MPM, so that neither rpm nor httpd differ."""
    field = Field(make_lab().up())
    before, sites = field.server.inspect(), field.server.sites()
    request = field.request("event")
    folder = field.folder(request)
    engine = field.start_engine(folder)
    assert field.until(engine, lambda: (folder.path / "rehearsal").exists())
    field.kill(lambda line: "easyapache.agent.change.engine" in line)
    engine.wait()
    (folder.output / "packages-1").mkdir()
    with folder.engine_lock():
        for step in ("packages", "undo_packages"):
            folder.report("step", {"step": step, "status": "started", "decided_by": "killed"})
    (cgid,) = (folder.kit / "incoming").glob("*mod_cgid*.rpm")
    field.lab.rpm("-U", "--nodeps", "--force", str(cgid))
    field.lab.rpm("-e", "--justdb", "--nodeps", "ea-apache24-mod_cgid")
    assert list((field.config.server_root / "conf.modules.d").glob("*cgid*"))
    field.finish(folder)
    ending = record_ending(field.judge("a module without its package", request, before, sites))
    assert ending.end == BEFORE, ending
    assert not list((field.config.server_root / "conf.modules.d").glob("*cgid*"))
