"""There and back with WhamBamPy 0.0.7, from PyPI: HOST PORT TOKEN SERVER MPM...

It opens a session before anything else and puts its security token into every address. It knows
functions by name, of which ``batch`` can call all others.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from urllib.parse import urlencode

from whambampy import whm

HOST, PORT, TOKEN, SERVER, *MPMS = sys.argv[1:]


def call(client: Any, function: str, **values: Any) -> Any:
    query = urlencode({"server": SERVER, **values}, doseq=True)
    answer = client.call("batch", command=f"{function}?{query}")
    if answer["metadata"]["result"] != 1:
        raise SystemExit(answer["metadata"]["reason"])
    return answer["data"]["result"][0]["data"]


def switch(client: Any, mpm: str) -> dict[str, Any]:
    wanted = f"ea-apache24-mod_mpm_{mpm}"
    moves = call(client, "package_manager_resolve_actions", package=wanted)
    lists = {name: moves[name] for name in ("install", "uninstall")}
    build = call(client, "package_manager_submit_actions", **lists)["build"]
    lines, offset, running = 0, 0, 1
    while running:
        log = call(client, "package_manager_get_build_log", build=build, offset=offset)
        lines, offset, running = lines + len(log["content"]), log["offset"], log["still_running"]
        time.sleep(0.2)
    active = call(client, "package_manager_is_performing_actions", build=build)["active"]
    packages = call(client, "ea4_get_currently_installed_packages")["packages"]
    done = active == 0 and wanted in packages and "version" in client.call("version")["data"]
    return {"client": "WhamBamPy", "mpm": mpm, "build": build, "lines": lines, "done": done}


panel = whm(HOST, "root", TOKEN, whm_port=PORT, whm_protocol="http://")
for name in MPMS:
    sys.stdout.write(json.dumps(switch(panel, name)) + "\n")
    sys.stdout.flush()
