"""How often httpd's configuration is read: once per change of its files, never in a loop."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest

from easyapache.agent.change.engine import Engine
from easyapache.agent.change.spool import Spool
from easyapache.agent.drivers import remember
from easyapache.agent.httpd import apache_config, httpd
from easyapache.agent.httpd.apache_config import ApacheConfig
from easyapache.agent.real import RealServer
from easyapache.agent.runner import Finished, Runner
from easyapache.ea4.protocol import ChangeRequest
from tests.host.managed import Managed

MOST_TESTS = 4
"""Calls of httpd that only read the whole configuration, in one change: for what is loaded before
and after it, and to test what the packages brought."""


def test_a_change_reads_the_configuration_once_for_each_change_of_its_files(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal, transaction = managed.plan("event")
    request = ChangeRequest(
        uuid.uuid4().hex, managed.config.server, goal, transaction, "event", itk=False
    )
    Spool(managed.config.spool).prepare()
    remember(managed.config)
    folder = Spool(managed.config.spool).create(request)[0]
    readings: Counter[object] = Counter()
    tests: list[str] = []
    read, perform = apache_config.read_config, Runner.capture

    def counted(*arguments: Any) -> ApacheConfig:
        found = read(*arguments)
        readings[
            (found.main, str(found.surroundings), str(sorted(found.source.stamps.items())))
        ] += 1
        return found

    def asked(runner: Runner, argv: Any, *arguments: Any, **how: Any) -> Finished:
        if {"-t", "-M", "-S"} & set(argv):
            tests.append(" ".join(argv))
        return perform(runner, argv, *arguments, **how)

    monkeypatch.setattr(httpd, "read_config", counted)
    monkeypatch.setattr(Runner, "capture", asked)
    outcome = Engine(folder, RealServer(managed.config), managed.config).run()
    assert outcome.data["outcome"] == "succeeded", outcome.data
    assert readings
    assert set(readings.values()) == {1}
    assert len(tests) <= MOST_TESTS, tests
