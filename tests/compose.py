"""``make compose-test``: the two images and docker-compose.yml, on a real container engine.

Builds both images, looks into them, brings everything up, changes the MPM of the lab server, kills
every part one after the other and in the middle of a change, verifies the history, and takes
everything down with nothing left. ENGINE (docker, podman) and COMPOSE (``docker compose``,
``podman-compose``) choose; else what is found. BUILD_ARGS are further arguments of the builds.

Where no image registry can be reached the three base images are made of Debian's packages
(debootstrap, as root), which is said: redis and postgres are then Debian's own versions.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from demo.parts import free_port

TOP = Path(__file__).resolve().parent.parent
PANEL, AGENT = "ea4-mpm-panel:latest", "ea4-mpm-agent:latest"
PARTS = ("web", "worker", "beat", "agent", "redis", "postgres")
NOT_IN_PRODUCTION = ("lab", "demo", "tests", "bench", "bootstrap", ".git")
BASES = ("debian:12-slim", "redis:7-alpine", "postgres:16-alpine")
REDIS_FILE = """\
FROM docker.io/library/debian:12-slim
RUN apt-get update -q && apt-get install -q -y --no-install-recommends redis-server
"""
POSTGRES_FILE = """\
FROM docker.io/library/debian:12-slim
RUN apt-get update -q && apt-get install -q -y --no-install-recommends postgresql
COPY start /start
ENV PGHOST=/tmp
CMD ["sh", "/start"]
"""
POSTGRES_START = """\
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin); data=/var/lib/postgresql/data
chown postgres "$data"
if [ ! -s "$data/PG_VERSION" ]; then
  printf %s "$POSTGRES_PASSWORD" > /tmp/pw; chown postgres /tmp/pw
  su postgres -c "$bin/initdb -D $data -U $POSTGRES_USER --pwfile=/tmp/pw -A scram-sha-256 \
    -E UTF8 --locale=C.UTF-8"
  echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
  su postgres -c "$bin/pg_ctl -D $data -w -o '-c listen_addresses= -k /tmp' start"
  su postgres -c "PGPASSWORD=$(cat /tmp/pw) $bin/createdb -h /tmp -U $POSTGRES_USER $POSTGRES_DB"
  su postgres -c "$bin/pg_ctl -D $data -w stop"
  rm /tmp/pw
fi
exec su postgres -c "exec $bin/postgres -D $data -c listen_addresses='*' -k /tmp"
"""


class Failed(Exception):
    """A step did not do what it must; the message says which."""


def report(text: str) -> None:
    sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")
    sys.stdout.flush()


def run(
    *argv: str,
    seconds: float = 1800,
    status: int | None = 0,
    environment: dict[str, str] | None = None,
) -> str:
    """What it wrote. Raises Failed for another exit status."""
    done = subprocess.run(
        argv,
        cwd=TOP,
        env=environment or dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    if status is not None and done.returncode != status:
        raise Failed(f"{shlex.join(argv)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def works(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise Failed(f"{what} within {seconds:.0f} s")
        time.sleep(1)


def chosen() -> tuple[str, list[str]]:
    """The engine and the command of compose. Raises Failed where there is none that works."""
    wanted = os.environ.get("ENGINE")
    engine = next(
        (one for one in ([wanted] if wanted else ["docker", "podman"]) if works(one, "info")), None
    )
    if engine is None:
        raise Failed("No container engine works here (docker, podman).")
    if os.environ.get("COMPOSE"):
        return engine, shlex.split(os.environ["COMPOSE"])
    if works(engine, "compose", "version"):
        return engine, [engine, "compose"]
    beside = Path(sys.executable).with_name("podman-compose")
    program = shutil.which("podman-compose") or (str(beside) if beside.exists() else None)
    if engine != "podman" or program is None:
        raise Failed(f"There is no compose for {engine}.")
    return engine, [program]


class Stack:
    """docker-compose.yml under a name of its own."""

    def __init__(self, engine: str, compose: Sequence[str]) -> None:
        self.engine, self.compose = engine, list(compose)
        self.name = f"ea4ct{os.getpid()}"
        self.port = free_port()
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "SECRET_KEY": secrets.token_hex(32),
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "REDIS_PASSWORD": secrets.token_hex(16),
            "PORT": str(self.port),
        }

    def command(self, *words: str, status: int | None = 0) -> str:
        return run(
            *self.compose,
            *("-p", self.name, "-f", str(TOP / "docker-compose.yml")),
            *words,
            status=status,
            environment=self.environment,
        )

    def containers(self, part: str = "") -> list[str]:
        labels = [f"com.docker.compose.project={self.name}"]
        labels += [f"com.docker.compose.service={part}"] if part else []
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return run(self.engine, "ps", "-a", "--format", "{{.Names}}", *filters).split()

    def container(self, part: str) -> str:
        found = self.containers(part)
        if len(found) != 1:
            raise Failed(f"{part} has {len(found)} containers")
        return found[0]

    def manage(self, *words: str, status: int | None = 0) -> str:
        web = self.container("web")
        return run(self.engine, "exec", web, "python", "manage.py", *words, status=status)

    def answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=10
            ) as answer:
                return int(answer.status) == 200
        except (OSError, urllib.error.URLError):
            return False

    def mpm(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.manage("mpm", "status", "--server", "lab", "--json", status=None) or "{}"
        )
        return found

    def kill(self, part: str) -> None:
        run(self.engine, "kill", self.container(part), status=None)

    def start(self, part: str) -> None:
        run(self.engine, "start", self.container(part))

    def down(self) -> None:
        self.command("down", "--volumes", status=None)
        for name in self.containers():
            run(self.engine, "rm", "-f", "-v", name, status=None)
        for line in self.left():
            kind, _, name = line.partition(" ")
            if kind == "network":
                # podman's compose of Debian 12 takes down everything but its networks.
                report(f"{name}: left by {self.compose[-1]}, and removed")
                run(self.engine, "network", "rm", name)

    def left(self) -> list[str]:
        """What is still there of this project."""
        kinds = (("volume", "ls"), ("network", "ls"), ("ps", "-a"))
        named = {"ps": "{{.Names}}"}
        return [
            f"{kind} {name}"
            for kind, *words in kinds
            for name in run(
                self.engine, kind, *words, "--format", named.get(kind, "{{.Name}}")
            ).split()
            if name.startswith((f"{self.name}_", f"{self.name}-"))
        ]


# -- images ------------------------------------------------------------------------------------


def bases(engine: str) -> None:
    """The images that ours are made of: pulled, or made of Debian's packages."""
    missing = [name for name in BASES if not works(engine, "image", "inspect", name)]
    missing = [name for name in missing if not works(engine, "pull", f"docker.io/library/{name}")]
    if not missing:
        return
    report(f"No registry can be reached: {', '.join(missing)} made of Debian's packages")
    if shutil.which("debootstrap") is None:
        raise Failed("debootstrap isn't installed, and no registry can be reached.")
    extra = shlex.split(os.environ.get("BUILD_ARGS", ""))
    with tempfile.TemporaryDirectory(prefix="ea4base") as name:
        folder = Path(name)
        if BASES[0] in missing:
            system = folder / "system"
            include = "--include=ca-certificates,python3"
            run("debootstrap", "--variant=minbase", include, "bookworm", str(system))
            run("tar", "-C", str(system), "-cf", f"{folder}/base.tar", ".")
            run(engine, "import", f"{folder}/base.tar", f"docker.io/library/{BASES[0]}")
        for base, text in ((BASES[1], REDIS_FILE), (BASES[2], POSTGRES_FILE)):
            if base not in missing:
                continue
            place = folder / base.partition(":")[0]
            place.mkdir()
            (place / "Dockerfile").write_text(text)
            (place / "start").write_text(POSTGRES_START)
            run(engine, "build", *extra, "-t", f"docker.io/library/{base}", str(place))


def build(engine: str) -> None:
    extra = shlex.split(os.environ.get("BUILD_ARGS", ""))
    for target, tag in (("panel", PANEL), ("agent", AGENT)):
        report(f"Building {tag}")
        run(engine, "build", *extra, "--target", target, "-t", tag, ".", seconds=3600)
    listed = run(engine, "run", "--rm", "--entrypoint", "ls", PANEL, "-A", "/srv/ea4").split()
    if found := sorted(set(listed) & set(NOT_IN_PRODUCTION)):
        raise Failed(f"The image of the panel has {', '.join(found)}")
    who = run(engine, "run", "--rm", "--entrypoint", "id", PANEL, "-u").strip()
    if who != "10001":
        raise Failed(f"The image of the panel runs as {who}")


# -- the test ----------------------------------------------------------------------------------


def changed(stack: Stack, mpm: str) -> None:
    """Have the lab server changed, and see that it was."""
    ended(stack, requested(stack, mpm))
    seen(stack, mpm)


def requested(stack: Stack, mpm: str) -> int:
    """The number of a change that has been requested."""
    made = json.loads(stack.manage("mpm", "switch", mpm, "--server", "lab", "--yes", "--json"))
    return int(made["change"]["id"])


def seen(stack: Stack, mpm: str) -> None:
    until(lambda: f'"{mpm}"' in json.dumps(stack.mpm()), 60, f"{mpm} was not seen")


def whole(stack: Stack) -> None:
    until(lambda: stack.answers("/readyz"), 240, "the panel was not ready")


def test(stack: Stack) -> None:
    report(f"Starting {stack.name} with {shlex.join(stack.compose)}")
    stack.command("up", "-d")
    until(lambda: stack.answers("/healthz"), 300, "the panel did not answer")
    whole(stack)
    accounts = json.loads(stack.manage("prepare", "--no-static", "--first-accounts", "--json"))
    if len(accounts) != 2:
        raise Failed(f"{len(accounts)} first accounts were made")
    report("The panel is ready; waiting for the lab server")
    until(lambda: "prefork" in json.dumps(stack.mpm()), 900, "the lab server was not seen")
    changed(stack, "event")
    report("prefork → event: changed")
    for part in PARTS:
        stack.kill(part)
        time.sleep(2)
        stack.start(part)
        whole(stack)
        report(f"{part}: killed and started again")
    number = requested(stack, "prefork")
    for part in ("worker", "redis", "web", "postgres"):
        stack.kill(part)
    time.sleep(3)
    for part in ("postgres", "redis", "worker", "web"):
        stack.start(part)
    whole(stack)
    ended(stack, number)
    seen(stack, "prefork")
    report("event → prefork with four parts killed in the middle: changed")
    stack.manage("mpm", "verify")
    for part in PARTS:
        run(stack.engine, "restart", stack.container(part))
    whole(stack)
    stack.manage("mpm", "verify")
    report("All parts restarted; the history verifies")


def ended(stack: Stack, number: int) -> None:
    def succeeded() -> bool:
        told = stack.manage("mpm", "show", str(number), "--json", status=None)
        state = json.loads(told or "{}").get("state")
        if state in ("failed", "restored", "not_started", "canceled"):
            raise Failed(f"change #{number} ended as {state}")
        return bool(state == "succeeded")

    until(succeeded, 300, f"change #{number} did not end")


def main() -> int:
    try:
        engine, compose = chosen()
        report(f"{engine}, {shlex.join(compose)}")
        bases(engine)
        build(engine)
        stack = Stack(engine, compose)
        try:
            test(stack)
        except (Failed, OSError, subprocess.SubprocessError):
            for name in stack.containers():
                told = run(engine, "logs", "--tail", "30", name, status=None)
                sys.stderr.write(f"--- {name}\n{told}\n")
            raise
        finally:
            stack.down()
        if left := stack.left():
            raise Failed(f"Left behind: {', '.join(left)}")
        report("Taken down; nothing is left")
    except (Failed, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
