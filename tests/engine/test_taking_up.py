"""An agent that goes on with what was cut off, and how much it takes on."""

from __future__ import annotations

import os
import signal
import uuid

from easyapache.agent.change.progress import progress_of
from easyapache.agent.change.spool import MOST_WAITING
from tests.engine.test_agent import MakeHouse, make_house

__all__ = ["make_house"]


def test_what_was_cut_off_is_finished_though_the_broker_never_came_back(
    make_house: MakeHouse,
) -> None:
    house = make_house(0.3)
    request = house.simulation.request()
    house.send("host.apply", request.as_json())
    house.wait(lambda: house.simulation.spool.folder(request.change) is not None)
    folder = house.simulation.spool.folder(request.change)
    assert folder is not None
    house.wait(lambda: progress_of(folder.reports()).touched)
    pid = house.engine_pid(folder)
    house.kill("redis")
    house.kill("agent")
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    (house.folder / "redis.sock").unlink()
    assert folder.outcome is None
    house.start_agent()
    house.wait(lambda: folder.outcome is not None)
    house.simulation.sound()
    house.start_redis()
    house.wait(lambda: house.outcome_of(request.change) == "succeeded")


def test_no_more_changes_are_taken_than_one_panel_could_ask_for(make_house: MakeHouse) -> None:
    house = make_house(0.3)
    good = house.simulation.request().as_json()
    for _ in range(MOST_WAITING + 10):
        house.send("host.apply", {**good, "change": uuid.uuid4().hex})
    house.send("host.ping", {"nonce": "still there"})
    house.wait(lambda: any(f["nonce"] == "still there" for f in house.answers("control.heartbeat")))
    spool = house.simulation.spool
    assert 0 < len(spool.unfinished()) <= MOST_WAITING
    at_work = sum(folder.engine_at_work for folder in spool.unfinished())
    assert at_work <= 2
    for folder in spool.unfinished():
        folder.request_cancel()


def test_an_agent_that_is_root_on_purpose_starts_without_a_warning(make_house: MakeHouse) -> None:
    house = make_house(0.0)
    house.send("host.ping", {"nonce": "first"})
    house.wait(lambda: any(f["nonce"] == "first" for f in house.answers("control.heartbeat")))
    output = (house.folder / "agent.out").read_text()
    assert "superuser" not in output
    assert "Warning" not in output
