"""Runs docs/how-to/change-the-mpm.yml with Ansible itself: in check mode, twice, and in check mode
again; then two at once on a real server. ``make playbook``"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demo.panel import Panel

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = ROOT / ".venv-bench" / "bin" / "ansible-playbook"
PLAYBOOK = ROOT / "docs" / "how-to" / "change-the-mpm.yml"
SERVER, REAL = "sandbox", "lab"
_RECAP = re.compile(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")


class Wrong(Exception):
    """The playbook did not do what it is for."""


def play(panel: Panel, token: str, mpm: str, *options: str, server: str = SERVER) -> int:
    """Run it; the number of tasks that changed, or would change, something. Raises Wrong."""
    done = subprocess.run(
        [
            *(str(ANSIBLE), str(PLAYBOOK), "-i", "localhost,", "-c", "local", *options),
            *("-e", f"panel={panel.address.rstrip('/')}", "-e", f"server={server}"),
            *("-e", f"mpm={mpm}", "-e", f"ansible_python_interpreter={sys.executable}"),
        ],
        env={**os.environ, "EA4MPM_TOKEN": token, "ANSIBLE_HOME": str(panel.folder / "ansible")},
        capture_output=True,
        text=True,
        check=False,
    )
    recap = _RECAP.search(done.stdout)
    if done.returncode or recap is None or recap[3] != "0" or recap[4] != "0":
        raise Wrong(done.stdout + done.stderr)
    return int(recap[2])


def now(panel: Panel, server: str = SERVER) -> str:
    told = panel.manage("mpm", "status", "--server", server, "--json").stdout
    return str(json.loads(told)["mpm"])


def two_at_once(panel: Panel, token: str) -> None:
    """Two playbooks that want two MPMs: both end green, one after the other, and the server runs
    what the later change was for. Raises Wrong."""
    before = now(panel, REAL)
    wishes = [mpm for mpm in ("event", "worker", "prefork") if mpm != before]
    with ThreadPoolExecutor(2) as pool:
        changed = sum(pool.map(lambda mpm: play(panel, token, mpm, server=REAL), wishes))
    told = panel.manage("mpm", "history", "--server", REAL, "--json").stdout
    changes = [(one["state"], one["to"]["mpm"]) for one in json.loads(told)["items"]]
    line = {"options": wishes, "changed": changed, "mpm": now(panel, REAL), "changes": changes}
    sys.stdout.write(json.dumps(line) + "\n")
    done = sorted(mpm for state, mpm in changes if state == "succeeded")
    if (changed, done) != (2, sorted(wishes)) or line["mpm"] != changes[0][1]:
        raise Wrong("Expected one change for each, and the MPM of the later one.")


def ready(panel: Panel) -> None:
    """Wait until both servers have been scanned."""
    end = time.monotonic() + 60
    for server in (SERVER, REAL):
        while panel.manage("mpm", "status", "--server", server).returncode:
            if time.monotonic() > end:
                raise Wrong(f"{server} was not scanned.")
            time.sleep(0.5)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ea4") as folder:
        Path(folder).chmod(0o755)
        panel = Panel.start(Path(folder) / "p")
        try:
            ready(panel)
            said = panel.manage("mpm", "token", "create", "ansible", "--scope", "change", "--json")
            token = str(json.loads(said.stdout)["token"])
            before = now(panel)
            target = "worker" if before == "event" else "event"
            for options, changed, after in (
                (("--check",), 1, before),
                ((), 1, target),
                ((), 0, target),
                (("--check",), 0, target),
            ):
                told = play(panel, token, target, *options)
                seen = now(panel)
                line = {"options": options, "changed": told, "mpm": seen}
                sys.stdout.write(json.dumps(line) + "\n")
                if (told, seen) != (changed, after):
                    raise Wrong(f"Expected {changed} changed and {after}.")
            two_at_once(panel, token)
        except Wrong as error:
            sys.stdout.write(f"{error}\n")
            return 1
        finally:
            panel.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
