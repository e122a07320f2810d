"""What a process has from its service, and a second httpd must have as well.

Stored for the old httpd, so that the verification can compare the new one with it. Values of the
environment may be secrets and are stored as digests only.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from easyapache.agent.change.durable import write_atomically
from easyapache.agent.httpd.inherit import limits_of
from easyapache.agent.httpd.processes import PROC, Identity
from easyapache.ea4.sentences import Sentence, marked

_LIMITS = {
    number: name.removeprefix("RLIMIT_")
    for name in sorted(dir(resource), reverse=True)  # of OFILE and NOFILE, one limit, the latter
    if name.startswith("RLIMIT_")
    for number in (getattr(resource, name),)
}
_TITLES: Mapping[str, str] = {
    "mounts": marked("mount namespace (its own /tmp, with PrivateTmp)"),
    "umask": marked("umask"),
    "nice": marked("niceness"),
    "oom_score_adj": marked("OOM score adjustment"),
    "capabilities": marked("capability bounding set"),
    "no_new_privileges": marked("NoNewPrivileges"),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``values``: each by its name; ``environment``: a digest for each variable."""

    values: Mapping[str, str]
    environment: Mapping[str, str]

    def differences(self, now: Surroundings) -> list[Sentence]:
        """The differences of another process, as sentences."""
        found = [
            Sentence("{what}: {now} instead of {then}", what=_title(name), now=seen, then=then)
            for name, then in self.values.items()
            if (seen := now.values.get(name, "")) != then
        ]
        names = self.environment.keys() | now.environment.keys()
        other = sorted(n for n in names if self.environment.get(n) != now.environment.get(n))
        if other:
            found.append(Sentence("environment: {names} differ", names=", ".join(other[:8])))
        return found


def surroundings_of(process: Identity) -> Surroundings | None:
    """None for a process that has ended."""
    try:
        return _read(process.pid)
    except (FileNotFoundError, ProcessLookupError):
        return None


def _read(pid: int) -> Surroundings:
    folder = PROC / str(pid)
    status = {
        name: value.strip()
        for name, _, value in (
            line.partition(":") for line in (folder / "status").read_text().splitlines()
        )
    }
    values = {
        "mounts": str((folder / "ns/mnt").readlink()),
        "umask": status.get("Umask", ""),
        "nice": str(os.getpriority(os.PRIO_PROCESS, pid)),
        "oom_score_adj": (folder / "oom_score_adj").read_text().strip(),
        "capabilities": status.get("CapBnd", ""),
        "no_new_privileges": status.get("NoNewPrivs", ""),
    }
    for number, pair in limits_of(pid).items():
        values[f"limit {_LIMITS[number]}"] = "/".join(map(_limit, pair))
    pairs = (item.partition(b"=") for item in (folder / "environ").read_bytes().split(b"\0"))
    environment = {
        name.decode(errors="replace"): hashlib.sha256(value).hexdigest()[:16]
        for name, equals, value in pairs
        if name and equals
    }
    return Surroundings(values, environment)


def _title(name: str) -> Sentence:
    if name.startswith("limit "):
        return Sentence("limit {name}", name=name.removeprefix("limit "))
    return Sentence(_TITLES[name])


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


@dataclass(frozen=True, slots=True)
class Kept:
    """The file that remembers what the httpd was given that a restart has started."""

    path: Path

    def save(self, old: Surroundings, new: Identity) -> None:
        """On a full disk nothing is stored or compared: no reason to fail a restart."""
        data = {
            "new": new.as_json(),
            "values": dict(old.values),
            "environment": dict(old.environment),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(self.path, json.dumps(data).encode())
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def expected_of(self, parent: Identity) -> Surroundings | None:
        """What this httpd must have; None for one that no restart of ours has started."""
        try:
            data = json.loads(self.path.read_text())
            if Identity.from_json(data["new"]) != parent:
                return None
            return Surroundings(data["values"], data["environment"])
        except (FileNotFoundError, ValueError, KeyError):
            return None
