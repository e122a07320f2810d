"""What the pages of packages know of newer versions, and that they say where they know it from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from easyapache.ea4.profile import Profile
from mpm.servers.inventory import record_scan
from mpm.servers.models import SavedProfile, Server

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


def test_what_the_same_packages_answer_to_is_one_relation(admin: Client, server: Server) -> None:
    page = words(admin, f"{PACKAGES}ea-apache24/")
    requires = page.split("<h2>Requires</h2>")[1].split("<h2>Conflicts with</h2>")[0]
    answers = [
        re.findall(r'class="tag green">([^<]+)</a>', one) for one in requires.split("<li>")[1:]
    ]
    told = [tuple(one) for one in answers if one]
    assert told
    assert len(told) == len(set(told))


def test_the_version_of_apache_is_that_of_its_package_and_of_the_program_where_they_differ(
    admin: Client, known_server: Callable[..., Server], stock_profile: Callable[..., Profile]
) -> None:
    profile = stock_profile()
    server = known_server("web01", profile=profile)
    assert "2.4.67-2 (package)" not in words(admin, "/software/easyapache4/")
    assert "<dd>2.4.67-2</dd>" in words(admin, "/software/easyapache4/mpm/")
    facts = {**profile.facts, "httpd_version": "2.4.71"}
    record_scan(server, replace(profile, facts=facts), timezone.now(), "scan")
    for path in ("/software/easyapache4/", "/software/easyapache4/mpm/"):
        assert "2.4.67-2 (package) · 2.4.71 (running binary)" in words(admin, path)


def test_a_profile_is_listed_with_what_is_present_and_what_is_extra(
    admin: Client, server: Server
) -> None:
    page = " ".join(words(admin, "/software/easyapache4/profiles/").split())
    rows = page.split("<tr>")[2:]
    assert any(re.search(r"\d+ of \d+ present, \d+ extra", row) for row in rows)
    assert "all installed" not in page
    [own] = [row for row in rows if "Default" in row or "default" in row.split("</td>")[0]][:1]
    assert "present" in own or "identical" in own


def test_an_uploaded_profile_says_who_uploaded_it(admin: Client, server: Server) -> None:
    text = admin.get("/software/easyapache4/profiles/stock-worker/download/").content
    file = SimpleUploadedFile("mine.json", text, "application/json")
    admin.post("/software/easyapache4/profiles/upload/", {"file": file, "server": server.name})
    kept = SavedProfile.objects.get()
    page = words(admin, f"/software/easyapache4/profiles/own-{kept.pk}/")
    assert "uploaded by ada" in page
    assert "saved by" not in page
