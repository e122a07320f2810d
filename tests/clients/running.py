"""Starts a client of others against a panel, and says what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.panel import Panel
from tests.clients.plain import Whm

HERE = Path(__file__).parent
APART = str(HERE.parent.parent / ".venv-clients" / "bin" / "python")
"""A virtual environment for clients that pin old versions of what they need."""
CLIENTS: dict[str, tuple[str, ...]] = {
    "cpanel-api": (sys.executable, "with_cpanel_api.py"),
    "curl": ("sh", "with_curl.sh"),
    "pycpanel": (APART, "with_pycpanel.py"),
    "WhamBamPy": (APART, "with_whambampy.py"),
    "cpanel-lib": ("node", "with_cpanel_lib.js"),
    "cpanel-node": ("node", "with_cpanel_node.js"),
    "cPanel::PublicAPI": ("perl", "with_publicapi.pl"),
}
"""By name; all but cpanel-node call the functions where WHM has them."""
WAY = ("event", "prefork")


def token_for(panel: Panel, *options: str) -> str:
    command = ("mpm", "token", "create", "clients", "--scope", "change", "--json", *options)
    return str(json.loads(panel.manage(*command).stdout)["token"])


def by_hand(panel: Panel, server: str) -> Whm:
    """What the checks of ``tests.clients.plain`` call."""
    where = urlsplit(panel.address)
    lenient = token_for(panel, "--implied-removals")
    return Whm(str(where.hostname), where.port or 80, token_for(panel), lenient, server)


def there_and_back(client: str, panel: Panel, token: str, server: str) -> list[dict[str, Any]]:
    """One entry for each switch of ``WAY``. Raises CalledProcessError when the client gave up;
    what it said is then in its ``stderr``."""
    program, script = CLIENTS[client]
    where = urlsplit(panel.address)
    done = subprocess.run(
        [
            *(program, str(HERE / script)),
            *(str(where.hostname), str(where.port), token, server, *WAY),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
