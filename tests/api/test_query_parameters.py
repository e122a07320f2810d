"""What an operation takes is known without its description, and is the same."""

from __future__ import annotations

import json

from django.test import Client

from mpm.api.parameters import known


def test_every_operation_takes_what_its_description_says(client: Client) -> None:
    described = json.loads(client.get("/api/v1/openapi.json").content)["paths"]
    operations = 0
    for path, methods in described.items():
        route = path.lstrip("/").replace("{", "<str:").replace("}", ">")
        for method, operation in methods.items():
            parameters = operation.get("parameters", ())
            documented = frozenset(item["name"] for item in parameters if item["in"] == "query")
            assert known(route, method.upper()) == documented, (method, path)
            operations += 1
    assert operations > 30


def test_an_address_that_is_no_operation_is_not_known() -> None:
    assert known("api/v1/nowhere", "GET") is None
    assert known("api/v1/servers", "DELETE") is None
