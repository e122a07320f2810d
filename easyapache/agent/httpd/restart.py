"""Replace the running httpd by one with the configuration on disk, without downtime if possible.

Changing the MPM needs a full stop and start: after a graceful reload httpd logs "The MPM cannot be
changed during restart" (AH00534) and ends. Three ways:

* ``overlap``: the new server starts beside the old one on the same ports (SO_REUSEPORT, set on the
  old one's sockets from outside), then the old one stops gracefully. No connection is refused.
* ``graceful-stop``: the old one closes its ports and finishes its requests while the new one
  starts at once. New connections are refused for some milliseconds.
* ``script``: the server's own restart script.

If it is killed at any point, the next call first settles which parents listen.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from easyapache.agent.config import HostConfig, restart_script_of, script_calls
from easyapache.agent.httpd.httpd import Httpd
from easyapache.agent.httpd.kernel_setting import Migration
from easyapache.agent.httpd.processes import Identity, arguments_of, children_of, identify
from easyapache.agent.httpd.sockets import (
    CannotReach,
    can_reach,
    holders,
    listening,
    listening_of,
    share_ports,
)
from easyapache.agent.server import HostError, Log
from easyapache.ea4.sentences import Sentence

METHODS = ("overlap", "graceful-stop", "script")
_DRAIN_LIMIT = 10.0
"""Seconds the old server gets to close its ports after the signal; normally 5 ms."""
_ORPHANS_LIMIT = 1.0
"""Seconds for children whose parent was killed: threaded ones ignore other signals."""
_OTHERS_LIMIT, _OTHERS_GRACE = 20.0, 1.0
"""Seconds for a start of httpd by something else: to answer, and to become visible at all."""
_LINGER = 0.4
"""Seconds the kernel keeps moving connections after the old ports are closed. A connection in its
handshake is moved only when the visitor's answer arrives, a round trip later: this is longer than
one around the world, and only the change waits for it."""


@dataclass(frozen=True, slots=True)
class Method:
    """The method, and the reason for it as a sentence."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Memory:
    """What must be put back even when this process is killed: kept in a file from before the
    first change until after the last."""

    path: Path

    def load(self) -> Identity | None:
        """The old httpd of a restart that was started and not completed."""
        try:
            return Identity.from_json(json.loads(self.path.read_text())["old"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def save(self, old: Identity) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".new")
        with scratch.open("w") as handle:
            json.dump({"old": old.as_json()}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.rename(self.path)

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


class Restart:
    def __init__(self, config: HostConfig, httpd: Httpd) -> None:
        self.config = config
        self.httpd = httpd
        self._memory = _Memory(config.spool / "restart.json")
        self._migration = Migration()

    # -- choosing ------------------------------------------------------------------------

    def script(self) -> tuple[str, ...]:
        """The restart script and its arguments; empty where there is none."""
        return restart_script_of(self.config)

    def choose(self, wanted: str = "auto") -> Method:
        """The method that will be used for ``wanted`` now. Raises HostError for one that
        does not exist or that this server does not have."""
        wanted = self.config.restart_method if wanted == "auto" else wanted
        if wanted not in ("auto", *METHODS):
            raise HostError(
                "bad_method",
                Sentence("Unknown restart method {name!r}.", name=wanted),
                Sentence("Choose one of: auto, {names}.", names=", ".join(METHODS)),
            )
        if wanted == "script":
            if not self.script():
                raise HostError(
                    "bad_method",
                    Sentence("This server has no restart script."),
                    Sentence("Set restart_script in the agent's configuration, or choose auto."),
                )
            return Method("script", Sentence("restarts with {script}", script=self.script()[0]))
        if wanted == "graceful-stop":
            return Method("graceful-stop", Sentence("stop and start was requested"))
        why_not = self.why_no_overlap()
        if why_not is None:
            shared = (
                Sentence("requested")
                if wanted == "overlap"
                else Sentence("supported by this kernel and the agent's permissions")
            )
            why = Sentence("the old and new Apache share the ports ({why})", why=shared)
            return Method("overlap", why)
        if wanted == "overlap":
            raise HostError(
                "bad_method",
                Sentence("The old and new Apache can't overlap: {why}.", why=why_not),
                Sentence("Choose the restart method auto."),
            )
        why = Sentence("the old and new Apache can't overlap: {why}", why=why_not)
        return Method("graceful-stop", why)

    def why_no_overlap(self) -> str | None:
        parent = self.httpd.parent()
        if parent is None:
            return None  # nothing to overlap with: it is a plain start
        return can_reach(parent.pid)

    # -- doing ---------------------------------------------------------------------------

    def perform(self, method: Method, log: Log) -> None:
        """Raises HostError ``restart``; the old httpd then still runs after ``overlap``. Where
        httpd is a service, systemd has taken the new one over when this returns. Raises
        ``switched_off``, before anything is done, if that service is masked."""
        self.settle(log)
        self.httpd.refuse_masked()
        old = self.httpd.parent()
        if old is None:
            log("httpd is not running: starting it")
            self.httpd.start(log)
        elif method.name == "overlap":
            self._overlap(old, log)
        elif method.name == "graceful-stop":
            self._graceful_stop(old, log)
        else:
            self._script(old, log)
        new = self.httpd.parent()
        if new is None:
            # systemd ends all that is left of a service whose main process has failed.
            log("the new httpd has ended: starting it again")
            new = self.httpd.start(log)
        self.httpd.entrust(new, log)

    def _overlap(self, old: Identity, log: Log) -> None:
        self._memory.save(old)
        if not self._migration.begin():
            log("tcp_migrate_req cannot be set here: a few connections may be reset")
        try:
            try:
                count = share_ports(old.pid)
            except CannotReach as error:
                why = Sentence("Apache's ports can't be shared: {error}.", error=error.why)
                raise HostError("restart", why) from error
            log(f"httpd {old.pid}: {count} listening sockets are open to a second server")
            self._move_pid_file_away(old)
            others, sharing = self.httpd.parents(), self._sharing()
            try:
                new = self.httpd.start(log, extra=sharing, beside=old)
                log(f"httpd {new.pid} serves beside httpd {old.pid}")
            except HostError:
                self._end_failed(others, sharing)
                found = self._started_meanwhile(others, log)
                if found is None and old.alive:
                    self._write_pid(old)
                    log(f"the new httpd failed; httpd {old.pid} keeps serving")
                if found is None:
                    raise
                new = found
            self._retire(new, log)
            time.sleep(_LINGER)
        finally:
            self._put_back()

    def _retire(self, new: Identity, log: Log) -> None:
        """Signal every other httpd to finish; wait until they have closed their ports."""
        others = [item for item in self.httpd.parents() if item != new]

        def ours_is_written() -> bool:
            # On WINCH an old parent removes the pid file, even if a newer httpd owns it.
            if self._pid_in_file() != new.pid and new.alive:
                named = self.httpd.pid_file_parent()
                if named is None or named in others:
                    self._write_pid(new)
            return True

        self._let_go(others, ours_is_written, log)
        # The file's removal and the ports' closing are two moments of the old parent.
        settle = time.monotonic() + 0.05
        while time.monotonic() < settle:
            ours_is_written()
            time.sleep(0.002)

    def _let_go(self, others: Sequence[Identity], also: Callable[[], bool], log: Log) -> None:
        """Have these close their ports and finish what they have. Returns once the ports are
        closed and ``also`` is true."""
        inodes = {item.inode for other in others for item in listening_of(other.pid).values()}
        orphans = [other for other in others if not children_of(other.pid)]
        for other in others:
            if other in orphans:
                log(f"httpd {other.pid} has lost its parent: ending it")
                _signal(other, signal.SIGUSR1)
            else:
                _signal(other, signal.SIGWINCH)
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < _DRAIN_LIMIT:
            if also() and not inodes & {item.inode for item in listening()}:
                break
            if waited > _ORPHANS_LIMIT:
                for orphan in orphans:
                    _signal(orphan, signal.SIGKILL)
            time.sleep(0.001)
        else:
            self._stop_holders(inodes, log)
        for other in others:
            if other not in orphans:
                log(f"httpd {other.pid} accepts no more connections and finishes its requests")

    def _graceful_stop(self, old: Identity, log: Log) -> None:
        self._memory.save(old)
        ports = self.httpd.ports()  # read now: from the signal on every millisecond counts
        others = self.httpd.parents() or [old]
        self._let_go(others, lambda: self._pid_in_file() != old.pid or not old.alive, log)
        self._move_pid_file_away(old)
        try:
            new = self.httpd.start(log, beside=old, ports=ports)
        except HostError:
            found = self._started_meanwhile(others, log)
            if found is None:
                raise
            new = found
        finally:
            self._memory.forget()
        log(f"httpd {new.pid} serves; httpd {old.pid} finishes its requests")

    def _started_meanwhile(self, before: Sequence[Identity], log: Log) -> Identity | None:
        """An httpd that something else, such as ``systemctl restart``, has started or is starting
        while ours failed: it has read the same configuration, so ours is not needed. None if there
        is none."""
        ports, begun = self.httpd.ports(), time.monotonic()
        while (waited := time.monotonic() - begun) < _OTHERS_LIMIT:
            for found in self.httpd.parents():
                new = found not in before and self.httpd.ready(found, ports)
                if new and self.httpd.is_as_configured(found):
                    log(f"httpd {found.pid}, started by something else meanwhile, serves")
                    return found
            serves = any(item.alive and listening_of(item.pid) for item in before)
            if not self.httpd.restarted_by_others() and (serves or waited > _OTHERS_GRACE):
                return None
            time.sleep(0.02)
        return None

    def _script(self, old: Identity, log: Log) -> None:
        self.httpd.forgive()
        for call in script_calls(self.script()):
            log("$ " + " ".join(call))
            done = self.httpd.runner.perform(call, log)
            if not done.ok:
                raise HostError(
                    "restart",
                    Sentence("{program} failed.", program=call[0]),
                    Sentence("See its output."),
                    done.text,
                )
        end = time.monotonic() + 60.0
        ports = self.httpd.ports()
        while time.monotonic() < end:
            new = self.httpd.parent()
            if new is not None and new != old and self.httpd.ready(new, ports):
                log(f"httpd {new.pid} serves")
                return
            time.sleep(0.01)
        raise HostError(
            "restart",
            Sentence("{program} finished, but no new Apache is serving.", program=self.script()[0]),
        )

    # -- after a crash of ours -----------------------------------------------------------

    def settle(self, log: Log) -> bool:
        """Complete an interrupted restart: of two servers that accept connections, the new one is
        kept, or the old one if the new one does not answer; the pid file names it, and the kernel
        setting is restored. Starts nothing. Returns whether there was one."""
        old, parents = self._memory.load(), self._led()
        if old is None and len(parents) < 2:
            return False
        try:
            old = old or parents[0]
            newer = [item for item in parents if item != old]
            if newer and (old not in parents or self._gets_ready(newer[-1])):
                survivor = newer[-1]
            elif old in parents:
                survivor = old
            else:
                log("a restart was interrupted, and no httpd accepts connections")
                return True
            log(f"a restart was interrupted: httpd {survivor.pid} stays")
            self._retire(survivor, log)
            self.httpd.entrust(survivor, log)
            return True
        finally:
            self._put_back()

    def _led(self) -> list[Identity]:
        """Those that listen here and have children to serve requests, oldest first."""
        return [item for item in self.httpd.parents() if children_of(item.pid)]

    def _gets_ready(self, new: Identity) -> bool:
        ports, end = self.httpd.ports(), time.monotonic() + 30.0
        while not self.httpd.ready(new, ports):
            if not new.alive or time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def _put_back(self) -> None:
        self._migration.end()
        self._memory.forget()

    # -- small parts ---------------------------------------------------------------------

    def _sharing(self) -> list[str]:
        """What makes httpd bind with SO_REUSEPORT. A ratio of as many cores as there are gives
        one set of sockets, as without the directive; a smaller one would multiply them."""
        if any(
            item.arguments != ("0",) for item in self.httpd.read().named("ListenCoresBucketsRatio")
        ):
            return []
        return ["-c", f"ListenCoresBucketsRatio {max(1, os.cpu_count() or 1)}"]

    def _end_failed(self, before: Sequence[Identity], arguments: Sequence[str]) -> None:
        """Stop a new server of ours that did not start, recognized by its arguments. Any other new
        one was started by something else."""
        for parent in self.httpd.parents():
            running = arguments_of(parent.pid)
            ours = bool(arguments) and set(arguments) <= set(running)
            if ours and parent not in before:
                _signal(parent, signal.SIGTERM)

    def _stop_holders(self, inodes: Iterable[int], log: Log) -> None:
        """A server that does not let go of its ports: end the processes that hold them."""
        for pid in holders(inodes):
            identity = identify(pid)
            if identity is not None and self.httpd.is_ours(pid):
                log(f"process {pid} does not close its port: ending it")
                _signal(identity, signal.SIGTERM)
        time.sleep(0.2)

    def _pid_in_file(self) -> int | None:
        try:
            return int(self.config.pid_file.read_text().strip())
        except (FileNotFoundError, ValueError):
            return None

    def _write_pid(self, owner: Identity) -> None:
        path = self.config.pid_file
        scratch = path.with_name(f"{path.name}.{os.getpid()}")
        scratch.write_text(f"{owner.pid}\n")
        scratch.chmod(0o644)
        scratch.rename(path)

    def _move_pid_file_away(self, old: Identity) -> None:
        """httpd refuses to start while the file names a living httpd."""
        if self._pid_in_file() == old.pid:
            self.config.pid_file.unlink(missing_ok=True)


def _signal(target: Identity, number: signal.Signals) -> None:
    """Signal exactly this process, not a later one with its pid."""
    try:
        handle = os.pidfd_open(target.pid)
    except ProcessLookupError:
        return  # it has ended, which is the goal
    try:
        if target.alive:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
