"""A systemctl and a busctl that do with a lab's httpd what systemd's do with httpd.service."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path
from shlex import join, quote

from easyapache.agent.httpd import cgroups
from tests.host.managed import Managed
from tests.host.test_runner import wait_until

_SYSTEMCTL = """#!/bin/sh
cd @STATE@ || exit 9
echo "$*" >>calls
main=$(cat main 2>/dev/null || echo 0)
alive() { [ "$1" != 0 ] && [ -d "/proc/$1" ] && ! grep -q '^State:.[ZX]' "/proc/$1/status"; }
case $1 in
show)
    [ "$2" = system.slice ] && { echo "ControlGroup=@SLICE@"; exit 0; }
    case $3 in *LimitNOFILE*) cat given 2>/dev/null; exit 0 ;; esac
    # When the main process ends the service names whom the pid file names, as systemd does.
    named=$(cat @PIDFILE@ 2>/dev/null || echo 0)
    case $main in 0 | dead) ;;
        *) alive "$main" || { main=$named; alive "$main" || main=dead; } ;; esac
    case $main in 0) active=inactive; pid=0 ;; dead) active=failed; pid=0 ;;
        *) active=active; pid=$main; echo "$main" >main ;; esac
    echo "LoadState=$(cat load 2>/dev/null || echo loaded)"
    echo "ActiveState=$active"; echo "MainPID=$pid"; echo "Slice=system.slice"
    [ "$active" = active ] && echo "ControlGroup=@GROUP@" || echo "ControlGroup="
    echo "Result=$(cat result 2>/dev/null || echo success)"; echo "Job="
    echo "ConditionResult=yes"; echo "StartLimitIntervalUSec=1s" ;;
reset-failed) rm -f starts result ;;
stop) echo 0 >main; @HTTPD@ -k stop; exit 0 ;;
start)
    alive "$main" && exit 0
    echo "$$" >>starts
    if [ -e refuses ] || [ "$(wc -l <starts)" -gt 5 ]; then
        echo start-limit-hit >result
        echo "Job for httpd.service failed. Start request repeated too quickly." >&2
        exit 1
    fi
    @HTTPD@ -k start || { echo exit-code >result; echo dead >main; exit 1; }
    for try in 1 2 3 4 5 6 7 8 9; do [ -s @PIDFILE@ ] && break; sleep 0.1; done
    cat @PIDFILE@ >main ;;
esac
"""
_BUSCTL = """#!/bin/sh
cat @STATE@/conditions 2>/dev/null || echo 'a(sbbsi) 0'
"""


class StandIn:
    """``calls``: what systemctl was called with. A file ``refuses`` makes it start nothing more, as
    systemd does that has counted too many starts; ``conditions`` is what busctl prints, and
    ``given`` what systemctl says of limits and umask."""

    def __init__(self, state: Path, managed: Managed) -> None:
        self.state, self.tools = state, state / "bin"
        self._slice = f"/ea4-test-{uuid.uuid4().hex[:8]}"
        self.group = f"{self._slice}/httpd.service"
        self.tools.mkdir(parents=True)
        parent = managed.real.httpd.parent()
        (state / "main").write_text(f"{parent.pid if parent else 0}\n")
        for name, text in (("systemctl", _SYSTEMCTL), ("busctl", _BUSCTL)):
            for mark, value in (
                ("@STATE@", quote(str(state))),
                ("@PIDFILE@", quote(str(managed.config.pid_file))),
                ("@HTTPD@", join(managed.config.httpd)),
                ("@GROUP@", self.group),
                ("@SLICE@", self._slice),
            ):
                text = text.replace(mark, value)
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """All but questions."""
        path = self.state / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if not line.startswith("show")]

    @property
    def starts(self) -> int:
        return self.calls.count("start httpd.service")

    def write(self, name: str, text: str) -> None:
        (self.state / name).write_text(text)

    def sweep(self) -> None:
        """The control groups that were made, once their last process has gone elsewhere."""
        for tree in cgroups.mounted():
            for group in (self.group, self._slice):
                folder = tree.procs(group).parent
                if folder.is_dir():
                    for word in (folder / "cgroup.procs").read_text().split():
                        with suppress(OSError):  # it has ended
                            tree.procs("/").write_text(f"{word}\n")
                    wait_until(lambda folder=folder: _removed(folder))


def _removed(folder: Path) -> bool:
    with suppress(OSError):  # the last one is still ending
        folder.rmdir()
    return not folder.exists()
