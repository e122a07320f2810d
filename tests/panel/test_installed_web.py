"""gunicorn as the package runs it, with TLS and systemd's watchdog."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from demo.parts import free_port
from tests.panel_fixtures import PROJECT, database_url, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Web:
    """``starter``: the process that starts workers. ``notices``: what systemd would hear."""

    starter: subprocess.Popen[bytes]
    notices: socket.socket
    address: str

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.starter.pid}/task/{self.starter.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def heard(self, line: str) -> bool:
        """Whether this line was in a notice since the last question."""
        found = False
        with suppress(BlockingIOError):
            while True:
                found |= line in self.notices.recv(4096).decode().splitlines()
        return found

    def answers(self) -> bool:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            return httpx.get(f"{self.address}/healthz", verify=context).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")),
        ],
        check=True,
        capture_output=True,
    )
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="ea4n-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
        (tmp_path / "web.log").open("wb") as log,
    ):
        notices.bind(f"{folder}/notify")
        notices.setblocking(False)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn"),
                *("--config", str(PROJECT / "packaging/share/gunicorn.py")),
                "easyapache.wsgi:application",
            ],
            cwd=PROJECT,
            env={
                **{key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
                "PYTHONPATH": str(PROJECT),
                "DJANGO_SETTINGS_MODULE": "easyapache.settings",
                "SECRET_KEY": "only for tests",
                "DATABASE_URL": database_url(),
                "DEBUG": "true",
                "VAR_DIR": str(tmp_path / "var"),
                "EA4_LISTEN": f"127.0.0.1:{port}",
                "EA4_CERTIFICATE": str(tmp_path / "crt"),
                "EA4_CERTIFICATE_KEY": str(tmp_path / "key"),
                "NOTIFY_SOCKET": f"{folder}/notify",
                "WATCHDOG_USEC": "180000000",
            },
            stdout=log,
            stderr=log,
        )
        found = Web(process, notices, f"https://127.0.0.1:{port}")
        try:
            wait_until(found.answers, 60, "the panel did not answer")
            yield found
        except AssertionError:
            sys.stderr.write((tmp_path / "web.log").read_text())
            raise
        finally:
            process.terminate()
            process.wait(30)


def test_a_worker_tells_the_watchdog_and_is_never_started_beside_another_thread(web: Web) -> None:
    """A process that is forked while a thread is within OpenSSL inherits its locks, and no
    connection of it ever gets through its handshake."""
    wait_until(lambda: web.heard("WATCHDOG=1"), 60, "systemd heard of no answer")
    threads = Path(f"/proc/{web.starter.pid}/task")
    assert len(list(threads.iterdir())) == 1
    (worker,) = web.workers
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: web.workers not in ([], [worker]), 30, "no worker took its place")
    wait_until(lambda: web.heard("WATCHDOG=1"), 60, "systemd heard nothing of the new worker")
    assert web.answers()
    assert len(list(threads.iterdir())) == 1
