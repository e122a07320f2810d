"""The httpd of one server: what is configured, what is running, how to start it.

Nothing here stops or replaces a running httpd; see the restart module.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from easyapache.agent.change.durable import write_atomically
from easyapache.agent.config import HostConfig
from easyapache.agent.httpd import cgroups, inherit
from easyapache.agent.httpd.apache_config import ApacheConfig, read_config
from easyapache.agent.httpd.http_probe import fetch
from easyapache.agent.httpd.processes import (
    Identity,
    children_of,
    identify,
    maps_of,
    systemd_is_init,
)
from easyapache.agent.httpd.section_conditions import STATIC, Surroundings
from easyapache.agent.httpd.sockets import listening_of, listening_parents
from easyapache.agent.httpd.started_as import StartedAs, started_as
from easyapache.agent.httpd.surroundings import Kept, surroundings_of
from easyapache.agent.httpd.unit import State, Unit
from easyapache.agent.runner import Finished, Runner
from easyapache.agent.server import HostError, Log
from easyapache.ea4.profile import Observation
from easyapache.ea4.sentences import Sentence

_MODULE = re.compile(r"^\s*(\w+)_module \((?:static|shared)\)", re.MULTILINE)
_MAPPED_MPM = re.compile(r"/mod_mpm_(\w+)\.so")
_MAPPED_ITK = re.compile(r"/(?:mod_)?mpm_itk\.so")
_NAMED_MPMS = ("event", "worker", "prefork")
_COMPILED_IN = re.compile(r"^\s+(\w+\.c)$", re.MULTILINE)
_AS_BEFORE = 1.0
"""Seconds for which the listeners of the configuration are not looked up again: processes are
looked for many times a second while httpd is replaced."""
_LISTING_LIFETIME = 5.0
"""Seconds for which httpd's answer about its modules is taken for its present one."""
_ALL_OR_NONE = 2.0
"""Seconds after which an httpd that listens and has children counts as ready though not all the
ports that are read in its files are its own: it opens all of them before it forks, or ends."""
SWITCHED_OFF = "switched_off"
"""Code of the refusal to start an httpd that an administrator has switched off."""
_SWITCHES = ("etc/httpddisable", "etc/apachedisable", "etc/httpisable")
"""Files by which cPanel's service, scripts and watchdog know that httpd is not to run."""
_UNIT_FILES = ("etc/systemd/system/httpd.service", "usr/lib/systemd/system/httpd.service")


@dataclass(frozen=True, slots=True)
class Status:
    """The machine-readable page of mod_status, or why there is none (``error``)."""

    fields: Mapping[str, str]
    error: str = ""

    @property
    def mpm(self) -> str:
        return self.fields.get("ServerMPM", "").lower()

    @property
    def itk_signature(self) -> bool:
        return "mpm-itk/" in self.fields.get("ServerVersion", "")

    def count(self, name: str) -> int:
        text = self.fields.get(name, "")
        return int(text) if text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Build:
    """``version`` as ``2.4.67``, empty if unknown; and what Apache's guidelines require of a
    system: threads, and thread-safe polling (epoll, kqueue or event ports through APR)."""

    version: str
    threads: bool
    safe_thread_polling: bool


def _refuse(off: str) -> None:
    if off:
        raise HostError(
            SWITCHED_OFF,
            Sentence("Apache is switched off: {why}.", why=off),
            Sentence("Switch Apache on again, then start it."),
        )


class Httpd:
    def __init__(self, config: HostConfig, runner: Runner) -> None:
        self.config = config
        self.runner = runner
        self.argv = tuple(config.httpd)
        self.unit = Unit(runner)
        self.kept = Kept(config.spool / "surroundings.json")
        self._known: tuple[tuple[int, int] | None, str] = (None, "")
        self._released: tuple[tuple[int, int] | None, str] = (None, "")
        self._modules: tuple[tuple[object, ...], float, Finished] | None = None
        self._static: tuple[tuple[int, int] | None, tuple[str, ...]] = (None, ())
        self._started: tuple[Identity | None, StartedAs] | None = None
        self._reading = threading.RLock()
        self._read: tuple[object, ApacheConfig] | None = None
        self._places: tuple[float, list[tuple[str, int]]] = (0.0, [])

    # -- what is on disk ---------------------------------------------------------------

    @property
    def main_config(self) -> Path:
        """The file httpd starts reading at: ``-f``, else EA4's place, else the distribution's."""
        call = self.call
        for option, value in pairwise(call):
            if option == "-f":
                return self.config.server_root / value
        for name in ("conf/httpd.conf", "apache2.conf", "httpd.conf"):
            path = self.config.server_root / name
            if path.exists():
                return path
        return self.config.server_root / "conf/httpd.conf"

    def read(self) -> ApacheConfig:
        """The configuration, read again only when a file or folder of it is another one."""
        with self._reading:
            key = (self.main_config, self.surroundings())
            if self._read is None or self._read[0] != key or self._read[1].altered():
                like = self._read[1] if self._read else None
                self._read = key, read_config(self.config.server_root, *key, like)
            return self._read[1]

    # -- how it was started ----------------------------------------------------------

    @property
    def started(self) -> StartedAs:
        """The options and environment of the running httpd, or of the last one seen. They are
        stored, so that a start after a crash does not lose a listener that an option defines."""
        kept = self.config.spool / "httpd-start.json"
        parent = self.pid_file_parent()
        if self._started is not None and parent in (self._started[0], None):
            return self._started[1]
        seen = started_as(parent.pid) if parent else None
        if seen is None:
            return self._remembered(kept)
        earlier, self._started = self._started, (parent, seen)
        if earlier is None or earlier[1] != seen:
            data = {"options": seen.options, "environment": dict(seen.environment)}
            with suppress(OSError):  # it is only for a start after a crash
                write_atomically(kept, json.dumps(data).encode())
        return seen

    def _remembered(self, kept: Path) -> StartedAs:
        try:
            data = json.loads(kept.read_bytes())
            options = tuple((str(letter), str(value)) for letter, value in data["options"])
            found = StartedAs(options, {str(k): str(v) for k, v in data["environment"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found = StartedAs()
        self._started = None, found
        return found

    @property
    def call(self) -> tuple[str, ...]:
        """The program with the options of the agent's configuration and those of the running
        httpd."""
        return (*self.argv, *self.started.beside(self.argv))

    def _run(self, *options: str) -> Finished:
        return self.runner.capture([*self.call, *options], environment=self.started.environment)

    def surroundings(self) -> Surroundings:
        """What the conditions in the configuration are about, on this server."""
        started = self.started
        return Surroundings(
            flags=frozenset(started.values("D")),
            environment={**self.runner.environment, **started.environment},
            version=self._version(),
            static=self._compiled_in() or STATIC,
            before=started.values("C"),
            after=started.values("c"),
            program=self._program_file(),
        )

    def _version(self) -> str:
        """As 2.4.67, empty if unknown; read once, as ``_compiled``. (-V would read the whole
        configuration.)"""
        key = self._program()
        if key is None or self._released[0] != key or not self._released[1]:
            try:
                output = self.runner.capture([*self.argv, "-v"]).stdout
            except HostError:
                return ""
            found = re.search(r"Apache/([\d.]+)", output)
            self._released = key, found[1] if found else ""
        return self._released[1]

    def _compiled_in(self) -> tuple[str, ...]:
        key = self._program()
        if key is None or self._static[0] != key or not self._static[1]:
            try:
                output = self.runner.capture([*self.argv, "-l"]).stdout
            except HostError:
                return ()
            self._static = key, tuple(_COMPILED_IN.findall(output))
        return self._static[1]

    def _program_file(self) -> Path:
        return Path(shutil.which(self.argv[0]) or self.argv[0])

    def _program(self) -> tuple[int, int] | None:
        """Another value when the program is another file."""
        path = self._program_file()
        file = path.stat() if path.exists() else None
        return (file.st_ino, file.st_mtime_ns) if file else None

    def _compiled(self) -> str:
        """``httpd -V`` without the configuration. Read once while the program is the same file, and
        again if the output was empty."""
        key = self._program()
        if key is None or self._known[0] != key or not self._known[1]:
            self._known = key, self.runner.capture([*self.argv, "-f", "/dev/null", "-V"]).stdout
        return self._known[1]

    def test(self) -> Finished:
        """``httpd -t``. It accepts ITK under a threaded MPM, which then cannot start."""
        return self._run("-t")

    def build(self) -> Build:
        """Its build, even if it cannot read its configuration."""
        modules = self.config.server_root / "modules"
        # A build of APR without threads has no pthread mutexes to name in -V, and its
        # httpd comes without the threaded MPMs. Only where none is there -V is asked: it reads
        # the whole configuration.
        there = any((modules / f"mod_mpm_{name}.so").exists() for name in ("event", "worker"))
        threads = there or "PTHREAD" in self._compiled()
        # On Linux APR polls with epoll, which is safe to share between threads.
        return Build(self._version(), threads, Path("/proc/sys/fs/epoll").is_dir())

    def configured(self) -> tuple[Observation | None, str, str]:
        """What the next start would load, the error if httpd refuses, and its warnings (such as
        limits that don't fit together).

        ``httpd -M`` decides; if it fails, the LoadModule lines do, which shows two MPMs or none. A
        module whose file is missing still counts: httpd would try to load it.
        """
        listing = self._list_modules()
        if listing.ok:
            names = set(_MODULE.findall(listing.stdout))
            mpms = tuple(sorted(name[4:] for name in names if name[4:] in _NAMED_MPMS))
            return Observation(mpms, "mpm_itk" in names), "", listing.stderr
        config = self.read()
        if not config.files:
            return None, listing.text or "; ".join(config.problems), ""
        mpms = tuple(sorted({name for name, _ in config.mpm_lines() if name in _NAMED_MPMS}))
        return Observation(mpms, config.loads_itk()), listing.text, ""

    def _list_modules(self) -> Finished:
        """``httpd -M``, which costs as much as a test: one answer is good for some seconds, as
        long as no file of the configuration and no module is another one."""
        folder = self.config.server_root / "modules"
        changed = folder.stat().st_mtime_ns if folder.exists() else 0
        key, now, cached = (self.read(), changed, self._program()), time.monotonic(), self._modules
        same = cached is not None and cached[0][0] is key[0] and cached[0][1:] == key[1:]
        if cached is not None and same and now - cached[1] < _LISTING_LIFETIME:
            return cached[2]
        listing = self._run("-M")
        self._modules = key, now, listing
        return listing

    # -- what runs ---------------------------------------------------------------------

    def parent(self) -> Identity | None:
        """The running httpd's parent process: the pid file's where that is true, else the
        one that holds this configuration's ports (the pid file may be lost or stale)."""
        found = self.pid_file_parent()
        if found is not None:
            return found
        ours = self.parents()
        return ours[0] if ours else None

    def pid_file_parent(self) -> Identity | None:
        try:
            pid = int(self.config.pid_file.read_text().strip())
        except (FileNotFoundError, ValueError):
            return None
        return identify(pid) if self.is_ours(pid) else None

    def parents(self) -> list[Identity]:
        """Every parent that listens where this configuration does, the oldest first: two in the
        middle of an overlapping restart, none when httpd is down. Children whose parent was
        killed go on listening: each of them is one, without children of its own."""
        now = time.monotonic()
        if not self._places[1] or now - self._places[0] > _AS_BEFORE:
            self._places = now, self.read().listeners()
        places = self._places[1]
        found = [identify(pid) for pid in listening_parents(places) if self.is_ours(pid)]
        return sorted((item for item in found if item), key=lambda item: (item.started, item.pid))

    def is_ours(self, pid: int) -> bool:
        """Whether a process is an httpd and not something else that got its pid or port."""
        return identify(pid) is not None and bool(_MAPPED_MPM.search(maps_of(pid)))

    def held(self) -> list[tuple[str, int]]:
        """(address, port) of the sockets the running httpd listens at, the address empty for all;
        nothing when none runs. This, and no reading of files, is what visitors have."""
        parent = self.parent()
        if parent is None:
            return []
        return sorted({(item.address, item.port) for item in listening_of(parent.pid).values()})

    def listeners(self) -> list[tuple[str, int]]:
        """Where it listens, or what is configured if none runs."""
        return self.held() or self.read().listeners()

    def ports(self) -> list[int]:
        """Listeners the next httpd needs to be ready: those of this one, except where a Listen line
        was removed; the configured ones if none runs."""
        conf = self.read()
        configured = {port for _, port in conf.listeners()}
        held = {port for _, port in self.held()}
        return sorted(held & configured or configured)

    def ready(self, parent: Identity, ports: Sequence[int]) -> bool:
        """Whether a parent listens on all of these ports and has children to answer."""
        if not parent.alive:
            return False
        held = {item.port for item in listening_of(parent.pid).values()}
        return set(ports) <= held and bool(children_of(parent.pid))

    def status(self) -> Status:
        """Read mod_status. A failed connection is also a result."""
        answer = fetch(self.config.status_url + "?auto", limit=5.0)
        if answer.error:
            return Status({}, answer.error)
        if answer.status != 200:
            where = urlsplit(self.config.status_url).path
            return Status({}, f"{where} answered with status {answer.status}")
        pairs = (line.partition(": ") for line in answer.body.decode(errors="replace").splitlines())
        return Status({name: value.strip() for name, sep, value in pairs if sep})

    def running(self) -> tuple[Observation | None, str]:
        """What serves visitors now, or why that is unknown.

        The MPM is the one mod_status names; where that page is off, the module file that the
        parent has mapped. ITK calls itself prefork there, so it is looked for in the mapped
        files, and in the server's signature where those cannot be read.
        """
        parent = self.parent()
        if parent is None:
            return None, "httpd is not running"
        maps = maps_of(parent.pid)
        status = self.status()
        itk = bool(_MAPPED_ITK.search(maps)) if maps else status.itk_signature
        if status.mpm:
            return Observation((status.mpm,), itk), ""
        mapped = tuple(sorted({name for name in _MAPPED_MPM.findall(maps) if name in _NAMED_MPMS}))
        if not mapped:
            return None, f"mod_status does not answer: {status.error or 'no ServerMPM in it'}"
        return Observation(mapped, itk), ""

    # -- starting ----------------------------------------------------------------------

    def start(
        self,
        log: Log,
        *,
        extra: Sequence[str] = (),
        beside: Identity | None = None,
        ports: Sequence[int] | None = None,
    ) -> Identity:
        """Start httpd with the configuration on disk and wait until it answers.

        ``extra``: more arguments. ``beside``: the parent of an httpd that still runs, because the
        new one shares its ports or because it finishes its last requests; the new one gets its
        surroundings. ``ports``: those of the configuration if the caller knows them. Raises
        HostError ``restart`` with httpd's output, and ``switched_off``.
        """
        ports = self.ports() if ports is None else ports
        mark = self.log_size()
        self._clear_stale_pid_file()
        argv = [*self.call, *extra, "-k", "start"]
        by_unit = self._by_unit()
        outputs: list[str] = []
        if beside is not None:
            found, output = self._started_beside(beside, argv, ports, log)
            if found is not None:
                return found
            outputs.append(output)
        # The service to systemd is the old httpd for as long as that one lives.
        if beside is None or not beside.alive:
            found, output = (self._by_systemd if by_unit else self._alone)(argv, ports, log)
            if found is not None:
                return found
            outputs.append(output)
        raise HostError(
            "restart",
            Sentence("Apache didn't start."),
            Sentence("See Apache's output and its error log."),
            "\n".join(part for part in (*outputs, self.log_since(mark)) if part),
        )

    def _wait_until_up(
        self, launch: Finished, beside: Identity | None, ports: Sequence[int]
    ) -> Identity | None:
        """The parent process that answers, of an httpd whose start command succeeded."""
        begun = time.monotonic()
        end = begun + 30.0
        while launch.ok and time.monotonic() < end:
            found = self.pid_file_parent()
            if found is not None and found != beside:
                settled = time.monotonic() - begun > _ALL_OR_NONE
                if self.ready(found, ports) or (settled and self._listens(found)):
                    return found
            late = time.monotonic() > end - 25.0
            if late and found in (None, beside) and not self._another(beside):
                break  # it reported success, ended, and nothing new listens after five seconds
            time.sleep(0.004)
        return None

    def _started_beside(
        self, old: Identity, argv: list[str], ports: Sequence[int], log: Log
    ) -> tuple[Identity | None, str]:
        """A new httpd in the surroundings of the old one, and its output. Those of the old one are
        stored, because the verification compares the two."""
        theirs = surroundings_of(old)
        done = self.runner.perform(self._inheriting(old, argv), log)
        found = self._wait_until_up(done, old, ports)
        if found is not None and theirs is not None:
            self.kept.save(theirs, found)
        return found, done.text

    def _alone(
        self, argv: list[str], ports: Sequence[int], log: Log
    ) -> tuple[Identity | None, str]:
        self._refuse_switched_off()
        done = self.runner.perform(argv, log, environment=self.started.environment)
        return self._wait_until_up(done, None, ports), done.text

    def _by_systemd(
        self, argv: list[str], ports: Sequence[int], log: Log
    ) -> tuple[Identity | None, str]:
        """Start the service by systemd. If that fails, start httpd directly, in the service's
        control group, so that systemd takes it over, and with the limits of its unit. Returns the
        parent and the output."""
        self._refuse_switched_off()
        tested = self.test()
        if not tested.ok:
            return None, tested.text  # systemd would only count a start that cannot succeed
        done = self.unit.start(log)
        found = self._wait_until_up(done, None, ports)
        if found is not None:
            return found, done.text
        state = self.unit.settled()
        if state.skipped:
            self._refuse_switched_off()
        why = state.result or done.text
        log(f"systemd did not start httpd ({why}): starting it without systemd")
        try:
            files = cgroups.made(self.unit.group(state))
            command = self._inherit(files, None, argv, self.unit.given())
            direct = self.runner.perform(command, log, environment=self.started.environment)
            found = self._wait_until_up(direct, None, ports)
            output = direct.text
        except OSError as error:
            output = f"{error.filename}: {error.strerror}"
        if found is None and state.result == "start-limit-hit":
            self.unit.wait_out(state, log)
            done = self.unit.start(log)
            found = self._wait_until_up(done, None, ports)
        return found, "\n".join(dict.fromkeys([done.text, output]))

    def entrust(self, parent: Identity, log: Log) -> None:
        """Have systemd take an httpd for its service, where httpd is one."""
        if self._by_unit():
            self.unit.entrust(parent, self.is_ours, log)

    def forgive(self) -> None:
        """Reset systemd's start counter, so that it does not refuse the next start."""
        if self._by_unit():
            self.unit.forgive()

    def restarted_by_others(self) -> bool:
        """Whether systemd is stopping or starting httpd. We never request that beside another
        httpd."""
        return self._by_unit() and self.unit.state().moving

    def service_state(self) -> State | None:
        """systemd's state of httpd; None if it is no service."""
        return self.unit.state() if self._by_unit() else None

    def is_main(self, state: State, parent: Identity) -> bool:
        """Whether the service is this httpd. Until its last request has ended the old httpd is the
        main process, then systemd reads the pid file."""
        return state.main == parent.pid or self.is_ours(state.main)

    def other_group(self, state: State, parent: Identity) -> str:
        """The control group of this httpd where it is another one than the service's."""
        group = cgroups.group_of(parent.pid)
        return group if group and state.group and group != state.group else ""

    def is_as_configured(self, parent: Identity) -> bool:
        """Whether a process has the MPM mapped that the configuration names."""
        configured, _, _ = self.configured()
        maps = maps_of(parent.pid)
        names = {name for name in _MAPPED_MPM.findall(maps) if name in _NAMED_MPMS}
        mapped = Observation(tuple(sorted(names)), bool(_MAPPED_ITK.search(maps)))
        return configured == mapped

    def switched_off(self) -> str:
        """Why httpd is not to run, when an administrator has decided so; else empty."""
        for name in _SWITCHES:
            if (self.config.root / name).exists():
                return Sentence("{path} exists", path=f"/{name}")
        return self.unit.switched_off() if self._by_unit() else ""

    def _refuse_switched_off(self) -> None:
        _refuse(self.switched_off())

    def refuse_masked(self) -> None:
        """Raises HostError ``switched_off`` if the service is masked: systemd then doesn't know its
        PID file any more, and ends a new httpd together with the old one."""
        if self._by_unit():
            _refuse(self.unit.masked())

    def _listens(self, parent: Identity) -> bool:
        return parent.alive and bool(listening_of(parent.pid) and children_of(parent.pid))

    def _another(self, old: Identity | None) -> bool:
        return any(item != old for item in self.parents())

    def _clear_stale_pid_file(self) -> None:
        """A pid file left by a crash may name an unrelated process or a zombie: httpd would believe
        that it runs already."""
        if self.config.pid_file.exists() and self.pid_file_parent() is None:
            self.config.pid_file.unlink(missing_ok=True)

    def log_size(self) -> int:
        try:
            return self.config.error_log.stat().st_size
        except FileNotFoundError:
            return 0

    def log_since(self, mark: int) -> str:
        """What httpd wrote to its error log since ``mark`` bytes, at most 8 kB of it."""
        try:
            with self.config.error_log.open("rb") as handle:
                handle.seek(mark)
                return handle.read(8192).decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _by_unit(self) -> bool:
        """Whether httpd is a service of this machine's systemd."""
        if not systemd_is_init() or self.config.root != Path("/"):
            return False
        return any((self.config.root / name).exists() for name in _UNIT_FILES)

    def _inheriting(self, old: Identity | None, argv: list[str]) -> list[str]:
        """``argv`` in the surroundings of the old httpd: among others in the control group of its
        service, for in the agent's it would end when the agent is stopped."""
        if old is None or not old.alive:
            return argv
        theirs, own = cgroups.memberships(old.pid), cgroups.memberships("self")
        files = cgroups.joins(theirs, own, cgroups.mounted())
        return self._inherit(files, old, argv)

    @staticmethod
    def _inherit(
        files: Sequence[Path],
        old: Identity | None,
        argv: list[str],
        given: Mapping[str, Any] | None = None,
    ) -> list[str]:
        settings = {
            "groups": [str(path) for path in files],
            "like": old.pid if old else 0,
            "started": old.started if old else 0,
            "given": given or {},
            "program": argv,
        }
        script = str(Path(inherit.__file__).resolve())
        return [sys.executable, "-I", script, json.dumps(settings)]
