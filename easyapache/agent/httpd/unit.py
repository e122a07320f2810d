"""httpd as a service of this machine's systemd.

systemd starts a service at most five times in ten seconds (by default) and refuses further starts.
So a start is requested only if it can work, after ``reset-failed``, which resets that count.
"""

from __future__ import annotations

import glob
import resource
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyapache import sd_notify
from easyapache.agent.httpd import cgroups
from easyapache.agent.httpd.processes import Identity
from easyapache.agent.runner import Finished, Runner
from easyapache.agent.server import HostError, Log
from easyapache.ea4.sentences import Sentence

NAME = "httpd.service"
_OBJECT = "/org/freedesktop/systemd1/unit/httpd_2eservice"
_PROPERTIES = (
    *("LoadState", "ActiveState", "MainPID", "ControlGroup", "Slice", "Result"),
    *("Job", "ConditionResult", "StartLimitIntervalUSec"),
)
_START_LIMIT = 330.0
"""Seconds a start may take: cPanel's unit allows itself five minutes."""
_SETTLE_LIMIT = 20.0
"""Seconds to wait for a restart by something else."""
_LONGEST_INTERVAL = 60.0
_LIMITS: Mapping[str, int] = {
    name.removeprefix("RLIMIT_"): getattr(resource, name)
    for name in dir(resource)
    if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"  # another name of NOFILE
}
_TESTS: Mapping[str, Callable[[str], bool]] = {
    "ConditionPathExists": lambda path: Path(path).exists(),
    "ConditionPathExistsGlob": lambda path: bool(glob.glob(path)),  # noqa: PTH207
    "ConditionPathIsDirectory": lambda path: Path(path).is_dir(),
    "ConditionFileNotEmpty": lambda path: Path(path).is_file() and Path(path).stat().st_size > 0,
}


@dataclass(frozen=True, slots=True)
class State:
    """systemd's state of the service; all empty if it reports nothing. ``job``: it is being started
    or stopped. ``interval``: seconds in which it counts starts."""

    load: str = ""
    active: str = ""
    main: int = 0
    group: str = ""
    slice: str = ""
    result: str = ""
    job: bool = False
    skipped: bool = False
    interval: float = 0.0

    @property
    def up(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def moving(self) -> bool:
        return self.job or self.active in ("activating", "deactivating", "reloading")


class Unit:
    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def _systemctl(self, *arguments: str, limit: float = 30.0) -> Finished:
        return self.runner.capture(["systemctl", *arguments], limit=limit)

    def state(self) -> State:
        output = self._systemctl("show", NAME, f"--property={','.join(_PROPERTIES)}")
        pairs = (line.partition("=") for line in output.stdout.splitlines())
        values = {name: value.strip() for name, _, value in pairs}
        main = values.get("MainPID", "")
        return State(
            load=values.get("LoadState", ""),
            active=values.get("ActiveState", ""),
            main=int(main) if main.isdigit() else 0,
            group=values.get("ControlGroup", ""),
            slice=values.get("Slice", ""),
            result=values.get("Result", ""),
            job=values.get("Job", "") not in ("", "0"),
            skipped=values.get("ConditionResult") == "no",
            interval=_seconds(values.get("StartLimitIntervalUSec", "")),
        )

    def settled(self) -> State:
        """The state once systemd's current job is done, or after a while."""
        end = time.monotonic() + _SETTLE_LIMIT
        while (state := self.state()).moving and time.monotonic() < end:
            time.sleep(0.05)
        return state

    def group(self, state: State) -> str:
        """The service's control group, also while it has none because it is not active."""
        if state.group:
            return state.group
        slice_ = state.slice or "system.slice"
        control_group = self._systemctl("show", slice_, "--property=ControlGroup").stdout
        above = control_group.strip().removeprefix("ControlGroup=") or f"/{slice_}"
        return f"{above.rstrip('/')}/{NAME}"

    def given(self) -> dict[str, Any]:
        """What systemd gives the service's processes, including drop-ins: ``limits`` (soft and hard
        by RLIMIT number), ``umask``, ``nice`` and ``oom``. Empty if systemd does not answer."""
        properties = [f"Limit{name}{end}" for name in _LIMITS for end in ("", "Soft")]
        wanted = ",".join((*properties, "UMask", "Nice", "OOMScoreAdjust"))
        output = self._systemctl("show", NAME, f"--property={wanted}").stdout
        values = {name: value for name, _, value in (x.partition("=") for x in output.splitlines())}
        limits = {
            number: pair
            for name, number in _LIMITS.items()
            if None not in (pair := [_whole(values.get(f"Limit{name}{x}")) for x in ("Soft", "")])
        }
        given: dict[str, Any] = {"limits": limits} if limits else {}
        if values.get("UMask", "").isdigit():
            given["umask"] = values["UMask"]
        for name, key in (("Nice", "nice"), ("OOMScoreAdjust", "oom")):
            if (number := _whole(values.get(name))) is not None:
                given[key] = number
        return given

    # -- switched off ----------------------------------------------------------------------

    def masked(self) -> str:
        """Says that the service is masked; empty where it isn't."""
        return Sentence("{unit} is masked", unit=NAME) if self.state().load == "masked" else ""

    def switched_off(self) -> str:
        """Why systemd would not start the service, if an administrator disabled it; else empty."""
        if masked := self.masked():
            return masked
        interface = "org.freedesktop.systemd1"
        try:
            conditions = self.runner.capture(
                ["busctl", "get-property", interface, _OBJECT, f"{interface}.Unit", "Conditions"]
            )
        except HostError:
            return ""  # no busctl: the conditions of cPanel's unit were checked before
        return _unmet(conditions.stdout) if conditions.ok else ""

    # -- starting --------------------------------------------------------------------------

    def forgive(self) -> None:
        """Reset failed starts; a unit that is not loaded has none. At boot the service waits for
        the unit that finishes interrupted changes, which this process may be: the wait can end,
        because the configuration on disk can start."""
        sd_notify.ready("httpd can start.")
        self._systemctl("reset-failed", NAME)

    def start(self, log: Log) -> Finished:
        """``systemctl start``, with its words in the log."""
        self.forgive()
        try:
            started = self._systemctl("start", NAME, limit=_START_LIMIT)
        except HostError as error:
            started = Finished(("systemctl", "start", NAME), -1, "", error.message)
        for line in started.text.splitlines():
            log(line)
        return started

    def wait_out(self, state: State, log: Log) -> None:
        """The time in which systemd counts starts, after which it allows the next one."""
        seconds = min(state.interval, _LONGEST_INTERVAL)
        log(f"systemd allows the next start of {NAME} in {seconds:.0f} s: waiting")
        time.sleep(seconds)

    # -- what runs belongs to it -----------------------------------------------------------

    def entrust(self, parent: Identity, mine: Callable[[int], bool], log: Log) -> State:
        """Make the service ``active`` with this httpd, whatever started it, with all its processes
        in the service's control group. ``mine``: whether a pid is an httpd of this server; the old
        one is the main process until its last request has ended."""
        state = self.settled()
        if not (state.up and state.main and mine(state.main)):
            log(f"{NAME} is {state.active or 'unknown'}: systemd takes over httpd {parent.pid}")
            self.start(log)
            state = self.settled()
        group = self.group(state)
        if state.up and parent.alive and cgroups.group_of(parent.pid) not in ("", group):
            log(f"httpd {parent.pid} moves to the control group {group}")
            try:
                cgroups.move_family(parent.pid, group)
            except OSError as error:
                log(f"cannot move it there: {error.strerror}")
        return state


def _unmet(conditions: str) -> str:
    """Which condition on a file does not hold, of busctl's ``a(sbbsi) 1 "ConditionPathExists"
    false true "/etc/httpddisable" 1``: name, whether one of these is enough, whether it is
    negated, parameter, and how it was the last time."""
    fields = shlex.split(conditions)[2:]
    any_of_these: list[tuple[bool, str]] = []
    for name, trigger, negate, path, _ in zip(*[iter(fields)] * 5, strict=False):
        test = _TESTS.get(name)
        if test is None:
            continue
        negated = negate == "true"
        holds = test(path) is not negated
        why = (
            Sentence("{path} exists", path=path)
            if negated
            else Sentence("{path} does not exist", path=path)
        )
        if trigger == "true":
            any_of_these.append((holds, why))
        elif not holds:
            return why
    if any_of_these and not any(holds for holds, _ in any_of_these):
        return any_of_these[0][1]
    return ""


def _whole(text: str | None) -> int | None:
    """systemd's ``524288``, ``-5`` or ``infinity`` as a number of setrlimit(2); else None."""
    if text == "infinity":
        return resource.RLIM_INFINITY
    return int(text) if text and text.removeprefix("-").isdecimal() else None


def _seconds(span: str) -> float:
    """systemd's ``1min 30s``, ``500ms`` or ``10s`` in seconds; ``infinity`` and rubbish are 0."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
    total = 0.0
    for part in span.split():
        number = part.rstrip("abcdefghijklmnopqrstuvwxyz")
        try:
            total += float(number) * units[part.removeprefix(number)]
        except (KeyError, ValueError):
            return 0.0
    return total
