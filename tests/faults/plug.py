"""A disk whose plug can be pulled: what had not reached it is lost, as in a real power cut.

SIGKILL leaves the kernel's cache alive, so it never shows a file that is empty because nobody
waited until it was written. Here a real ext4 on a loop device is shut down without a flush, and
mounted again: its own journal is replayed, and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from easyapache.agent.change.durable import sync_disks
from easyapache.agent.httpd.processes import identify
from tests.places import short_folder

MEGABYTES = 400
"""A server has some thirty, and its spool a few for each change. The image is sparse."""
SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)."""
NO_FLUSH = 2
"""Neither data nor the journal are written any more."""
PATIENCE = 30.0


class Disk:
    """A file system of its own at ``place``. Where there can be none (a container without loop
    devices) ``lacks`` says why, and pulling the plug only kills."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place, self.lacks = folder / "disk", folder / "d", ""
        self.place.mkdir()
        with self.image.open("wb") as handle:
            handle.truncate(MEGABYTES << 20)
        try:
            _do("mke2fs", "-q", "-t", "ext4", "-F", str(self.image))
            self._mount()
        except (OSError, subprocess.CalledProcessError) as error:
            self.lacks = str(error)

    def _mount(self) -> None:
        _do("mount", "-o", "loop", str(self.image), str(self.place))
        self.place.chmod(0o755)

    def settle(self) -> None:
        """Everything reaches the disk: the state that a server has been in for a while."""
        sync_disks([self.place])

    def pull_the_plug(self) -> None:
        """Nothing reaches the disk from here on; whoever works on it dies, all at once."""
        if self.lacks:
            self.kill()
            return
        handle = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(handle)
        self.kill()

    def power_on(self) -> None:
        """Mount what the disk has, its journal replayed."""
        if self.lacks:
            return
        self.unmount()
        # A copy: a mount namespace that somebody made meanwhile keeps the one that was shut down.
        again = self.image.with_name("again")
        _do("cp", "--sparse=always", str(self.image), str(again))
        again.rename(self.image)
        self._mount()

    def kill(self) -> None:
        """SIGKILL to every process that has anything of this disk open, until there is none."""
        end = time.monotonic() + PATIENCE
        while users := self._users():
            assert time.monotonic() < end, f"still at work on the disk: {users}"
            for pid in users:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    def unmount(self) -> None:
        if self.lacks:
            return
        end = time.monotonic() + PATIENCE
        while subprocess.run(["umount", self.place], check=False, capture_output=True).returncode:
            assert time.monotonic() < end, f"{self.place} cannot be unmounted"
            self.kill()
            time.sleep(0.05)

    def _users(self) -> list[int]:
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if pid != os.getpid() and identify(pid) and self._uses(pid)]

    def _uses(self, pid: int) -> bool:
        process, inside = Path(f"/proc/{pid}"), f"{self.place}/"
        try:
            line = (process / "cmdline").read_bytes()
            links = [
                process / "cwd",
                process / "root",
                process / "exe",
                *(process / "fd").iterdir(),
            ]
        except OSError:
            return False
        if inside.encode() in line:
            return True
        for link in links:
            with suppress(OSError):
                if f"{link.readlink()}/".startswith(inside):
                    return True
        return False


def _do(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@contextmanager
def disk() -> Iterator[Disk]:
    with short_folder() as folder:
        made = Disk(folder)
        try:
            yield made
        finally:
            made.kill()
            made.unmount()
