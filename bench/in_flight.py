"""Requests that start before a switch and must complete after it: scripts and downloads.

A script runs, and a download trickles, until ``finish`` is called; so each is in progress during
the whole switch, however long that takes.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Self

from lab.server import Lab

SCRIPTS, DOWNLOADS = 4, 2
PIECE, PAUSE = 16 * 1024, 0.02
"""A download reads this much, this often (seconds): 40 MB are never through by themselves."""
_PATIENCE = 90.0

_SCRIPT = """\
#!/bin/sh
echo "Content-Type: text/plain"
echo
echo "begun"
: > "{folder}/begun.$$"
tries=0
while [ ! -e "{folder}/finish" ] && [ $tries -lt 1200 ]; do sleep 0.05; tries=$((tries + 1)); done
echo "finished"
"""


class NotBegun(Exception):
    """The requests did not start: there is nothing to measure."""


class InFlight:
    """Scripts and downloads of one lab, which must be up: started with the block, ended by
    ``finish`` or, if the block fails, by its end."""

    def __init__(self, lab: Lab) -> None:
        self._port = lab.setup.ports.http
        self._folder = lab.root / "tmp/bench"
        self._folder.mkdir(exist_ok=True)
        self._folder.chmod(0o777)  # the user of the scripts depends on the MPM
        for left in self._folder.iterdir():
            left.unlink()
        script = lab.root / "var/www/cgi-bin/wait.cgi"
        script.write_text(_SCRIPT.format(folder=self._folder), encoding="utf-8")
        script.chmod(0o755)
        self._finish = threading.Event()
        self._begun: list[str] = []
        self._whole: list[str] = []
        self._threads = [
            *(self._thread(self._script) for _ in range(SCRIPTS)),
            *(self._thread(self._download) for _ in range(DOWNLOADS)),
        ]

    def __enter__(self) -> Self:
        """Returns when all of them have started. Raises NotBegun."""
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + 60
        while self._scripts_begun() < SCRIPTS or len(self._begun) < DOWNLOADS:
            if time.monotonic() > end:
                self.finish()
                raise NotBegun(f"{self._scripts_begun()} scripts, {len(self._begun)} downloads")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> int:
        """Let them end; returns how many did not end whole. A second call changes nothing."""
        (self._folder / "finish").touch()
        self._finish.set()
        for thread in self._threads:
            thread.join()
        return len(self._threads) - len(self._whole)

    def _scripts_begun(self) -> int:
        return len(list(self._folder.glob("begun.*")))

    def _thread(self, run: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=run, daemon=True)

    def _script(self) -> None:
        try:
            with self._send_request("cgi.lab.test", "/cgi-bin/wait.cgi") as link:
                answer = b""
                while piece := link.recv(65536):
                    answer += piece
        except OSError:
            return  # cut off: it is not among the whole ones
        if answer.startswith(b"HTTP/1.1 200 ") and b"begun\n" in answer and b"finished\n" in answer:
            self._whole.append("script")

    def _download(self) -> None:
        try:
            with self._send_request("static.lab.test", "/large.bin") as link:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = link.recv(4096)
                    if not piece:
                        return
                    head += piece
                head, _, first = head.partition(b"\r\n\r\n")
                self._begun.append("download")
                got, wanted = len(first), _length(head)
                while piece := link.recv(1024 * 1024 if self._finish.is_set() else PIECE):
                    got += len(piece)
                    if not self._finish.is_set():
                        time.sleep(PAUSE)
        except OSError:
            return  # cut off
        if got == wanted:
            self._whole.append("download")

    def _send_request(self, host: str, path: str) -> socket.socket:
        link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # Small, so that what has not been read is still at the server.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        link.settimeout(_PATIENCE)
        link.connect(("127.0.0.1", self._port))
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return link


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return -1
