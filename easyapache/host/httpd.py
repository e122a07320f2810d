"""The httpd of one server: what it would load, what it runs with, how to start it.

Nothing here stops or replaces a running httpd; that is the restart's business.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from easyapache.host import cgroups, inherit
from easyapache.host.apache_config import ApacheConfig, read_config
from easyapache.host.config import HostConfig
from easyapache.host.http_probe import fetch
from easyapache.host.httpd_facts import Build, Status
from easyapache.host.processes import (
    Identity,
    children_of,
    identify,
    maps_of,
    parent_of,
    systemd_is_init,
)
from easyapache.host.runner import Finished, Runner
from easyapache.host.server import HostError, Log
from easyapache.host.sockets import listening_of, listening_parents
from easyapache.host.surroundings import Kept, surroundings_of
from easyapache.host.unit import State, Unit
from easyapache.profile import Observation
from easyapache.sentences import Sentence

_MODULE = re.compile(r"^\s*(\w+)_module \((?:static|shared)\)", re.MULTILINE)
_MAPPED_MPM = re.compile(r"/mod_mpm_(\w+)\.so")
_MAPPED_ITK = re.compile(r"/(?:mod_)?mpm_itk\.so")
_NAMED_MPMS = ("event", "worker", "prefork")
SWITCHED_OFF = "switched_off"
"""Code of the refusal to start an httpd that an administrator has switched off."""
_SWITCHES = ("etc/httpddisable", "etc/apachedisable", "etc/httpisable")
"""Files by which cPanel's service, scripts and watchdog know that httpd is not to run."""
_UNIT_FILES = ("etc/systemd/system/httpd.service", "usr/lib/systemd/system/httpd.service")


class Httpd:
    def __init__(self, config: HostConfig, runner: Runner) -> None:
        self.config = config
        self.runner = runner
        self.argv = tuple(config.httpd)
        self.unit = Unit(runner)
        self.kept = Kept(config.spool / "surroundings.json")
        self._known: tuple[tuple[int, int] | None, str] = (None, "")

    # -- what is on disk ---------------------------------------------------------------

    @property
    def main_config(self) -> Path:
        """The file httpd starts reading at: ``-f``, else EA4's place, else the distribution's."""
        for option, value in zip(self.argv, self.argv[1:], strict=False):
            if option == "-f":
                return self.config.server_root / value
        for name in ("conf/httpd.conf", "apache2.conf", "httpd.conf"):
            path = self.config.server_root / name
            if path.exists():
                return path
        return self.config.server_root / "conf/httpd.conf"

    def read(self) -> ApacheConfig:
        return read_config(self.config.server_root, self.main_config)

    def _compiled(self) -> str:
        """``httpd -V``, asked once for as long as the program is the same file; again where it
        said nothing."""
        path = Path(shutil.which(self.argv[0]) or self.argv[0])
        file = path.stat() if path.exists() else None
        key = (file.st_ino, file.st_mtime_ns) if file else None
        if key is None or self._known[0] != key or not self._known[1]:
            self._known = key, self.runner.ask([*self.argv, "-V"]).stdout
        return self._known[1]

    def test(self) -> Finished:
        """``httpd -t``. It accepts ITK under a threaded MPM, which then cannot start."""
        return self.runner.ask([*self.argv, "-t"])

    def build(self) -> Build:
        """What ``httpd -V`` says, also where it cannot read its configuration."""
        said = self._compiled()
        version = re.search(r"Apache/([\d.]+)", said)
        modules = self.config.server_root / "modules"
        # A build of APR without threads has no pthread mutexes to name in -V, and its
        # httpd comes without the threaded MPMs.
        threads = "PTHREAD" in said or any(
            (modules / f"mod_mpm_{name}.so").exists() for name in ("event", "worker")
        )
        # On Linux APR polls with epoll, which is safe to share between threads.
        return Build(version[1] if version else "", threads, Path("/proc/sys/fs/epoll").is_dir())

    def configured(self) -> tuple[Observation | None, str, str]:
        """What the next start would load, an error text when httpd itself refuses, and what it
        warns of when it does not (limits that do not fit each other, for one).

        httpd is asked first (``-M``); when it refuses, the LoadModule lines answer, and
        that is how two MPMs or none are seen. A module whose file is missing still counts:
        httpd would try to load it.
        """
        said = self.runner.ask([*self.argv, "-M"])
        if said.ok:
            names = set(_MODULE.findall(said.stdout))
            mpms = tuple(sorted(name[4:] for name in names if name[4:] in _NAMED_MPMS))
            return Observation(mpms, "mpm_itk" in names), "", said.stderr
        config = self.read()
        if not config.files:
            return None, said.text or "; ".join(config.problems), ""
        mpms = tuple(sorted({name for name, _ in config.mpm_lines() if name in _NAMED_MPMS}))
        return Observation(mpms, config.loads_itk()), said.text, ""

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
        listeners = self.read().listeners()
        found = [identify(pid) for pid in listening_parents(listeners) if self.is_ours(pid)]
        return sorted((item for item in found if item), key=lambda item: (item.started, item.pid))

    def is_ours(self, pid: int) -> bool:
        """Whether a process is an httpd and not something else that got its pid or port."""
        return identify(pid) is not None and bool(_MAPPED_MPM.search(maps_of(pid)))

    def ports(self) -> list[int]:
        return sorted({port for _, port in self.read().listeners()})

    def ready(self, parent: Identity, ports: Sequence[int]) -> bool:
        """Whether a parent listens on all of these ports and has children to answer."""
        if not parent.alive:
            return False
        held = {item.port for item in listening_of(parent.pid).values()}
        return set(ports) <= held and bool(children_of(parent.pid))

    def status(self) -> Status:
        """Ask mod_status. A connection that cannot be made is an answer too."""
        answer = fetch(self.config.status_url + "?auto", limit=5.0)
        if answer.error:
            return Status({}, answer.error)
        if answer.status != 200:
            where = urlsplit(self.config.status_url).path
            return Status({}, f"{where} answered with status {answer.status}")
        pairs = (line.partition(": ") for line in answer.body.decode(errors="replace").splitlines())
        return Status({name: value.strip() for name, sep, value in pairs if sep})

    def running(self) -> tuple[Observation | None, str]:
        """What serves visitors now, and why it cannot be told when it cannot.

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
        """Start httpd with the configuration on disk and wait until it can answer.

        ``extra``: more arguments. ``beside``: the parent of an httpd that still lives, because
        the new one shares its ports or because it finishes its last requests; it gets that one's
        surroundings. ``ports``: those of the configuration where the caller knows them. Raises
        HostError ``restart`` with what httpd said, and ``switched_off``.
        """
        ports = self.ports() if ports is None else ports
        mark = self.log_size()
        self._clear_stale_pid_file()
        argv = [*self.argv, *extra, "-k", "start"]
        by_unit = self._by_unit()
        said: list[str] = []
        if beside is not None:
            found, words = self._started_beside(beside, argv, ports, log)
            if found is not None:
                return found
            said.append(words)
        # The service to systemd is the old httpd for as long as that one lives.
        if beside is None or not beside.alive:
            found, words = (self._by_systemd if by_unit else self._alone)(argv, ports, log)
            if found is not None:
                return found
            said.append(words)
        raise HostError(
            "restart",
            Sentence("httpd did not start."),
            Sentence("Read what httpd said; its error log has the last word."),
            "\n".join(part for part in (*said, self.log_since(mark)) if part),
        )

    def _comes_up(
        self, said: Finished, beside: Identity | None, ports: Sequence[int]
    ) -> Identity | None:
        """The parent that can answer, of an httpd whose start said that it went well."""
        end = time.monotonic() + 30.0
        while said.ok and time.monotonic() < end:
            found = self.pid_file_parent()
            if found is not None and found != beside and self.ready(found, ports):
                return found
            late = time.monotonic() > end - 25.0
            if late and found in (None, beside) and not self._another(beside):
                break  # it said yes, went away, and nothing new listens five seconds later
            time.sleep(0.004)
        return None

    def _started_beside(
        self, old: Identity, argv: list[str], ports: Sequence[int], log: Log
    ) -> tuple[Identity | None, str]:
        """A new httpd in the surroundings of the old one, and what it said. The verification
        compares the two, so what the old one had is kept."""
        theirs = surroundings_of(old)
        done = self.runner.perform(self._inheriting(old, argv), log)
        found = self._comes_up(done, old, ports)
        if found is not None and theirs is not None:
            self.kept.save(theirs, found)
        return found, done.text

    def _alone(
        self, argv: list[str], ports: Sequence[int], log: Log
    ) -> tuple[Identity | None, str]:
        self._refuse_switched_off()
        done = self.runner.perform(argv, log)
        return self._comes_up(done, None, ports), done.text

    def _by_systemd(
        self, argv: list[str], ports: Sequence[int], log: Log
    ) -> tuple[Identity | None, str]:
        """The service started: by systemd, and where that does not do it without its help, but
        in the service's own control group, so that it takes the httpd over. And what was said."""
        self._refuse_switched_off()
        tested = self.test()
        if not tested.ok:
            return None, tested.text  # systemd would only count a start that cannot succeed
        done = self.unit.start(log)
        found = self._comes_up(done, None, ports)
        if found is not None:
            return found, done.text
        state = self.unit.settled()
        if state.skipped:
            self._refuse_switched_off()
        log(f"systemd did not start httpd ({state.result or done.text}): starting it without")
        try:
            files = cgroups.made(self.unit.group(state))
            direct = self.runner.perform(self._inherit(files, None, argv), log)
            found = self._comes_up(direct, None, ports)
            words = direct.text
        except OSError as error:
            words = f"{error.filename}: {error.strerror}"
        if found is None and state.result == "start-limit-hit":
            self.unit.wait_out(state, log)
            done = self.unit.start(log)
            found = self._comes_up(done, None, ports)
        return found, "\n".join(dict.fromkeys([done.text, words]))

    def entrust(self, parent: Identity, log: Log) -> None:
        """Have systemd take an httpd for its service, where httpd is one."""
        if self._by_unit():
            self.unit.entrust(parent, self.is_ours, log)

    def forgive(self) -> None:
        """Whatever starts httpd next, systemd does not refuse it for the starts before."""
        if self._by_unit():
            self.unit.forgive()

    def restarted_by_others(self) -> bool:
        """Whether systemd is just stopping or starting httpd, which we never ask it to do beside
        another."""
        return self._by_unit() and self.unit.state().moving

    def service_state(self) -> State | None:
        """What systemd says of httpd; None where it is no service."""
        return self.unit.state() if self._by_unit() else None

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
        off = self.switched_off()
        if off:
            raise HostError(
                SWITCHED_OFF,
                Sentence("Apache is switched off: {why}.", why=off),
                Sentence("Switch Apache on again, then start it."),
            )

    def _another(self, known: Identity | None) -> bool:
        return any(item != known for item in self.parents())

    def _clear_stale_pid_file(self) -> None:
        """One left by a crash may name a process that is somebody else's by now, or dead and not
        buried: httpd would take that one for itself, and say that it runs already."""
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
    def _inherit(files: Sequence[Path], old: Identity | None, argv: list[str]) -> list[str]:
        settings = {
            "groups": [str(path) for path in files],
            "like": old.pid if old else 0,
            "started": old.started if old else 0,
            "program": argv,
        }
        script = str(Path(inherit.__file__).resolve())
        return [sys.executable, "-I", script, json.dumps(settings)]


def family_of(parent: Identity) -> list[int]:
    """A parent and its children, for messages and for waiting."""
    return [parent.pid, *children_of(parent.pid)]


def topmost(pid: int) -> int:
    """The httpd parent of a process that may be one of its children."""
    while "mod_mpm_" in maps_of(parent_of(pid)):
        pid = parent_of(pid)
    return pid
