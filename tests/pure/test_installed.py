"""What ``ea4-mpm`` does with files: settings, versions, and what it finds wrong."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import stat
from pathlib import Path

import pytest

from easyapache.agent.change.engines import Engines
from easyapache.agent.config import HostConfig
from easyapache.installed import check, layout, setup, upgrade
from easyapache.installed.__main__ import parser
from easyapache.installed.layout import Layout, Refused, env_text, read_env, write


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    for name in ("opt/ea4-mpm", "etc/ea4-mpm/secrets", "var/lib/ea4-mpm/agent"):
        (tmp_path / name).mkdir(parents=True)
    return Layout(tmp_path)


def version(place: Layout, name: str) -> Path:
    tree = place.base / name
    tree.mkdir()
    (tree / "code.py").write_text("pass\n")
    digest = hashlib.sha256(b"pass\n").hexdigest()
    (tree / "MANIFEST").write_text(f"{digest}  code.py\n")
    return tree


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "panel.env"
    values = {"HTTPS": "true", "ALLOWED_HOSTS": "a.example.test,b.example.test", "EMPTY": ""}
    path.write_text(env_text(values, "About."))
    assert read_env(path) == values


HOSTS = "web.example.test,localhost,127.0.0.1"


@pytest.mark.parametrize(
    ("known", "hosts", "set_to"),
    [
        ({}, ["web.example.test", "localhost"], "https://web.example.test:8443"),
        ({"PANEL_URL": "https://p.example.test/ea4"}, ["a.test"], "https://p.example.test/ea4"),
        (
            {
                "PANEL_URL": "https://web.example.test:8443",
                "ALLOWED_HOSTS": HOSTS,
                "EA4_LISTEN": "0.0.0.0:8443",
            },
            ["new.example.test", "localhost"],
            "https://new.example.test:8443",
        ),
        ({}, ["2001:db8::1"], "https://[2001:db8::1]:8443"),
    ],
)
def test_setup_sets_the_address_of_the_panel_and_keeps_one_that_somebody_chose(
    known: dict[str, str], hosts: list[str], set_to: str
) -> None:
    assert setup._panel_url(known, hosts, "0.0.0.0:8443") == set_to


def test_the_check_says_where_the_panel_cannot_know_its_address() -> None:
    for settings in (
        {"PANEL_URL": "https://web.example.test", "ALLOWED_HOSTS": "a.test,b.test"},
        {"ALLOWED_HOSTS": HOSTS},
    ):
        assert check.panel_address(settings).ok, settings
    for hosts in ("a.test,b.test,localhost", "*", ".example.test"):
        finding = check.panel_address({"ALLOWED_HOSTS": hosts})
        assert (finding.ok, finding.remedy) == (False, "Run ea4-mpm setup, which sets PANEL_URL.")


@pytest.mark.parametrize("value", ['a"b', "a\nSECRET=1", "back\\slash"])
def test_a_value_that_would_end_its_line_is_refused(value: str) -> None:
    with pytest.raises(Refused, match="NAME"):
        env_text({"NAME": value}, "About.")


def test_a_file_is_written_whole_with_its_mode_and_only_when_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "folder/secret"
    assert write(path, "one\n", 0o640, os.getegid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o666)
    assert not write(path, "one\n", 0o640, os.getegid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert write(path, "two\n", 0o600, os.getegid())
    assert [one.name for one in path.parent.iterdir()] == ["secret"]


def test_the_link_of_the_current_version_is_changed_in_one_step(place: Layout) -> None:
    version(place, "1-1")
    version(place, "2-1")
    upgrade.point_to(place, "1-1")
    upgrade.point_to(place, "2-1")
    assert place.current.resolve().name == "2-1"
    assert upgrade.versions(place) == ["1-1", "2-1"]


def test_only_current_and_previous_versions_are_kept(place: Layout) -> None:
    for name in ("1-1", "2-1", "3-1"):
        version(place, name)
    upgrade.prune(place, {"2-1", "3-1"})
    assert upgrade.versions(place) == ["2-1", "3-1"]


def test_a_version_that_is_not_there_is_refused_by_name(place: Layout) -> None:
    version(place, "1-1")
    upgrade.point_to(place, "1-1")
    with pytest.raises(Refused, match="1-1"):
        upgrade.use(place, "9-9", lambda _: None)


def test_a_changed_file_of_the_installation_is_found(place: Layout) -> None:
    tree = version(place, "1-1")
    upgrade.point_to(place, "1-1")
    assert check._tree(place).ok
    (tree / "code.py").write_text("evil\n")
    found = check._tree(place)
    assert not found.ok
    assert "code.py" in found.detail


def test_a_secret_that_others_can_read_is_found(
    place: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = place.secrets / "secret-key"
    secret.write_text("x\n")
    secret.chmod(0o644)
    [found] = check._files(place)
    assert not found.ok
    assert str(secret) in found.detail


def test_a_change_is_unfinished_until_its_journal_has_an_outcome(place: Layout) -> None:
    for name, kinds in (("done", ("step", "outcome")), ("cut", ("step",)), ("new", ())):
        folder = place.spool / name
        folder.mkdir()
        (folder / "request.json").write_text("{}")
        lines = [json.dumps({"kind": kind}) for kind in kinds]
        (folder / "journal.jsonl").write_text("\n".join([*lines, '{"kind": "outc']))
    assert check.unfinished(place) == ["cut", "new"]


def test_a_copy_of_the_database_has_what_is_still_in_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "panel.sqlite3"
    open_one = sqlite3.connect(source)
    open_one.execute("PRAGMA journal_mode=WAL")
    open_one.execute("CREATE TABLE history (word TEXT)")
    open_one.execute("INSERT INTO history VALUES ('kept')")
    open_one.commit()

    class Me:
        pw_uid, pw_gid = os.geteuid(), os.getegid()

    monkeypatch.setattr(upgrade, "account", lambda: Me)
    copy = upgrade._copy(source, tmp_path / "copy.sqlite3")
    assert sqlite3.connect(copy).execute("SELECT word FROM history").fetchall() == [("kept",)]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    open_one.close()


def test_what_fails_is_told_with_its_last_lines() -> None:
    with pytest.raises(Refused, match="the end"):
        layout.run(["sh", "-c", "echo begin; echo the end >&2; exit 3"])
    with pytest.raises(Refused, match="is not installed"):
        layout.run(["/no/such/program"])


def test_every_command_has_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    text = capsys.readouterr().out
    for name in ("setup", "check", "uninstall", "use", "manage", "mpm", "agent"):
        assert re.search(rf"^ +{name}\s+\w", text, re.MULTILINE), name


def test_an_engine_keeps_to_the_version_that_it_began_with(
    place: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    (version(place, "1-1") / "vendor").mkdir()
    upgrade.point_to(place, "1-1")
    monkeypatch.setenv("PYTHONPATH", f"{place.current}:{place.current / 'vendor'}")
    engines = Engines(HostConfig(server="web03", spool=place.spool))
    found = engines._runner.environment["PYTHONPATH"].split(":")
    assert found[1:] == [str(place.base / "1-1"), str(place.base / "1-1/vendor")]


def test_a_file_that_somebody_else_owns_becomes_the_writers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    path = tmp_path / "a"
    write(path, "text", 0o600, os.getegid())
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    monkeypatch.setattr(os, "chown", lambda _, user, group: given.append((user, group)))
    assert not write(path, "text", 0o600, os.getegid())
    assert given == [(path.stat().st_uid + 1, os.getegid())]


@pytest.mark.parametrize("name", ["config", "secrets", "redis_conf", "certificate"])
def test_what_everybody_may_write_is_found(place: Layout, name: str) -> None:
    path = getattr(place, name)
    if "." in path.name:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
    found = next(check._files(place))
    assert not found.ok
    assert str(path) in found.detail
