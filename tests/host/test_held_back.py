"""What dnf's own files hide or pin, as dnf means them."""

from __future__ import annotations

from pathlib import Path

import pytest

from easyapache.agent.packages.held_back import excludes, repository_filters, version_locks
from easyapache.ea4.pins import hidden
from easyapache.ea4.profile import Package

EVENT = Package("ea-apache24-mod_mpm_event", "2.4.67", "2", "x86_64")
OF_CPANEL = (
    "courier* dovecot* exim* filesystem httpd* mod_ssl* mydns* nsd* p0f php* proftpd* pure-ftpd* "
    "spamassassin*"
)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def facts(root: Path) -> dict[str, object]:
    return {"excludes": excludes(root), "repository_filters": repository_filters(root)}


def test_the_excludes_of_cpanel_itself_hide_no_package_of_easyapache(tmp_path: Path) -> None:
    write(tmp_path, "etc/yum.conf", f"[main]\nexclude={OF_CPANEL}\ntolerant=1\n")
    assert "httpd*" in excludes(tmp_path)
    assert hidden(facts(tmp_path), EVENT, offered=True) is None


def test_a_continued_line_of_excludes_is_read_whole_and_its_backslash_is_no_pattern(
    tmp_path: Path,
) -> None:
    text = "[main]\nexclude = kernel* \\\n    ea-apache24-mod_mpm_event, exim*\nbest=1\n"
    write(tmp_path, "etc/dnf/dnf.conf", text)
    assert excludes(tmp_path) == ["ea-apache24-mod_mpm_event", "exim*", "kernel*"]
    assert hidden(facts(tmp_path), EVENT, offered=True) == "ea-apache24-mod_mpm_event"


@pytest.mark.parametrize(
    ("repositories", "where"),
    [
        ("[x-ea4]\nenabled=0\nexcludepkgs=ea-apache24*\n[EA4]\nenabled=1\n", None),
        ("[cl-ea4]\nexclude=ea-apache24*\n[EA4]\nenabled=1\n", None),
        ("[other]\nexclude=ea-apache24*\n[EA4]\n", None),
        ("[EA4]\nincludepkgs=ea-php*\n", "[EA4]"),
        ("[EA4]\nincludepkgs=ea-*\n", None),
        ("[EA4]\nexclude=ea-apache24-mod_mpm_*\n", "[EA4]"),
        ("[EA4]\nexclude=ea-apache24*\n[cl-ea4]\nincludepkgs=ea-php*\n", "[EA4], [cl-ea4]"),
    ],
)
def test_a_filter_of_a_repository_hides_only_where_no_other_one_of_ea4_offers(
    tmp_path: Path, repositories: str, where: str | None
) -> None:
    write(tmp_path, "etc/yum.repos.d/all.repo", repositories)
    assert hidden(facts(tmp_path), EVENT, offered=True) == where
    assert hidden(facts(tmp_path), EVENT, offered=False) is None


@pytest.mark.parametrize(
    ("main", "repository", "where"),
    [
        ("exclude=ea-apache24*\ndisable_excludes=all", "", None),
        ("exclude=ea-apache24*\ndisable_excludes=main", "", None),
        ("exclude=ea-apache24*\ndisable_excludes=EA4", "", "ea-apache24*"),
        ("disable_excludes=EA4", "exclude=ea-apache24*", None),
        ("disable_excludes=all", "includepkgs=ea-php*", None),
        ("disable_excludes=main", "exclude=ea-apache24*", "[EA4]"),
        ("includepkgs=ea-php*", "", "[EA4]"),
        ("includepkgs=ea-apache24*, ea-php*", "", None),
    ],
)
def test_filters_that_are_disabled_hide_nothing_and_those_of_main_hold_everywhere(
    tmp_path: Path, main: str, repository: str, where: str | None
) -> None:
    write(tmp_path, "etc/dnf/dnf.conf", f"[main]\n{main}\n")
    write(tmp_path, "etc/yum.repos.d/EA4.repo", f"[EA4]\n{repository}\n")
    assert hidden(facts(tmp_path), EVENT, offered=True) == where


def test_locks_are_read_where_the_plugin_looks_for_them(tmp_path: Path) -> None:
    write(tmp_path, "etc/dnf/plugins/versionlock.list", "# kept\nea-apache24-0:2.4.58-1.*\n")
    assert version_locks(tmp_path) == ["ea-apache24-0:2.4.58-1.*"]
    write(tmp_path, "etc/dnf/plugins/versionlock.conf", "[main]\nenabled = 0\n")
    assert version_locks(tmp_path) == []
    conf = "[main]\nenabled = 1\nlocklist = /etc/own.list\n"
    write(tmp_path, "etc/dnf/plugins/versionlock.conf", conf)
    write(tmp_path, "etc/own.list", "ea-apache24-mod_cgi-*\n")
    assert version_locks(tmp_path) == ["ea-apache24-mod_cgi-*"]


def test_locks_of_dnf_5_are_read_by_name_and_a_broken_file_locks_nothing(tmp_path: Path) -> None:
    text = (
        'version = "1.0"\n[[packages]]\nname = "ea-apache24"\n[[packages.conditions]]\nkey="evr"\n'
    )
    write(tmp_path, "etc/dnf/versionlock.toml", text)
    assert version_locks(tmp_path) == ["ea-apache24"]
    text = text.replace('"evr"', '"evr"\ncomparator="="\nvalue="2.4.58-1"')
    write(tmp_path, "etc/dnf/versionlock.toml", text)
    assert version_locks(tmp_path) == ["ea-apache24-2.4.58-1.*"]
    write(tmp_path, "etc/dnf/versionlock.toml", "[[packages\n")
    assert version_locks(tmp_path) == []


def test_files_that_cannot_be_read_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc/dnf/dnf.conf").mkdir(parents=True)
    write(tmp_path, "etc/yum.repos.d/bad.repo", "exclude=ea-*\nno section\n")
    assert facts(tmp_path) == {"excludes": [], "repository_filters": {}}
    assert version_locks(tmp_path) == []
