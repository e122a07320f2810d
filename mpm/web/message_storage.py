"""Messages that can be read again after they were shown."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.messages.constants import DEFAULT_TAGS
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest
from django.utils import timezone

KEY = "said"
_BUTTON = re.compile(r"<button.*?</button>", re.DOTALL)
"""Buttons are not kept: it may be too late for them."""
MOST = 50


class RememberingStorage(SessionStorage):
    """Shows a message once, as Django does, and keeps the last fifty of the session."""

    def add(self, level: int, message: str, extra_tags: str | None = "") -> None:
        super().add(level, message, extra_tags)
        messages: list[dict[str, Any]] = self.request.session.get(KEY, [])
        entry = {
            "at": timezone.now().isoformat(),
            "level": DEFAULT_TAGS.get(level, "info"),
            "text": _BUTTON.sub("", str(message)).strip(),
        }
        self.request.session[KEY] = [*messages, entry][-MOST:]


def recent_messages(request: HttpRequest) -> list[dict[str, Any]]:
    """The newest first."""
    return list(reversed(request.session.get(KEY, [])))
