"""A backup in one file, brought back in an empty place, and refused when it is not whole."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from mpm.backup.archive import BadBackup, unpack, written
from tests.panel.test_on_postgresql import cluster
from tests.panel_fixtures import PROJECT

__all__ = ["cluster"]
CHECK = (
    "import django; django.setup();"
    "from mpm.access.tokens import check; import sys;"
    "print(check(sys.argv[1], '').name)"
)


class Place:
    """A panel in a folder of its own, by its command line."""

    def __init__(self, folder: Path, database: str = "", key: str = "the first key") -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": key,
            "VAR_DIR": str(folder / "var"),
            "DATABASE_URL": database,
            "REDIS_URL": "memory://",
            "DJANGO_SETTINGS_MODULE": "easyapache.settings",
            "PYTHONPATH": str(PROJECT),
        }

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env=self.environment | more,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def manage(self, *words: str, status: int = 0, **more: str) -> str:
        done = self.run("manage.py", *words, **more)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def prepare(self) -> str:
        """A panel with a server, accounts and a token; returns the text of the token."""
        server = {"name": "sim", "kind": "simulated"}
        self.manage("prepare", "--no-static", "--first-accounts", "--server", json.dumps(server))
        added = self.run(
            "manage.py", "mpm", "token", "create", "prometheus", "--scope", "read", "--json"
        )
        assert added.returncode == 0, added.stderr
        return str(json.loads(added.stdout)["token"])

    @property
    def database(self) -> Path:
        return self.folder / "var/panel.sqlite3"


def test_a_backup_comes_back_in_an_empty_place(tmp_path: Path) -> None:
    first, second = Place(tmp_path / "first"), Place(tmp_path / "second", key="another key")
    token = first.prepare()
    configuration = tmp_path / "etc"
    configuration.mkdir()
    (configuration / "panel.env").write_text("ALLOWED_HOSTS=panel.example.com\n")
    file = tmp_path / "panel.backup"
    printed = first.manage("backup", str(file), "--configuration", str(configuration))
    assert "isn't encrypted" in printed
    assert file.stat().st_mode & 0o077 == 0
    before = json.loads(first.run("manage.py", "mpm", "verify", "--json").stdout)

    printed = second.manage("restore", str(file))
    assert "The history verifies" in printed
    assert "SECRET_KEY here is another one" in printed
    after = json.loads(second.run("manage.py", "mpm", "verify", "--json").stdout)
    assert after == before
    assert after["verified"]
    assert after["events"] > 0
    [kept] = (second.folder / "var").glob(f"restored-configuration-*{configuration}/panel.env")
    assert kept.read_text() == "ALLOWED_HOSTS=panel.example.com\n"
    assert second.run("-c", CHECK, token).returncode != 0
    keys = second.folder / "var/restored-keys.env"
    assert keys.stat().st_mode & 0o077 == 0
    restored = dict(line.split("=", 1) for line in keys.read_text().splitlines())
    done = second.run("-c", CHECK, token, **restored)
    assert done.stdout.strip() == "prometheus", done.stderr


def test_an_encrypted_backup_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    first, second = Place(tmp_path / "first"), Place(tmp_path / "second")
    first.prepare()
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse battery\n")
    wrong.write_text("staple\n")
    file = tmp_path / "panel.backup"
    printed = first.manage("backup", str(file), "--passphrase-file", str(right))
    assert "isn't encrypted" not in printed
    content = file.read_bytes()
    assert b"SQLite format" not in content
    assert b"the first key" not in content
    for words in ((), ("--passphrase-file", str(wrong))):
        assert "Nothing was changed" in second.manage("restore", str(file), *words, status=1)
        assert not second.database.exists()
    torn = tmp_path / "torn"
    torn.write_bytes(content[: len(content) * 2 // 3])
    second.manage("restore", str(torn), "--passphrase-file", str(right), status=1)
    altered = tmp_path / "altered"
    altered.write_bytes(content[:-200] + bytes([content[-200] ^ 1]) + content[-199:])
    second.manage("restore", str(altered), "--passphrase-file", str(right), status=1)
    assert not second.database.exists()
    assert "verifies" in second.manage("restore", str(file), "--passphrase-file", str(right))


def test_a_panel_in_use_is_not_replaced_by_accident(tmp_path: Path) -> None:
    place = Place(tmp_path / "p")
    place.prepare()
    file = tmp_path / "panel.backup"
    place.manage("backup", str(file))
    assert "exists already" in place.manage("backup", str(file), status=1)
    place.manage("mpm", "token", "create", "later", "--scope", "read")
    assert "--replace" in place.manage("restore", str(file), status=1)
    beat = (
        "import django; django.setup(); from mpm.servers.models import Pulse;"
        "from django.utils import timezone as t; import datetime as d, sys;"
        "Pulse.beat('control', t.now() - d.timedelta(seconds=int(sys.argv[1])))"
    )
    assert place.run("-c", beat, "5").returncode == 0
    assert "at work" in place.manage("restore", str(file), "--replace", status=1)
    assert "later" in place.manage("mpm", "token", "list")
    assert place.run("-c", beat, "300").returncode == 0
    printed = place.manage("restore", str(file), "--replace")
    assert "later" not in place.manage("mpm", "token", "list")
    [kept] = place.database.parent.glob("panel.sqlite3.before-restore-*")
    assert str(kept) in printed
    with closing(sqlite3.connect(kept)) as old:
        names = {name for (name,) in old.execute("SELECT name FROM mpm_token")}
    assert "later" in names


def test_a_backup_of_a_newer_version_or_another_database_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path / "p")
    for about, words in (
        ({"database": "sqlite", "migrations": ["mpm.9999_later"], "version": "9.9"}, "newer"),
        ({"database": "postgresql", "migrations": []}, "postgresql"),
    ):
        file = tmp_path / f"{words}.backup"
        with written(file) as backup:
            backup.add_text("database.sqlite3", "x")
            backup.add_text("keys.env", "SECRET_KEY=x\n")
            backup.finish(about)
        printed = place.manage("restore", str(file), status=1)
        assert words in printed
        assert "Nothing was changed" in printed


def test_a_damaged_database_leaves_nothing_behind(tmp_path: Path) -> None:
    place = Place(tmp_path / "p")
    file = tmp_path / "bad.backup"
    with written(file) as backup:
        backup.add_text("database.sqlite3", "no database at all" * 100)
        backup.add_text("keys.env", "SECRET_KEY=x\n")
        backup.finish({"database": "sqlite", "migrations": []})
    assert "damaged" in place.manage("restore", str(file), status=1)
    assert list((place.folder / "var").glob("*")) == []


@pytest.mark.postgresql
def test_a_postgresql_panel_comes_back_in_an_empty_database(cluster: Path, tmp_path: Path) -> None:
    import psycopg

    with psycopg.connect(host=str(cluster), user="panel", dbname="postgres", autocommit=True) as c:
        for name in ("first", "second"):
            c.execute(f"CREATE DATABASE {name}")
    address = f"postgres://panel@/{{}}?host={quote(str(cluster), safe='')}"
    first = Place(tmp_path / "first", address.format("first"))
    second = Place(tmp_path / "second", address.format("second"))
    token = first.prepare()
    file = tmp_path / "panel.backup"
    first.manage("backup", str(file))
    before = json.loads(first.run("manage.py", "mpm", "verify", "--json").stdout)
    assert "The history verifies" in second.manage("restore", str(file))
    after = json.loads(second.run("manage.py", "mpm", "verify", "--json").stdout)
    assert (after, after["verified"]) == (before, True)
    assert second.run("-c", CHECK, token).stdout.strip() == "prometheus"
    second.manage("mpm", "token", "create", "later", "--scope", "read")
    second.manage("restore", str(file), status=1)
    second.manage("restore", str(file), "--replace")
    assert "later" not in second.manage("mpm", "token", "list")


# -- the file ----------------------------------------------------------------------------------


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    file = tmp_path / "whole"
    with written(file) as backup:
        backup.add_text("keys.env", "SECRET_KEY=x\n")
        backup.add_text("configuration/etc/panel.env", "A=b\n" * 500)
        backup.finish({"database": "sqlite"})
    return file.read_bytes()


def opened(tmp_path: Path, content: bytes) -> list[str]:
    file, folder = tmp_path / "given", tmp_path / "out"
    file.write_bytes(content)
    folder.mkdir()
    unpack(file, folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_whole_backup_is_unpacked(tmp_path: Path, whole: bytes) -> None:
    assert opened(tmp_path, whole) == ["configuration/etc/panel.env", "keys.env"]


@pytest.mark.parametrize("share", [0, 1, 30, 60, 75])
def test_a_torn_backup_is_refused(tmp_path: Path, whole: bytes, share: int) -> None:
    # What follows the manifest is the padding of a tar archive, which nothing depends on.
    end = whole.index(b"manifest.json") * share // 75
    with pytest.raises(BadBackup):
        opened(tmp_path, whole[:end])


def test_an_altered_byte_is_found(tmp_path: Path, whole: bytes) -> None:
    at = whole.index(b"A=b\n")
    with pytest.raises(BadBackup, match="damaged"):
        opened(tmp_path, whole[:at] + b"B" + whole[at + 1 :])


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "configuration/../../x", "a//b", "", "manifest.json/x/.."]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(BadBackup):
        opened(tmp_path, data.getvalue())
    assert not (tmp_path / "outside").exists()


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            member = tarfile.TarInfo("keys.env")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        place = tmp_path / str(number)
        place.mkdir()
        with pytest.raises(BadBackup):
            opened(place, data.getvalue())


def test_a_backup_that_fails_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "none"
    with pytest.raises(BadBackup), written(file) as backup:
        backup.add_text("../x", "")
    assert list(tmp_path.iterdir()) == []
    empty = tmp_path / "passphrase"
    empty.touch()
    with pytest.raises(BadBackup, match="no passphrase"), written(file, empty) as backup:
        backup.finish({})
    assert list(tmp_path.iterdir()) == [empty]
