"""The client from PyPI on a real server; the others need npm or CPAN: ``make clients``."""

from __future__ import annotations

import subprocess

import pytest

from tests.clients.running import there_and_back, token_for
from tests.stack import Panel

pytestmark = pytest.mark.lab


def test_cpanel_api_goes_from_prefork_to_event_and_back(panel: Panel) -> None:
    try:
        told = there_and_back("cpanel-api", panel, token_for(panel), "lab")
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr + panel.said) from error
    assert [(entry["mpm"], entry["done"]) for entry in told] == [("event", True), ("prefork", True)]
    assert all(entry["lines"] > 10 for entry in told)
