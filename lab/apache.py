"""Starts, stops and queries the lab's httpd."""

from __future__ import annotations

import http.client
import os
import pwd
import signal
import ssl
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.process import LabError, run

PID_FILE = "run/apache2/httpd.pid"
ERROR_LOG = "var/log/apache2/error_log"
ITK_CONF = "etc/apache2/conf.modules.d/900-mpm_itk.conf"
_PATIENCE = 20.0
"""Seconds until a start or a stop that shows no result counts as failed. A start takes 0.03
on an idle machine; a stop waits for the scripts that still run."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)


def program(root: Path) -> tuple[str, ...]:
    """The argv prefix of this root's own httpd, not chrooted: its links are relative."""
    return (
        str(root / "usr/sbin/httpd"),
        *("-d", str(root / "etc/apache2"), "-f", "conf/httpd.conf"),
    )


def running_pid(root: Path) -> int | None:
    """The process id in the pid file, when that process is this root's httpd and lives.

    A zombie still exists for ``kill -0``; its state shows that it has ended."""
    try:
        pid = int((root / PID_FILE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid in processes_of(root) else None


def processes_of(root: Path) -> list[int]:
    """Every live process that runs a program of this root."""
    inside = f"{root.resolve()}/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            running = str((entry / "exe").readlink())
            facts = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # has ended, a kernel thread, or another user's
        if running.startswith(inside) and facts[0] not in "ZX":
            found.append(int(entry.name))
    return sorted(found)


def start(root: Path, status_url: str) -> None:
    """Start httpd and wait for its first answer. Raises LabError with httpd's own words."""
    if not may_change_user() and (root / ITK_CONF).exists():
        raise LabError(
            "ITK is installed and requires root: httpd changes its user for every connection. "
            "Run the lab as root, or remove ea-apache24-mod_mpm_itk."
        )
    if running_pid(root) is None:
        # Killed a moment ago, it may still wait to be buried; httpd would see a living process
        # of that number, say "already running" and exit with status 0.
        (root / PID_FILE).unlink(missing_ok=True)
    log = root / ERROR_LOG
    before = log.stat().st_size if log.exists() else 0
    done = run([*program(root), "-k", "start"], check=False)
    deadline = time.monotonic() + _PATIENCE
    while done.returncode == 0 and time.monotonic() < deadline:
        if running_pid(root) is not None and read_status(status_url):
            return
        time.sleep(0.01)
    output = done.stderr.strip().splitlines()
    if log.exists():
        output += log.read_bytes()[before:].decode(errors="replace").splitlines()[-15:]
    raise LabError("\n".join(["httpd did not start:", *output]))


def stop(root: Path) -> None:
    """Stop httpd and wait until nothing runs out of this root any more.

    First by TERM (which also frees prefork's System V semaphores), then by KILL for the rest:
    workers whose parent was killed, an abandoned trial start."""
    pid = running_pid(root)
    if pid is not None:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while left := processes_of(root):
        if pid not in left:
            for process in left:
                _signal(process, signal.SIGTERM)
        if time.monotonic() > deadline:
            for process in left:
                _signal(process, signal.SIGKILL)
        if time.monotonic() > deadline + 5:
            raise LabError(f"these processes of {root} cannot be ended: {left}")
        time.sleep(0.02)
    (root / PID_FILE).unlink(missing_ok=True)


def fetch(port: int, host: str, path: str, *, tls: bool = False, timeout: float = 30) -> Answer:
    """One GET over a new connection. Raises OSError when no connection can be had."""
    connection: http.client.HTTPConnection
    if tls:
        # The certificate is a throwaway one made with the lab; what is tested is httpd.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, text, headers)
    finally:
        connection.close()


def read_status(status_url: str) -> dict[str, str]:
    """The fields of ``server-status?auto``; empty while httpd does not answer."""
    place, _, path = status_url.removeprefix("http://").partition("/")
    host, _, port = place.partition(":")
    try:
        answer = fetch(int(port or 80), host, f"/{path}?auto", timeout=10)
    except (OSError, http.client.HTTPException):
        return {}
    pairs = (line.split(": ", 1) for line in answer.text.splitlines() if ": " in line)
    return dict(pairs) if answer.status == 200 else {}


def make_certificate(root: Path) -> None:
    """A throwaway key and certificate for the TLS site."""
    folder = root / "var/cpanel/ssl"
    folder.mkdir(parents=True)
    run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "3650", "-subj", "/CN=secure.lab.test"),
            *("-addext", "subjectAltName=DNS:secure.lab.test"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", folder / "lab.key", "-out", folder / "lab.crt"),
        ]
    )
    (folder / "lab.key").chmod(0o600)


def may_change_user() -> bool:
    """Whether httpd's workers can switch users: only if root starts it."""
    return os.geteuid() == 0


def refuse_unreachable(folder: Path, user: str) -> None:
    """Raise LabError when the web server's user could not enter the folder.

    Only matters when root starts httpd: its workers become ``user``, and every page would be
    403 with the reason hidden in the error log."""
    if not may_change_user():
        return
    account = pwd.getpwnam(user)
    for part in (folder, *folder.parents):
        facts = part.stat()
        if facts.st_uid == account.pw_uid:
            allowed = facts.st_mode & stat.S_IXUSR
        elif facts.st_gid == account.pw_gid:
            allowed = facts.st_mode & stat.S_IXGRP
        else:
            allowed = facts.st_mode & stat.S_IXOTH
        if not allowed:
            raise LabError(
                f"httpd's workers run as {user}, who may not enter {part}. "
                "Choose a folder everybody may enter, for example under /var/lib or /tmp."
            )


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # ended by itself in the meantime
