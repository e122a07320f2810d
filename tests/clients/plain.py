"""WHM calls as clients make them that nobody can install here, over a socket and by hand: what each
of them reads of an answer, and what it takes for a success. No library, no ``api.version`` unless
the client sends one.

Every function is one check: it raises AssertionError where such a client would be misled.
"""

from __future__ import annotations

import http.client
import json
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

APACHE = "ea-apache24"
SECONDS = 120
"""How long a change may take."""


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    type: str
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Whm:
    """Where a panel is, and who calls: ``token`` names every package, ``lenient`` implies what the
    rules require to leave."""

    host: str
    port: int
    token: str
    lenient: str
    server: str

    def send(
        self,
        path: str,
        pairs: Sequence[tuple[str, str]] = (),
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        token: str = "",
    ) -> Answered:
        """The answer to one request; the pairs are the query, or the form of a POST."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        sent = {"Authorization": f"WHM root:{token or self.token}", **(headers or {})}
        query, body = urlencode(pairs), None
        if method == "POST":
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            query, body = "", query
        try:
            connection.request(method, f"{path}?{query}" if query else path, body, sent)
            found = connection.getresponse()
            kind = found.getheader("Content-Type", "").partition(";")[0]
            return Answered(found.status, kind, found.read())
        finally:
            connection.close()

    def call(self, function: str, *pairs: tuple[str, str], token: str = "") -> Any:
        """By API 0, as a client calls that knows of no versions."""
        pairs = (("server", self.server), *pairs)
        return self.send(f"/json-api/{function}", pairs, token=token).body

    def call_1(self, function: str, *pairs: tuple[str, str], token: str = "") -> Any:
        """By API 1."""
        return self.call(function, ("api.version", "1"), *pairs, token=token)

    @property
    def mpm(self) -> str:
        packages = self.call_1("ea4_get_currently_installed_packages")["data"]["packages"]
        found = [name.rpartition("_")[2] for name in packages if "-mod_mpm_" in name]
        [mpm] = [name for name in found if name in ("event", "worker", "prefork")]
        return str(mpm)

    def ended(self, build: int) -> str:
        """Waits for a build; returns the MPM that is installed then."""
        end = time.monotonic() + SECONDS
        number = ("build", str(build))
        while self.call_1("package_manager_is_performing_actions", number)["data"]["active"]:
            assert time.monotonic() < end, f"build {build} does not end"
            time.sleep(0.2)
        return self.mpm


Check = Callable[[Whm], None]


def _package(mpm: str) -> str:
    return f"{APACHE}-mod_mpm_{mpm}"


def connection_tests_are_answered_in_the_shape_that_is_asked_for(whm: Whm) -> None:
    for function, key in (
        ("version", "version"),
        ("applist", "app"),
        ("gethostname", "hostname"),
        ("servicestatus", "service"),
    ):
        assert list(whm.call(function)) == [key], function
        answer = whm.call_1(function)
        assert (answer["metadata"]["result"], list(answer["data"])) == (1, [key]), function
    assert whm.call("version")["version"][0].isdigit()
    [privileges] = whm.call("myprivs")["privs"]
    assert (privileges["restart"], privileges["create-acct"]) == (1, 0)


def the_load_of_a_server_is_told_or_its_absence_is_a_failure(whm: Whm) -> None:
    for function in ("loadavg", "systemloadavg"):
        answer = whm.call(function)
        if "one" in answer:
            assert all(float(answer[name]) >= 0 for name in ("one", "five", "fifteen"))
        else:
            assert (answer["status"], answer["data"]["result"]) == (0, "0"), answer


def a_batch_answers_every_command_of_it(whm: Whm) -> None:
    answer = whm.call_1("batch", ("command", "version"), ("command", "nosuch"))
    results = [one["metadata"]["result"] for one in answer["data"]["result"]]
    assert (answer["metadata"]["result"], results) == (0, [1, 0])


def a_session_is_refused_with_the_data_that_its_client_goes_on_with(whm: Whm) -> None:
    answer = whm.call_1("create_user_session", ("user", "root"), ("service", "whostmgrd"))
    prefix = answer["data"]["cp_security_token"]
    assert answer["metadata"]["result"] == 0
    assert whm.send(f"{prefix}/json-api/version").status == 200


def functions_of_accounts_fail_where_clients_look_for_the_failure(whm: Whm) -> None:
    for function in ("createacct", "suspendacct", "unsuspendacct", "removeacct", "passwd"):
        answer = whm.call(function, ("user", "jane"))
        assert answer["result"][0]["status"] == 0, function
        assert (answer["status"], answer["data"]["result"]) == (0, "0"), function
        assert answer["statusmsg"] == answer["result"][0]["statusmsg"] != "", function
        assert whm.call_1(function, ("user", "jane"))["metadata"]["result"] == 0, function


def an_unknown_function_fails_in_both_versions(whm: Whm) -> None:
    assert whm.call("nosuch")["error"] == "Unknown App Requested: nosuch"
    reason = whm.call_1("nosuch")["metadata"]["reason"]
    assert reason == 'Unknown app ("nosuch") requested for this version (1) of the API.'


def lists_are_read_as_the_libraries_of_other_languages_write_them(whm: Whm) -> None:
    """What is asked for cannot be, so that nothing changes, and the reason names both."""
    for style in ("install", "install-{n}", "install[{n}]", "install[]", "install.{n}"):
        pairs = [
            (style.format(n=number), _package(mpm))
            for number, mpm in enumerate(("event", "worker"))
        ]
        path = "/json-api/package_manager_submit_actions"
        sent = [("api.version", "1"), ("server", whm.server), *pairs]
        metadata = whm.send(path, sent, method="POST").body["metadata"]
        assert (metadata["result"], "several" in metadata["reason"]) == (0, True), style


def installing_alone_is_enough_or_the_refusal_names_what_to_add(whm: Whm) -> None:
    before = whm.mpm
    goal = "event" if before == "prefork" else "prefork"
    wish = ("install", _package(goal))
    answer = whm.call_1("package_manager_submit_actions", wish)
    if answer["metadata"]["result"] == 0:
        assert "uninstall=" in answer["metadata"]["reason"], answer
        answer = whm.call_1("package_manager_submit_actions", wish, token=whm.lenient)
    assert answer["metadata"]["result"] == 1, answer
    build = answer["data"]["build"]
    assert whm.ended(build) == goal
    again = whm.call_1("package_manager_submit_actions", wish)
    assert again["metadata"]["result"] == 1, again
    assert whm.ended(again["data"]["build"]) == goal, "a repeated submit has nothing left to do"
    back = whm.call_1(
        "package_manager_submit_actions", ("install", _package(before)), token=whm.lenient
    )
    assert whm.ended(back["data"]["build"]) == before
    log = whm.call_1("package_manager_get_build_log", ("build", str(build)), ("offset", "0"))
    assert (len(log["data"]["content"]) > 5, log["data"]["still_running"]) == (True, 0)


def a_wish_for_what_an_unfinished_change_leaves_is_a_failure(whm: Whm) -> None:
    before = whm.mpm
    goal = "event" if before == "prefork" else "prefork"
    moves = ("install", _package(goal))
    build = whm.call_1("package_manager_submit_actions", moves, token=whm.lenient)["data"]["build"]
    number = ("build", str(build))
    refused = whm.call("package_manager_submit_actions", ("install", _package(before)))
    if whm.call_1("package_manager_is_performing_actions", number)["data"]["active"]:
        assert refused["status"] == 0, refused
        assert f"#{build}" in refused["statusmsg"]
    assert whm.ended(build) == goal
    back = whm.call_1(
        "package_manager_submit_actions", ("install", _package(before)), token=whm.lenient
    )
    # Where the wish above came when the change had just ended, this answers with that one's build.
    assert whm.ended(back["data"]["build"]) == before


def a_restart_that_succeeded_is_a_success_where_clients_look(whm: Whm) -> None:
    [row] = whm.call("restartservice", ("service", "httpd"))["restart"]
    assert (row["result"], row["servicename"]) == (1, "httpd"), row
    wrong = whm.call("restartservice", ("service", "named"))
    assert (wrong["restart"][0]["result"], wrong["status"]) == (0, 0)
    answer = whm.call_1("restartservice", ("service", "httpd"))
    assert answer["metadata"]["result"] == 1, answer


def xml_clients_read_xml_whatever_comes(whm: Whm) -> None:
    for path, root in (
        ("/xml-api/version", "version"),
        ("/xml-api/applist", "applist"),
        ("/xml-api/nosuch", "nosuch"),
        ("/xml-api/", "item"),
        ("/xml-api/version/", "version"),
    ):
        answer = whm.send(path)
        assert (answer.status, answer.type) == (200, "text/xml"), path
        assert ET.fromstring(answer.content).tag == root, path  # noqa: S314
    refused = whm.send("/xml-api/version", headers={"Authorization": "WHM root:x"})
    assert (refused.status, refused.type) == (403, "text/xml")


def nothing_that_such_a_client_does_is_answered_by_a_page(whm: Whm) -> None:
    for method, path, headers, status in (
        ("GET", "/json-api/", {}, 200),
        ("GET", "/json-api/version/", {}, 200),
        ("GET", "/json-api/a/b/c", {}, 200),
        ("PUT", "/json-api/version", {}, 405),
        ("DELETE", "/json-api/restartservice", {}, 405),
        ("GET", "/json-api/version", {"Host": "nowhere.example"}, 400),
        ("GET", "/json-api/version", {"Authorization": "WHM root:wrong"}, 403),
        ("GET", "/json-api/version", {"Authorization": "cpanel jane:wrong"}, 403),
        ("GET", "/cpsess1234567890/json-api/version", {}, 200),
    ):
        answer = whm.send(path, method=method, headers=headers)
        assert (answer.status, answer.type) == (status, "application/json"), (method, path)
        assert isinstance(answer.body, dict)


def refused_credentials_have_the_body_that_clients_quote(whm: Whm) -> None:
    answer = whm.send("/json-api/version", headers={"Authorization": "WHM root:wrong"})
    assert answer.body["cpanelresult"]["error"] == "Access denied"
    assert answer.body["cpanelresult"]["data"] == {"reason": "Access denied", "result": "0"}


def the_head_of_a_restart_restarts_nothing(whm: Whm) -> None:
    path = f"/json-api/restartservice?service=httpd&server={whm.server}"
    assert whm.send(path, method="HEAD").status == 405
    assert whm.send("/json-api/version", method="HEAD").status == 200


def a_token_comes_in_by_every_header_that_clients_send(whm: Whm) -> None:
    basic = b64encode(f"root:{whm.token}".encode()).decode()
    for value in (f"whm root:{whm.token}", f"WHM root: {whm.token}", f"Basic {basic}"):
        assert whm.send("/json-api/version", headers={"Authorization": value}).status == 200, value


def documented_functions_have_the_documented_fields(whm: Whm) -> None:
    fields: tuple[tuple[str, tuple[tuple[str, str], ...], dict[str, type]], ...] = (
        ("ea4_get_currently_installed_packages", (), {"packages": list}),
        ("ea4_list_profiles", (), {"cpanel": list, "custom": list}),
        ("package_manager_list_packages", (("state", "installed"),), {"packages": list}),
        ("package_manager_get_package_info", (("package", APACHE),), {"packages": list}),
        (
            "package_manager_resolve_actions",
            (("package", _package("event")),),
            {"install": list, "upgrade": list, "uninstall": list, "unaffected": list},
        ),
        ("package_manager_is_performing_actions", (("build", "0"),), {"active": int}),
        (
            "package_manager_get_build_log",
            (("build", "0"), ("offset", "0")),
            {"content": list, "offset": int, "still_running": int},
        ),
    )
    for function, pairs, expected in fields:
        answer = whm.call_1(function, *pairs)
        found = {name: type(value) for name, value in answer["data"].items()}
        assert found == expected, function
        metadata = {name: type(value) for name, value in answer["metadata"].items()}
        assert metadata == {"command": str, "reason": str, "result": int, "version": int}
    [info] = whm.call_1("package_manager_get_package_info", ("package", APACHE))["data"]["packages"]
    assert {"package", "version", "release", "architecture", "state", "pkg_dep"} <= set(info)
    assert isinstance(whm.call_1("ea4_recommendations")["data"], dict)


def output_control_cuts_the_list_as_documented(whm: Whm) -> None:
    """The filter, the sort, the page and the columns of API 1, together."""
    pairs = [
        *(("api.filter.enable", "1"), ("api.filter.a.field", "package")),
        *(("api.filter.a.type", "begins"), ("api.filter.a.arg0", _package(""))),
        *(("api.sort.enable", "1"), ("api.sort.a.field", "package"), ("api.sort.a.reverse", "1")),
        *(("api.chunk.enable", "1"), ("api.chunk.size", "2"), ("api.chunk.verbose", "1")),
        *(("api.columns.enable", "1"), ("api.columns.a", "package")),
    ]
    answer = whm.call_1("package_manager_list_packages", *pairs)
    names = [one["package"] for one in answer["data"]["packages"]]
    assert names == sorted(names, reverse=True)
    assert (len(names), answer["metadata"]["chunk"]["size"]) == (2, 2)


CHECKS: tuple[Check, ...] = (
    connection_tests_are_answered_in_the_shape_that_is_asked_for,
    the_load_of_a_server_is_told_or_its_absence_is_a_failure,
    a_batch_answers_every_command_of_it,
    a_session_is_refused_with_the_data_that_its_client_goes_on_with,
    functions_of_accounts_fail_where_clients_look_for_the_failure,
    an_unknown_function_fails_in_both_versions,
    lists_are_read_as_the_libraries_of_other_languages_write_them,
    installing_alone_is_enough_or_the_refusal_names_what_to_add,
    a_wish_for_what_an_unfinished_change_leaves_is_a_failure,
    a_restart_that_succeeded_is_a_success_where_clients_look,
    xml_clients_read_xml_whatever_comes,
    nothing_that_such_a_client_does_is_answered_by_a_page,
    refused_credentials_have_the_body_that_clients_quote,
    the_head_of_a_restart_restarts_nothing,
    a_token_comes_in_by_every_header_that_clients_send,
    documented_functions_have_the_documented_fields,
    output_control_cuts_the_list_as_documented,
)
