from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyapache.ea4.mpm import CGI, ITK, MPM, RUID2
from easyapache.ea4.profile import Profile
from easyapache.ea4.profile_file import (
    MOST_BYTES,
    BadProfile,
    canonical,
    check_file_name,
    compare,
    of_installed,
    parse,
)
from tests.pure.servers import CATALOGUE, NAMES, prefork, sound_servers, with_itk

STOCK = ("default", "mpm_itk", "nophp", "worker")
GOOD: dict[str, Any] = {
    "name": "Mine",
    "desc": "",
    "version": 1.2,
    "tags": ["Apache 2.4"],
    "pkgs": ["ea-apache24", "ea-apache24-mod_mpm_event"],
}


def raw(**parts: Any) -> bytes:
    return json.dumps({**GOOD, **parts}).encode()


def test_a_profile_that_begins_with_a_byte_order_mark_is_read() -> None:
    assert parse(b"\xef\xbb\xbf" + raw()) == parse(raw())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "JSON object"),
        (b"[" * 200_000, "not JSON"),
        (b'{"version": ' + b"9" * 5000 + b"}", "not JSON"),
        (raw(pkgs="ea-apache24"), "list of package names"),
        (raw(pkgs=[1]), "not a package name"),
        (raw(pkgs=["../x"]), "not a package name"),
        (raw(pkgs=["ea-apache24; reboot"]), "not a package name"),
        (raw(pkgs=["--installroot=/"]), "not a package name"),
        (raw(pre=["$(id)"]), "not a package name"),
        (raw(tags="x"), "tags"),
        (raw(version=None), "version"),
        (raw(version=True), "version"),
        (raw(name=" "), "name"),
        (raw(desc=None), "desc"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_with_the_reason(content: bytes, words: str) -> None:
    with pytest.raises(BadProfile, match=words):
        parse(content)


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_missing_field_is_named(field: str) -> None:
    data = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(BadProfile, match=field):
        parse(json.dumps(data).encode())


def test_a_file_of_fifty_megabytes_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadProfile, match="larger than"):
        parse(b"[" * (50 * 1024 * 1024))
    assert parse(raw(desc=" " * (MOST_BYTES // 2))).names == frozenset(GOOD["pkgs"])


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "a" * 200, ".json"])
def test_a_file_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BadProfile):
        check_file_name(name)


def test_the_ending_belongs_to_the_file_and_not_to_its_name() -> None:
    assert check_file_name("mine.json") == check_file_name("mine") == "mine"


def test_names_of_debian_are_those_of_rpm() -> None:
    assert canonical("ea-apache24-mod-mpm-event", NAMES) == MPM.EVENT.package
    assert canonical("ea-apache24-mod-qos", NAMES) == "ea-apache24-mod-qos"
    assert canonical("ea-nothing-here", NAMES) == "ea-nothing-here"
    read = parse(raw(pkgs=["ea-apache24", "ea-apache24-mod-mpm-prefork"]), NAMES)
    assert read.mpms == ("prefork",)


@pytest.mark.parametrize(
    "build",
    [
        *(".x86_64", "-2.4.67-2.el9.x86_64", "-2.4.67-2", ".noarch"),
        "-2.4.52-5.el8.cloudlinux.4.x86_64",
    ],
)
def test_names_as_package_managers_list_them_are_those_of_the_packages(build: str) -> None:
    listed = ["ea-apache24", f"ea-apache24-mod_mpm_event{build}", f"ea-apache24-mod-qos{build}"]
    read = parse(raw(pkgs=[*listed, f"ea-unheard-of{build}"]), NAMES)
    assert read.mpms == ("event",)
    assert read.names == {
        *("ea-apache24", "ea-apache24-mod_mpm_event", "ea-apache24-mod-qos"),
        f"ea-unheard-of{build}",
    }
    assert parse(raw(pkgs=listed)).mpms == ()


def test_profiles_as_people_keep_them_are_read() -> None:
    """Names listed twice, tabs, a version that is a word, no tags, and a text of another
    language."""
    text = (
        '{\t"name": "Todos os m\u00f3dulos",\r\n\t"desc": "Instala\u00e7\u00e3o completa",\n'
        '\t\t"version": "2022.1-el7", "tags": [], "pkgs": [\n\t"ea-apache24",\n'
        '"ea-apache24-mod_mpm_worker",\t"ea-apache24", "ea-apache24-mod_mpm_worker"]}'
    )
    read = parse(text.encode(), NAMES)
    assert read.packages == ("ea-apache24", "ea-apache24-mod_mpm_worker")
    assert (read.mpms, read.version, read.tags) == (("worker",), "2022.1-el7", ())


@given(st.sampled_from(NAMES))
def test_every_name_finds_back_from_its_debian_form(name: str) -> None:
    assert canonical(name.replace("_", "-"), NAMES) == name


@settings(max_examples=50, deadline=None)
@given(sound_servers())
def test_the_current_state_written_and_read_again_is_the_same(profile: Profile) -> None:
    written = of_installed(profile, "Now")
    again = parse(written.as_text().encode(), NAMES)
    assert again == written
    beside = compare(again, profile, CATALOGUE.for_server(profile.packages))
    assert beside.equal
    assert set(beside.same) == profile.names


def test_a_difference_is_told_from_what_is_merely_needed() -> None:
    wanted = parse(raw(pkgs=["ea-apache24", MPM.PREFORK.package, ITK, "ea-unheard-of"]), NAMES)
    profile = prefork(RUID2)
    beside = compare(wanted, profile, CATALOGUE.for_server(profile.packages))
    assert beside.missing == (ITK,)
    assert beside.unlisted == (RUID2,)
    assert beside.unknown == ("ea-unheard-of",)
    assert CGI in beside.needed
    assert not beside.equal


@pytest.mark.parametrize("stock", STOCK)
def test_the_stock_profiles_name_one_mpm_and_survive_a_round_trip(stock: str) -> None:
    path = resources.files("easyapache.ea4").joinpath(f"data/profiles/{stock}.json")
    data = {"desc": "", **json.loads(path.read_text("utf-8"))}
    profile = parse(json.dumps(data).encode(), NAMES)
    assert len(profile.mpms) == 1
    assert profile.itk is (stock == "mpm_itk")
    assert parse(profile.as_text().encode(), NAMES) == profile


def test_the_tags_of_the_current_state_name_mpm_and_itk() -> None:
    assert {"MPM prefork", "MPM itk"} <= set(of_installed(with_itk(), "Now").tags)
