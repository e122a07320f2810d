"""Visitors who are there when httpd is replaced."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections import Counter

from easyapache.agent.httpd.kernel_setting import REGISTER
from tests.host.managed import Managed


def port_of(managed: Managed, *, tls: bool = False) -> int:
    assert managed.lab is not None
    ports = managed.lab.setup.ports
    return ports.https if tls else ports.http


def assert_put_back() -> None:
    """This process no longer needs the kernel's setting. (Its value itself belongs to the whole
    machine, on which other tests restart at this moment.)"""
    users = json.loads(REGISTER.read_text())["users"]
    assert os.getpid() not in [user["pid"] for user in users]


def unverified() -> ssl.SSLContext:
    """The certificate is a throwaway one made with the lab."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class InFlight(threading.Thread):
    """A request to the script that takes two seconds, which has begun."""

    def __init__(self, managed: Managed, *, tls: bool = False) -> None:
        super().__init__()
        self.port, self.tls = port_of(managed, tls=tls), tls
        self.body = ""
        self.start()
        time.sleep(0.4)

    def run(self) -> None:
        connection: http.client.HTTPConnection
        if self.tls:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=20, context=unverified()
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        host = "secure.lab.test" if self.tls else "cgi.lab.test"
        connection.request("GET", "/cgi-bin/slow.cgi", headers={"Host": host})
        self.body = connection.getresponse().read().decode()


class Staying(threading.Thread):
    """Asks again and again over one connection, with a pause in between; over a new one when the
    server has said that it would close the old one, or has closed it in good order.

    ``counts`` after ``leave``: *answered*; *told* (an answer said that it was the last one);
    *closed* (in good order, before any of an answer, on a connection that had been used);
    *turned away* (the same on a new one); *cut* (in the middle of an answer); *reset*.
    """

    def __init__(self, port: int, *, tls: bool, pause: float) -> None:
        super().__init__()
        self.port, self.context, self.pause = port, unverified() if tls else None, pause
        self.host = b"secure.lab.test" if tls else b"static.lab.test"
        self.counts: Counter[str] = Counter()
        self._over = threading.Event()
        self._link: socket.socket | None = None
        self.start()

    def leave(self) -> Counter[str]:
        self._over.set()
        self.join()
        return self.counts

    def run(self) -> None:
        while not self._over.is_set():
            used = self._link is not None
            try:
                answer = self._ask()
            except OSError:
                self._end("reset")
                continue
            if b"</h1>" in answer:
                self.counts["answered"] += 1
                if b"Connection: close" in answer:
                    self._end("told")
            elif answer:
                self._end("cut")
            else:
                self._end("closed" if used else "turned away")
            self._over.wait(self.pause)

    def _ask(self) -> bytes:
        if self._link is None:
            plain = socket.create_connection(("127.0.0.1", self.port), timeout=15)
            self._link = self.context.wrap_socket(plain) if self.context else plain
        self._link.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % self.host)
        answer = b""
        while b"</h1>" not in answer and (piece := self._link.recv(65536)):
            answer += piece
        return answer

    def _end(self, how: str) -> None:
        self.counts[how] += 1
        if self._link is not None:
            self._link.close()
        self._link = None
