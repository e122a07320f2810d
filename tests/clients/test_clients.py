"""The client from PyPI on a real server; the others need npm or CPAN: ``make clients``."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.clients.plain import CHECKS, Check, Whm
from tests.clients.running import by_hand, there_and_back, token_for
from tests.stack import Panel, panel_without_labs


@pytest.fixture(scope="module")
def whm() -> Iterator[Whm]:
    with panel_without_labs() as panel:
        yield by_hand(panel, "sandbox")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_clients_rely_on_that_cannot_be_installed_here(check: Check, whm: Whm) -> None:
    check(whm)


@pytest.mark.lab
def test_cpanel_api_goes_from_prefork_to_event_and_back(panel: Panel) -> None:
    try:
        told = there_and_back("cpanel-api", panel, token_for(panel), "lab")
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr + panel.output) from error
    assert [(entry["mpm"], entry["done"]) for entry in told] == [("event", True), ("prefork", True)]
    assert all(entry["lines"] > 10 for entry in told)
