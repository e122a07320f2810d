"""The repository says about every package what EasyApache 4 says about it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from lab.catalog import catalogue, profile_names, profile_packages, relations
from lab.process import LabError, run
from lab.repository import Repository, Variant, repository
from lab.system import distribution

pytestmark = pytest.mark.lab

EVENT = "ea-apache24-mod_mpm_event"


def _queried(repository_: Repository, tag: str) -> dict[str, set[str]]:
    """{package: values} of a multi-valued dependency tag, over the whole repository."""
    triple = f"%{{{tag}NAME}} %{{{tag}FLAGS:depflags}} %{{{tag}VERSION}}"
    query = f"[%{{=NAME}}\\t{triple}\\n]"
    files = sorted(repository_.packages.glob("*.rpm"))
    found: dict[str, set[str]] = {}
    for line in run(["rpm", "-qp", "--nosignature", "--qf", query, *files]).stdout.splitlines():
        name, value = line.split("\t")
        found.setdefault(name, set()).add(" ".join(value.split()))
    return found


def test_the_repository_holds_every_known_package_in_its_version() -> None:
    files = sorted(repository().packages.glob("*.rpm"))
    query = ["rpm", "-qp", "--nosignature", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\\n"]
    built = dict(line.split() for line in run([*query, *files]).stdout.splitlines())
    known = relations()
    assert len(known) >= 108
    assert {name: built.get(name) for name in known} == {
        name: entry["evr"] for name, entry in known.items()
    }


@pytest.mark.parametrize("kind", ["requires", "conflicts", "provides"])
def test_relations_are_those_of_easyapache(kind: str) -> None:
    built = _queried(
        repository(), {"requires": "REQUIRE", "conflicts": "CONFLICT"}.get(kind, "PROVIDE")
    )
    for name, entry in relations().items():
        description = {
            value
            for value in built.get(name, set())
            # What rpm itself adds: its own features, the file's own name, %config's marker.
            if not value.startswith(("rpmlib(", "config(", "(none)", f"{name} =", f"{name}("))
        }
        assert description == set(entry[kind]), name


def test_every_package_of_the_stock_profiles_is_there() -> None:
    place = repository()
    for profile in profile_names():
        for package in profile_packages(profile):
            assert place.rpm_file(package).is_file()


def test_every_package_and_the_metadata_are_signed(tmp_path: Path) -> None:
    place = repository()
    database = ["--define", f"_dbpath {tmp_path}"]
    run(["rpmkeys", *database, "--import", place.key])
    checked = run(["rpmkeys", *database, "-K", *place.packages.glob("*.rpm")]).stdout
    lines = checked.splitlines()
    assert len(lines) == len(list(place.packages.glob("*.rpm")))
    assert all(line.endswith("digests signatures OK") for line in lines)
    assert (place.packages / "repodata/repomd.xml.asc").read_text().startswith("-----BEGIN PGP")


def test_a_module_the_distribution_lacks_says_so_and_loads_nothing() -> None:
    place, machine = repository(), distribution()
    assert machine.module("mod_ruid2") is None
    listing = run(["rpm", "-qp", "--nosignature", "-l", place.rpm_file("ea-apache24-mod_ruid2")])
    assert listing.stdout.split() == ["/etc/apache2/conf.modules.d/ruid2.conf"]
    text = _file_in(
        place.rpm_file("ea-apache24-mod_ruid2"), "./etc/apache2/conf.modules.d/ruid2.conf"
    )
    assert text.startswith("# the lab has no payload for mod_ruid2")
    assert "LoadModule" not in text


def test_what_debian_builds_in_is_loaded_where_it_is_a_file(tmp_path: Path) -> None:
    """Enterprise Linux ships mod_unixd, mod_watchdog and others as files."""
    (tmp_path / "mod_unixd.so").touch()
    place = replace(distribution(), modules=tmp_path)
    apache = next(item for item in catalogue(place) if item.name == "ea-apache24")
    conf = "/etc/apache2/conf.modules.d"
    assert (
        apache.texts[f"{conf}/455_mod_unixd.conf"]
        == "LoadModule unixd_module modules/mod_unixd.so\n"
    )
    assert (
        apache.texts[f"{conf}/250_mod_logio.conf"]
        == "# mod_logio is built into this machine's httpd\n"
    )
    assert apache.copies["/usr/lib64/apache2/modules/mod_unixd.so"] == tmp_path / "mod_unixd.so"


def test_the_prefork_package_also_sets_its_mutex_and_all_module_files_survive_edits() -> None:
    prefork = repository().rpm_file("ea-apache24-mod_mpm_prefork")
    conf = "/etc/apache2/conf.modules.d/000_mod_mpm_prefork.conf"
    assert _file_in(prefork, f".{conf}").splitlines() == [
        "LoadModule mpm_prefork_module modules/mod_mpm_prefork.so",
        "Mutex sysvsem",
    ]
    flags = run(
        ["rpm", "-qp", "--nosignature", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\\n]", prefork]
    )
    assert f"{conf} cn" in flags.stdout.splitlines()


def test_asking_again_builds_nothing() -> None:
    first = repository()
    before = {path.name: path.stat().st_mtime_ns for path in first.packages.iterdir()}
    second = repository()
    assert second == first
    assert {path.name: path.stat().st_mtime_ns for path in second.packages.iterdir()} == before


def test_two_who_ask_at_once_get_the_same_whole_repository(tmp_path: Path) -> None:
    program = "from lab.repository import repository; print(repository().folder)"
    environment = {**os.environ, "EA4_LAB_CACHE": str(tmp_path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=120)[0].strip() for process in both]
    assert answers[0] == answers[1]
    assert (Path(answers[0]) / "complete").exists()
    assert [path.name for path in tmp_path.glob(".building-*")] == []


def test_the_second_release_moves_apache_and_everything_tied_to_it() -> None:
    newer = repository(Variant(release=2))
    assert newer.rpm_file("ea-apache24").name.startswith("ea-apache24-2.4.68-1.")
    assert newer.rpm_file("ea-apache24-mod_mpm_itk").name.startswith(
        "ea-apache24-mod_mpm_itk-2.4.7.4-5."
    )
    requires = run(["rpm", "-qp", "--nosignature", "--requires", newer.rpm_file(EVENT)]).stdout
    assert "ea-apache24 = 2.4.68-1" in requires.splitlines()


def test_a_faulty_scriptlet_is_really_in_the_package() -> None:
    faulty = repository(Variant(faults=((EVENT, "failpre"),)))
    scripts = run(["rpm", "-qp", "--nosignature", "--scripts", faulty.rpm_file(EVENT)]).stdout
    assert "preinstall scriptlet (using <lua>)" in scripts
    assert "error(" in scripts
    assert faulty.rpm_file("ea-apache24").samefile(repository().rpm_file("ea-apache24"))


def test_a_variant_of_an_unknown_package_or_fault_is_refused() -> None:
    with pytest.raises(LabError, match="no package ea-nosuch"):
        repository(Variant(unsigned=("ea-nosuch",)))
    with pytest.raises(ValueError, match="a fault is one of"):
        repository(Variant(faults=((EVENT, "explode"),)))


def _file_in(package: Path, name: str) -> str:
    with package.open("rb") as content:
        archive = subprocess.run(
            ["rpm2archive", "-"], stdin=content, capture_output=True, check=True
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        member = files.extractfile(name)
        assert member is not None
        return member.read().decode()
