"""A client that hammers a listener from a process of its own and counts what it gets."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Hammer:
    """``counts`` after the block: ok, refused, reset, bad."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    @property
    def failed(self) -> int:
        return sum(number for what, number in self.counts.items() if what != "ok")

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@contextmanager
def hammering(
    port: int, *, tls: bool = False, threads: int = 4, rate: float = 200
) -> Iterator[Hammer]:
    """New connections to a port all the time of the block, ``rate`` a second altogether."""
    hammer = Hammer()
    settings = json.dumps({"port": port, "tls": tls, "threads": threads, "rate": rate})
    client = subprocess.Popen(
        [sys.executable, str(Path(__file__)), settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdin is not None
    client.stdout.readline()
    yield hammer
    client.stdin.close()
    hammer.counts = json.loads(client.stdout.read())
    client.wait()


def _one(port: int, context: ssl.SSLContext | None) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=15) as plain:
            link = context.wrap_socket(plain) if context else plain
            link.sendall(b"GET / HTTP/1.1\r\nHost: static.lab.test\r\nConnection: close\r\n\r\n")
            data = b""
            while piece := link.recv(65536):
                data += piece
        return "ok" if data.startswith(b"HTTP/1.1 200") and b"</h1>" in data else "bad"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return "slow" if isinstance(error, TimeoutError) else "reset"


def _main(port: int, tls: bool, threads: int, rate: float) -> None:
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    over = threading.Event()
    counts: Counter[str] = Counter()

    def work() -> None:
        while not over.is_set():
            begun = time.monotonic()
            counts[_one(port, context)] += 1
            time.sleep(max(0.0, threads / rate - (time.monotonic() - begun)))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    over.set()
    for worker in workers:
        worker.join()
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
