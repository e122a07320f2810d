"""``servicestatus`` and ``restartservice``, for httpd."""

from __future__ import annotations

from typing import Any

from mpm.access.scopes import Scope
from mpm.changes.services.repairs import repair
from mpm.models import Event
from mpm.web.polling import ANSWERS, found_no_place, wait_for
from mpm.whmapi.call import Call, function
from mpm.whmapi.envelope import Failed

HTTPD = "httpd"
RESTART = "restart-httpd"
WAIT_SECONDS = 25
MAIN = "ea-apache24"


@function("servicestatus")
def service_status(call: Call) -> dict[str, Any]:
    """The state of httpd at the last scan. The panel watches it, independent of WHM's own
    monitor."""
    _only_httpd(call.parameters.text("service", HTTPD) or HTTPD)
    profile = call.profile
    return {
        "service": [
            {
                "name": HTTPD,
                "display_name": "Apache Web Server",
                "enabled": 1,
                "installed": int(MAIN in profile.names),
                "monitored": 1,
                "running": int(profile.running is not None),
            }
        ]
    }


@function("restartservice", Scope.CHANGE)
def restart_service(call: Call) -> dict[str, Any]:
    """Tests the configuration, restarts httpd and looks whether it answers.

    With ``queue_task`` it answers at once. It is refused during a change, which restarts httpd
    itself.
    """
    service = call.parameters.required("service")
    _only_httpd(service)
    queued = call.parameters.flag("queue_task")
    number = repair(call.server, RESTART, call.caller.actor)
    if queued:
        return {"service": service, "output": "The restart of Apache was requested."}

    def look() -> Event | None:
        kinds = ["server.repaired", "server.repair_failed"]
        latest = Event.objects.filter(server_name=call.server.name, kind__in=kinds)
        return next(
            (one for one in latest.order_by("-id")[:20] if one.data.get("request") == number), None
        )

    found_no_place()
    event = wait_for(look, WAIT_SECONDS, places=ANSWERS)
    if event is None and found_no_place():
        raise Failed(
            "The restart was requested. Too many requests are waiting, so its result isn't awaited."
        )
    if event is None:
        raise Failed(
            f"{call.server} didn't answer within {WAIT_SECONDS} seconds. Apache may still "
            f"be restarted."
        )
    output = "\n".join(part for part in (event.data.get("log"), event.data.get("message")) if part)
    if event.kind != "server.repaired":
        raise Failed(str(event.data.get("message") or "Apache couldn't be restarted."))
    return {"service": service, "output": output}


def _only_httpd(service: str) -> None:
    if service != HTTPD:
        raise Failed(f"The service “{service[:60]}” is not managed by this panel; “httpd” is.")
