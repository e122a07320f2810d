"""What the pages of packages know of newer versions, and that they say where they know it from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import unescape

import pytest
from django.test import Client

from easyapache.ea4.profile import Profile
from mpm.servers.models import Server

PACKAGES = "/software/easyapache4/packages/"
EVENT = "ea-apache24-mod_mpm_event"


@pytest.fixture
def older_server(
    known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> Server:
    """A server on which one package is older than the catalogue."""
    profile = stock_profile()
    packages = tuple(
        replace(item, release="0.1") if item.name == "ea-apr" else item for item in profile.packages
    )
    assert packages != profile.packages
    return known_server("web01", profile=replace(profile, packages=packages))


def words(client: Client, path: str) -> str:
    return unescape(client.get(path).content.decode())


def test_what_is_updatable_is_said_by_the_catalogue_and_not_in_the_name_of_a_repository(
    admin: Client, older_server: Server
) -> None:
    page = words(admin, f"{PACKAGES}?show=updatable")
    assert "panel’s catalog (Apache 2.4.67-2)" in " ".join(page.split())
    assert page.count('<a class="mono"') == 1
    assert "ea-apr</a>" in page
    assert " available</span>" in page
    home = words(admin, "/software/easyapache4/")
    assert "1 update available" in " ".join(home.split())


@pytest.mark.parametrize("path", [PACKAGES, f"{PACKAGES}ea-apr/", f"{PACKAGES}{EVENT}/"])
def test_no_page_of_packages_speaks_for_the_servers_repositories(
    path: str, admin: Client, older_server: Server
) -> None:
    page = words(admin, path)
    assert "repository has" not in page
    assert "catalog" in page


def test_a_package_nobody_knows_is_not_found(admin: Client, older_server: Server) -> None:
    assert admin.get(f"{PACKAGES}ea-nothing/").status_code == 404
