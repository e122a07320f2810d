"""A client that was written for the released description goes on working.

``released.json`` is the description of the last release. It is replaced with each release:
``cp tests/api/openapi.json tests/api/released.json``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.api.compatibility import breaks

Json = dict[str, Any]
RELEASED = Path(__file__).with_name("released.json")


def released() -> Json:
    return dict(json.loads(RELEASED.read_text("utf-8")))


def test_the_description_breaks_no_client_of_the_released_one(client: Client) -> None:
    now = json.loads(client.get("/api/v1/openapi.json").content)
    assert breaks(released(), now) == []


CHANGE, SWITCH = "/api/v1/changes/{change}", "/api/v1/servers/{server}/mpm"


def _schemas(document: Json) -> Json:
    return dict(document["components"]["schemas"])


def _parameter(document: Json, path: str, name: str) -> Json:
    found = document["paths"][path]["get"]["parameters"]
    return next(dict_ for dict_ in found if dict_["name"] == name)


INCOMPATIBLE: dict[str, Callable[[Json], object]] = {
    "DELETE /api/v1/tokens/{token}: removed": lambda document: document["paths"][
        "/api/v1/tokens/{token}"
    ].pop("delete"),
    "operationId getChange is now readChange": lambda document: document["paths"][CHANGE][
        "get"
    ].update(operationId="readChange"),
    "query parameter kind removed": lambda document: document["paths"]["/api/v1/servers"]["get"][
        "parameters"
    ].remove(_parameter(document, "/api/v1/servers", "kind")),
    "query parameter server is required now": lambda document: _parameter(
        document, "/api/v1/changes", "server"
    ).update(required=True),
    "limit: maximum is 50 now": lambda document: _parameter(document, "/api/v1/servers", "limit")[
        "schema"
    ].update(maximum=50),
    "takes no prefork any more": lambda document: _schemas(document)["SwitchIn"]["properties"][
        "mpm"
    ]["enum"].remove("prefork"),
    ".reason: required now": lambda document: _schemas(document)["SwitchIn"]["required"].append(
        "reason"
    ),
    ".ticket: removed": lambda document: _schemas(document)["Change"]["properties"].pop("ticket"),
    ".outcome: may be left out now": lambda document: _schemas(document)["Change"][
        "required"
    ].remove("outcome"),
    ".log_size: may be string now": lambda document: _schemas(document)["Change"]["properties"][
        "log_size"
    ].update(type="string"),
    ".hash: may be null now": lambda document: _schemas(document)["Event"]["properties"].update(
        hash={"anyOf": [{"type": "string"}, {"type": "null"}]}
    ),
    "202 removed": lambda document: document["paths"][SWITCH]["put"]["responses"].pop("202"),
    "header Location removed": lambda document: document["paths"][SWITCH]["put"]["responses"][
        "202"
    ]["headers"].pop("Location"),
    "the body is required now": lambda document: document["paths"][f"{CHANGE}/rollback"]["post"][
        "requestBody"
    ].update(required=True),
    "webhook test: removed": lambda document: document["webhooks"].pop("test"),
}


@pytest.mark.parametrize("said", INCOMPATIBLE)
def test_a_change_that_breaks_a_client_is_found(said: str) -> None:
    before, after = released(), released()
    INCOMPATIBLE[said](after)
    found = breaks(before, after)
    assert any(said in line for line in found), found


COMPATIBLE: dict[str, Callable[[Json], object]] = {
    "a new operation": lambda document: document["paths"].update(
        {"/api/v1/more": copy.deepcopy(document["paths"]["/api/v1/token"])}
    ),
    "a new optional parameter": lambda document: document["paths"]["/api/v1/servers"]["get"][
        "parameters"
    ].append({"name": "more", "in": "query", "schema": {"type": "string"}}),
    "a new member of an answer": lambda document: _schemas(document)["Change"]["properties"].update(
        more={"type": "string"}
    ),
    "a new optional member of a body": lambda document: _schemas(document)["SwitchIn"][
        "properties"
    ].update(more={"type": "string"}),
    "a new value of an answer": lambda document: _schemas(document)["Change"]["properties"][
        "state"
    ]["enum"].append("paused"),
    "a new value of a body": lambda document: _schemas(document)["SwitchIn"]["properties"]["mpm"][
        "enum"
    ].append("worker2"),
    "a higher limit": lambda document: _parameter(document, "/api/v1/servers", "limit")[
        "schema"
    ].update(maximum=5000),
    "other words": lambda document: document["info"].update(description="…"),
}


@pytest.mark.parametrize("name", COMPATIBLE)
def test_a_change_that_breaks_nobody_is_taken(name: str) -> None:
    before, after = released(), released()
    COMPATIBLE[name](after)
    assert before != after
    assert breaks(before, after) == []
