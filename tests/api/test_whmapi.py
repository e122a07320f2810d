"""Every function of the WHM API face, and every way it refuses."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings

from easyapache.models import SavedProfile, Server
from mpm.models import Change
from mpm.whmapi.call import FUNCTIONS
from tests.api.conftest import (
    APACHE,
    PREFORK,
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
    answer = whm("listaccts")
    assert answer["metadata"]["reason"] == (
        'Unknown app ("listaccts") requested for this version (1) of the API.'
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
    assert "scope “change”" in refused(answer)


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


# -- which server -----------------------------------------------------------------------------


def test_which_server_is_meant(add_server: AddServer, whm: Whm, client: Client) -> None:
    assert "Say which server" in refused(whm("servicestatus"))
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


# -- EasyApache 4 -------------------------------------------------------------------------------


def test_profiles_are_listed_with_what_is_active(server: Server, whm: Whm) -> None:
    data = whm("ea4_list_profiles")["data"]
    assert data["cpanel"][0]["path"].endswith("/cpanel/default.json")
    for item in data["cpanel"]:
        assert isinstance(item["version"], str)
        assert item["active"] in (0, 1)
        assert isinstance(item["validation_data"]["not_on_server"], list)
    assert data["custom"] == []


def test_a_profile_is_saved_once(server: Server, whm: Whm) -> None:
    values = {"filename": "mine", "name": "Mine", "pkg": list(PREFORK), "tag": ["a", "b"]}
    saved = whm("ea4_save_profile", **values)
    assert saved["data"]["path"].endswith("/custom/mine.json")
    again = whm("ea4_save_profile", **values)
    assert refused(again)
    assert again["data"]["already_exists"] == 1
    assert whm("ea4_save_profile", overwrite="1", **values)["metadata"]["result"] == 1
    custom = whm("ea4_list_profiles")["data"]["custom"]
    assert [(item["name"], item["tags"], item["version"]) for item in custom] == [
        ("Mine", ["a", "b"], "0")
    ]
    wrongs: tuple[dict[str, Any], ...] = (
        {"filename": "../x"},
        {"filename": ""},
        {"name": ""},
        {"pkg": ["-x"]},
        {"pkg": []},
    )
    for wrong in wrongs:
        assert refused(whm("ea4_save_profile", **{**values, **wrong}))


def test_a_token_for_some_servers_has_no_say_in_the_profiles_of_all(
    server: Server, add_token: AddToken, whm: Whm
) -> None:
    values = {"filename": "mine", "name": "Mine", "pkg": list(PREFORK)}
    for confined in (
        add_token("change", servers=["web03"]),
        add_token("change", sandbox=True),
        add_token("admin", servers=["web03"]),
    ):
        auth = f"whm root:{confined.text}"
        assert "all servers share" in refused(whm("ea4_save_profile", auth=auth, **values))
        assert whm("ea4_list_profiles", auth=auth)["data"]["custom"] == []
    assert not SavedProfile.objects.exists()
    free = f"whm root:{add_token('change').text}"
    assert whm("ea4_save_profile", auth=free, **values)["metadata"]["result"] == 1


def test_what_easyapache_says_of_itself(server: Server, whm: Whm) -> None:
    assert whm("ea4_metainfo")["data"]["default_php_handler"] == "cgi"
    assert whm("ea4_get_additional_pkg_prefixes")["data"] == {"additional_pkg_prefixes": []}
    advice = whm("ea4_recommendations")["data"]
    for name, items in advice.items():
        assert name.startswith("ea-php")
        assert {"on", "name", "url"} <= set(items[0])


# -- packages -------------------------------------------------------------------------------------


def test_packages_are_listed_by_state(server: Server, whm: Whm) -> None:
    def names(state: str) -> set[str]:
        data = whm("package_manager_list_packages", state=state)["data"]["packages"]
        return {item["package"] for item in data}

    assert names("installed") | names("not_installed") == names("any")
    assert not names("installed") & names("not_installed")
    assert f"{APACHE}-mod_mpm_prefork" in names("installed")
    assert f"{APACHE}-mod_mpm_event" in names("not_installed")
    assert names("updatable") <= names("installed")
    assert refused(whm("package_manager_list_packages", state="odd"))


def test_package_info_is_asked_by_name_or_by_namespace(server: Server, whm: Whm) -> None:
    data = whm(
        "package_manager_get_package_info",
        package=f"{APACHE}-mod_mpm_event",
        **{"package-1": f"{APACHE}-mod-mpm-prefork"},
    )["data"]["packages"]
    assert [item["package"] for item in data] == [
        f"{APACHE}-mod_mpm_event",
        f"{APACHE}-mod_mpm_prefork",
    ]
    event, prefork = data
    assert (event["state"], event["version_installed"]) == ("not_installed", "")
    assert prefork["version_installed"] == prefork["version_latest"]
    assert (event["size"], event["license"]) == (None, None)
    assert f"{APACHE}-mod_cgid" in event["pkg_dep"]["requires"]
    assert f"{APACHE}-mpm = forked" in event["pkg_dep"]["conflicts"]
    space = whm("package_manager_get_package_info", ns="ea")["data"]["packages"]
    assert len(space) > 50
    assert refused(whm("package_manager_get_package_info"))
    assert refused(whm("package_manager_get_package_info", ns="ea", package="ea-apache24"))
    assert refused(whm("package_manager_get_package_info", ns="other"))


def test_resolving_prefork_to_event_answers_as_documented(server: Server, whm: Whm) -> None:
    data = whm("package_manager_resolve_actions", package=f"{APACHE}-mod_mpm_event")["data"]
    assert data["install"] == sorted(TO_EVENT["install"])
    assert data["uninstall"] == sorted(TO_EVENT["uninstall"])
    assert data["upgrade"] == []
    assert APACHE in data["unaffected"]


def test_with_a_namespace_the_list_is_the_whole_wanted_set(add_server: AddServer, whm: Whm) -> None:
    add_server(profile=profile_with(*PREFORK, f"{APACHE}-mod_suexec"))
    installed = whm("ea4_get_currently_installed_packages")["data"]["packages"]
    wanted = [name for name in installed if name not in TO_EVENT["uninstall"]]
    wanted = [*wanted, *TO_EVENT["install"]]
    whole = whm("package_manager_resolve_actions", package=wanted, ns="ea")["data"]
    assert whole["install"] == sorted(TO_EVENT["install"])
    assert whole["uninstall"] == sorted(TO_EVENT["uninstall"])
    without = [name for name in installed if name != f"{APACHE}-mod_suexec"]
    gone = whm("package_manager_resolve_actions", package=without, ns="ea")["data"]
    assert gone["uninstall"] == [f"{APACHE}-mod_suexec"]
    same = whm("package_manager_resolve_actions", package=installed, ns="ea")["data"]
    assert (same["install"], same["uninstall"]) == ([], [])
    assert refused(whm("package_manager_resolve_actions"))
    assert refused(whm("package_manager_resolve_actions", package="ea-nonsense"))
    both = [f"{APACHE}-mod_mpm_event", f"{APACHE}-mod_mpm_worker"]
    assert refused(whm("package_manager_resolve_actions", package=both))


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
    }
