"""What becomes of the lock and the wheels in a package, and what the units promise."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from bootstrap.packages import (
    SOURCE,
    TARGETS,
    CannotBuild,
    Target,
    closure,
    pins,
    scripts,
    unpack,
    wanted,
)

LOCK = """\
amqp==5.4.2 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via kombu
async-timeout==5.0.1 ; python_full_version < '3.11.3' \\
    --hash=sha256:{a}
tzdata==2026.6 ; sys_platform == 'win32' \\
    --hash=sha256:{b}
""".format(a="a" * 64, b="b" * 64)


def target(name: str) -> Target:
    return next(one for one in TARGETS if one.name == name)


def record_line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}\n"


def wheel(
    folder: Path,
    name: str,
    files: dict[str, bytes],
    *,
    requires: tuple[str, ...] = (),
    spoiled: str = "",
) -> Path:
    info = f"{name}-1.dist-info"
    head = "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\n{head}".encode()}
    record = "".join(record_line(path, content) for path, content in files.items())
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in files.items():
            archive.writestr(inside, b"changed" if inside == spoiled else content)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def test_a_lock_is_read_with_its_markers_and_digests() -> None:
    found = pins(LOCK)
    assert found["amqp"].digests == {"a" * 64, "b" * 64}
    assert found["async-timeout"].marker == "python_full_version < '3.11.3'"


def test_a_pin_without_a_digest_stops_the_build() -> None:
    with pytest.raises(CannotBuild, match="kombu"):
        pins("kombu==5.7.0\n" + LOCK)


def test_each_target_has_what_its_own_python_needs() -> None:
    lock = pins(LOCK)
    assert set(wanted(lock, target("debian12"))) == {"amqp", "async-timeout"}
    assert set(wanted(lock, target("el"))) == {"amqp"}


def test_the_projects_own_lock_is_read_whole() -> None:
    text = (SOURCE.parent / "requirements/runtime.lock").read_text(encoding="utf-8")
    assert len(pins(text)) == len(re.findall(r"^[A-Za-z0-9._-]+==", text, re.MULTILINE)) > 30


def test_what_a_requirement_needs_is_found_through_its_extras(tmp_path: Path) -> None:
    found = {
        "celery": wheel(tmp_path, "celery", {}, requires=('kombu; extra == "redis"', "vine")),
        "kombu": wheel(tmp_path, "kombu", {}, requires=('tzdata; sys_platform == "win32"',)),
        "vine": wheel(tmp_path, "vine", {}),
        "django": wheel(tmp_path, "django", {}),
    }
    debian = target("debian12")
    assert set(closure(["celery[redis]"], found, debian)) == {"celery", "kombu", "vine"}
    assert set(closure(["celery"], found, debian)) == {"celery", "vine"}
    with pytest.raises(CannotBuild, match="solv"):
        closure(["solv"], found, debian)


def test_a_file_that_its_wheel_does_not_vouch_for_stops_the_build(tmp_path: Path) -> None:
    path = wheel(tmp_path, "vine", {"vine/__init__.py": b"pass"}, spoiled="vine/__init__.py")
    with pytest.raises(CannotBuild, match=r"vine/__init__\.py"):
        unpack(path, tmp_path / "vendor")


def test_a_file_that_leads_out_of_its_folder_stops_the_build(tmp_path: Path) -> None:
    path = wheel(tmp_path, "vine", {"../evil.py": b"pass"})
    with pytest.raises(CannotBuild, match="leads out"):
        unpack(path, tmp_path / "vendor")
    assert not (tmp_path / "evil.py").exists()


def test_programs_of_a_wheel_are_left_out_and_its_libraries_kept(tmp_path: Path) -> None:
    files = {"vine-1.data/scripts/vine": b"#!python", "vine-1.data/purelib/vine.py": b"pass"}
    unpack(wheel(tmp_path, "vine", files), tmp_path / "vendor")
    kept = sorted(path.name for path in (tmp_path / "vendor").rglob("*") if path.is_file())
    assert kept == ["METADATA", "RECORD", "vine.py"]


def test_two_wheels_with_the_same_file_stop_the_build(tmp_path: Path) -> None:
    one, two = (wheel(tmp_path, name, {"same.py": b"pass"}) for name in ("one", "two"))
    unpack(one, tmp_path / "vendor")
    with pytest.raises(CannotBuild, match=r"same\.py is in another wheel"):
        unpack(two, tmp_path / "vendor")


# -- the units --------------------------------------------------------------------------------

UNITS = sorted(path for path in (SOURCE / "units").iterdir() if path.suffix == ".service")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_never_uses_up_a_limit_of_starts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "Restart=" in text:
        assert "StartLimitIntervalSec=0" in text


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_runs_from_the_current_version_with_the_systems_python(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    [command] = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)
    assert command == "@PYTHON@" or command.startswith("/opt/ea4-mpm/current/bin/")


def test_what_is_exposed_to_visitors_has_neither_rights_nor_root() -> None:
    for name in ("web", "worker", "prepare"):
        lines = (SOURCE / f"units/ea4-mpm-{name}.service").read_text("utf-8").splitlines()
        for needed in ("User=ea4-mpm", "CapabilityBoundingSet=", "NoNewPrivileges=yes"):
            assert needed in lines, name
        assert "ProtectSystem=strict" in lines


def test_httpd_waits_at_boot_for_what_was_cut_off() -> None:
    text = (SOURCE / "units/ea4-mpm-resume.service").read_text("utf-8")
    assert re.search(r"^Before=.*\bhttpd\.service\b", text, re.MULTILINE)
    assert "Type=notify" in text
    assert "redis" not in text.lower()


@pytest.mark.parametrize("name", ["before_removal", "after_removal"])
def test_the_last_scripts_stop_and_remove_what_is_ours_alone(name: str) -> None:
    text = scripts("1.2.3", "4")[name]
    assert text.strip()
    for word in re.findall(r"rm -rf (\S+)", text):
        assert word == "/opt/ea4-mpm"


def test_after_an_unpacking_its_own_version_is_activated() -> None:
    assert scripts("1.2.3", "4")["after"] == (
        "/opt/ea4-mpm/.package/1.2.3-4/bin/activate 1.2.3-4\n"
    )
