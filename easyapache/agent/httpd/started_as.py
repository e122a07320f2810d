"""How the running httpd was started: the options and environment that affect its configuration.
Testing that configuration, the trial start and another httpd must use the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from easyapache.agent.httpd.processes import PROC

_WITH_VALUE = "DCcdfEek"
_KEPT = "DCcdf"
_OUR_OWN = ("ListenCoresBucketsRatio",)
"""Begins what an overlapping restart adds for itself with -c."""
_HOW_TO_RUN = ("FOREGROUND", "NO_DETACH", "ONE_PROCESS", "DEBUG")
_NOT_HANDED_ON = ("LC_ALL", "LANG", "PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "MAINPID")
_OF_SYSTEMD = (
    *("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_", "INVOCATION_ID", "JOURNAL_STREAM"),
    *("SYSTEMD_", "MEMORY_PRESSURE_", "CREDENTIALS_DIRECTORY"),
)


@dataclass(frozen=True, slots=True)
class StartedAs:
    """``options``: (letter, value) of -D, -C, -c, -d and -f, in their order."""

    options: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def values(self, letter: str) -> tuple[str, ...]:
        return tuple(value for name, value in self.options if name == letter)

    def beside(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Options to add to a call; its own options override them."""
        own = options_of(argv)
        named = {letter for letter, _ in own if letter in "df"}
        added = [
            (letter, value)
            for letter, value in self.options
            if letter not in named and (letter, value) not in own
        ]
        return tuple(argument for letter, value in added for argument in (f"-{letter}", value))


def started_as(pid: int) -> StartedAs | None:
    """None if the process has ended, belongs to another user, or can't be read."""
    try:
        command_line = (PROC / str(pid) / "cmdline").read_bytes()
        environment = (PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    argv = command_line.decode(errors="surrogateescape").rstrip("\0").split("\0")
    return StartedAs(tuple(options_of(argv)), dict(_handed_on(environment)))


def options_of(argv: Sequence[str]) -> list[tuple[str, str]]:
    """Those options of a call of httpd that decide what its configuration is."""
    found = []
    arguments = iter(argv[1:])
    for argument in arguments:
        if len(argument) < 2 or argument[0] != "-" or argument[1] not in _WITH_VALUE:
            continue
        letter, value = argument[1], argument[2:] or next(arguments, "")
        ours = letter == "c" and value.startswith(_OUR_OWN)
        how = letter == "D" and (value in _HOW_TO_RUN or value.startswith("DUMP_"))
        if letter in _KEPT and value and not ours and not how:
            found.append((letter, value))
    return list(dict.fromkeys(found))


def _handed_on(raw: bytes) -> Iterator[tuple[str, str]]:
    for item in raw.split(b"\0"):
        name, sep, value = item.decode(errors="surrogateescape").partition("=")
        if sep and name and name not in _NOT_HANDED_ON and not name.startswith(_OF_SYSTEMD):
            yield name, value
