"""Builds the packages of the panel and of the agent: ``python -m bootstrap.packages``.

For Enterprise Linux two RPMs, for Debian and Ubuntu .debs of the same trees. Each holds one tree,
``/opt/ea4-mpm/.package/<version>``, with the Python packages of ``requirements/runtime.lock`` in
``vendor``: an installation needs no network and no package repository of ours.

The wheels are downloaded once, for the Python and the C library of each target. Every wheel is
compared with the lock, and every file of it with the wheel's own record, before it becomes part of
a tree. ``MANIFEST`` in the tree has the digest of each file.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

TOP = Path(__file__).resolve().parent.parent
SOURCE = TOP / "packaging"
LOCK = TOP / "requirements" / "runtime.lock"
HOME = "opt/ea4-mpm"
UNITS = "usr/lib/systemd/system"
PANEL, AGENT = "ea4-mpm-panel", "ea4-mpm-agent"

OF_THE_AGENT = (
    *("easyapache/__init__.py", "easyapache/envelopes.py", "easyapache/memory.py"),
    *(
        "easyapache/journal.py",
        "easyapache/sd_notify.py",
        "easyapache/tickets.py",
        "easyapache/agent/",
        "easyapache/ea4/",
        "easyapache/installed/",
    ),
    *("LICENSE", "docs/explanation/units.md"),
)
"""What the agent's tree has of the sources. The panel's has everything below."""
OF_THE_PANEL = (
    *("easyapache/", "mpm/", "templates/", "static/", "locale/", "docs/", "manage.py", "LICENSE"),
)
LEFT_OUT = ("docs/screenshots/",)
AGENT_NEEDS = ("celery[redis]", "cryptography", "msgspec")
"""The agent's own requirements; the rest of its packages are what these require."""
UNITS_OF_THE_AGENT = ("ea4-mpm.target", "ea4-mpm-agent.service", "ea4-mpm-resume.service")

SUMMARY = {
    PANEL: "Change the Apache MPM of EasyApache 4 servers: panel, worker and agent",
    AGENT: "Change the Apache MPM of EasyApache 4 servers: agent of a server",
}
GLIBC = (5, 12, 17, 24, 26, 27, 28)
"""Minor versions of glibc 2 that wheels may be built for: EL 8 has 2.28."""


class CannotBuild(Exception):
    """A package cannot be built; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A system that packages are built for. ``python`` is its interpreter, ``version`` the oldest
    version of it there; ``depends`` is what the package requires beside it."""

    name: str
    format: str
    python: str
    version: str
    python_package: str
    depends: tuple[str, ...] = ()
    of_the_panel: tuple[str, ...] = ()

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    @property
    def abi(self) -> str:
        return f"cp{self.minor.replace('.', '')}"

    def markers(self) -> dict[str, str]:
        return {
            "implementation_name": "cpython",
            "implementation_version": self.version,
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.version,
            "platform_python_implementation": "CPython",
            "python_version": self.minor,
            "sys_platform": "linux",
            "extra": "",
        }


TARGETS = (
    Target(
        *("el", "rpm", "/usr/bin/python3.12", "3.12.1", "python3.12"),
        depends=("systemd", "util-linux", "shadow-utils"),
        of_the_panel=("openssl", "(redis or valkey)"),
    ),
    Target(
        *("debian12", "deb", "/usr/bin/python3.11", "3.11.2", "python3.11"),
        depends=("systemd", "passwd"),
        of_the_panel=("openssl", "redis-server | valkey-server"),
    ),
    Target(
        *("ubuntu24.04", "deb", "/usr/bin/python3.12", "3.12.3", "python3.12"),
        depends=("systemd", "passwd"),
        of_the_panel=("openssl", "redis-server | valkey-server"),
    ),
)


# -- what the lock allows --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pin:
    name: str
    version: str
    marker: str
    digests: frozenset[str]


def pins(text: str) -> dict[str, Pin]:
    """The packages of a lock file, by their names. Raises CannotBuild for one without a digest."""
    found: dict[str, Pin] = {}
    pattern = (
        r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+?))?\s*\\?$((?:\n\s+--hash=\S+.*)+)"
    )
    for name, version, marker, rest in re.findall(pattern, text, re.MULTILINE):
        digests = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest))
        found[canonicalize_name(name)] = Pin(name, version, marker, digests)
    named = re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)
    if without := {canonicalize_name(name) for name in named} - set(found):
        raise CannotBuild(f"the lock has no digest of {min(without)}")
    return found


def wanted(lock: Mapping[str, Pin], target: Target) -> dict[str, Pin]:
    """Those that this target needs."""
    return {
        name: pin
        for name, pin in lock.items()
        if not pin.marker or Marker(pin.marker).evaluate(target.markers())
    }


def wheels(target: Target, lock: Mapping[str, Pin], cache: Path) -> dict[str, Path]:
    """A wheel of every package that the target needs, downloaded now where it is not there."""
    needed = wanted(lock, target)
    folder = cache / f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}-{target.abi}"
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: path for name, path in _there(folder).items() if name in needed}
    if missing := [pin for name, pin in needed.items() if name not in found]:
        lines = [
            f"{pin.name}=={pin.version} "
            + " ".join(f"--hash=sha256:{digest}" for digest in sorted(pin.digests))
            for pin in missing
        ]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write("\n".join(lines) + "\n")
            requirements.flush()
            _download(target, Path(requirements.name), folder)
        found = {name: path for name, path in _there(folder).items() if name in needed}
    for name, pin in needed.items():
        if name not in found:
            raise CannotBuild(f"there is no wheel of {pin.name} {pin.version} for {target.name}")
        if hashlib.sha256(found[name].read_bytes()).hexdigest() not in pin.digests:
            raise CannotBuild(f"{found[name].name} is not the file that the lock names")
    return found


def _there(folder: Path) -> dict[str, Path]:
    return {str(parse_wheel_filename(path.name)[0]): path for path in folder.glob("*.whl")}


def _download(target: Target, requirements: Path, folder: Path) -> None:
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q"),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--implementation", "cp", "--python-version", target.minor),
            *(word for abi in (target.abi, "abi3", "none") for word in ("--abi", abi)),
            *(word for platform in platforms for word in ("--platform", platform)),
            *("-d", str(folder), "-r", str(requirements)),
        ]
    )


def closure(roots: Sequence[str], found: Mapping[str, Path], target: Target) -> dict[str, Path]:
    """The wheels that these requirements need, with whatever those require in turn."""
    chosen: dict[str, Path] = {}
    waiting = [Requirement(root) for root in roots]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in done:
            continue
        done.add((name, frozenset(requirement.extras)))
        if name not in found:
            raise CannotBuild(f"{requirement.name} is required, and not in the lock")
        chosen[name] = found[name]
        for line in _metadata(found[name]).get_all("Requires-Dist") or []:
            one = Requirement(line)
            extras = requirement.extras or {""}
            if one.marker is None or any(
                one.marker.evaluate({**target.markers(), "extra": extra}) for extra in extras | {""}
            ):
                waiting.append(one)
    return chosen


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode("utf-8"))


def unpack(wheel: Path, vendor: Path) -> int:
    """Lay a wheel out as ``vendor`` holds it, each file compared with the wheel's record. Programs
    and headers are left out. Returns how many files there are; raises CannotBuild."""
    with zipfile.ZipFile(wheel) as archive:
        names = [one for one in archive.namelist() if not one.endswith("/")]
        record = next(one for one in names if one.endswith(".dist-info/RECORD"))
        recorded = {
            row[0]: row[1]
            for row in csv.reader(io.StringIO(archive.read(record).decode("utf-8")))
            if row
        }
        count = 0
        for name in names:
            content = archive.read(name)
            if name != record:
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
                if recorded.get(name) != f"sha256={digest.decode().rstrip('=')}":
                    raise CannotBuild(f"{wheel.name}: {name} is not as its record has it")
            place = _place(name)
            if place is None:
                continue
            target = vendor / place
            if ".." in place.parts or place.is_absolute():
                raise CannotBuild(f"{wheel.name}: {name} leads out of its folder")
            if target.exists():
                raise CannotBuild(f"{wheel.name}: {name} is in another wheel, too")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            count += 1
    return count


def _place(name: str) -> PurePosixPath | None:
    """Where a file of a wheel belongs in ``vendor``; None for what is left out."""
    first, _, rest = name.partition("/")
    if first.endswith(".data"):
        kind, _, inside = rest.partition("/")
        return PurePosixPath(inside) if kind in ("purelib", "platlib") else None
    return PurePosixPath(name)


# -- a tree ----------------------------------------------------------------------------------


def sources(chosen: Sequence[str]) -> Iterator[Path]:
    """The files of the project below these names, as git knows them."""
    listed = run(["git", "-c", f"safe.directory={TOP}", "-C", str(TOP), "ls-files", "-z"])
    for name in sorted(filter(None, listed.split("\0"))):
        mine = any(name == one or (one.endswith("/") and name.startswith(one)) for one in chosen)
        if mine and not name.startswith(LEFT_OUT) and (TOP / name).is_file():
            yield Path(name)


def build_tree(
    kind: str, target: Target, version: str, found: Mapping[str, Path], tree: Path
) -> None:
    """Everything that ``/opt/ea4-mpm/<version>`` holds."""
    for path in sources(OF_THE_PANEL if kind == PANEL else OF_THE_AGENT):
        _copy(TOP / path, tree / path)
    vendor = tree / "vendor"
    for name in sorted(found):
        unpack(found[name], vendor)
    own = vendor / f"ea4_mpm_panel-{version}.dist-info"
    own.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: ea4-mpm-panel\nVersion: {version}\n"
    (own / "METADATA").write_text(metadata, encoding="utf-8")
    for folder in ("bin", "share"):
        for path in sorted((SOURCE / folder).iterdir()):
            if path.is_file() and (kind == PANEL or path.name not in ("redis", "gunicorn.py")):
                _fill(path, tree / folder / path.name, target, version)
                (tree / folder / path.name).chmod(0o755 if folder == "bin" else 0o644)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n"
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    ]
    (tree / "MANIFEST").write_text("".join(lines), encoding="utf-8")


def build_root(
    kind: str, target: Target, version: str, release: str, found: Mapping[str, Path], root: Path
) -> None:
    """Everything that the package puts at ``/``."""
    build_tree(kind, target, version, found, root / HOME / ".package" / f"{version}-{release}")
    units = root / UNITS
    units.mkdir(parents=True)
    for path in sorted((SOURCE / "units").iterdir()):
        if kind == PANEL or path.name in UNITS_OF_THE_AGENT:
            _fill(path, units / path.name, target, version)
    command = root / "usr/sbin/ea4-mpm"
    command.parent.mkdir(parents=True)
    command.symlink_to(f"/{HOME}/current/bin/ea4-mpm")


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    place.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _fill(source: Path, place: Path, target: Target, version: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    text = source.read_text(encoding="utf-8")
    text = text.replace("@PYTHON@", target.python).replace("@VERSION@", version)
    place.write_text(text, encoding="utf-8")
    place.chmod(0o644)


def scripts(version: str, release: str) -> dict[str, str]:
    """What the package manager runs: after unpacking, before and after the package is removed for
    good. The same text serves both formats."""
    tree = f"/{HOME}/.package/{version}-{release}"
    return {
        "after": f"{tree}/bin/activate {version}-{release}\n",
        "before_removal": (SOURCE / "scripts/before-removal").read_text(encoding="utf-8"),
        "after_removal": (SOURCE / "scripts/after-removal").read_text(encoding="utf-8"),
    }


# -- a package -------------------------------------------------------------------------------


def build_rpm(kind: str, target: Target, version: str, release: str, root: Path, out: Path) -> Path:
    """The RPM of a root. rpmbuild neither looks for requirements nor rewrites first lines, links
    build ids or compiles: what was checked is what is packed."""
    scriptlets = scripts(version, release)
    needs = [target.python_package, *target.depends]
    needs += target.of_the_panel if kind == PANEL else ()
    other = AGENT if kind == PANEL else PANEL
    listed = [f"/{UNITS}/{path.name}" for path in sorted((root / UNITS).iterdir())]
    spec = (SOURCE / "package.spec").read_text(encoding="utf-8")
    values = {
        "NAME": kind,
        "VERSION": version,
        "RELEASE": f"{release}.{target.name}",
        "SUMMARY": SUMMARY[kind],
        "REQUIRES": "\n".join(f"Requires: {need}" for need in needs),
        "OTHER": other,
        "TREE": f"/{HOME}/.package/{version}-{release}",
        "FILES": "\n".join(listed),
        "AFTER": scriptlets["after"],
        "BEFORE_REMOVAL": scriptlets["before_removal"],
        "AFTER_REMOVAL": scriptlets["after_removal"],
    }
    for name, value in values.items():
        spec = spec.replace(f"@{name}@", value)
    with tempfile.TemporaryDirectory() as work:
        place = Path(work) / "package.spec"
        place.write_text(spec, encoding="utf-8")
        run(
            [
                *("rpmbuild", "-bb", "--quiet", "--nodeps", "--target", "x86_64"),
                *("--define", f"_topdir {work}", "--define", f"_tmppath {work}"),
                *("--define", f"ea4_root {root}", "--buildroot", f"{work}/root", str(place)),
            ]
        )
        made = next(Path(work).rglob("*.rpm"))
        target_file = out / made.name
        shutil.move(made, target_file)
    return target_file


def build_deb(kind: str, target: Target, version: str, release: str, root: Path, out: Path) -> Path:
    scriptlets = scripts(version, release)
    needs = [target.python_package, *target.depends]
    needs += target.of_the_panel if kind == PANEL else ()
    other = AGENT if kind == PANEL else PANEL
    full = f"{version}-{release}~{target.name}"
    control = root / "DEBIAN"
    control.mkdir()
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    (control / "control").write_text(
        f"Package: {kind}\nVersion: {full}\nArchitecture: amd64\n"
        f"Maintainer: EA4 MPM panel\nInstalled-Size: {size}\nSection: admin\nPriority: optional\n"
        f"Depends: {', '.join(needs)}\nConflicts: {other}\nReplaces: {other}\n"
        f"Description: {SUMMARY[kind]}\n Run ea4-mpm setup after the installation.\n",
        encoding="utf-8",
    )
    parts = {
        "postinst": f'if [ "$1" = configure ]; then\n{scriptlets["after"]}fi\n',
        "prerm": f'if [ "$1" = remove ]; then\n{scriptlets["before_removal"]}fi\n',
        "postrm": f'if [ "$1" = remove ]; then\n{scriptlets["after_removal"]}fi\n',
    }
    for name, text in parts.items():
        (control / name).write_text(f"#!/bin/sh\nset -e\n{text}", encoding="utf-8")
        (control / name).chmod(0o755)
    made = out / f"{kind}_{full}_amd64.deb"
    run(["dpkg-deb", "--build", "--root-owner-group", "-Zgzip", str(root), str(made)])
    return made


def run(argv: Sequence[str]) -> str:
    """Raises CannotBuild with the last lines of output when it fails."""
    done = subprocess.run(list(argv), capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise CannotBuild(f"{' '.join(argv[:4])} … ended with {done.returncode}:\n{tail}")
    return done.stdout


def version_of_the_project() -> str:
    text = (TOP / "mpm/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^VERSION = "([0-9.]+)"', text, re.MULTILINE)
    if not found:
        raise CannotBuild("mpm/__init__.py has no VERSION")
    return found[1]


def build(
    targets: Sequence[Target], kinds: Sequence[str], version: str, release: str, out: Path
) -> list[Path]:
    """Build these packages. Returns their files; raises CannotBuild."""
    out.mkdir(parents=True, exist_ok=True)
    cache = Path(os.environ.get("EA4_WHEELS") or Path.home() / ".cache" / "ea4-wheels")
    lock = pins(LOCK.read_text(encoding="utf-8"))
    made = []
    for target in targets:
        found = wheels(target, lock, cache)
        for kind in kinds:
            chosen = found if kind == PANEL else closure(AGENT_NEEDS, found, target)
            with tempfile.TemporaryDirectory() as work:
                root = Path(work) / "root"
                root.mkdir(mode=0o755)
                build_root(kind, target, version, release, chosen, root)
                make = build_rpm if target.format == "rpm" else build_deb
                made.append(make(kind, target, version, release, root, out))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [target.name for target in TARGETS]
    parser.add_argument("--out", type=Path, default=TOP / "build" / "packages", metavar="FOLDER")
    parser.add_argument("--target", action="append", choices=names, help="all, unless named")
    parser.add_argument("--only", choices=(PANEL, AGENT), help="both, unless named")
    parser.add_argument("--version", default="", help="another one than the project's own")
    parser.add_argument("--release", default="1")
    options = parser.parse_args()
    chosen = [one for one in TARGETS if not options.target or one.name in options.target]
    kinds = (options.only,) if options.only else (PANEL, AGENT)
    try:
        version = options.version or version_of_the_project()
        made = build(chosen, kinds, version, options.release, options.out)
    except CannotBuild as error:
        print(f"The packages could not be built: {error}", file=sys.stderr)
        return 1
    for path in made:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB  sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
