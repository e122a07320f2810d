"""Whoever keeps, uploads, deletes or brings back a profile is in the history."""

from __future__ import annotations

import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mpm.models import Event
from mpm.servers import profile_library
from mpm.servers.models import InstalledProfile, SavedProfile, Server

PROFILES = "/software/easyapache4/profiles/"
SAVE = {"name": "As it is", "file_name": "as_it_is", "desc": ""}


def told() -> list[tuple[str, str, str]]:
    found = Event.objects.filter(kind__startswith="profile.", server_name="").order_by("seq")
    return [(event.kind, event.actor_name, event.data["file_name"]) for event in found]


def test_saving_deleting_and_bringing_back_are_told(admin: Client, server: Server) -> None:
    answer = admin.post(f"{PROFILES}save/", SAVE)
    key = re.search(r"own-(\d+)", answer["Location"])
    assert key
    admin.post(f"{PROFILES}{key[0]}/delete/")
    admin.post(f"{PROFILES}restore/", {"pk": key[1]})
    assert told() == [
        ("profile.saved", "ada", "as_it_is"),
        ("profile.deleted", "ada", "as_it_is"),
        ("profile.restored", "ada", "as_it_is"),
    ]


def test_an_upload_is_told_with_where_it_came_from(admin: Client, server: Server) -> None:
    stock = profile_library.stock_profiles()[0].file
    file = SimpleUploadedFile("ours.json", stock.as_text().encode())
    assert admin.post(f"{PROFILES}upload/", {"file": file}).status_code == 302
    event = Event.objects.get(kind="profile.uploaded")
    assert (event.address, event.origin, event.data["packages"]) == (
        "127.0.0.1",
        "web",
        len(stock.packages),
    )


def test_what_was_refused_is_not_told(admin: Client, server: Server) -> None:
    admin.post(f"{PROFILES}save/", SAVE)
    assert admin.post(f"{PROFILES}save/", SAVE).status_code == 422
    assert len(told()) == 1


def test_a_profile_whose_event_cannot_be_written_is_not_kept(
    admin: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("mpm.servers.services.profiles.append", no_space)
    with pytest.raises(OSError, match="no space left"):
        admin.post(f"{PROFILES}save/", SAVE)
    assert not SavedProfile.objects.exists()
    assert profile_library.saved_profiles() == []


def test_a_profile_page_tells_what_this_server_will_not_have(admin: Client, server: Server) -> None:
    """In the reader's language: why no repository has it, where it was made, and who runs code."""
    names = ["ea-apache24", "ea-apache24-mod_mpm_prefork", "ea-apache24-mod_cgi", "ea-php53"]
    pkgs = [*names, "ea-apache24-mod_hostinglimits", "ea-php56-php-debuginfo", "ea-unheard-of"]
    text = json.dumps(
        {"name": "Old", "desc": "", "version": 1, "tags": [], "pkgs": pkgs}
        | {"os_upgrade": {"source_os": "CentOS_7"}}
    )
    file = SimpleUploadedFile("old.json", text.encode(), "application/json")
    assert admin.post(f"{PROFILES}upload/", {"file": file}).status_code == 302
    InstalledProfile.objects.filter(server=server).update(
        facts={"os": "AlmaLinux 9.4 (Seafoam Ocelot)"}
    )
    key = f"own-{SavedProfile.objects.get(file_name='old').pk}"
    for language, words in (
        ("en", ["CloudLinux only", "Debug packages", "No longer supported", "runs AlmaLinux 9"]),
        ("de", ["Nur für CloudLinux", "Debug-Pakete", "Nicht mehr unterstützt", "CentOS 7"]),
    ):
        page = admin.get(f"{PROFILES}{key}/", headers={"Accept-Language": language})
        shown = page.content.decode()
        assert [word for word in words if word not in shown] == []
        assert "ea-unheard-of" in shown
    assert "Scripts run as user nobody" in admin.get(f"{PROFILES}{key}/").content.decode()
