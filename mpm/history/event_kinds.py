"""Every kind of event in the history, and its meaning. Pure.

A kind never changes once released: programs match on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

EVENT_KINDS: Mapping[str, str] = {
    "change.scheduled": "A change was requested and waits for its maintenance window",
    "change.queued": "A change was requested, or its maintenance window has opened",
    "change.running": "A change started on its server",
    "change.canceling": "A cancel was requested",
    "change.cancel_refused": "A cancel was too late",
    "change.canceled": "A change was canceled; nothing was changed",
    "change.succeeded": "A change succeeded",
    "change.restored": "A change failed, and the previous state was restored automatically",
    "change.not_started": "A change was refused, or failed, before anything was changed",
    "change.failed": "A change failed and needs attention",
    "change.silent": "The agent of a change stopped responding",
    "change.recover": "An administrator asked the agent about a change that seemed stuck",
    "change.late_outcome": "An agent reported how a change ended after it was closed manually",
    "change.late_report": "An agent reported more of a change after it had ended",
    "change.external": "A server was changed outside this panel",
    "change.accepted": "A change made outside this panel was accepted",
    "change.shared": "A share link to a change was created",
    "change.unshared": "The share links to a change were revoked",
    "preview.requested": "A plan was requested from a server",
    "server.created": "A server was added to the panel",
    "server.updated": "The settings of a server were changed",
    "server.repair_requested": "A repair was requested",
    "server.repaired": "A repair succeeded",
    "server.repair_failed": "A repair failed",
    "profile.observed": "A scan found other package versions, or Apache in another state",
    "profile.saved": "A profile was saved",
    "profile.uploaded": "A profile was uploaded",
    "profile.deleted": "A profile was deleted",
    "profile.restored": "A deleted profile was restored",
    "token.created": "A token was created",
    "token.updated": "A token was changed",
    "token.rotated": "A token got a new secret",
    "token.revoked": "A token was revoked",
    "webhook.created": "A webhook was created",
    "webhook.updated": "A webhook was changed",
    "webhook.rotated": "A webhook got a new secret",
    "webhook.deleted": "A webhook was deleted",
    "webhook.tested": "A test delivery was requested",
    "webhook.redelivered": "A delivery was sent again manually",
    "user.created": "A user was created",
    "user.role": "A user got another role",
    "user.enabled": "A user was enabled",
    "user.disabled": "A user was disabled",
    "user.password_reset": "The password of a user was reset",
    "whm.key_registered": "The key for sign-in from the WHM of a server was registered",
    "whm.key_removed": "The key for sign-in from the WHM of a server was removed",
    "whm.updated": "What a sign-in from the WHM of a server permits was changed",
    "whm.signed_in": "A WHM user signed in from a server",
    "whm.refused": "A sign-in from the WHM of a server was refused",
    "history.heads": "The panel noted the newest event of every server",
    "history.pruned": "Old events were deleted",
}


def matching(patterns: Iterable[str]) -> list[str]:
    """The kinds that ``patterns`` name: a kind, or ``change.*`` for all that begin so."""
    wanted = tuple(patterns)
    return [kind for kind in EVENT_KINDS if any(_matches(pattern, kind) for pattern in wanted)]


def unknown_kind(patterns: Collection[str]) -> str | None:
    """The first that names no kind of event there is; None when all do."""
    return next((pattern for pattern in patterns if not matching([pattern])), None)


def _matches(pattern: str, kind: str) -> bool:
    return kind.startswith(pattern[:-1]) if pattern.endswith(".*") else pattern in (kind, "*")
