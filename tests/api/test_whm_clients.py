"""What clients of WHM that others wrote rely on: API 0, XML, batches, lists, first calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.http import HttpResponse
from django.test import Client, override_settings
from django.utils import timezone

from mpm.models import Change
from mpm.servers.inventory import record_scan
from mpm.servers.models import Server
from tests.api.conftest import APACHE, TO_EVENT, AddServer, AddToken, Whm, profile_with

Ask = Callable[..., HttpResponse]
OTHER_METHODS = ("PUT", "DELETE", "PATCH", "OPTIONS")


@pytest.fixture
def ask(client: Client, add_token: AddToken) -> Ask:
    """``ask("/json-api/version", scope="read")`` → the response."""
    texts: dict[str, str] = {}

    def call(address: str, *, scope: str = "change", method: str = "GET") -> HttpResponse:
        if scope not in texts:
            texts[scope] = add_token(scope, name=f"client-{scope}").text
        headers = {"Authorization": f"WHM root:{texts[scope]}"}
        return client.generic(method, address, headers=headers)  # type: ignore[return-value]

    return call


def parsed(content: bytes) -> ET.Element:
    return ET.fromstring(content)  # noqa: S314 -- it is the panel's own answer


def read(response: HttpResponse) -> Any:
    return json.loads(response.content)


def test_without_a_version_the_first_calls_of_clients_answer_in_the_shapes_of_api_0(
    server: Server, ask: Ask
) -> None:
    assert list(read(ask("/json-api/version"))) == ["version"]
    assert read(ask("/json-api/gethostname?server=web03")) == {"hostname": server.hostname}
    apps = read(ask("/json-api/applist"))["app"]
    assert {"version", "applist", "package_manager_submit_actions", "restartservice"} <= set(apps)
    assert (
        "package_manager_submit_actions" not in read(ask("/json-api/applist", scope="read"))["app"]
    )
    (row,) = read(ask("/json-api/servicestatus"))["service"]
    assert row["name"] == "httpd"
    (privileges,) = read(ask("/json-api/myprivs?api.version=0"))["privs"]
    assert (privileges["restart"], privileges["create-acct"], privileges["all"]) == (1, 0, 0)


def test_with_version_1_the_same_functions_have_an_envelope(server: Server, whm: Whm) -> None:
    assert list(whm("version")["data"]) == ["version"]
    assert whm("gethostname")["data"] == {"hostname": server.hostname}
    assert whm("applist")["data"]["app"] == sorted(whm("applist")["data"]["app"])
    (privileges,) = whm("myprivs")["data"]["privileges"]
    assert set(privileges.values()) <= {0, 1}


def test_the_connection_test_needs_no_server_to_be_named(add_server: AddServer, ask: Ask) -> None:
    add_server("web01")
    add_server("web02")
    assert read(ask("/json-api/version?api.version=1"))["metadata"]["result"] == 1
    assert read(ask("/json-api/gethostname"))["hostname"] == "testserver"
    nosuch = read(ask("/json-api/version?api.version=1&server=nosuch"))
    assert "nosuch" in nosuch["metadata"]["reason"]


def test_version_is_that_of_cpanel_and_the_load_that_of_the_server(
    server: Server, whm: Whm
) -> None:
    unknown = whm("systemloadavg")
    assert unknown["metadata"]["result"] == 0
    profile = profile_with()
    facts = {"cpanel_version": "11.136.0.13", "load_average": [0.5, 1, 12.25]}
    profile = replace(profile, facts={**profile.facts, **facts})
    record_scan(server, profile, timezone.now(), "scan")
    assert whm("version")["data"] == {"version": "11.136.0.13"}
    load = {"one": "0.50", "five": "1.00", "fifteen": "12.25"}
    assert whm("systemloadavg")["data"] == whm("loadavg")["data"] == load


@pytest.mark.parametrize("name", ["suspendacct", "removeacct", "createacct", "listaccts"])
def test_a_client_without_a_version_sees_that_a_function_of_accounts_failed(
    server: Server, ask: Ask, name: str
) -> None:
    answer = read(ask(f"/json-api/{name}?user=jane"))
    assert answer["status"] == 0
    assert answer["result"][0]["status"] == 0
    assert answer["data"]["result"] == "0"
    reasons = {answer["statusmsg"], answer["error"], answer["data"]["reason"]}
    reasons |= {answer["result"][0]["statusmsg"], answer["metadata"]["reason"]}
    (reason,) = reasons
    assert f"permission to call “{name}”" in reason


def test_an_unknown_function_of_api_0_is_named_as_whm_names_it(server: Server, ask: Ask) -> None:
    answer = read(ask("/json-api/nosuch"))
    assert (answer["status"], answer["error"]) == (0, "Unknown App Requested: nosuch")
    assert answer["statusmsg"] == answer["error"]


def test_a_refusal_by_the_rules_is_a_failure_in_api_0_too(server: Server, ask: Ask) -> None:
    install = "install=ea-apache24-mod_mpm_event&install=ea-apache24-mod_mpm_worker"
    answer = read(ask(f"/json-api/package_manager_submit_actions?{install}"))
    assert (answer["status"], answer["data"]["result"]) == (0, "0")
    assert "several" in answer["statusmsg"]
    assert not Change.objects.exists()


def test_a_session_is_refused_and_its_client_can_go_on_all_the_same(
    server: Server, ask: Ask
) -> None:
    answer = read(ask("/json-api/create_user_session?api.version=1&user=root&service=whostmgrd"))
    assert answer["metadata"]["result"] == 0
    prefix = answer["data"]["cp_security_token"]
    version = read(ask(f"{prefix}/json-api/version?api.version=1"))
    assert version["metadata"]["result"] == 1


@pytest.mark.parametrize(
    "style", ["install", "install-{n}", "install[{n}]", "install[]", "install.{n}"]
)
def test_lists_are_read_in_every_style_clients_write_them(
    server: Server, client: Client, add_token: AddToken, style: str
) -> None:
    pairs = [("api.version", "1")]
    for name, values in TO_EVENT.items():
        key = style.replace("install", name)
        pairs += [(key.format(n=number), value) for number, value in enumerate(values)]
    body: dict[str, list[str]] = {}
    for key, value in pairs:
        body.setdefault(key, []).append(value)
    headers = {"Authorization": f"whm root:{add_token('change').text}"}
    answer = client.post("/json-api/package_manager_submit_actions", body, headers=headers).json()
    assert answer["metadata"]["result"] == 1, answer
    assert Change.objects.get().to_mpm == "event"


def test_a_batch_answers_each_command_and_stops_where_it_is_told_to(
    server: Server, whm: Whm
) -> None:
    commands = ["gethostname", "nosuch", "servicestatus?service=httpd"]
    answer = whm("batch", command=commands)
    assert [one["metadata"]["result"] for one in answer["data"]["result"]] == [1, 0, 1]
    assert answer["metadata"]["result"] == 0
    assert "nosuch" in answer["metadata"]["reason"]
    stopped = whm("batch", command=commands, abort_on_error="1")
    assert len(stopped["data"]["result"]) == 2
    fine = whm("batch", command=["version", "version"])
    assert fine["metadata"]["result"] == 1
    assert "batch" in whm("batch", command=["batch?command=version"])["metadata"]["reason"]
    assert whm("batch", command=["version"] * 101)["metadata"]["result"] == 0
    assert whm("batch")["metadata"]["result"] == 0


def test_a_repeated_submit_answers_with_a_build_that_is_finished(server: Server, whm: Whm) -> None:
    first = whm("package_manager_submit_actions", **TO_EVENT)["data"]["build"]
    again = whm("package_manager_submit_actions", **TO_EVENT)["data"]["build"]
    assert again == first
    Change.objects.filter(pk=first).update(state="succeeded", finished_at=timezone.now())
    record_scan(
        server, profile_with(APACHE, *TO_EVENT["install"], mpm="event"), timezone.now(), "scan"
    )
    done = whm("package_manager_submit_actions", install=TO_EVENT["install"])
    assert done["metadata"]["result"] == 1
    assert done["data"]["build"] == first
    assert "event" in done["data"]["output"]
    active = whm("package_manager_is_performing_actions", build=str(first))
    assert active["data"] == {"active": 0}
    assert Change.objects.count() == 1


def test_a_submit_of_what_a_new_server_has_gives_a_build_that_has_ended(
    server: Server, whm: Whm
) -> None:
    done = whm("package_manager_submit_actions", install=[f"{APACHE}-mod_mpm_prefork"])
    assert (done["metadata"]["result"], done["data"]["build"]) == (1, 0)
    assert whm("package_manager_is_performing_actions", build="0")["data"] == {"active": 0}
    log = whm("package_manager_get_build_log", build="0", offset="0")["data"]
    assert log == {"content": [], "offset": 0, "still_running": 0}


def test_xml_has_an_element_for_each_field_and_each_entry_of_a_list(
    server: Server, ask: Ask
) -> None:
    response = ask("/xml-api/applist")
    assert response["Content-Type"] == "text/xml; charset=utf-8"
    top = parsed(response.content)
    assert top.tag == "applist"
    assert "version" in [one.text for one in top.iter("app")]
    envelope = parsed(ask("/xml-api/gethostname?api.version=1").content)
    assert envelope.tag == "result"
    assert envelope.findtext("data/hostname") == server.hostname
    assert envelope.findtext("metadata/result") == "1"
    failed = parsed(ask("/xml-api/suspendacct?user=a").content)
    assert (failed.findtext("status"), failed.findtext("result/status")) == ("0", "0")


def test_credentials_that_are_not_good_are_refused_in_xml_too(
    server: Server, client: Client
) -> None:
    response = client.get("/xml-api/version", headers={"Authorization": "whm root:wrong"})
    assert response.status_code == 403
    top = parsed(response.content)
    assert (top.tag, top.findtext("error")) == ("cpanelresult", "Access denied")


@pytest.mark.parametrize(
    "address", ["/json-api/", "/json-api", "/json-api/version/", "/json-api/a/b"]
)
def test_every_address_below_json_api_answers_in_json(
    server: Server, ask: Ask, address: str
) -> None:
    response = ask(f"{address}?api.version=1")
    assert response["Content-Type"] == "application/json"
    assert read(response)["metadata"]["version"] == 1


@pytest.mark.parametrize("method", OTHER_METHODS)
@pytest.mark.parametrize("form", ["json", "xml"])
def test_other_methods_are_refused_in_the_clients_format(
    server: Server, ask: Ask, method: str, form: str
) -> None:
    response = ask(f"/{form}-api/version", method=method)
    assert response.status_code == 405
    assert "GET" in response["Allow"]
    assert form in response["Content-Type"]


def test_a_host_that_is_not_the_panels_is_refused_in_json(server: Server, client: Client) -> None:
    with override_settings(ALLOWED_HOSTS=["panel.example.com"]):
        response = client.get("/json-api/version", headers={"Host": "other.example.com"})
    assert response.status_code == 400
    assert "ALLOWED_HOSTS" in response.json()["statusmsg"]


def test_the_head_of_a_function_that_changes_something_is_refused(server: Server, ask: Ask) -> None:
    for name in ("restartservice", "package_manager_submit_actions", "batch", "cpanel"):
        assert ask(f"/json-api/{name}?service=httpd", method="HEAD").status_code == 405
    assert not Change.objects.exists()
