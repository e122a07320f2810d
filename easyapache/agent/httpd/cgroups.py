"""Control groups: which one a process is in, and the files to write to join it.

systemd keeps the processes of a service together in a group. With cgroup v2 (Enterprise Linux 9)
there is one tree. With v1 (Enterprise Linux 8) each controller has a tree of its own and systemd's
is ``name=systemd``; in between ("hybrid") there is also a v2 tree without controllers.
/proc/self/mountinfo lists the mounted trees; those in /proc/PID/cgroup need not be mounted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from easyapache.agent.httpd.processes import PROC, children_of

SYSTEMD, UNIFIED = "name=systemd", ""
_ROUNDS = 20
"""So often a family is looked through for children born meanwhile."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A mounted hierarchy: its name (controllers, ``name=systemd``, or ``""`` for cgroup v2), its
    mount point, and the group that is mounted there."""

    kinds: frozenset[str]
    mount: Path
    root: str = "/"

    def procs(self, group: str) -> Path:
        """The file that a process joins ``group`` by."""
        inside = group.removeprefix(self.root) if self.root != "/" else group
        return self.mount / inside.lstrip("/") / "cgroup.procs"


def trees(mountinfo: str) -> list[Tree]:
    """All hierarchies that are mounted; of one mounted twice the last."""
    found: dict[frozenset[str], Tree] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) < 5 or len(after) < 3 or after[0] not in ("cgroup", "cgroup2"):
            continue
        options = after[2].split(",") if after[0] == "cgroup" else [UNIFIED]
        kinds = frozenset(item for item in options if item not in ("rw", "ro"))
        found[kinds] = Tree(kinds, Path(before[4]), before[3])
    return list(found.values())


def groups(memberships: str) -> dict[str, str]:
    """{kind: group} of a /proc/PID/cgroup. A tree of several controllers counts under each."""
    found: dict[str, str] = {}
    for line in memberships.splitlines():
        _, kinds, group = line.split(":", 2)
        for kind in kinds.split(","):
            found[kind] = group
    return found


def service_group(memberships: str, mounted: Iterable[Tree]) -> str:
    """The group a process is in to systemd; empty where systemd's tree is not mounted."""
    kinds = {kind for tree in mounted for kind in tree.kinds}
    mine = groups(memberships)
    kind = SYSTEMD if SYSTEMD in kinds else UNIFIED if UNIFIED in kinds else None
    return mine.get(kind, "") if kind is not None else ""


def joins(memberships: str, own: str, mounted: Iterable[Tree]) -> list[Path]:
    """The files by which a process with ``own`` memberships gets into every group of another
    one; none for a tree in which both are in the same group already."""
    theirs, mine = groups(memberships), groups(own)
    found = []
    for tree in mounted:
        kind = next((kind for kind in sorted(tree.kinds) if kind in theirs), None)
        if kind is not None and theirs[kind] != mine.get(kind):
            found.append(tree.procs(theirs[kind]))
    return found


def mounted() -> list[Tree]:
    return trees((PROC / "self/mountinfo").read_text(errors="replace"))


def memberships(pid: int | str) -> str:
    """/proc/PID/cgroup; empty if the process has ended."""
    try:
        return (PROC / str(pid) / "cgroup").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def group_of(pid: int) -> str:
    """The process's group in systemd's tree; empty if it has ended or there are no groups."""
    return service_group(memberships(pid), mounted())


def made(group: str) -> list[Path]:
    """The files by which a process joins a group of systemd's, made where it is not there: one
    of a service that is not active. Raises OSError."""
    files = [tree.procs(group) for tree in mounted() if tree.kinds & {SYSTEMD, UNIFIED}]
    for procs in files:
        procs.parent.mkdir(parents=True, exist_ok=True)
    return files


def move_family(parent: int, group: str) -> None:
    """Move a process and all its descendants into a group of systemd's. Raises OSError if the group
    accepts none; processes that end meanwhile are skipped."""
    files = made(group)
    for _ in range(_ROUNDS):
        outside = [pid for pid in _family(parent) if group_of(pid) not in (group, "")]
        if not outside:
            return
        for pid in outside:
            for procs in files:
                try:
                    procs.write_text(f"{pid}\n")
                except ProcessLookupError:
                    break


def _family(parent: int) -> list[int]:
    found = [parent]
    for pid in found:
        found += children_of(pid)
    return found
