"""What a webhook is sent, in the format its receiver understands. Pure but for PANEL_URL.

``generic`` is the event and its change as JSON. ``slack`` and ``teams`` are what an incoming
webhook of Slack and a workflow of Microsoft Teams take; ``email`` is a subject and a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import reverse

from mpm.history.event_kinds import EVENT_KINDS
from mpm.models import Change, Event
from mpm.schemas.change import Change as ChangeSchema
from mpm.schemas.change import Selection
from mpm.schemas.event import TEST
from mpm.schemas.event import Event as EventSchema
from mpm.schemas.notification import Notification, NotificationBody, Test, TestBody

Json = dict[str, Any]
LONGEST = 1000
"""Characters of one text; Slack takes 3,000 in a message, Teams 28 KB."""
_STEADY = {"succeeded": "Good", "failed": "Attention", "restored": "Warning"}


def notification(event: Event, change: Change | None) -> Notification:
    """``change``: the one the event is about, without what only its page shows."""
    details = None if change is None else ChangeSchema.of(change)
    base = EventSchema.of(event)
    return Notification(
        **dict(base),
        text=_line(base, details),
        link=_link(base),
        details=details,
    )


def body_of(notification: Notification, form: str) -> Json:
    """The body of a delivery in the format ``form``."""
    if form == "generic":
        whole = NotificationBody(
            type=notification.kind, timestamp=notification.at, data=notification
        )
        return whole.as_json()
    return _IN[form](
        notification.text, _facts(notification), notification.link, _mood(notification)
    )


def test_body(webhook: str, name: str, form: str, test: TestBody) -> Json:
    """The body of a test in the format ``form``."""
    if form == "generic":
        return test.as_json()
    return _IN[form](test.data.text, {"Webhook": name, "ID": webhook}, test.data.link, "Default")


def a_test(webhook: str, name: str, at: Any) -> TestBody:
    text = f"Test of the webhook {name}. It works."
    link = _page("webhook", webhook)
    return TestBody(
        type=TEST, timestamp=at, data=Test(webhook=webhook, name=name, text=text, link=link)
    )


# -- what is told ------------------------------------------------------------------------------


def _line(event: EventSchema, change: ChangeSchema | None) -> str:
    meaning = EVENT_KINDS.get(event.kind, event.kind)
    if change is None:
        where = f" on {event.server}" if event.server else ""
        return f"{meaning}{where} (by {event.actor.name or 'the panel'})."
    return (
        f"{change.server}: {_what(change)}. {meaning} "
        f"(#{change.id}, requested by {change.requested_by})."
    )


def _facts(notification: Notification) -> dict[str, str]:
    """The facts for people, without empty ones."""
    change = notification.details
    facts = {"Server": notification.server or ""}
    if change is not None:
        facts |= {
            "Change": f"#{change.id} {_what(change)}",
            "Requested by": change.requested_by,
            "Reason": change.reason,
            "Ticket": change.ticket,
            "Outcome": change.outcome,
            "Visitor impact": _visitors(change),
        }
    else:
        facts["By"] = notification.actor.name
    return {name: text[:LONGEST] for name, text in facts.items() if text}


def _visitors(change: ChangeSchema) -> str:
    if change.refused is None:
        return ""
    count = f"{change.refused} connections refused" if change.refused else "No connections refused"
    wait = change.longest_wait_ms
    return count if wait is None else f"{count}, longest wait {wait:.0f} ms"


def _what(change: ChangeSchema) -> str:
    if change.from_ == change.to:
        return f"packages of {_side(change.to)}"
    return f"{_side(change.from_)} → {_side(change.to)}"


def _side(side: Selection) -> str:
    return f"{side.mpm or '?'}{' with ITK' if side.itk else ''}"


def _mood(notification: Notification) -> str:
    return _STEADY.get(notification.kind.partition(".")[2], "Default")


def _link(event: EventSchema) -> str:
    if event.change is not None:
        return _page("change", event.change)
    return _page("server", event.server) if event.server else _page("home")


def _page(name: str, *about: object) -> str:
    base: str = settings.PANEL_URL
    return base.rstrip("/") + reverse(name, args=about) if base else ""


# -- in the formats of others --------------------------------------------------------------------


def _slack(text: str, facts: Mapping[str, str], link: str, _mood: str) -> Json:
    lines = "\n".join(f"*{name}:* {_escaped(value)}" for name, value in facts.items())
    title = f"<{link}|{_escaped(text)}>" if link else _escaped(text)
    section = {"type": "section", "text": {"type": "mrkdwn", "text": f"{title}\n{lines}"[:3000]}}
    return {"text": _escaped(text), "blocks": [section]}


def _escaped(text: str) -> str:
    """The three characters that mean something in Slack's own markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(text: str, facts: Mapping[str, str], link: str, mood: str) -> Json:
    content: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {
                "type": "TextBlock",
                "text": text,
                "wrap": True,
                "weight": "Bolder",
                "color": mood,
            },
            {
                "type": "FactSet",
                "facts": [{"title": name, "value": value} for name, value in facts.items()],
            },
        ],
    }
    if link:
        content["actions"] = [{"type": "Action.OpenUrl", "title": "View in panel", "url": link}]
    kind = "application/vnd.microsoft.card.adaptive"
    card = {"contentType": kind, "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [card]}


def _email(text: str, facts: Mapping[str, str], link: str, _mood: str) -> Json:
    lines = [text, "", *(f"{name}: {' '.join(value.split())}" for name, value in facts.items())]
    return {
        "subject": " ".join(f"[EA4] {text}".split())[:200],
        "text": "\n".join([*lines, *(["", link] if link else [])]) + "\n",
    }


_IN = {"slack": _slack, "teams": _teams, "email": _email}
