"""Every kind of event that history tells, and what it means. Pure.

A kind never changes once released: programs match on it.
"""

from __future__ import annotations

from collections.abc import Mapping

EVENT_KINDS: Mapping[str, str] = {
    "change.scheduled": "A change was requested and waits for its maintenance window",
    "change.queued": "A change was requested, or its maintenance window has opened",
    "change.running": "A change began on its server",
    "change.canceling": "A cancel was requested",
    "change.cancel_refused": "A cancel was too late",
    "change.canceled": "A change was canceled; nothing was changed",
    "change.succeeded": "A change succeeded",
    "change.restored": "A change failed, and the previous state was restored automatically",
    "change.not_started": "A change was refused, or failed, before anything was changed",
    "change.failed": "A change failed and needs attention",
    "change.silent": "The agent of a change fell silent",
    "change.recover": "Somebody asked after a change that seemed stuck",
    "change.late_outcome": "An agent told how a change ended after it was closed here",
    "change.told_later": "An agent told more of a change after it had ended",
    "change.outside": "A server was changed without this panel",
    "change.adopted": "A change made without this panel was accepted",
    "change.shared": "A link to the page of a change was made",
    "change.unshared": "The links to the page of a change were taken back",
    "preview.asked": "A server was asked what it would do",
    "server.added": "A server was added",
    "server.altered": "A server's entry was altered",
    "server.repair_asked": "A repair was asked for",
    "server.repaired": "A repair was done",
    "server.repair_failed": "A repair failed",
    "profile.observed": "A scan found packages in other versions, or httpd in another state",
    "profile.saved": "A profile was kept",
    "profile.uploaded": "A profile was uploaded",
    "profile.deleted": "A profile was deleted",
    "profile.restored": "A deleted profile was brought back",
    "token.made": "A token was made",
    "token.rotated": "A token got a new secret",
    "token.revoked": "A token was revoked",
    "webhook.made": "A webhook was made",
    "webhook.changed": "A webhook was altered",
    "webhook.rotated": "A webhook got a new secret",
    "webhook.removed": "A webhook was removed",
    "webhook.tested": "A test of a webhook was asked for",
    "webhook.sent_again": "A delivery was sent again by hand",
    "user.added": "An account was added",
    "user.role": "An account got another role",
    "user.activated": "An account was switched on",
    "user.deactivated": "An account was switched off",
    "user.password_reset": "An account got a new password",
    "history.pruned": "Old events were dropped",
}
