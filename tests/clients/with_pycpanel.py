"""There and back with pycpanel 0.1.5, from PyPI: HOST PORT TOKEN SERVER MPM...

It tests the connection by ``applist`` of API 0, and knows WHM's own ports only. The address of the
panel is therefore given to it as the proxy that leads to port 2086.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import pycpanel

HOST, PORT, TOKEN, SERVER, *MPMS = sys.argv[1:]


def call(whm: Any, function: str, **values: Any) -> Any:
    answer = whm.api(function, {"api.version": 1, "server": SERVER, **values})
    if answer["metadata"]["result"] != 1:
        raise SystemExit(f"{function}: {answer['metadata']['reason']}")
    return answer["data"]


def switch(whm: Any, mpm: str) -> dict[str, Any]:
    wanted = f"ea-apache24-mod_mpm_{mpm}"
    moves = call(whm, "package_manager_resolve_actions", package=wanted)
    lists = {name: moves[name] for name in ("install", "uninstall")}
    build = call(whm, "package_manager_submit_actions", **lists)["build"]
    lines, offset, running = 0, 0, 1
    while running:
        log = call(whm, "package_manager_get_build_log", build=build, offset=offset)
        lines, offset, running = lines + len(log["content"]), log["offset"], log["still_running"]
        time.sleep(0.2)
    active = call(whm, "package_manager_is_performing_actions", build=build)["active"]
    packages = call(whm, "ea4_get_currently_installed_packages")["packages"]
    done = active == 0 and wanted in packages and "version" in whm.apilist
    return {"client": "pycpanel", "mpm": mpm, "build": build, "lines": lines, "done": done}


os.environ["http_proxy"] = f"http://{HOST}:{PORT}"
os.environ.pop("no_proxy", None)
panel = pycpanel.conn("localhost", hash=TOKEN, ssl=False, check_conn=True)
for name in MPMS:
    sys.stdout.write(json.dumps(switch(panel, name)) + "\n")
    sys.stdout.flush()
