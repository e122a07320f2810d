"""What a request brings is bounded before anything of it is read, for whoever sends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from easyapache.ea4.profile_file import BadProfile, check_file_name, parse
from mpm.access.services.actor import Actor
from mpm.access.tokens import issue
from mpm.servers.models import SavedProfile, Server

pytestmark = pytest.mark.django_db
ADMIN = Actor(name="anna", role="administrator")
HALF = "\ud83d"


class Unread:
    """A body that nobody may read."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("it was read")

    readline = __iter__ = read


def send(client: Client, path: str, method: str = "POST", **headers: str) -> Any:
    environ: dict[str, Any] = {
        "wsgi.input": Unread(),
        "CONTENT_LENGTH": str(settings.LARGEST_BODY + 1),
        **headers,
    }
    return client.generic(
        method, path, b"", content_type="multipart/form-data; boundary=x", **environ
    )


@pytest.mark.parametrize(
    "name", ["login", "logout", "profile-upload", "doctor-repair", "review-ask"]
)
@pytest.mark.parametrize("checks", [True, False])
def test_a_form_does_not_read_a_body_that_is_too_large(name: str, *, checks: bool) -> None:
    answer = send(Client(enforce_csrf_checks=checks), reverse(name))
    assert answer.status_code == 413
    assert "2 MB" in answer.content.decode()


def test_no_method_brings_a_body_that_is_too_large(client: Client) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        assert send(client, reverse("login"), method).status_code == 413


def test_a_body_of_unknown_length_is_refused(client: Client) -> None:
    sent = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert send(client, reverse("login"), **sent).status_code == 411
    answer = send(client, "/api/v1/servers/web01/mpm", "PUT", **sent)
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
    token = issue(ADMIN, name="billing", scopes=("change",)).text
    said = send(
        client,
        "/json-api/restartservice",
        **{**sent, "HTTP_AUTHORIZATION": f"whm root:{token}"},
    ).json()
    assert "Content-Length" in said["metadata"]["reason"]


def test_an_upload_never_becomes_a_file_on_the_way() -> None:
    assert settings.FILE_UPLOAD_HANDLERS == [
        "django.core.files.uploadhandler.MemoryFileUploadHandler"
    ]
    assert settings.FILE_UPLOAD_MAX_MEMORY_SIZE >= settings.LARGEST_BODY


WHOLE = {"name": "a", "desc": "b", "version": "1", "tags": ["c"], "pkgs": ["ea-apache24"]}


@pytest.mark.parametrize("bad", [HALF, "\x00", float("nan"), float("inf")])
@pytest.mark.parametrize(
    "place",
    [
        lambda bad: {"name": f"a{bad}"},
        lambda bad: {"desc": f"b{bad}"},
        lambda bad: {"version": bad},
        lambda bad: {"tags": [f"c{bad}"]},
        lambda bad: {"os_upgrade": {"deep": [{"er": bad}]}},
        lambda bad: {"os_upgrade": {f"key {bad}": 1}},
        lambda bad: {"unknown": bad},
    ],
)
def test_a_profile_with_what_cannot_be_stored_is_refused_whole(
    place: Callable[[Any], dict[str, Any]], bad: Any
) -> None:
    sent = json.dumps({**WHOLE, **place(bad)})
    if isinstance(bad, float) and "NaN" not in sent and "Infinity" not in sent:
        return  # within a text it is a word like any other
    with pytest.raises(BadProfile) as refused:
        parse(sent.encode())
    assert "can't be stored" in str(refused.value)


def test_an_upload_with_half_a_character_is_refused_on_the_page(
    admin: Client, known_server: Callable[..., Server]
) -> None:
    known_server()
    sent = json.dumps({**WHOLE, "os_upgrade": HALF}).encode()
    file = SimpleUploadedFile("half.json", sent, content_type="application/json")
    answer = admin.post(reverse("profile-upload"), {"file": file})
    assert answer.status_code == 422
    assert "t be stored" in answer.content.decode()
    assert not SavedProfile.objects.exists()


def test_a_file_name_is_no_half_character() -> None:
    with pytest.raises(BadProfile):
        check_file_name(f"a{HALF}.json")


def test_a_whm_call_with_what_is_no_text_is_refused_in_its_envelope(
    client: Client, known_server: Callable[..., Server]
) -> None:
    known_server()
    token = issue(ADMIN, name="billing", scopes=("admin",)).text
    for bad in (HALF, "\x00"):
        sent = {"filename": "x", "name": f"a{bad}", "pkg": ["ea-apache24"], "api.version": 1}
        said = client.post(
            "/json-api/ea4_save_profile",
            json.dumps(sent),
            content_type="application/json",
            headers={"Authorization": f"whm root:{token}"},
        ).json()
        assert "aren't text" in said["metadata"]["reason"]
    assert not SavedProfile.objects.exists()


def test_the_result_of_a_repair_that_was_never_requested_is_not_found(
    admin: Client, known_server: Callable[..., Server]
) -> None:
    known_server()
    for query in ("", "?asked=", "?asked=00"):
        assert admin.get(f"{reverse('doctor-result')}{query}").status_code == 404
