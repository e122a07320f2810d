"""Reads httpd's configuration files the way httpd does, as far as an MPM change needs it.

httpd itself reports more, but only while its configuration is valid; this reader also works on a
server whose httpd refuses to start, and for an MPM that is not installed yet (``under``). It
follows ``Include`` with wildcards, ``Define``, macros, and the conditions httpd decides while it
reads: ``<IfModule>``, ``<IfDefine>``, ``<IfVersion>``, ``<IfFile>``, ``<IfDirective>`` and
``<IfSection>``. What is in a section that does not apply is ignored, as by httpd.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from easyapache.agent.httpd.addresses import canonical
from easyapache.agent.httpd.apache_files import (
    Files,
    GaveUp,
    Line,
    logical_lines,
    parsed,
    tokens,
)
from easyapache.agent.httpd.section_conditions import Loaded, Surroundings, VersionTest
from easyapache.ea4.directives import (
    COMMON,
    GOES_WITH,
    LISTENING,
    MPMS,
    SUPPORTED_BY,
    matches_nothing,
    names_of_mpm,
)

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_MPM_FILE = re.compile(r"mod_mpm_(\w+)\.so$")
_PACKAGED = re.compile(
    r"\d+[_-](?:mod_)?(?:mpm_(?:event|worker|prefork|itk)|cgid?|http2|proxy_hcheck|qos)\.conf"
    r"|ruid2\.conf"
)
"""Files of packages that an exchange of the MPM brings or takes away."""
_DEPTH = 20
_LONGEST_LINE = 1 << 16
"""Characters a line may have after its variables are put in."""
_MOST_LINES = 2_000_000
_MOST_PROBLEMS = 20
_IDLE = frozenset({"listen", "loadmodule", *COMMON, *SUPPORTED_BY})
"""Directives to record even in sections that don't apply."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive with its location. ``name`` is in lower case; ``sections`` are the enclosing
    sections, outermost first, as (name in lower case, arguments)."""

    name: str
    arguments: tuple[str, ...]
    path: Path
    line: int
    sections: tuple[tuple[str, str], ...] = ()

    @property
    def virtual_host(self) -> str | None:
        for name, arguments in self.sections:
            if name == "virtualhost":
                return arguments
        return None


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """One ``<VirtualHost>``: addresses as written, directives that define what it serves, and all
    directives ``inside`` it."""

    addresses: tuple[str, ...]
    name: str
    root: str
    tls: bool
    index: tuple[str, ...]
    proxied: bool
    inside: tuple[Directive, ...] = ()


@dataclass(frozen=True, slots=True)
class ApacheConfig:
    """All directives in the order httpd reads them, and the files they are in."""

    server_root: Path
    directives: tuple[Directive, ...]
    files: tuple[Path, ...]
    problems: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    idle: tuple[Directive, ...] = ()
    """MPM directives, listeners and modules in sections that don't apply."""
    main: Path = Path()
    surroundings: Surroundings = field(default_factory=Surroundings)
    source: Files = field(default_factory=Files)

    def under(self, mpm: str) -> ApacheConfig:
        """The same files, read as httpd would read them with another MPM: with the packages' own
        lines for it. Nothing is read from disk again, and virtual hosts without anything that
        depends on the MPM are left out."""
        found: ApacheConfig | None = self.source.readings.get(mpm)
        if found is None:
            lines, now = self.mpm_lines(), self.surroundings
            packaged = any(_PACKAGED.fullmatch(item.path.name) for _, item in lines)
            # An MPM that is compiled in has no line to replace.
            static = now.static if lines else (*now.static, names_of_mpm(mpm)[1])
            after = replace(now, mpm=mpm, packaged=packaged, static=static)
            self.source.again()
            found = _read(self.server_root, self.main, after, self.source)
            self.source.readings[mpm] = found
        return found

    def altered(self) -> bool:
        """Whether a file or folder that was read is another one by now."""
        return self.source.altered()

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

    def refused_by(self, mpm: str) -> list[Directive]:
        """Directives that httpd does not know under this MPM, so that it would not start."""
        return [
            item
            for item in self.under(mpm).directives
            if item.name in SUPPORTED_BY and mpm not in SUPPORTED_BY[item.name]
        ]

    def misnamed(self) -> list[tuple[Directive, str, str]]:
        """Directives of the MPMs in an ``<IfModule>`` whose name no MPM has, with that name and
        the right one."""
        found = []
        for item in self.idle:
            if item.name in ("listen", "loadmodule"):
                continue
            for kind, argument in item.sections:
                right = matches_nothing(argument) if kind == "ifmodule" else ""
                if right:
                    found.append((item, argument, right))
                    break
        return found

    def listeners(self) -> list[tuple[str, int]]:
        """(address, port) of every Listen line that applies; the address is empty for all
        addresses, and may be a host name."""
        found = [listener for item in self.named("Listen") if (listener := _listener(item))]
        return list(dict.fromkeys(found))

    def mentions_port(self, port: int) -> bool:
        """Whether any Listen line has this port, be it in a section that does not hold."""
        lines = (item for item in (*self.directives, *self.idle) if item.name == "listen")
        return any(listener[1] == port for item in lines if (listener := _listener(item)))

    def hosts(self) -> list[tuple[Directive, list[Directive]]]:
        """Every ``<VirtualHost>``: its opening line, and its contents, including those of included
        files."""
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
        root = self.value("DocumentRoot") or ""
        for opening, inside in self.hosts():
            first = {item.name: item.arguments for item in reversed(inside)}
            own_index = next((i.arguments for i in inside if i.name == "directoryindex"), index)
            hosts.append(
                VirtualHost(
                    addresses=opening.arguments,
                    name=(first.get("servername") or ("",))[0],
                    root=(first.get("documentroot") or (root,))[0],
                    tls=[a.lower() for a in first.get("sslengine", ())] == ["on"],
                    index=own_index or ("index.html",),
                    proxied="proxypass" in first or "proxypassmatch" in first,
                    inside=tuple(inside),
                )
            )
        return hosts

    def tls_ports(self) -> set[int]:
        """Ports with TLS: by ``Listen … https`` or by a host with SSLEngine."""
        ports = set()
        for item in self.named("Listen"):
            listener = _listener(item)
            if listener and item.arguments[1:2] == ("https",):
                ports.add(listener[1])
        for host in self.virtual_hosts():
            if host.tls:
                ports.update(port for _, port in filter(None, map(place, host.addresses)))
        return ports


def read_config(
    server_root: Path,
    main: Path,
    surroundings: Surroundings | None = None,
    like: ApacheConfig | None = None,
) -> ApacheConfig:
    """Read the configuration that starts at ``main``. Files that cannot be read become
    ``problems``, not errors: httpd's own test is the judge of them. ``like``: an earlier reading,
    or that of a copy; the same texts are not taken apart again."""
    source = Files(like.source.parsed) if like else Files()
    return _read(server_root, main, surroundings or Surroundings(), source)


def _read(server_root: Path, main: Path, surroundings: Surroundings, source: Files) -> ApacheConfig:
    reader = _Reader(server_root, surroundings, source)
    try:
        reader.take(_given(surroundings.before), Path("-C"), 0, ())
        reader.read(main, 0, ())
        reader.take(_given(surroundings.after), Path("-c"), 0, ())
    except GaveUp as error:
        reader.problems.append(f"{main}: not read to its end: {error}")
    return ApacheConfig(
        reader.server_root,
        tuple(reader.directives),
        tuple(dict.fromkeys(reader.files)),
        tuple(reader.problems),
        reader.variables,
        tuple(reader.idle),
        main,
        surroundings,
        source,
    )


def read_piece(conf: ApacheConfig, text: str, path: Path) -> tuple[Directive, ...]:
    """The directives of a text that hold where everything of ``conf`` is loaded, without those of
    files that it includes."""
    reader = _Reader(conf.server_root, conf.surroundings, conf.source)
    for symbol, file in conf.modules().items():
        reader.load(symbol, file)
    lines = [parsed(*line) for line in logical_lines(text)]
    kept = [line for line in lines if line.name not in ("include", "includeoptional", "use")]
    reader.take(kept, path, 0, ())
    return tuple(reader.directives)


def _given(directives: tuple[str, ...]) -> list[Line]:
    """Those of one option are one text: a section may span several of them."""
    return [parsed(0, text) for _, text in logical_lines("\n".join(directives))]


_Sections = tuple[tuple[str, str], ...]


class _Reader:
    def __init__(self, server_root: Path, surroundings: Surroundings, source: Files) -> None:
        self.server_root, self.source = server_root, source
        self.surroundings = surroundings
        self.directives: list[Directive] = []
        self.idle: list[Directive] = []
        self.files: list[Path] = []
        self.problems: list[str] = []
        self.variables: dict[str, str] = {}
        self._flags = set(surroundings.flags)
        self._loaded = Loaded(surroundings.static, surroundings.program)
        self._macros: dict[str, tuple[tuple[str, ...], list[Line], Path]] = {}
        self._count = self._deep = 0
        self._mpm_line: tuple[str, ...] = ()

    def load(self, symbol: str, file: Path) -> None:
        self._loaded.add(symbol, file)

    def problem(self, text: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(text)

    def _too_deep(self, text: str) -> None:
        """Twice in each level would be a million times in all. Raises GaveUp."""
        self.problem(text)
        self._deep += 1
        if self._deep > _MOST_PROBLEMS:
            raise GaveUp("it includes itself")

    def read(self, path: Path, depth: int, outer: _Sections, *, optional: bool = False) -> None:
        if depth > _DEPTH:
            self._too_deep(f"{path}: included more than {_DEPTH} levels deep")
            return
        try:
            exchange = self.surroundings.mpm is not None
            lines = self.source.outline(path) if exchange else self.source.lines(path)
        except OSError as error:
            if not optional or not isinstance(error, FileNotFoundError):
                self.problem(f"{path}: {error.strerror}")
            return
        self.files.append(path)
        self.take(lines, path, depth, outer)

    def take(self, lines: list[Line], path: Path, depth: int, outer: _Sections) -> None:
        """The lines of a file, or of a macro that is used."""
        sections, floor, here = list(outer), len(outer), outer
        off = 0  # how many of the innermost sections are passed over
        macro: list[Line] = []  # one that is being defined, with its opening
        inside = 0
        for written in lines:
            line = written
            self._one_more()
            if line.name == "macro" and line.kind:
                inside = inside + 1 if line.kind == "<" else max(0, inside - 1)
                if not inside and macro:
                    if not off:
                        self._define_macro(macro, path)
                    macro = []
                    continue
            if inside:
                macro.append(line)
                continue
            if "${" in line.text and not off:
                line = parsed(line.number, self._expand(line.text))
            if line.kind == "/":
                closed = _close(sections, floor, line.name)
                off, here = max(0, off - closed), tuple(sections)
            elif line.kind == "<":
                argument = line.tokens[0]
                if line.name == "virtualhost" and not off:
                    places = tuple(tokens(argument))
                    opening = Directive("<virtualhost", places, path, line.number, here)
                    self.directives.append(opening)
                if off or not self._holds(line.name, argument):
                    off += 1
                sections.append((line.name, argument))
                here = tuple(sections)
            elif not off:
                self._directive(line, path, depth, here)
            elif line.name in _IDLE:
                self.idle.append(Directive(line.name, line.tokens, path, line.number, here))

    def _one_more(self) -> None:
        """Count a line. Raises GaveUp above the limit."""
        self._count += 1
        if self._count > _MOST_LINES:
            raise GaveUp(f"more than {_MOST_LINES} lines")
        if not self._count % 4096:
            self.source.in_time()

    def _directive(self, line: Line, path: Path, depth: int, here: _Sections) -> None:
        name, words = line.name, line.tokens
        if name in ("include", "includeoptional") and len(words) == 1:
            self._include(words[0], depth, here, optional=name == "includeoptional")
            return
        if name == "use" and words and words[0].lower() in self._macros:
            self._use(words, path, depth, here)
            return
        if name == "loadmodule" and len(words) == 2:
            words = self._as_after_the_change(words, path)
            if not words:
                return
            self._loaded.add(words[0], self.server_root / words[1])
        elif name == "define" and words:
            self._flags.add(words[0])
            if len(words) == 2:
                self.variables[words[0]] = words[1]
        elif name == "undefine" and words:
            self._flags.discard(words[0])
            self.variables.pop(words[0], None)
        elif name == "undefmacro" and words:
            self._macros.pop(words[0].lower(), None)
        elif name == "serverroot" and words and Path(words[0]).is_absolute():
            self.server_root = Path(words[0])
        self.directives.append(Directive(name, words, path, line.number, here))

    def _include(self, pattern: str, depth: int, here: _Sections, *, optional: bool) -> None:
        try:
            found = self.source.included(self.server_root, pattern)
        except OSError as error:
            self.problem(f"{error.filename or pattern}: {error.strerror}")
            return
        for path in found:
            self.read(path, depth + 1, here, optional=optional)

    # -- conditions ------------------------------------------------------------------------

    def _holds(self, name: str, argument: str) -> bool:
        """Whether httpd reads the contents of a section. It reads those whose condition is
        evaluated per request (``<If>``, ``<Files>`` and all others)."""
        if not name.startswith("if"):
            return True
        negated = argument.startswith("!") and name != "ifversion"
        wanted = (tokens(argument[1:] if negated else argument) or ("",))[0]
        if name == "ifmodule":
            return self._loaded.has(wanted) is not negated
        if name == "ifdefine":
            return (wanted in self._flags) is not negated
        if name == "iffile":
            return self._exists(wanted) is not negated
        if name == "ifversion":
            return VersionTest(argument).holds(self.surroundings.version)
        if name == "ifdirective":
            return self._known(wanted.lower()) is not negated
        if name == "ifsection":
            return self._loaded.has_section(wanted.lower()) is not negated
        return True

    def _exists(self, name: str) -> bool:
        path = self.server_root / name
        try:
            there = path.exists()
        except OSError:
            return False
        self.source.watch(path)
        return there

    def _known(self, directive: str) -> bool:
        mpms = SUPPORTED_BY.get(directive)
        if mpms is None and directive not in (*COMMON, *LISTENING):
            return self._loaded.knows(directive)
        loaded = [mpm for mpm in MPMS if self._loaded.has(f"mpm_{mpm}_module")]
        return any(mpms is None or mpm in mpms for mpm in loaded)

    def _as_after_the_change(self, words: tuple[str, ...], path: Path) -> tuple[str, ...]:
        """The LoadModule line as it will be under the requested MPM; empty if it will be removed.
        Only lines in files of packages are removed."""
        mpm = self.surroundings.mpm
        if mpm is None:
            return words
        symbol, file = words
        threaded = mpm != "prefork"
        match = _MPM_FILE.search(file)
        if match and match[1] in MPMS:
            own = _PACKAGED.fullmatch(path.name) if self.surroundings.packaged else True
            # A file may be included twice; httpd skips a module that is already loaded.
            if own and self._mpm_line in ((), words):
                self._mpm_line = words
                return (f"mpm_{mpm}_module", file.replace(f"mpm_{match[1]}", f"mpm_{mpm}"))
            return words
        if symbol in ("cgi_module", "cgid_module") and _PACKAGED.fullmatch(path.name):
            name = "cgid" if threaded else "cgi"
            return (f"{name}_module", file.replace(f"mod_{symbol[:-7]}.", f"mod_{name}."))
        # What loads PHP is written by cPanel's hooks, which write it again.
        ours = _PACKAGED.fullmatch(path.name) or symbol.startswith("php")
        return () if ours and mpm not in GOES_WITH.get(symbol, MPMS) else words

    # -- text ------------------------------------------------------------------------------

    def _expand(self, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            found = self.variables.get(match[1])
            if found is None:
                found = self.surroundings.environment.get(match[1])
            return found or match[0]  # an empty one is as good as none to httpd

        length = len(text) + sum(len(value(match)) for match in _VARIABLE.finditer(text))
        if length > _LONGEST_LINE:
            self.problem(f"{text[:60]}: longer than {_LONGEST_LINE} characters with its variables")
            return text
        return _VARIABLE.sub(value, text)

    def _define_macro(self, lines: list[Line], path: Path) -> None:
        name, *parameters = tokens(lines[0].tokens[0]) or [""]
        self._macros[name.lower()] = (tuple(parameters), lines[1:], path)

    def _use(self, words: tuple[str, ...], path: Path, depth: int, here: _Sections) -> None:
        if depth > _DEPTH:
            self._too_deep(f"{path}: macros used more than {_DEPTH} levels deep")
            return
        parameters, lines, path = self._macros[words[0].lower()]
        values = dict(zip(parameters, words[1:], strict=False))
        if values:
            names = sorted(values, key=len, reverse=True)
            pattern = re.compile("|".join(map(re.escape, names)))
            written = []
            for line in lines:
                text = pattern.sub(lambda match: values[match[0]], line.text)
                written.append(parsed(line.number, text[:_LONGEST_LINE]))
            lines = written
        self.take(lines, path, depth + 1, here)


def _close(sections: list[tuple[str, str]], floor: int, name: str) -> int:
    """End the innermost section of that name, and those left open in it; how many those are."""
    count = 0
    while len(sections) > floor:
        opened, _ = sections.pop()
        count += 1
        if opened == name:
            break
    return count


def _listener(item: Directive) -> tuple[str, int] | None:
    return place(item.arguments[0]) if item.arguments else None


def place(text: str) -> tuple[str, int] | None:
    """``80``, ``127.0.0.1:80``, ``[::1]:80`` or ``*:80``; None when it holds no port."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not port.isascii() or len(port.lstrip("0")) > 5:
        return None
    return canonical(host), int(port)
