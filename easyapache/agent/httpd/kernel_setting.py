"""One kernel setting that several restarts may need at once; the last one restores it.

With ``tcp_migrate_req`` at 1 the kernel (5.14 and newer) hands the connections still waiting in a
closing listener's queue to another listener of its SO_REUSEPORT group instead of resetting them. It
applies to the whole machine, on which more than one managed httpd may run: each user is therefore
entered in a register, with the value before the first of them. A user whose process has ended does
not count, so that a kill leaves no permanent change.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easyapache.agent.httpd.processes import Identity, identify

SETTING = Path("/proc/sys/net/ipv4/tcp_migrate_req")
REGISTER = Path("/run/easyapache-mpm-migrate.json")


@dataclass(frozen=True, slots=True)
class Migration:
    register: Path = REGISTER
    setting: Path = SETTING

    def begin(self) -> bool:
        """Set it for this process. False where the kernel lacks it or this process may not."""
        try:
            with self._entries() as (state, users):
                users = _living(users)
                if not users:
                    state["before"] = self.setting.read_text().strip()
                self.setting.write_text("1\n")
                mine = identify(os.getpid())
                state["users"] = [u.as_json() for u in {*users, *([mine] if mine else [])}]
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Restore the setting unless another process still needs it; also after a killed
        process."""
        if not self.register.exists():
            return
        with self._entries() as (state, users):
            users = [user for user in _living(users) if user.pid != os.getpid()]
            state["users"] = [user.as_json() for user in users]
            if not users and "before" in state:
                self.setting.write_text(f"{state.pop('before')}\n")

    @contextmanager
    def _entries(self) -> Iterator[tuple[dict[str, Any], list[Identity]]]:
        """The register, locked; the dictionary is saved afterwards."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self.register, flags, 0o600), "r+b", buffering=0) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            old = handle.read()
            try:
                state: dict[str, Any] = json.loads(old or b"{}")
            except ValueError:
                state = {}  # cut off in the middle of a power failure, with all its users
            yield state, [Identity.from_json(item) for item in state.get("users", ())]
            # In one write of the same length: a kill here leaves the old or the new content.
            os.pwrite(handle.fileno(), json.dumps(state).encode().ljust(len(old)), 0)


def _living(users: list[Identity]) -> list[Identity]:
    return [user for user in users if user.alive]
