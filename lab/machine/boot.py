"""Boots a machine, runs programs in it, and ends it: kindly, by a power cut, by its plug."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from lab.installroot import copy, remove
from lab.machine import disk
from lab.process import LabError, run
from lab.repository import cache_folder, locked

CGROUPS = ("unified", "systemd", "")
"""Folders below /sys/fs/cgroup, as far as they exist, in which a group for a machine is created."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_LIMIT = 180.0
_HALT_LIMIT = 240.0
_CUT_LIMIT = 30.0
_SHUTDOWN, _NO_FLUSH = 0x8004587D, 2
"""EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32): data and journal are no longer written."""
_SPARE = 1500
"""MiB that are free on the disk of an image."""


def furnished() -> Path:
    """A disk with EasyApache 4 at ``/``, furnished now if this version of the lab never did."""
    lab, easyapache = (Path(__file__).resolve().parents[level] for level in (1, 2))
    easyapache /= "easyapache"
    sources = sorted(
        path
        for folder in (lab, easyapache / "ea4")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:10]
    made = cache_folder() / f"machine-ea4-{digest}"
    system = disk.template()
    with locked(cache_folder() / "machine.lock"):
        if not made.is_dir():
            for old in cache_folder().glob("machine-ea4-*"):
                remove(old)
            work = cache_folder() / ".machine-ea4"
            remove(work)
            copy(system, work)
            work.chmod(0o755)
            code = work / "opt/ea4-lab"
            for source in sources:
                place = code / source.relative_to(lab.parent)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)
            (code / "easyapache/__init__.py").touch()
            for package in NEEDED:
                shutil.copytree(_installed(package), code / package)
            disk.within(work, _furnish(), LAB)
            work.rename(made)
    return made


NEEDED = ("msgspec",)
"""The imports of ``easyapache.ea4`` besides the standard library."""
PYTHON = (3, 11)
"""The Python of Debian 12. Modules compiled for this machine's Python must fit it."""


def _installed(package: str) -> Path:
    """The folder of a package of this interpreter. Raises LabError where it does not fit."""
    found = find_spec(package)
    if sys.version_info[:2] != PYTHON or found is None or found.origin is None:
        version = ".".join(map(str, PYTHON))
        raise LabError(f"A whole machine needs Python {version} here, with {package}.")
    return Path(found.origin).parent


LAB = {"PYTHONPATH": "/opt/ea4-lab", "EA4_LAB_CACHE": "/var/lib/ea4-repository"}
"""The environment in which the lab's code runs inside a machine."""


def _furnish(*arguments: str) -> list[str]:
    return ["/usr/bin/python3", "-B", "-m", "lab.machine.furnish", *arguments]


@dataclass
class Machine:
    """One machine; ``root`` is its ``/``, a folder or the place where an image is mounted.

    ``layout``: ``v2``, one tree of control groups (EL 9, EL 10), or ``hybrid``, as systemd of EL 8
    has it. A server is no container: the machine has every capability, and no system call is
    filtered.
    """

    root: Path
    layout: str = "v2"
    image: Path | None = None
    network: Path | None = None
    """The network namespace that it is booted in; without one it has its own, and nobody else."""
    nspawn: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"ea4-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"

    @property
    def log(self) -> Path:
        return self.root.parent / f"{self.root.name}.console"

    # -- its disk --------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, layout: str = "v2") -> Machine:
        """A machine in an empty folder. Raises LabError."""
        copy(furnished(), folder)
        folder.chmod(0o755)
        return cls(folder.resolve(), layout)

    def on_image(self, image: Path) -> Machine:
        """The same machine on a disk image of its own, whose plug can be pulled."""
        used = int(run(["du", "-sm", self.root]).stdout.split()[0])
        image.unlink(missing_ok=True)
        with image.open("wb") as handle:
            handle.truncate((used + _SPARE) << 20)
        run(["mke2fs", "-q", "-t", "ext4", "-F", "-d", self.root, image])
        place = image.with_name(f"{image.name}.d")
        place.mkdir(exist_ok=True)
        run(["mount", "-o", "loop", image, place])
        return Machine(place.resolve(), self.layout, image)

    def put(self, source: Path, target: str) -> None:
        """Copy a file of this machine into it."""
        place = self.root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)

    # -- its life --------------------------------------------------------------------------

    @property
    def init(self) -> int | None:
        """The pid of its process 1, on this machine."""
        if self.nspawn is None or self.nspawn.poll() is not None:
            return None
        ours = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a link of the kernel's, not a path
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        with suppress(OSError):
            for child in children.read_text(encoding="ascii").split():
                if os.readlink(f"/proc/{child}/ns/pid") != ours:  # noqa: PTH115
                    return int(child)
        return None

    def boot(self, *, wait: bool = True) -> float:
        """Start it; with ``wait``, until systemd has nothing left to start. Returns the seconds
        that took. Raises LabError with the console's last lines."""
        begun = time.monotonic()
        left = Path("/run/systemd/nspawn/propagate") / self.name
        if left.exists():  # of one that was cut off: the next would not start
            subprocess.run(["umount", left], capture_output=True, check=False)
            with suppress(OSError):
                left.rmdir()
        branches = [str(place / self.name / "cgroup.procs") for place in _trees()]
        for branch in branches:
            Path(branch).parent.mkdir(exist_ok=True)
        # A branch of its own: two machines in one would count and kill each other's processes.
        enter = 'for place in $1; do echo $$ >"$place"; done; shift; exec "$@"'
        argv = [
            *("systemd-nspawn", "-q", "-D", str(self.root), "-b", "-M", self.name),
            *("--register=no", "--keep-unit", "--console=pipe"),
            f"--network-namespace-path={self.network}" if self.network else "--private-network",
            *("--kill-signal=SIGRTMIN+3", "--resolv-conf=off", "--timezone=off"),
            *("--link-journal=no", "--capability=all", "--system-call-filter=@known"),
        ]
        with self.log.open("ab") as console:
            self.nspawn = subprocess.Popen(
                ["sh", "-c", enter, "enter", " ".join(branches), *argv],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={
                    **os.environ,
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if self.layout == "v2" else "0",
                    "SYSTEMD_NSPAWN_LOCK": "0",
                },
            )
        while wait and not self.settled:
            if self.nspawn.poll() is not None:
                tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise LabError(f"{self.root} did not boot:\n{tail}")
            if time.monotonic() - begun > _BOOT_LIMIT:
                raise LabError(f"{self.root} is not up after {_BOOT_LIMIT:.0f} s: see {self.log}")
            time.sleep(0.1)
        return time.monotonic() - begun

    @property
    def settled(self) -> bool:
        """Whether systemd has nothing left to start."""
        if self.init is None:
            return False
        state = self.run(["systemctl", "is-system-running"], check=False, limit=20).stdout.strip()
        return state in ("running", "degraded")

    def inside(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> list[str]:
        """The argument list that runs a program in it, as root. Raises LabError."""
        init = self.init
        if init is None:
            raise LabError(f"{self.root} is not booted")
        given = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}
        given.update(environment or {})
        return [
            *("nsenter", "-t", str(init), "-m", "-u", "-i", "-n", "-p", "-C", "--"),
            *("env", "-i", *(f"{name}={value}" for name, value in given.items()), *argv),
        ]

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        limit: float = 300.0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in it. Raises LabError when it fails and ``check`` is set, or when it
        takes longer than ``limit`` seconds."""
        try:
            done = subprocess.run(
                self.inside(argv, environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{' '.join(argv)[:200]} took longer than {limit:.0f} s") from error
        if check and done.returncode:
            output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
            raise LabError(f"{' '.join(argv)[:200]} ended with {done.returncode}:\n{output}")
        return done

    def shell(self, script: str, *, check: bool = True, limit: float = 300.0) -> str:
        """Run a line of shell in it; its standard output without the last end of line."""
        return self.run(["sh", "-c", script], check=check, limit=limit).stdout.rstrip("\n")

    @contextmanager
    def background(self, argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """A program in it that may still run when the block ends: it is then killed."""
        process = subprocess.Popen(
            self.inside(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def slow(self, seconds: int) -> None:
        """The duration of the scriptlets of the MPMs' packages from now on; 0: normal."""
        self.run(_furnish("slow", str(seconds)), environment=LAB)

    # -- its end ---------------------------------------------------------------------------

    def halt(self, command: Sequence[str] = ()) -> float:
        """A clean power off, or whatever ends the machine when ``command`` runs in it. Returns the
        seconds it took; raises LabError when it does not end."""
        begun = time.monotonic()
        if self.nspawn is None:
            raise LabError(f"{self.root} is not booted")
        if command:
            self.run(command, check=False)  # it may be killed by what it asked for
        else:
            self.nspawn.terminate()
        self._wait_until_ended(_HALT_LIMIT)
        return time.monotonic() - begun

    def reboot(self) -> tuple[float, float]:
        """A clean power off and a boot; the seconds of each."""
        return self.halt(), self.boot()

    def cut(self) -> None:
        """A power cut as far as processes are concerned: the kernel kills all of them at once.
        What they had written is still in the cache."""
        init = self.init
        if init is None:
            raise LabError(f"{self.root} is not booted")
        os.kill(init, signal.SIGKILL)
        self._wait_until_ended(_CUT_LIMIT)

    def pull_the_plug(self) -> None:
        """Nothing reaches the disk from here on, and every process dies. The disk is then mounted
        again and its journal replayed, as after a real power cut. Raises LabError."""
        if self.image is None:
            raise LabError("only a machine on an image has a plug")
        place = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(place, _SHUTDOWN, struct.pack("I", _NO_FLUSH))
        finally:
            os.close(place)
        self.cut()
        self._unmount()
        # A copy: a process with the old one in its mount namespace would keep it shut down.
        fresh = self.image.with_name(f"{self.image.name}.next")
        run(["cp", "--sparse=always", self.image, fresh])
        fresh.rename(self.image)
        checked = run(["e2fsck", "-p", self.image], check=False)
        if checked.returncode >= 4:
            raise LabError(f"e2fsck cannot repair {self.image}: {checked.stdout}")
        run(["mount", "-o", "loop", self.image, self.root])

    def discard(self) -> None:
        """End it and remove its disk."""
        if self.init is not None:
            self.cut()
        if self.image is not None:
            self._unmount()
            self.image.unlink(missing_ok=True)
        remove(self.root)
        self.log.unlink(missing_ok=True)

    def _unmount(self) -> None:
        for _ in range(100):
            if run(["umount", self.root], check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise LabError(f"{self.root} cannot be unmounted")

    def _wait_until_ended(self, limit: float) -> None:
        assert self.nspawn is not None
        try:
            self.nspawn.wait(timeout=limit)
        except subprocess.TimeoutExpired as error:
            self.nspawn.kill()
            self.nspawn.wait()
            raise LabError(f"{self.root} did not end within {limit:.0f} s") from error
        self.nspawn = None
        for place in _trees():
            for path in sorted((place / self.name).rglob("*"), reverse=True):
                if path.is_dir():
                    with suppress(OSError):
                        path.rmdir()
            with suppress(OSError):
                (place / self.name).rmdir()


def _trees() -> list[Path]:
    places = [Path("/sys/fs/cgroup") / name for name in CGROUPS]
    return [place for place in places if (place / "cgroup.procs").exists()]
