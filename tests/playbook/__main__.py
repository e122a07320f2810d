"""Runs docs/how-to/change-the-mpm.yml with Ansible itself: in check mode, twice, and in check mode
again. ``make playbook``"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.panel import Panel

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = ROOT / ".venv-bench" / "bin" / "ansible-playbook"
PLAYBOOK = ROOT / "docs" / "how-to" / "change-the-mpm.yml"
SERVER = "sandbox"
_RECAP = re.compile(r"ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)")


class Wrong(Exception):
    """The playbook did not do what it is for."""


def play(panel: Panel, token: str, mpm: str, *options: str) -> int:
    """Run it; the number of tasks that changed, or would change, something. Raises Wrong."""
    done = subprocess.run(
        [
            *(str(ANSIBLE), str(PLAYBOOK), "-i", "localhost,", "-c", "local", *options),
            *("-e", f"panel={panel.address.rstrip('/')}", "-e", f"server={SERVER}"),
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


def now(panel: Panel) -> str:
    told = panel.manage("mpm", "status", "--server", SERVER, "--json").stdout
    return str(json.loads(told)["mpm"])


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ea4") as folder:
        Path(folder).chmod(0o755)
        panel = Panel.start(Path(folder) / "p", "--simulated")
        try:
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
        except Wrong as error:
            sys.stdout.write(f"{error}\n")
            return 1
        finally:
            panel.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
