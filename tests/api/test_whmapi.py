"""The WHM API face: its envelope, who comes in, which server is meant, clients of API 2."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.test import Client, override_settings

from mpm.access.scopes import Scope
from mpm.models import Change, Event
from mpm.servers.models import Server
from mpm.whmapi.call import FUNCTIONS
from tests.api.conftest import (
    APACHE,
    TO_EVENT,
    AddServer,
    AddToken,
    Whm,
    profile_with,
    refused,
)

# -- the envelope and who comes in ---------------------------------------------------------


def test_an_answer_has_whms_envelope(server: Server, whm: Whm) -> None:
    answer = whm("ea4_get_currently_installed_packages")
    assert answer["metadata"] == {
        "command": "ea4_get_currently_installed_packages",
        "reason": "OK",
        "result": 1,
        "version": 1,
    }
    assert f"{APACHE}-mod_mpm_prefork" in answer["data"]["packages"]


def test_an_unknown_function_is_answered_as_whm_does(server: Server, whm: Whm) -> None:
    answer = whm("list_nothing")
    assert answer["metadata"]["reason"] == (
        'Unknown app ("list_nothing") requested for this version (1) of the API.'
    )
    assert "EA4_list_profiles" in refused(whm("EA4_list_profiles"))


def test_another_version_of_the_api_has_no_functions(
    server: Server, add_token: AddToken, client: Client
) -> None:
    headers = {"Authorization": f"whm root:{add_token('read').text}"}
    answer = client.get("/json-api/ea4_list_profiles?api.version=2", headers=headers).json()
    assert "requested for this version (2) of the API." in answer["metadata"]["reason"]
    bare = client.get("/json-api/ea4_list_profiles", headers=headers).json()
    assert bare["metadata"]["result"] == 1


@pytest.mark.parametrize(
    "auth",
    ["", "whm root:wrong", "Bearer x", "whm root", "Basic !!!", "Basic cm9vdA==", "whm root:"],
)
def test_bad_credentials_are_answered_in_the_old_shape(
    server: Server, client: Client, auth: str
) -> None:
    headers = {"Authorization": auth} if auth else {}
    answer = client.get("/json-api/ea4_list_profiles?api.version=1", headers=headers)
    assert answer.status_code == 403
    assert answer.json() == {
        "cpanelresult": {
            "apiversion": "2",
            "error": "Access denied",
            "data": {"reason": "Access denied", "result": "0"},
            "type": "text",
        }
    }


def test_a_token_comes_in_by_every_header_clients_send(
    server: Server, add_token: AddToken, client: Client
) -> None:
    token = add_token("read").text
    basic = base64.b64encode(f"root:{token}".encode()).decode()
    for header in (f"whm root:{token}", f"WHM root:{token}", f"Whm x:{token}", f"Basic {basic}"):
        answer = client.get(
            "/json-api/ea4_list_profiles?api.version=1", headers={"Authorization": header}
        )
        assert answer.json()["metadata"]["result"] == 1, header
    session = client.get(
        "/cpsess1234567890/json-api/ea4_list_profiles?api.version=1",
        headers={"Authorization": f"whm root:{token}"},
    )
    assert session.json()["metadata"]["result"] == 1


def test_a_person_comes_in_by_password_with_the_rights_of_the_role(
    server: Server, client: Client
) -> None:
    for name, role in (("anna", "administrator"), ("sam", "support"), ("nobody", None)):
        user = User.objects.create_user(name, password="right horse battery")
        if role:
            user.groups.add(Group.objects.get(name=role))

    def ask(name: str, password: str, function: str) -> Any:
        secret = base64.b64encode(f"{name}:{password}".encode()).decode()
        return client.get(
            f"/json-api/{function}?api.version=1&{urlencode(TO_EVENT, doseq=True)}",
            headers={"Authorization": f"Basic {secret}"},
        )

    right = "right horse battery"
    assert ask("nobody", right, "ea4_list_profiles").status_code == 403
    assert ask("anna", "wrong", "ea4_list_profiles").status_code == 403
    assert ask("sam", right, "ea4_list_profiles").json()["metadata"]["result"] == 1
    assert "permission" in refused(ask("sam", right, "package_manager_submit_actions").json())
    assert ask("anna", right, "package_manager_submit_actions").json()["metadata"]["result"] == 1
    assert Change.objects.get().user is not None
    for _ in range(20):
        ask("anna", "wrong", "ea4_list_profiles")
    last = ask("anna", "wrong", "ea4_list_profiles")
    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) > 0


def test_a_browsers_session_is_no_way_in(server: Server, client: Client) -> None:
    user = User.objects.create_user("anna", password="x")
    user.groups.add(Group.objects.get(name="administrator"))
    client.force_login(user)
    query = urlencode(TO_EVENT, doseq=True)
    answer = client.get(f"/json-api/package_manager_submit_actions?api.version=1&{query}")
    assert answer.status_code == 403
    assert not Change.objects.exists()


def test_a_token_without_the_scope_is_told_so(
    server: Server, add_token: AddToken, whm: Whm
) -> None:
    auth = f"whm root:{add_token('read').text}"
    answer = whm("package_manager_submit_actions", auth=auth, **TO_EVENT)
    assert "permission “change”" in refused(answer)


def test_get_form_and_json_say_the_same(
    server: Server, add_token: AddToken, client: Client, whm: Whm
) -> None:
    by_get = whm("package_manager_resolve_actions", package=TO_EVENT["install"])
    by_form = whm("package_manager_resolve_actions", method="POST", package=TO_EVENT["install"])
    by_json = client.post(
        "/json-api/package_manager_resolve_actions",
        json.dumps({"api.version": 1, "package": TO_EVENT["install"]}),
        content_type="application/json",
        headers={"Authorization": f"whm root:{add_token('read').text}"},
    ).json()
    assert by_get == by_form == by_json
    broken = client.post(
        "/json-api/ea4_list_profiles",
        "{",
        content_type="application/json",
        headers={"Authorization": f"whm root:{add_token('read').text}"},
    )
    assert (broken.status_code, refused(broken.json())) == (200, "The request body is not JSON.")
    assert client.put("/json-api/ea4_list_profiles").status_code == 405


def test_a_multipart_form_says_the_same_in_every_style_of_list(
    server: Server, add_token: AddToken, client: Client, whm: Whm
) -> None:
    headers = {"Authorization": f"whm root:{add_token('change').text}"}
    address = "/json-api/package_manager_resolve_actions"
    first, second = TO_EVENT["install"]
    expected = whm("package_manager_resolve_actions", package=[first, second])
    for sent in (
        {"package": [first, second]},
        {"package": first, "package-1": second},
        {"package-0": first, "package-1": second},
    ):
        answer = client.post(address, {"api.version": "1", **sent}, headers=headers)
        assert answer.json() == expected
    answer = client.post(f"{address}?package={first}", {"package": second}, headers=headers)
    assert answer.json()["data"] == expected["data"]
    made = client.post(
        "/json-api/package_manager_submit_actions", {**TO_EVENT, "reason": "☃"}, headers=headers
    ).json()
    assert Change.objects.get(pk=made["data"]["build"]).reason == "☃"


def test_a_multipart_form_that_cannot_be_read_is_refused_in_the_envelope(
    server: Server, add_token: AddToken, client: Client
) -> None:
    headers = {"Authorization": f"whm root:{add_token('read').text}"}
    address = "/json-api/ea4_list_profiles"
    upload = ContentFile("ea-apache24", name="package.txt")
    file = client.post(address, {"package": upload}, headers=headers)
    assert (file.status_code, "as a file" in refused(file.json())) == (200, True)
    kind = "multipart/form-data"
    for body, content_type, said in (
        ("x", kind, "can't be read"),
        ("x" * (1024 * 1024 + 1), f"{kind}; boundary=y", "too large"),
        ("x" * (1024 * 1024 + 1), "application/x-www-form-urlencoded", "too large"),
    ):
        answer = client.post(address, body, content_type=content_type, headers=headers)
        assert (answer.status_code, said in refused(answer.json())) == (200, True), content_type
    many = {f"package-{number}": "a" for number in range(1500)}
    answer = client.post(address, many, headers=headers)
    assert (answer.status_code, "too large" in refused(answer.json())) == (200, True)


# -- which server -----------------------------------------------------------------------------


def test_which_server_is_meant(add_server: AddServer, whm: Whm, client: Client) -> None:
    assert "Name the server" in refused(whm("servicestatus"))
    add_server("web01")
    assert whm("servicestatus")["metadata"]["result"] == 1
    add_server("web02", profile_with(APACHE, f"{APACHE}-mod_mpm_event", mpm="event"))
    assert "web01, web02" in refused(whm("ea4_get_currently_installed_packages"))
    named = whm("ea4_get_currently_installed_packages", server="web02")
    assert f"{APACHE}-mod_mpm_event" in named["data"]["packages"]
    with override_settings(WHM_SERVER="web02"):
        assert whm("ea4_get_currently_installed_packages") == named
    with override_settings(ALLOWED_HOSTS=["web02.example.net"]):
        Server.objects.filter(name="web02").update(hostname="web02.example.net")
        client.defaults["SERVER_NAME"] = "web02.example.net"
        assert whm("ea4_get_currently_installed_packages") == named
    client.defaults["SERVER_NAME"] = "testserver"
    assert "no server" in refused(whm("servicestatus", server="web09"))


def test_a_server_out_of_reach_is_not_there(
    add_server: AddServer, add_token: AddToken, whm: Whm
) -> None:
    add_server("real", kind="real")
    add_server("sim")
    sandbox = f"whm root:{add_token('change', sandbox=True).text}"
    assert whm("servicestatus", auth=sandbox)["metadata"]["result"] == 1
    assert "no server" in refused(whm("servicestatus", auth=sandbox, server="real"))


# -- clients of cPanel API 2 ----------------------------------------------------------------


def test_a_client_of_api_2_can_call_through(server: Server, whm: Whm) -> None:
    answer = whm(
        "cpanel",
        method="POST",
        cpanel_jsonapi_user="root",
        cpanel_jsonapi_apiversion="2",
        cpanel_jsonapi_module="WHM",
        cpanel_jsonapi_func="package_manager_resolve_actions",
        package=f"{APACHE}-mod_mpm_event",
    )["cpanelresult"]
    assert (answer["apiversion"], answer["event"]["result"]) == (2, 1)
    assert answer["data"][0]["uninstall"] == sorted(TO_EVENT["uninstall"])
    failed = whm("cpanel", cpanel_jsonapi_func="addpop", cpanel_jsonapi_module="Email")
    assert failed["cpanelresult"]["event"]["result"] == 0
    assert "Unknown app" in failed["cpanelresult"]["error"]


def test_every_documented_function_is_there() -> None:
    assert set(FUNCTIONS) == {
        "ea4_get_currently_installed_packages",
        "ea4_list_profiles",
        "ea4_save_profile",
        "ea4_recommendations",
        "ea4_metainfo",
        "ea4_get_additional_pkg_prefixes",
        "package_manager_get_package_info",
        "package_manager_list_packages",
        "package_manager_resolve_actions",
        "package_manager_submit_actions",
        "package_manager_is_performing_actions",
        "package_manager_get_build_log",
        "package_manager_fixcache",
        "servicestatus",
        "restartservice",
        "version",
        "applist",
        "gethostname",
        "loadavg",
        "systemloadavg",
        "myprivs",
    }


@pytest.mark.parametrize("function", ["cpanel", *FUNCTIONS])
def test_head_never_changes_anything(
    server: Server, client: Client, add_token: AddToken, function: str
) -> None:
    token = add_token("admin").text
    before = Event.objects.count()
    answer = client.head(
        f"/json-api/{function}?api.version=1&service=httpd&queue_task=1&cpanel_jsonapi_func="
        f"restartservice&install={APACHE}-mod_mpm_event&uninstall={APACHE}-mod_mpm_prefork"
        "&filename=x&name=x&pkg=ea-apache24",
        headers={"Authorization": f"whm root:{token}"},
    )
    reads = function in FUNCTIONS and FUNCTIONS[function].scope is Scope.READ
    assert answer.status_code == (200 if reads else 405)
    assert ("HEAD" in answer.headers.get("Allow", "HEAD")) == reads
    assert Event.objects.count() == before
    assert not Change.objects.exists()


def test_another_method_is_refused_in_the_shape_such_a_client_reads(client: Client) -> None:
    answer = client.put("/json-api/restartservice")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert answer.json()["metadata"]["result"] == 0
