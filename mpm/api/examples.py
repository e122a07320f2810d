"""Examples of all requests and responses of the API, by name of the schema.

They all show the same case: web03 is changed from prefork to event, with the same numbers
everywhere. A test validates each against its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from easyapache.ea4.conditions.diagnosis import diagnosis_of

Json = dict[str, Any]

_STATE = "7c1f0a3b5d9e8f6a1b2c3d4e5f60718a"
_PLAN = "0d4c6f0e8b1a4d3c9e2f7a6b5c4d3e2f"
_REQUESTED, _BEGUN, _ENDED = (
    "2026-03-03T21:04:11.802Z",
    "2026-03-03T21:04:12.010Z",
    "2026-03-03T21:04:19.101Z",
)
_EVENT, _PREFORK = "ea-apache24-mod_mpm_event", "ea-apache24-mod_mpm_prefork"

SEEN: Json = {"mpms": ["prefork"], "itk": False}
BEFORE: Json = {"mpm": "prefork", "itk": False}
AFTER: Json = {"mpm": "event", "itk": False}
CHOICE: Json = {"mpm": "event", "itk": False, "add": ["ea-apache24-mod_suexec"]}

FIX: Json = {
    "label": "Add mod_suexec",
    "add": ["ea-apache24-mod_suexec"],
    "unkeep": [],
    "mpm": None,
    "itk": None,
}
FINDING: Json = {
    "code": "code_runs_as_nobody",
    "severity": "warn",
    "title": "Scripts would run as nobody",
    "message": "No module would be left that runs code as the account's user.",
    "remedy": "Add mod_suexec.",
    "packages": ["ea-apache24-mod_suexec"],
    "fixes": [FIX],
}
IN: Json = {
    "name": _EVENT,
    "evr": "2.4.67-2",
    "arch": "x86_64",
    "reason": "selected",
    "cause": "asked",
}
OUT: Json = {
    "name": _PREFORK,
    "evr": "2.4.67-2",
    "arch": "x86_64",
    "reason": "one MPM at a time",
    "cause": "conflict",
}
KEPT: Json = {
    "name": "ea-apache24-mod_http2",
    "evr": "2.4.67-2",
    "arch": "x86_64",
    "reason": "works with event",
    "cause": "",
}
EXPECTED: Json = {
    "samples": 3,
    "refused": 0,
    "longest_wait_ms": 41.5,
    "seconds": 7.1,
    "fastest": 5.2,
    "slowest": 9.4,
    "smooth": 3,
    "restored": 0,
    "failed": 0,
    "method": "overlap",
    "why": (
        "the old and new Apache share the ports (supported by this kernel and the agent's "
        "permissions)"
    ),
}
DIAGNOSIS: Json = {
    key: str(value)
    for key, value in diagnosis_of("httpd_down", "httpd is not running").as_json().items()
}
REPAIR: Json = {
    "id": "019cb5b1c6caf1d04e6a8c02b7d95e13",
    "href": "/api/v1/servers/web03/repairs/019cb5b1c6caf1d04e6a8c02b7d95e13",
    "server": "web03",
    "action": "start-httpd",
    "state": "succeeded",
    "requested_by": "ada",
    "requested_at": _REQUESTED,
    "ok": True,
    "message": "Apache runs event.",
    "log": "Syntax OK",
}
PLAN: Json = {
    "id": None,
    "server": "web03",
    "source": "stored",
    "from": BEFORE,
    "to": AFTER,
    "headline": "prefork → event · 1 to install · 1 to remove",
    "install": [IN],
    "remove": [OUT],
    "keep": [KEPT],
    "findings": [FINDING],
    "blocked": False,
    "nothing_to_do": False,
    "satisfied": False,
    "digest": _PLAN,
    "base_digest": _STATE,
    "predicted_interruption": EXPECTED,
}
MOVED: Json = {
    "digest": _PLAN,
    "base_digest": _STATE,
    "headline": PLAN["headline"],
    "install": [_EVENT],
    "remove": [_PREFORK],
}

PROBLEM_OF_SERVER: Json = {
    "code": "incomplete_change",
    "state": "critical",
    "message": "Change #37 didn't finish and couldn't be undone. Apache may be down.",
    "change": 37,
}
HEALTH: Json = {"state": "critical", "problems": [PROBLEM_OF_SERVER]}
SERVER: Json = {
    "name": "web03",
    "href": "/api/v1/servers/web03",
    "hostname": "web03.example.net",
    "kind": "real",
    "active": True,
    "require_digest": False,
    "note": "",
    "created_at": "2026-01-12T09:00:00.000Z",
    "last_seen_at": "2026-03-03T21:04:11.000Z",
    "mpm": "prefork",
    "itk": False,
    "digest": _STATE,
    "active_change": None,
    "health": HEALTH,
}
ADVICE: Json = {
    "mpm": "event",
    "fits": True,
    "headline": "event is recommended.",
    "why": ["This system supports threads and thread-safe polling."],
    "threads": True,
    "safe_polling": True,
    "detected": {"threads": True, "safe_polling": True},
}
PACKAGE: Json = {
    "name": _PREFORK,
    "epoch": 0,
    "version": "2.4.67",
    "release": "2",
    "arch": "x86_64",
}
PROFILE: Json = {
    "server": "web03",
    "digest": _STATE,
    "observed_at": "2026-03-03T20:00:00.000Z",
    "confirmed_at": "2026-03-03T21:04:00.000Z",
    "source": "scan",
    "packages": [PACKAGE],
    "configured": SEEN,
    "running": SEEN,
    "facts": {"threads": True, "httpd_version": "2.4.67"},
}
MPM: Json = {
    "server": "web03",
    "mpm": "prefork",
    "itk": False,
    "sound": True,
    "installed": SEEN,
    "configured": SEEN,
    "running": SEEN,
    "digest": _STATE,
    "recommendation": ADVICE,
}

CHANGE: Json = {
    "id": 1284,
    "uuid": "9b2d7c6a5f4e4d3c8b1a0f9e8d7c6b5a",
    "href": "/api/v1/changes/1284",
    "server": "web03",
    "state": "running",
    "finished": False,
    "step": "packages",
    "from": BEFORE,
    "to": AFTER,
    "reason": "HTTP/2 for the shop",
    "ticket": "OPS-2114",
    "requested_by": "deploy",
    "role": "token",
    "origin": "rest",
    "token": "deploy",
    "address": "198.51.100.7",
    "request_id": "5f0c6a2b9d3e4f10",
    "digest": _PLAN,
    "base_digest": _STATE,
    "requested_at": _REQUESTED,
    "not_before": None,
    "not_after": None,
    "started_at": _BEGUN,
    "finished_at": None,
    "silent_since": None,
    "outcome": "",
    "decided_by": "",
    "error": "",
    "refused": None,
    "longest_wait_ms": None,
    "log_size": 2211,
    "rollback_of": None,
}
CHECK: Json = {
    "name": "running_mpm",
    "title": "Running MPM",
    "expected": "event",
    "seen": "event",
    "ok": True,
}
EVIDENCE: Json = {"phase": "after", "checks": [CHECK]}
INTERRUPTION: Json = {
    "method": "overlap",
    "reason": "old and new httpd share the ports: this kernel and these rights allow it",
    "probes": 120,
    "refused": 0,
    "reset": 0,
    "longest_wait_ms": 41.5,
    "window_ms": 612.0,
    "partial": False,
}
ENTRY: Json = {
    "at": _ENDED,
    "kind": "change.succeeded",
    "title": "The change succeeded",
    "detail": "agent of web03",
    "status": "",
}
FOUND: Json = {
    "code": "httpd_down",
    "title": "Apache isn't running",
    "message": "It ended or did not start; its error log says why.",
    "remedy": "Test the configuration (httpd -t), then start it.",
    "repair": "start-httpd",
}
STEP: Json = {"step": "packages", "status": "done", "at": _ENDED, "detail": ""}
DETAIL: Json = {
    **CHANGE,
    "state": "succeeded",
    "finished": True,
    "step": "verify",
    "finished_at": _ENDED,
    "outcome": "web03 runs event.",
    "decided_by": "verification",
    "refused": 0,
    "longest_wait_ms": 41.5,
    "install": [IN],
    "remove": [OUT],
    "findings": [FINDING],
    "steps": [STEP],
    "evidence": [EVIDENCE],
    "diagnosis": [],
    "interruption": INTERRUPTION,
    "moved": None,
    "story": [
        "deploy changed web03 from prefork to event on Mar 3, 2026, 9:04 PM UTC.",
        "The change succeeded. web03 now runs event.",
    ],
    "timeline": [ENTRY],
    "why_not_cancel": "Change #1284 has finished (succeeded).",
    "why_not_roll_back": "",
}
SWITCH: Json = {
    "mpm": "event",
    "reason": "HTTP/2 for the shop",
    "ticket": "OPS-2114",
    "digest": _PLAN,
}
SWITCHED: Json = {
    "changed": True,
    "would_change": True,
    "dry_run": False,
    "detail": "Change #1284 was created.",
    "change": CHANGE,
    "plan": None,
}

ACTOR: Json = {
    "name": "agent of web03",
    "role": "agent",
    "origin": "schedule",
    "token": "",
    "address": "",
    "agent": "",
}
EVENT: Json = {
    "id": 90211,
    "kind": "change.succeeded",
    "at": _ENDED,
    "server": "web03",
    "change": 1284,
    "actor": ACTOR,
    "request_id": "",
    "data": {"outcome": "succeeded", "decided_by": "verification"},
    "hash": "0f6d4c1b7a2e9d8c5b4a3f2e1d0c9b8a7f6e5d4c3b2a190807f6e5d4c3b2a190",
}

_OVER: Json = {
    **CHANGE,
    "state": "succeeded",
    "finished": True,
    "step": "verify",
    "finished_at": _ENDED,
    "outcome": "web03 runs event.",
    "decided_by": "verification",
    "refused": 0,
    "longest_wait_ms": 41.5,
}
NOTIFICATION: Json = {
    **EVENT,
    "text": "web03: prefork → event. A change succeeded (#1284, requested by deploy).",
    "link": "https://panel.example.com/software/easyapache4/history/1284/",
    "details": _OVER,
}
TEST: Json = {
    "webhook": "4f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "name": "Chat",
    "text": "Test of the webhook Chat. It works.",
    "link": "https://panel.example.com/webhooks/4f1e2d3c4b5a69788796a5b4c3d2e1f0/",
}

WEBHOOK_WISH: Json = {
    "name": "Chat",
    "url": "https://hooks.example.net/ea4",
    "format": "generic",
    "kinds": ["change.*"],
    "servers": ["web03"],
}
WEBHOOK: Json = {
    "id": "4f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "href": "/api/v1/webhooks/4f1e2d3c4b5a69788796a5b4c3d2e1f0",
    **WEBHOOK_WISH,
    "active": True,
    "sandbox": False,
    "created_at": "2026-03-01T09:00:00.000Z",
    "created_by": "ops",
    "pepper": "2026",
}
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw0000000000"
ATTEMPT: Json = {"at": _ENDED, "status": 204, "ms": 38, "error": "", "answer": ""}
DELIVERY: Json = {
    "id": "7a6b5c4d3e2f10213243546576879809",
    "href": "/api/v1/webhooks/4f1e2d3c4b5a69788796a5b4c3d2e1f0/deliveries/"
    "7a6b5c4d3e2f10213243546576879809",
    "event": 90211,
    "kind": "change.succeeded",
    "state": "delivered",
    "attempts": 1,
    "created_at": _ENDED,
    "next_at": None,
    "delivered_at": _ENDED,
    "log": [ATTEMPT],
}

TOKEN_WISH: Json = {
    "name": "deploy",
    "purpose": "switches web03 after a release",
    "scopes": ["change", "rollback"],
    "servers": ["web03"],
    "networks": ["198.51.100.0/24"],
    "expires_at": "2027-01-01T00:00:00.000Z",
}
TOKEN: Json = {
    "id": "4Fv9QxT2mLw7",
    "href": "/api/v1/tokens/4Fv9QxT2mLw7",
    **TOKEN_WISH,
    "sandbox": False,
    "implied_removals": False,
    "per_minute": None,
    "state": "active",
    "created_at": "2026-03-01T09:00:00.000Z",
    "created_by": "ada",
    "last_used_at": "2026-03-03T21:04:11.000Z",
    "last_used_address": "198.51.100.7",
    "revoked_at": None,
    "revoked_by": "",
    "replaces": None,
    "pepper": "2026",
}

ERROR: Json = {
    "detail": "must be 'event', 'worker' or 'prefork'",
    "pointer": "#/mpm",
    "parameter": None,
    "header": None,
}
IN_THE_WAY: Json = {"id": 1284, "href": "/api/v1/changes/1284", "state": "running"}
PROBLEM: Json = {
    "type": "/api/docs#problem-busy",
    "title": "Another change is running on this server",
    "status": 409,
    "detail": "Change #1284 on web03 (running) hasn't finished. Only one change can run at a time.",
    "instance": "/api/v1/servers/web03/mpm",
    "code": "busy",
    "request_id": "5f0c6a2b9d3e4f10",
    "remedy": "Wait until change #1284 finishes, or cancel it.",
    "change": IN_THE_WAY,
}

EXAMPLES: Mapping[str, Json] = {
    "Actor": ACTOR,
    "Attempt": ATTEMPT,
    "CancelIn": {},
    "Change": CHANGE,
    "ChangeDetail": DETAIL,
    "ChangeList": {"items": [CHANGE], "next": "b1284", "previous": None},
    "Check": CHECK,
    "ChoiceIn": CHOICE,
    "Delivery": DELIVERY,
    "DeliveryList": {"items": [DELIVERY], "next": None},
    "Diagnosed": FOUND,
    "Diagnosis": DIAGNOSIS,
    "Diagnostics": {
        "server": "web03",
        "observed_at": _REQUESTED,
        "change": None,
        "findings": [DIAGNOSIS],
    },
    "Event": EVENT,
    "EventList": {"items": [EVENT], "next": "16063"},
    "Evidence": EVIDENCE,
    "Finding": FINDING,
    "Fix": FIX,
    "Health": HEALTH,
    "Interruption": INTERRUPTION,
    "InvalidValue": ERROR,
    "Moved": {"install": [_EVENT], "remove": [_PREFORK]},
    "MovedPackage": IN,
    "MovedPlan": MOVED,
    "MpmStatus": MPM,
    "NewToken": {
        **TOKEN,
        "last_used_at": None,
        "last_used_address": "",
        "token": "ea4mpm_4Fv9QxT2mLw7_" + "0" * 43,
    },
    "NewWebhook": {**WEBHOOK, "secret": WHSEC},
    "Notification": NOTIFICATION,
    "NotificationBody": {
        "type": "change.succeeded",
        "timestamp": _ENDED,
        "data": NOTIFICATION,
    },
    "Observation": SEEN,
    "Package": PACKAGE,
    "PendingPlan": {
        "id": "1c2d3e4f5061728394a5b6c7d8e9f001",
        "href": "/api/v1/servers/web03/plans/1c2d3e4f5061728394a5b6c7d8e9f001",
        "state": "pending",
    },
    "Plan": PLAN,
    "PredictedInterruption": EXPECTED,
    "ProblemDetails": PROBLEM,
    "Profile": PROFILE,
    "Recommendation": ADVICE,
    "RelatedChange": IN_THE_WAY,
    "Repair": REPAIR,
    "RepairIn": {"action": "start-httpd"},
    "RepairList": {"items": [REPAIR], "next": "15f8a"},
    "RollBackIn": {"reason": "The shop's plugin needs prefork", "ticket": "OPS-2120"},
    "RotateIn": {"overlap_hours": 24},
    "Secret": {"secret": WHSEC},
    "Selection": BEFORE,
    "Server": SERVER,
    "ServerList": {"items": [SERVER], "next": None},
    "ServerProblem": PROBLEM_OF_SERVER,
    "StepReport": STEP,
    "SwitchIn": SWITCH,
    "SwitchOut": SWITCHED,
    "Test": TEST,
    "TestBody": {"type": "webhook.test", "timestamp": _ENDED, "data": TEST},
    "TimelineEntry": ENTRY,
    "Token": TOKEN,
    "TokenIn": TOKEN_WISH,
    "TokenList": {"items": [TOKEN], "next": None},
    "TokenUpdate": {"implied_removals": True},
    "Webhook": WEBHOOK,
    "WebhookUpdate": {"active": False},
    "WebhookIn": WEBHOOK_WISH,
    "WebhookList": {"items": [WEBHOOK], "next": None},
}

RESPONSE_EXAMPLES: Mapping[tuple[str, int], Json] = {
    ("updateMpm", 200): {
        "changed": False,
        "would_change": False,
        "dry_run": False,
        "detail": "No changes needed: the server already runs event with all required packages.",
        "change": None,
        "plan": None,
    },
}
"""Of one answer of an operation, where the example of its shape is about another one."""
