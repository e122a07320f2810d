"""``ea4mpm`` as a package of its own: what is in its wheel, and that it runs with nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mpm import VERSION

TOP = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
ABSENT = (
    "import importlib.util as u; print([n for n in ('django', 'ninja', 'celery', 'psycopg', "
    "'pydantic', 'redis', 'easyapache', 'solv') if u.find_spec(n)])"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree, as a build leaves its own files beside the sources."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("mpm", "locale", "packaging"):
        shutil.copytree(
            TOP / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "build")
        )
    subprocess.run(
        [sys.executable, "-c", BUILD, str(tree)],
        cwd=tree / "packaging/ea4mpm",
        check=True,
        capture_output=True,
    )
    [made] = tree.glob("ea4mpm-*.whl")
    return made


def needed(*names: str) -> Iterator[str]:
    """These distributions and all that they need, as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        yield name
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, what it asks for, and nothing of the panel."""
    place = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin/python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"),
            *("--no-index", "--no-deps", "--disable-pip-version-check", str(wheel)),
        ],
        check=True,
        capture_output=True,
    )
    [packages] = (place / "lib").glob("python*/site-packages")
    for name in needed(*requirements(wheel)):
        for file in distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    return place


def requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = message_from_bytes(archive.read(path))
    return [Requirement(text).name for text in metadata.get_all("Requires-Dist", [])]


def run(place: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(place / "bin" / command[0]), *command[1:]],
        cwd=place,
        env={"PATH": os.environ["PATH"], "HOME": str(place), "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_commands_and_the_way_over_rest_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        modules = {name for name in archive.namelist() if name.endswith(".py")}
    sources = {
        path.relative_to(TOP).as_posix()
        for folder in ("commands", "remote")
        for path in (TOP / "mpm/cli" / folder).glob("*.py")
    }
    assert modules == sources | {"mpm/__init__.py", "mpm/cli/__init__.py"}
    assert sorted(requirements(wheel)) == ["httpx", "rich"]


def test_it_is_the_version_of_the_panel_and_needs_the_same_versions() -> None:
    own = tomllib.loads((TOP / "packaging/ea4mpm/pyproject.toml").read_text())["project"]
    panel = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert own["version"] == panel["version"] == VERSION
    assert set(own["dependencies"]) <= set(panel["dependencies"])
    assert own["requires-python"] == panel["requires-python"]


def test_it_runs_where_nothing_of_the_panel_is_installed(installed: Path) -> None:
    assert run(installed, "python", "-c", ABSENT).stdout.strip() == "[]"
    done = run(installed, "ea4mpm", "--version")
    assert (done.returncode, done.stdout) == (0, f"ea4mpm {VERSION}\n")
    done = run(installed, "ea4mpm", "--help")
    assert (done.returncode, "change the MPM of a server" in done.stdout) == (0, True)
    done = run(installed, "ea4mpm", "switch", "--help")
    assert (done.returncode, "--digest" in done.stdout) == (0, True)
    done = run(installed, "ea4mpm", "completion", "bash")
    assert (done.returncode, "complete -F _ea4mpm ea4mpm" in done.stdout) == (0, True)
    done = run(installed, "ea4mpm", "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert "EA4MPM_URL" in done.stderr


def test_it_speaks_german_where_the_shell_does(installed: Path) -> None:
    done = run(installed, "ea4mpm", "--help", LANGUAGE="de")
    assert "das MPM eines Servers ändern" in done.stdout
