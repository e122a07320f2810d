"""What is said of a profile file besides its packages."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from easyapache.ea4.mpm import CGI, ITK, MPM, SUEXEC
from easyapache.ea4.profile_file import ProfileFile, compare, parse
from easyapache.ea4.profile_notes import (
    made_elsewhere,
    made_for,
    reasons,
    runs_code_as_nobody,
    unexplained,
)
from tests.pure.servers import CATALOGUE, prefork

P = "ea-apache24-"


def profile(*names: str, **more: Any) -> ProfileFile:
    data = {"name": "N", "desc": "", "version": "1", "tags": [], "pkgs": list(names), **more}
    return parse(json.dumps(data).encode(), CATALOGUE.entries)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        (f"{P}mod_hostinglimits", "CloudLinux only"),
        (f"{P}mod_lsapi", "CloudLinux only"),
        (f"{P}mod_proctitle", "CloudLinux only"),
        (f"{P}mod-alt-passenger", "CloudLinux only"),
        ("ea-liblsapi", "CloudLinux only"),
        (f"{P}mod_cloudflare", "From another publisher"),
        (f"{P}mod_pagespeed", "From another publisher"),
        ("ea-php56-php-debuginfo", "Debug packages"),
        ("ea-ruby24-mod_passenger", "Renamed"),
        ("ea-ruby27-mod_passenger", "Renamed"),
        ("ea-php70-ioncube6", "No longer supported"),
        ("ea-php53", "No longer supported"),
        ("ea-ruby24-rubygem-rack", "No longer supported"),
    ],
)
def test_a_package_that_no_repository_has_is_listed_with_the_reason(name: str, title: str) -> None:
    (group,) = reasons([name, "ea-unheard-of"])
    assert (group.title, group.names) == (title, (name,))
    assert unexplained([name, "ea-unheard-of"]) == ("ea-unheard-of",)


@pytest.mark.parametrize("name", ["ea-php83", "ea-php83-php-curl", "ea-nodejs22", "ea-ruby27-ruby"])
def test_what_current_systems_have_is_not_called_old(name: str) -> None:
    assert reasons([name]) == ()


def test_every_unknown_package_is_in_one_group_or_unexplained() -> None:
    names = ("ea-php53", f"{P}mod_lsapi", "ea-x", "ea-php56-php-debuginfo")
    file = profile("ea-apache24", *names)
    installed = prefork()
    unknown = compare(file, installed, CATALOGUE.for_server(installed.packages)).unknown
    listed = [name for group in reasons(unknown) for name in group.names]
    assert sorted([*listed, *unexplained(unknown)]) == sorted(unknown) == sorted(names)


def test_a_profile_with_nothing_that_runs_code_as_the_user_is_told() -> None:
    """prefork and CGI, and neither suexec nor ruid2 nor ITK."""
    assert runs_code_as_nobody(profile("ea-apache24", MPM.PREFORK.package, CGI))
    for one in (SUEXEC, ITK, f"{P}mod_lsapi"):
        assert not runs_code_as_nobody(profile("ea-apache24", MPM.PREFORK.package, CGI, one))
    assert not runs_code_as_nobody(profile("ea-php82-php-fpm"))


def test_no_stock_profile_runs_code_as_nobody() -> None:
    folder = resources.files("easyapache.ea4").joinpath("data/profiles")
    for path in folder.iterdir():
        data = {"desc": "", **json.loads(path.read_text("utf-8"))}
        assert not runs_code_as_nobody(parse(json.dumps(data).encode(), CATALOGUE.entries)), path


@pytest.mark.parametrize(
    ("upgrade", "system", "differ"),
    [
        ({"source_os": "CentOS_7", "target_os": "Almalinux_8"}, "AlmaLinux 9.4", True),
        ({"source_os": "CentOS_7", "target_os": "Almalinux_9"}, "AlmaLinux 9.4", False),
        ({"source_os": "CloudLinux 7"}, "AlmaLinux 9.4 (Seafoam Ocelot)", True),
        ({"target_os": "xUbuntu_22.04"}, "Ubuntu 22.04.4 LTS", False),
        ({"target_os": 9}, "AlmaLinux 9.4", False),
        ("CentOS", "AlmaLinux 9.4", False),
        ({"target_os": "Almalinux_9"}, "", False),
    ],
)
def test_a_file_of_another_system_is_told(upgrade: Any, system: str, differ: bool) -> None:
    file = profile("ea-apache24", os_upgrade=upgrade)
    assert (made_elsewhere(file, system) is not None) is differ


def test_packages_of_cloudlinux_tell_where_a_file_is_from() -> None:
    file = profile("ea-apache24", f"{P}mod_lsapi")
    assert made_for(file) == "CloudLinux"
    assert made_elsewhere(file, "AlmaLinux 9.4") == ("CloudLinux", "AlmaLinux 9")
    assert made_elsewhere(file, "CloudLinux 8.9") is None


def test_a_php_that_is_no_apache_module_demands_no_prefork() -> None:
    assert profile("ea-php81-php", MPM.EVENT.package).mpms == ("event",)
