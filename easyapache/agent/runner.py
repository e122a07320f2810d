"""The only place that starts processes on the managed server.

Programs are argument lists, never a shell line; they get a small clean environment, no standard
input and their own session. A program that *changes* the server is never stopped by a time limit;
only ``capture``, for those that read, gives up waiting.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from easyapache.agent.change import process_wrapper
from easyapache.agent.httpd.processes import Identity, systemd_is_init
from easyapache.agent.server import HostError, Log, Stop, Stopped, never
from easyapache.ea4.sentences import Sentence

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START_LIMIT = 30.0
"""Seconds a keeper may take to begin; on a machine that swaps it is long, normally 30 ms."""
_NEVER_BEGAN = 126
_UNIT = (
    *("--collect", "--quiet", "--property=KillMode=process"),
    *("--property=TimeoutStopSec=15min", "--property=IgnoreOnIsolate=yes"),
)
"""When the first process of a unit ends, systemd would end all others in it: a dnf whose keeper
was killed, and an httpd that an engine started on a server without a unit for it. A shutdown waits
for the keeper, which waits for its program; ``systemctl isolate`` leaves both alone."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The result of a program: its status (negative: killed by that signal) and its two streams."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def text(self) -> str:
        """Both streams, standard error last."""
        return "\n".join(part for part in (self.stdout.strip(), self.stderr.strip()) if part)


class Runner:
    """Starts programs with one environment. ``environment`` is added to a minimal one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = {
            "PATH": _PATH,
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C",
            "LANG": "C",
            **environment,
        }

    def capture(
        self,
        argv: Sequence[str],
        *,
        limit: float = 60.0,
        environment: Mapping[str, str] | None = None,
        most: int = 0,
    ) -> Finished:
        """Run a program that only reads; ``environment`` is added to the usual one. Raises
        HostError ``no_such_program``, and ``no_answer`` when it takes longer than ``limit``
        seconds or, where ``most`` is given, writes more bytes than that (it is then killed)."""
        with self._spawn(argv, subprocess.PIPE, subprocess.PIPE, environment) as process:
            try:
                if most:
                    out, err = _bounded(process, limit, most)
                else:
                    out, err = process.communicate(timeout=limit)
            except _TooMuch:
                self._kill_session(process.pid)
                raise HostError(
                    "no_answer",
                    Sentence(
                        "{program} answered with more than {count} bytes.",
                        program=argv[0],
                        count=most,
                    ),
                ) from None
            except subprocess.TimeoutExpired:
                self._kill_session(process.pid)
                err = b"" if most else _rest(process)
                raise HostError(
                    "no_answer",
                    Sentence(
                        "{program} did not answer within {seconds} s.",
                        program=argv[0],
                        seconds=f"{limit:.0f}",
                    ),
                    Sentence("Find out what it is waiting for, then try again."),
                    _text(err),
                ) from None
        return Finished(tuple(argv), process.returncode, _text(out), _text(err))

    def perform(
        self,
        argv: Sequence[str],
        log: Log,
        stop: Stop = never,
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a program to its end however long that takes; each line is passed to ``log`` as it
        arrives. ``stdout`` and ``stderr`` are kept as well.

        Only a program that changes nothing may have a ``stop``: it is killed, and Stopped raised,
        as soon as ``stop()`` is true."""
        process = self._spawn(argv, subprocess.PIPE, subprocess.PIPE, environment)
        assert process.stdout is not None
        assert process.stderr is not None
        kept: dict[str, list[str]] = {"stdout": [], "stderr": []}

        def drain(name: str, stream: IO[bytes]) -> None:
            with stream:
                for raw in stream:
                    line = _text(raw).rstrip("\r\n")
                    kept[name].append(line)
                    log(line)

        threads = [
            threading.Thread(target=drain, args=(name, stream), daemon=True)
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        for thread in threads:
            thread.start()
        stopped = self._killed(process, stop)
        # A daemon that the program started (gpg-agent, httpd) may keep the streams open: the
        # program is over when it has ended, not when they are closed.
        for thread in threads:
            thread.join(timeout=2.0)
        if stopped:
            raise Stopped
        out, err = "\n".join(kept["stdout"]), "\n".join(kept["stderr"])
        return Finished(tuple(argv), process.returncode, out, err)

    def _killed(self, process: subprocess.Popen[bytes], stop: Stop) -> bool:
        """Wait for the end; returns whether ``stop`` caused it."""
        if stop is never:
            process.wait()
            return False
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
                return False
            if stop():
                self._kill_session(process.pid)
                process.wait()
                return True

    @contextmanager
    def background(self, argv: Sequence[str], *, stderr: Path | None = None) -> Iterator[int]:
        """A program that runs during the ``with`` block; yields its pid. It gets TERM at the end,
        and is killed with its whole session five seconds later."""
        with _sink(stderr) as sink, self._spawn(argv, subprocess.DEVNULL, sink) as process:
            try:
                yield process.pid
            finally:
                if process.poll() is None:
                    process.terminate()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=5.0)
                self._kill_session(process.pid)

    @contextmanager
    def companion(self, argv: Sequence[str], line: str, limit: float) -> Iterator[str]:
        """A program that runs during the ``with`` block and reads its standard input to the end:
        that closes with this process, even when it is killed. ``line`` is sent to it. Yields its
        first line, without the end; what it wrote before it ended or ``limit`` seconds passed where
        there is none. Raises HostError ``no_such_program``."""
        with self._spawn(
            argv, subprocess.PIPE, subprocess.STDOUT, stdin=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):  # it has ended, and its output says why
                os.write(process.stdin.fileno(), f"{line}\n".encode())
            try:
                yield _first_line(process.stdout.fileno(), time.monotonic() + limit)
            finally:
                process.stdin.close()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_AFTER_CLOSE)
                self._kill_session(process.pid)

    def start_detached(
        self, argv: Sequence[str], folder: Path, name: str, unit: str, description: str = ""
    ) -> None:
        """Start a program that outlives this process, at most once per folder and name.

        Where systemd is process 1 it becomes the transient unit ``unit``, so that stopping the
        agent's own unit does not stop it; elsewhere it is reparented to init. ``description`` is
        what the console of a machine says that waits for it to shut down. Returns when it has
        started. Raises HostError ``not_started``.
        """
        folder.mkdir(parents=True, exist_ok=True)
        keep = [sys.executable, "-I", str(Path(process_wrapper.__file__).resolve())]
        rest = [str(folder), name, *argv]
        if systemd_is_init():
            settings = [f"--setenv={key}={value}" for key, value in self.environment.items()]
            named = [f"--description={description}"] if description else []
            how = ["systemd-run", f"--unit={unit}", *named, *_UNIT, *settings, "--"]
            begun = self.capture([*how, *keep, "--stay", *rest])
        else:
            begun = self.capture([*keep, *rest])
        if not begun.ok:
            why = Sentence("{program} could not be started.", program=argv[0])
            raise HostError("not_started", why, "", begun.text)
        Detached(folder, name).wait_for_start()

    def _spawn(
        self,
        argv: Sequence[str],
        stdout: int,
        stderr: int | IO[bytes],
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**self.environment, **(environment or {})},
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise HostError(
                "no_such_program",
                Sentence(
                    "{program} can't be run: {error}.",
                    program=argv[0],
                    error=str(error.strerror),
                ),
                Sentence("Install it, or correct its path in the agent's configuration."),
            ) from error

    @staticmethod
    def _kill_session(leader: int) -> None:
        with suppress(ProcessLookupError):  # it and everything it started have ended
            os.killpg(leader, signal.SIGKILL)


def _rest(process: subprocess.Popen[bytes]) -> bytes:
    """What a program that was killed has written to standard error. A program that it started in
    another session may keep the pipe open for as long as it likes: it is not waited for."""
    try:
        return process.communicate(timeout=_AFTER_KILL)[1]
    except subprocess.TimeoutExpired as late:
        return late.stderr or b""


_AFTER_KILL = 1.0
_AFTER_CLOSE = 2.0
"""Seconds within which a program ends whose standard input has ended."""


def _first_line(stream: int, end: float) -> str:
    """The first line of a stream, waited for until ``end`` of the monotonic clock."""
    read = b""
    with selectors.DefaultSelector() as waiting:
        waiting.register(stream, selectors.EVENT_READ)
        while b"\n" not in read and (left := end - time.monotonic()) > 0:
            if waiting.select(left):
                more = os.read(stream, 4096)
                if not more:
                    break
                read += more
    return _text(read.partition(b"\n")[0]).strip()


class _TooMuch(Exception):
    """A program writes more than it may."""


def _bounded(process: subprocess.Popen[bytes], limit: float, most: int) -> tuple[bytes, bytes]:
    """Both streams of a program, to its end. Raises TimeoutExpired, and _TooMuch before more than
    ``most`` bytes of a stream are kept."""
    assert process.stdout is not None
    assert process.stderr is not None
    end = time.monotonic() + limit
    kept: dict[Any, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        waiting.register(process.stderr, selectors.EVENT_READ)
        while waiting.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, limit)
            for key, _ in waiting.select(left):
                more = os.read(key.fd, 65_536)
                if not more:
                    waiting.unregister(key.fileobj)
                kept[key.fileobj] += more
                if len(kept[key.fileobj]) > most:
                    raise _TooMuch
    process.wait(max(0.0, end - time.monotonic()))
    return bytes(kept[process.stdout]), bytes(kept[process.stderr])


@dataclass(frozen=True, slots=True)
class Detached:
    """A program started by ``start_detached``, by this process or by an earlier one."""

    folder: Path
    name: str

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}.{suffix}"

    @property
    def started(self) -> bool:
        return self._path("start").exists() or self._path("exit").exists()

    @property
    def status(self) -> int | None:
        """The exit status, or None while it runs and when its keeper was killed."""
        status = (self._record("exit") or {}).get("status")
        return status if isinstance(status, int) else None

    @property
    def identity(self) -> Identity | None:
        begun = self._record("start")
        try:
            return Identity.from_json(begun) if begun else None
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def argv(self) -> tuple[str, ...]:
        """Program and arguments; nothing where they are not known."""
        argv = (self._record("start") or {}).get("argv")
        return tuple(str(word) for word in argv) if isinstance(argv, list) else ()

    def _record(self, suffix: str) -> Mapping[str, Any] | None:
        """The keeper's record; None if it is missing or cannot be read: a program without its
        record has ended with the machine it ran on."""
        try:
            data = json.loads(self._path(suffix).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    @property
    def running(self) -> bool:
        identity = self.identity
        return self.status is None and identity is not None and identity.alive

    def output(self) -> str:
        """All output so far."""
        try:
            return _text(self._path("out").read_bytes())
        except FileNotFoundError:
            return ""

    def last_line(self) -> str:
        """The end of its output: of a program that died, why, as a rule."""
        lines = self.output().strip().splitlines()
        return lines[-1][:500] if lines else ""

    def wait_for_start(self) -> None:
        """Raises HostError ``not_started`` if it has not started within 30 seconds; then it never
        will, even if its keeper starts later."""
        end = time.monotonic() + _START_LIMIT
        while not self.started:
            if time.monotonic() > end and self._forgo():
                why = Sentence("{program} did not start.", program=self.name)
                raise HostError("not_started", why, "", self.output())
            time.sleep(0.005)

    def _forgo(self) -> bool:
        """Record that it must not start any more. False if a keeper is starting it right now."""
        lock = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.started:
                return False
            left = {"status": _NEVER_BEGAN, "at": time.time()}
            process_wrapper.write_atomically(str(self._path("exit")), left)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def follow(self, log: Log, *, pause: Callable[[float], None] = time.sleep) -> int | None:
        """Pass its lines to ``log`` until it ends; returns the exit status if known.

        The position is kept in ``NAME.followed``, so that following continues there after a crash
        instead of repeating lines.
        """
        mark = self._path("followed")
        try:
            offset = int(mark.read_text())
        except (FileNotFoundError, ValueError):
            offset = 0
        pending = b""
        while True:
            over = (
                not self.running
            )  # checked before reading, so that all output before the end is read
            try:
                with self._path("out").open("rb") as handle:
                    handle.seek(offset)
                    fresh = handle.read()
            except FileNotFoundError:
                fresh = b""
            offset += len(fresh)
            *lines, pending = (pending + fresh).split(b"\n")
            for line in lines:
                log(_text(line).rstrip("\r"))
            if lines:
                _note(mark, offset - len(pending))
            if over:
                break
            pause(0.02)
        if pending:
            log(_text(pending))
            _note(mark, offset)
        # The program's end and its keeper's last line are two moments.
        end = time.monotonic() + 2.0
        while self.status is None and self._keeper_alive() and time.monotonic() < end:
            pause(0.005)
        return self.status

    def _keeper_alive(self) -> bool:
        keeper_of = (self._record("start") or {}).get("keeper")
        return isinstance(keeper_of, int) and Path(f"/proc/{keeper_of}").exists()


@contextmanager
def _sink(path: Path | None) -> Iterator[int | IO[bytes]]:
    if path is None:
        yield subprocess.DEVNULL
    else:
        with path.open("ab") as handle:
            yield handle


def _note(mark: Path, offset: int) -> None:
    """Save the position. On a full disk it is lost, and lines may be repeated: no reason to stop
    following a program that is changing the server."""
    try:
        mark.write_text(str(offset))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
