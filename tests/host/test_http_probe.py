"""One request: whatever a configuration calls its sites, asking ends with an answer."""

from __future__ import annotations

import socket

import pytest

from easyapache.host.http_probe import fetch


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "name", ["b\ufffdcher.example", ".example", "x" * 70 + ".example", "a\r\nX-More: 1", "a b"]
)
def test_a_name_that_cannot_be_asked_for_is_an_answer_and_no_error(scheme: str, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        answer = fetch(f"{scheme}://127.0.0.1:{port}/", host=name, limit=0.2)
    assert answer.error
