"""Promises about the tree itself: what it holds, and what it must never hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
LOCKS = ("runtime.lock", "demo.lock", "dev.lock")


def tracked_files() -> list[Path]:
    """What git knows, or in an export without git everything outside hidden folders."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={TOP}", "ls-files", "-z"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0, listed.stderr
    return [TOP / name for name in listed.stdout.split("\0") if name]


def pins(lock: str) -> dict[str, str]:
    text = (TOP / "requirements" / lock).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_download_host(lock: str) -> None:
    text = (TOP / "requirements" / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    text = (TOP / "requirements" / lock).read_text()
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if "==" in block.splitlines()[0]:
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_what_is_tested_is_what_is_installed() -> None:
    tested = pins("dev.lock")
    for lock in ("runtime.lock", "demo.lock"):
        installed = pins(lock)
        assert installed
        assert installed == {name: tested.get(name) for name in installed}


def test_the_locks_hold_everything_pyproject_asks_for() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    asked = {
        re.split(r"[\[<>=~! ]", requirement)[0].lower()
        for requirement in project["project"]["dependencies"]
    }
    for lock in LOCKS:
        assert asked <= set(pins(lock)), lock


def test_no_room_is_called_what_rooms_without_a_purpose_are_called() -> None:
    nameless = {"utils.py", "helpers.py", "common.py", "misc.py", "base.py", "manager.py"}
    assert not [path for path in tracked_files() if path.name in nameless]


def test_the_top_of_the_tree_is_what_a_stranger_looks_for() -> None:
    for name in (
        *("README.md", "LICENSE", "CHANGELOG.md", "THREAT_MODEL.md", "Makefile", "manage.py"),
        *("pyproject.toml", "docker-compose.yml", "Dockerfile", ".ci/run"),
        *("easyapache", "mpm", "templates", "static", "tests"),
    ):
        assert (TOP / name).exists(), name


def test_the_reference_names_every_setting() -> None:
    settings = (TOP / "easyapache" / "settings.py").read_text()
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', settings))
    assert {"SECRET_KEY", "WHM_SERVER", "TOKEN_PEPPERS"} <= read
    page = (TOP / "docs/reference/settings.md").read_text()
    listed = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", page, re.MULTILINE))
    assert read - listed == set()


USED_IF_THERE = {"greenlet", "pyyaml", "setuptools"}
"""Looked for by kombu and by Python's own start, and done without where they are missing."""
WHAT_RUNS = """
import importlib, importlib.metadata, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
homes = importlib.metadata.packages_distributions()
for top in sorted({name.partition(".")[0] for name in sys.modules}):
    for distribution in homes.get(top, ()):
        print(distribution.lower().replace("_", "-"))
"""


def test_what_runs_in_production_is_in_the_lock_of_production() -> None:
    """A library may import what it does not declare; the tests' own packages would hide it."""
    ran = subprocess.run(
        [
            *(sys.executable, "-c", WHAT_RUNS),
            *("django.contrib.auth.hashers", "easyapache.wsgi", "mpm.web.urls", "mpm.tasks"),
            *("easyapache.agent.worker", "easyapache.agent.change.engine", "celery.bin.celery"),
            *("kombu.transport.redis", "gunicorn.app.wsgiapp", "easyapache.web_worker"),
            *("psycopg", "mpm.cli.remote.main"),
        ],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert set(ran.stdout.split()) - set(pins("runtime.lock")) - USED_IF_THERE == set()
