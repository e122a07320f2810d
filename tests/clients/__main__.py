"""Every client against a real server in a folder: prefork, event, prefork. ``make clients``"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.panel import Panel
from tests.clients.plain import CHECKS
from tests.clients.running import CLIENTS, by_hand, there_and_back, token_for

# cPanel::PublicAPI is on CPAN, which is not asked for anything here: it runs where it is installed.
ASKS = {"cPanel::PublicAPI": ("perl", "-McPanel::PublicAPI", "-e", "1")}


def installed(client: str) -> bool:
    asks = ASKS.get(client)
    return asks is None or not subprocess.run(asks, capture_output=True, check=False).returncode


def _by_hand(panel: Panel) -> int:
    """How many checks failed of what clients rely on that cannot be installed here."""
    whm, failed = by_hand(panel, "lab"), 0
    for check in CHECKS:
        entry = {"client": "plain", "check": check.__name__.replace("_", " "), "done": True}
        try:
            check(whm)
        except AssertionError as error:
            failed += 1
            entry |= {"done": False, "error": str(error)}
        sys.stdout.write(json.dumps(entry) + "\n")
        sys.stdout.flush()
    return failed


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ea4") as folder:
        Path(folder).chmod(0o755)
        panel = Panel.start(Path(folder) / "p")
        try:
            token = token_for(panel)
            for client in CLIENTS:
                if not installed(client):
                    sys.stdout.write(f"{client}: not installed here, not tried\n")
                    continue
                try:
                    for entry in there_and_back(client, panel, token, "lab"):
                        failed += not entry["done"]
                        sys.stdout.write(json.dumps(entry) + "\n")
                        sys.stdout.flush()
                except subprocess.CalledProcessError as error:
                    failed += 1
                    sys.stdout.write(f"{client} gave up: {error.stderr or error.stdout}\n")
            failed += _by_hand(panel)
        finally:
            panel.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
