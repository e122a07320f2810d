"""There and back with cpanel-api, from PyPI: HOST PORT TOKEN SERVER MPM...

The package speaks UAPI and API 2 of an account; its ``call_api`` takes a path, and with it the
functions of WHM API 1 are called as WHM itself would want them: POST, a form, ``whm user:token``.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from cpanel_api import CPanelApi


class Whm:
    def __init__(self, host: str, port: str, token: str, server: str) -> None:
        self.server = server
        self.client = CPanelApi(host, "root", token, port=int(port), auth_type="token", ssl=False)
        self.client.timeout = 120.0

    def call(self, function: str, **values: Any) -> Any:
        values = {"api.version": 1, "server": self.server, **values}
        answer = self.client.call_api("uapi", "..", f"json-api/{function}", values)
        if answer.metadata.result != 1:
            raise SystemExit(f"{function}: {answer.metadata.reason}")
        return answer.data


def switch(whm: Whm, mpm: str) -> dict[str, Any]:
    wanted = f"ea-apache24-mod_mpm_{mpm}"
    moves = whm.call("package_manager_resolve_actions", package=wanted)
    build = whm.call(
        "package_manager_submit_actions", install=moves.install, uninstall=moves.uninstall
    ).build
    lines, offset, running = 0, 0, 1
    while running:
        log = whm.call("package_manager_get_build_log", build=build, offset=offset)
        lines, offset, running = lines + len(log.content), log.offset, log.still_running
        time.sleep(0.2)
    active = whm.call("package_manager_is_performing_actions", build=build).active
    packages = whm.call("ea4_get_currently_installed_packages").packages
    return {
        "client": "cpanel-api",
        "mpm": mpm,
        "build": build,
        "lines": lines,
        "done": active == 0 and wanted in packages,
    }


if __name__ == "__main__":
    whm = Whm(*sys.argv[1:5])
    for name in sys.argv[5:]:
        sys.stdout.write(json.dumps(switch(whm, name)) + "\n")
        sys.stdout.flush()
