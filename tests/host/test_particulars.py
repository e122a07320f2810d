"""What packages are in words: by rpm and dnf of a real server, and by files that may be broken."""

from __future__ import annotations

import json
from pathlib import Path

from easyapache.agent.packages.package_metadata import Library
from easyapache.ea4.package_metadata import METAINFO, PREFIXES, RECOMMENDATIONS, Particulars
from tests.host.conftest import Manage
from tests.host.managed import PREFIX, Managed

EVENT, PREFORK = f"{PREFIX}mpm_event", f"{PREFIX}mpm_prefork"


def library(managed: Managed, root: Path | None = None) -> Library:
    """One that remembers nothing yet."""
    real = managed.real
    return Library(root or managed.config.root, real.rpm, real.packages)


def test_either_driver_says_what_the_tools_of_easyapache_brought(server: Managed) -> None:
    said = server.server.particulars()
    assert said.metainfo["default_php_handler"] == "cgi"
    assert "tech_domains" in said.metainfo
    assert set(said.recommendations) <= server.server.inspect().names
    assert said.prefixes == ()
    again = server.server.particulars()
    assert again.digest == said.digest
    assert Particulars.from_json(json.loads(json.dumps(said.as_json()))).digest == said.digest


def test_rpm_describes_what_is_installed_and_dnf_what_could_be(managed: Managed) -> None:
    said = managed.server.particulars()
    assert set(said.installed) == managed.server.inspect().names
    prefork, event = said.of(PREFORK), said.of(EVENT)
    for package in (prefork, event):
        assert (package.license, package.group) == ("ASL 2.0", "System Environment/Daemons")
        assert package.size > 0
        assert package.summary
        assert "\n" in package.description
    _, transaction = managed.plan("event")
    assert event.size == transaction.sizes["install"][EVENT]
    assert prefork.size == transaction.sizes["remove"][PREFORK]


def test_dnf_is_asked_again_only_when_it_has_read_its_repositories_again(
    managed: Managed,
) -> None:
    books = library(managed)
    first = books.offers({EVENT})
    assert books.offers({EVENT}) is first
    cache = managed.config.root / "var/cache/dnf"
    solv = next(cache.glob("*.solv"))
    solv.touch()
    second = books.offers({EVENT})
    assert second == first
    assert second is not first


def test_without_metadata_there_is_no_offer_and_no_repository_is_asked(
    make_managed: Manage,
) -> None:
    managed = make_managed()
    assert managed.lab is not None
    managed.lab.place.forget_metadata()
    said = managed.server.particulars()
    assert said.offered == {}
    assert said.of(EVENT).size == 0
    assert said.of(EVENT).license == "ASL 2.0"
    assert not list((managed.config.root / "var/cache/dnf").glob("**/repomd.xml"))


def test_broken_files_of_the_tools_are_passed_over(managed: Managed, tmp_path: Path) -> None:
    for name, text in (
        (METAINFO, "[1, 2]"),
        (f"{RECOMMENDATIONS}/{PREFORK}/a.json", '{"on": "add", "name": "A"}'),
        (f"{RECOMMENDATIONS}/{PREFORK}/b.json", "{"),
        (f"{RECOMMENDATIONS}/{PREFORK}/notes.txt", "{}"),
        (f"{RECOMMENDATIONS}/{EVENT}/c.json", '{"on": "add", "name": "C"}'),
        (f"{PREFIXES}/altea", ""),
        (f"{PREFIXES}/.hidden", ""),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    said = library(managed, tmp_path).particulars({EVENT})
    assert said.metainfo == {}
    assert said.recommendations == {PREFORK: [{"on": "add", "name": "A"}]}
    assert said.prefixes == ("altea",)
    (tmp_path / METAINFO).write_text(json.dumps({"x": "y" * 70_000}))
    assert library(managed, tmp_path).particulars({EVENT}).metainfo == {}
