"""Reads httpd's configuration files the way httpd does, as far as an MPM change needs it.

httpd itself says more, but only while its configuration is sound; this reader also answers
on a server whose httpd refuses to start. It follows ``Include`` with wildcards, ``Define``
and ``<IfModule>`` nesting. It does not evaluate expressions: a directive inside any
``<IfModule>`` or ``<IfDefine>`` is marked as conditional.
"""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from easyapache.host.addresses import canonical

PREFORK_ONLY = frozenset({"minspareservers", "maxspareservers"})
"""Directives that only prefork has: under worker and event httpd calls them unknown
(AH00526) and does not start. Source: the server/mpm folders of httpd 2.4."""

_SECTION = re.compile(r"<\s*(/?)\s*([A-Za-z]+)\s*([^>]*)>?")
_UNQUOTED = re.compile(r"[!#-&(-\[\]-~ \t]*")
"""Lines without quotes and backslashes, which are nearly all: a shell's lexer takes its time."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_MPM_FILE = re.compile(r"mod_mpm_(\w+)\.so$")
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive where it stands. ``name`` is in lower case; ``sections`` are the enclosing
    sections, outermost first, as (name in lower case, arguments)."""

    name: str
    arguments: tuple[str, ...]
    path: Path
    line: int
    sections: tuple[tuple[str, str], ...] = ()

    @property
    def conditional(self) -> bool:
        return any(name in ("ifmodule", "ifdefine", "ifversion") for name, _ in self.sections)

    @property
    def virtual_host(self) -> str | None:
        for name, arguments in self.sections:
            if name == "virtualhost":
                return arguments
        return None


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """One ``<VirtualHost>``: addresses as written, what says what it serves, and all that stands
    ``inside`` it."""

    addresses: tuple[str, ...]
    name: str
    root: str
    tls: bool
    index: tuple[str, ...]
    proxied: bool
    inside: tuple[Directive, ...] = ()


@dataclass(frozen=True, slots=True)
class ApacheConfig:
    """All directives in the order httpd reads them, and the files they came from."""

    server_root: Path
    directives: tuple[Directive, ...]
    files: tuple[Path, ...]
    problems: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    def named(self, *names: str) -> Iterator[Directive]:
        wanted = {name.lower() for name in names}
        return (item for item in self.directives if item.name in wanted)

    def value(self, name: str) -> str | None:
        """The last server-wide value of a directive; None when it is not set."""
        found = None
        for item in self.named(name):
            if item.virtual_host is None and item.arguments:
                found = item.arguments[0]
        return found

    def path_of(self, text: str) -> Path:
        """A path as httpd resolves it: relative ones start at the ServerRoot."""
        return self.server_root / text

    def modules(self) -> dict[str, Path]:
        """{module name: file of it} of every LoadModule line, in the order of loading."""
        return {
            item.arguments[0]: self.path_of(item.arguments[1])
            for item in self.named("LoadModule")
            if len(item.arguments) == 2
        }

    def mpm_lines(self) -> list[tuple[str, Directive]]:
        """Every line that loads an MPM, with the MPM's name. ITK is not one."""
        found = []
        for item in self.named("LoadModule"):
            match = _MPM_FILE.search(item.arguments[1]) if len(item.arguments) == 2 else None
            if match and match[1] != "itk":
                found.append((match[1], item))
        return found

    def loads_itk(self) -> bool:
        return any(item.arguments[:1] == ("mpm_itk_module",) for item in self.named("LoadModule"))

    def prefork_only(self) -> list[Directive]:
        """Prefork's own directives that stand outside every ``<IfModule>``."""
        return [
            item for item in self.directives if item.name in PREFORK_ONLY and not item.conditional
        ]

    def listeners(self) -> list[tuple[str, int]]:
        """(address, port) of every Listen line, the address as ``canonical`` has it."""
        found: list[tuple[str, int]] = []
        for item in self.named("Listen"):
            if not item.arguments:
                continue
            listener = _address(item.arguments[0])
            if listener is not None and listener not in found:
                found.append(listener)
        return found

    def hosts(self) -> list[tuple[Directive, list[Directive]]]:
        """Every ``<VirtualHost>``: its opening, and what stands in it, also in files that are
        included there."""
        found: list[tuple[Directive, list[Directive]]] = []
        for item in self.directives:
            if item.name == "<virtualhost":
                found.append((item, []))
            elif item.virtual_host is not None and found:
                found[-1][1].append(item)
        return found

    def virtual_hosts(self) -> list[VirtualHost]:
        hosts: list[VirtualHost] = []
        index = next((i.arguments for i in self.named("DirectoryIndex") if not i.virtual_host), ())
        for opening, inside in self.hosts():
            first = {item.name: item.arguments for item in reversed(inside)}
            own_index = next((i.arguments for i in inside if i.name == "directoryindex"), index)
            hosts.append(
                VirtualHost(
                    addresses=opening.arguments,
                    name=(first.get("servername") or ("",))[0],
                    root=(first.get("documentroot") or (self.value("DocumentRoot") or "",))[0],
                    tls=[a.lower() for a in first.get("sslengine", ())] == ["on"],
                    index=own_index or ("index.html",),
                    proxied="proxypass" in first or "proxypassmatch" in first,
                    inside=tuple(inside),
                )
            )
        return hosts

    def tls_ports(self) -> set[int]:
        """Ports on which TLS is spoken: by ``Listen … https`` or by a host with SSLEngine."""
        ports = set()
        for item in self.named("Listen"):
            listener = _address(item.arguments[0]) if item.arguments else None
            if listener and item.arguments[1:2] == ("https",):
                ports.add(listener[1])
        for host in self.virtual_hosts():
            if host.tls:
                ports.update(port for _, port in filter(None, map(_address, host.addresses)))
        return ports


def read_config(server_root: Path, main: Path) -> ApacheConfig:
    """Read the configuration that starts at ``main``. Files that cannot be read become
    ``problems``, not errors: httpd's own test is the judge of them."""
    reader = _Reader(server_root)
    reader.read(main, 0, ())
    return ApacheConfig(
        reader.server_root,
        tuple(reader.directives),
        tuple(reader.files),
        tuple(reader.problems),
        reader.variables,
    )


class _Reader:
    def __init__(self, server_root: Path) -> None:
        self.server_root = server_root
        self.directives: list[Directive] = []
        self.files: list[Path] = []
        self.problems: list[str] = []
        self.variables: dict[str, str] = {}

    def read(self, path: Path, depth: int, outer: tuple[tuple[str, str], ...]) -> None:
        if depth > _DEPTH:
            self.problems.append(f"{path}: included more than {_DEPTH} levels deep")
            return
        try:
            text = path.read_text(errors="replace")
        except OSError as error:
            self.problems.append(f"{path}: {error.strerror}")
            return
        self.files.append(path)
        sections = list(outer)
        for number, line in _logical_lines(text):
            section = _SECTION.match(line)
            if section:
                self._section(section, sections, len(outer), path, number)
                continue
            arguments = tuple(self._expand(word) for word in _words(line))
            name = arguments[0].lower()
            if name == "define" and len(arguments) == 3:
                self.variables[arguments[1]] = arguments[2]
            if name in ("include", "includeoptional") and len(arguments) == 2:
                for found in self._included(arguments[1]):
                    self.read(found, depth + 1, tuple(sections))
                continue
            self.directives.append(Directive(name, arguments[1:], path, number, tuple(sections)))

    def _section(
        self,
        match: re.Match[str],
        sections: list[tuple[str, str]],
        floor: int,
        path: Path,
        number: int,
    ) -> None:
        closing, name, rest = match[1], match[2].lower(), self._expand(match[3].strip())
        if closing:
            while len(sections) > floor:
                opened, _ = sections.pop()
                if opened == name:
                    break
            return
        if name == "virtualhost":
            words = tuple(_words(rest))
            self.directives.append(Directive("<virtualhost", words, path, number, tuple(sections)))
        sections.append((name, rest))

    def _included(self, pattern: str) -> list[Path]:
        full = self.server_root / pattern
        if full.is_dir():
            return sorted(item for item in full.rglob("*") if item.is_file())
        if not glob.has_magic(str(full)):
            return [full]
        # Path.glob cannot start at an absolute pattern, which httpd's may be.
        found = glob.glob(str(full))  # noqa: PTH207
        return sorted(Path(item) for item in found if Path(item).is_file())

    def _expand(self, text: str) -> str:
        return _VARIABLE.sub(lambda match: self.variables.get(match[1], match[0]), text)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined, without comments and blank ones; numbers count from 1."""
    pending, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        if not pending:
            first = number
        if raw.endswith("\\"):
            pending += raw[:-1]
            continue
        line, pending = (pending + raw).strip(), ""
        if line and not line.startswith("#"):
            yield first, line


def _words(line: str) -> list[str]:
    if _UNQUOTED.fullmatch(line):
        return line.split()
    try:
        return shlex.split(line, posix=True) or [line]
    except ValueError:  # an apostrophe that opens nothing, as in a log format
        return line.split() or [line]


def _address(text: str) -> tuple[str, int] | None:
    """``80``, ``127.0.0.1:80``, ``[::1]:80`` or ``*:80``; None when it holds no port."""
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        return None
    return canonical(host), int(port)
