"""The description of the API: complete, unchanged unless meant, and readable without the world."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from django.conf import settings
from django.test import Client

from mpm.api.app import api
from mpm.api.description import OF_OPERATIONS
from mpm.api.examples import EXAMPLES, RESPONSE_EXAMPLES
from mpm.history.event_kinds import EVENT_KINDS
from mpm.models import Change, State
from mpm.web.polling import POLLS
from tests.api.conftest import AddServer, AddToken, Call
from tests.api.test_changes import finish

ROOT = Path(settings.BASE_DIR)
SNAPSHOT = Path(__file__).with_name("openapi.json")


def test_the_description_is_the_one_that_was_agreed(client: Client) -> None:
    """After a change that is meant: ``UPDATE_OPENAPI=1 pytest tests/api/test_description.py``."""
    description = json.loads(client.get("/api/v1/openapi.json").content)
    text = json.dumps(description, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_OPENAPI"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()


@cache
def described() -> dict[str, Any]:
    return dict(api.get_openapi_schema())


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    schema = described()
    return [
        (method, path, operation)
        for path, found in schema["paths"].items()
        for method, operation in found.items()
    ]


def test_it_is_openapi_3_1_with_an_example_of_every_shape() -> None:
    schema = described()
    assert schema["openapi"].startswith("3.1")
    assert set(schema["components"]["schemas"]) == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_what_its_shape_says(name: str) -> None:
    schema = described()
    components = {"schemas": schema["components"]["schemas"]}
    shape = {"$ref": f"#/components/schemas/{name}", "components": components}
    [example] = components["schemas"][name]["examples"]
    check = jsonschema_rs.Draft202012Validator(shape, validate_formats=True)
    assert [error.message for error in check.iter_errors(example)] == []
    known = set(components["schemas"][name].get("properties", ()))
    assert set(example) <= known
    if name.endswith(("Out", "Made")) and name != "ProblemOut":
        assert set(example) == known


@pytest.mark.parametrize(("answer", "example"), RESPONSE_EXAMPLES.items())
def test_an_example_of_one_answer_is_what_its_shape_says(
    answer: tuple[str, int], example: dict[str, Any]
) -> None:
    [content] = [
        found["responses"][answer[1]]["content"]["application/json"]
        for _, _, found in operations()
        if found["operationId"] == answer[0]
    ]
    assert content["example"] == example
    components = {"schemas": described()["components"]["schemas"]}
    assert jsonschema_rs.is_valid({**content["schema"], "components": components}, example)


def test_an_example_of_a_header_is_what_its_schema_says() -> None:
    for name, header in described()["components"]["headers"].items():
        value = header["example"]
        assert jsonschema_rs.is_valid(header["schema"], value), name
        assert header["description"].endswith("."), name


def test_every_operation_says_what_can_happen(subtests: pytest.Subtests) -> None:
    for method, path, operation in operations():
        with subtests.test(path=path, method=method):
            assert path.startswith("/api/v1/")
            assert operation["summary"]
            assert operation["security"]
            problems = {status for status in operation["responses"] if status >= 400}
            assert problems >= {401, 422, 429, 500, 503}
            assert ("{" in path) == (404 in problems)
            for status in problems:
                media = list(operation["responses"][status]["content"])
                assert media == ["application/problem+json"]
            for status, response in operation["responses"].items():
                assert "X-Request-Id" in response["headers"], status
            for status in (400, 411, 413, 415):
                assert ("requestBody" in operation) == (status in problems)


def test_the_documentation_needs_nothing_from_outside(client: Client) -> None:
    response = client.get("/api/docs")
    page = response.content.decode()
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    assert "<script" not in page
    assert "style=" not in page
    for _method, _path, operation in operations():
        assert f'id="{operation["operationId"]}"' in page
    assert 'id="problem-busy"' in page


OURS = {"etag", "link", "location", "retry-after", "www-authenticate", "idempotency-replayed"}


def test_every_header_that_is_sent_is_described_and_every_described_one_is_sent(
    add_server: AddServer, add_token: AddToken, call: Call
) -> None:
    for name in ("web03", "web04"):
        add_server(name)
    admin, few = add_token("admin"), add_token("read", per_minute=1)
    mpm, event = "servers/web03/mpm", {"mpm": "event"}
    tag = call("GET", mpm, token=admin).headers["ETag"]
    profile = call("GET", "servers/web03/profile", token=admin).headers["ETag"]
    call("GET", mpm, token=few)
    plans = "servers/web03/plans"
    requested = call("POST", f"{plans}?source=server&wait=0", event, token=admin)
    named = {"name": "x", "url": "https://8.8.8.8/", "scopes": ["read"]}
    hook, token = ({k: named[k] for k in ("name", key)} for key in ("url", "scopes"))
    seen = [
        ("getMpm", call("GET", mpm, token=admin)),
        ("getMpm", call("GET", mpm, token=admin, If_None_Match=tag)),
        ("getMpm", call("GET", mpm)),
        ("getMpm", call("GET", mpm, token=few)),
        ("getProfile", call("GET", "servers/web03/profile", token=admin)),
        ("getProfile", call("GET", "servers/web03/profile", token=admin, If_None_Match=profile)),
        ("createPlan", requested),
        ("getPlan", call("GET", requested.body["href"][len("/api/v1/") :], token=admin)),
        ("createWebhook", call("POST", "webhooks", hook, token=admin)),
        ("createToken", call("POST", "tokens", token, token=admin)),
        ("updateMpm", call("PUT", mpm, event, token=admin, If_Match='"other"')),
        ("updateMpm", call("PUT", mpm, event, token=admin, Idempotency_Key="k")),
        ("updateMpm", call("PUT", mpm, event, token=admin, Idempotency_Key="k")),
        ("updateMpm", call("PUT", mpm, {"mpm": "worker"}, token=admin)),
    ]
    finish(Change.objects.get())
    mend = call("POST", "servers/web03/repairs", {"action": "start-httpd"}, token=admin)
    seen.append(("createRepair", mend))
    number = Change.objects.get().pk
    back = f"changes/{number}/rollback"
    seen.append(("rollBackChange", call("POST", back, token=admin)))
    call("POST", "webhooks", hook, token=admin)
    [newest] = call("GET", "webhooks?limit=1", token=admin).body["items"]
    newest_hook = f"webhooks/{newest['id']}"
    for _ in range(2):
        call("POST", f"{newest_hook}/test", token=admin)
        call("POST", "servers/web04/repairs", {"action": "start-httpd"}, token=admin)
    for operation, path in (
        ("listServers", "servers"),
        ("listChanges", "changes"),
        ("listRepairs", "servers/web04/repairs"),
        ("listWebhooks", "webhooks"),
        ("listDeliveries", f"{newest_hook}/deliveries"),
        ("listTokens", "tokens"),
        ("listEvents", "events"),
    ):
        seen.append((operation, call("GET", f"{path}?limit=1", token=admin)))
    places = [POLLS.take() for _ in range(POLLS.count)]
    following = f"changes/{number + 1}"
    repair = str(mend.headers["Location"]).removeprefix("/api/v1/")
    for operation, path in (
        ("getChange", f"{following}?wait=1"),
        ("getLog", f"{following}/log?wait=1"),
        ("getRepair", f"{repair}?wait=1"),
        ("listEvents", "events?cursor=ffffff&wait=1"),
    ):
        seen.append((operation, call("GET", path, token=admin)))
    for _ in filter(None, places):
        POLLS.give_back()
    promised = {
        (operation["operationId"], status): {name.lower() for name in response["headers"]}
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
    }
    sent = {
        (operation, answer.status, name)
        for operation, answer in seen
        for name in map(str.lower, answer.headers)
        if name in OURS or name.startswith(("ratelimit", "x-r"))
    }
    assert {one for one in sent if one[2] not in promised[one[:2]]} == set()
    ours = {
        (operation, status, name.lower())
        for (operation, status), names in OF_OPERATIONS.items()
        for name in names
    }
    assert ours - sent == set()


def test_every_kind_of_event_is_documented(client: Client) -> None:
    """What the code writes into history, found by its look; what a change can become; and what
    the library of profiles tells of."""
    look = re.compile(
        r'"((?:change|history|preview|profile|server|token|user|webhook|whm)\.[a-z_]+)"'
    )
    written = {f"change.{state}" for state in State.values}
    panel = ROOT / "mpm"
    elsewhere = {panel / "history" / name for name in ("event_kinds.py", "renamed.py")}
    for path in panel.rglob("*.py"):
        if path not in elsewhere and "migrations" not in path.parts:
            written |= set(look.findall(path.read_text("utf-8")))
    library = (panel / "servers" / "profile_library.py").read_text("utf-8")
    kinds = {
        kind
        for line in re.findall(r"kind ?= ?(.*)", library)
        for kind in re.findall('"([a-z]+)"', line)
    }
    written |= {f"profile.{kind}" for kind in kinds}
    assert written - {"webhook.test"} == set(EVENT_KINDS)
    page = client.get("/api/docs").content.decode()
    assert all(f"<code>{kind}</code>" in page for kind in EVENT_KINDS)


def test_what_is_not_there_is_a_problem_too(client: Client) -> None:
    for path in ("", "nothing", "servers/", "changes/1/2/3"):
        answer = client.get(f"/api/v1/{path}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            404,
            "application/problem+json",
        ), path
    wrong = client.delete("/api/v1/servers")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, HEAD")
    assert wrong.headers["Content-Type"] == "application/problem+json"
    assert client.post("/api/v1/openapi.json").status_code == 405


VERBS = (
    *("cancel", "create", "delete", "get", "list", "redeliver", "rollBack", "rotate", "test"),
    "update",
)


def test_operations_are_named_by_the_usual_verbs() -> None:
    """Generated clients make methods of them; “change” is a thing here, so it is no verb."""
    of_a_method = {"get": ("get", "list"), "delete": ("delete",), "patch": ("update",)}
    of_a_method |= {"put": ("update",), "post": VERBS}
    for method, path, operation in operations():
        name = operation["operationId"]
        verb = next((one for one in VERBS if name.startswith(one)), "")
        assert verb in of_a_method[method.lower()], (method, path, name)


def test_states_steps_kinds_and_origins_in_answers_are_enumerated() -> None:
    """So that a generated client has them as types."""
    shapes = described()["components"]["schemas"]

    def values(shape: str, field: str) -> list[str]:
        found = shapes[shape]["properties"][field]
        found = found.get("items", found)
        return [value for value in found["enum"] if value]

    for shape, field in (
        *(("Change", "state"), ("Change", "origin"), ("Change", "step"), ("Change", "role")),
        *(
            ("Delivery", "state"),
            ("Event", "kind"),
            ("Actor", "origin"),
            ("Actor", "role"),
            ("Finding", "severity"),
            ("Health", "state"),
        ),
        *(("Token", "state"), ("Token", "scopes"), ("Webhook", "format"), ("Server", "kind")),
    ):
        assert len(values(shape, field)) > 2, (shape, field)


def test_what_webhooks_are_sent_is_described_with_its_headers() -> None:
    for name, webhook in described()["webhooks"].items():
        operation = webhook["post"]
        headers = {item["name"] for item in operation["parameters"]}
        assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= headers, name
        assert operation["requestBody"]["content"]["application/json"]["schema"]


def test_the_impact_of_a_change_is_figures_and_not_every_probe() -> None:
    shape = described()["components"]["schemas"]["Interruption"]["properties"]
    assert "strip" not in shape
    kinds = {name: json.dumps(value) for name, value in shape.items()}
    assert not [name for name, kind in kinds.items() if '"array"' in kind]


def test_the_documentation_begins_with_where_the_first_token_comes_from(client: Client) -> None:
    page = client.get("/api/docs").content.decode()
    begun = page.index("<main")
    assert "The first token" in page[begun : begun + 1500]
    assert "mpm token create" in page[begun : begun + 1500]
    assert "uuidgen" not in page
