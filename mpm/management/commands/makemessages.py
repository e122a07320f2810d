"""Django's ``makemessages``, which also finds the templates of sentences.

``manage.py makemessages -l de --no-wrap --no-location``, translate, ``manage.py compilemessages``.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    """``Sentence("…")`` and ``marked("…")`` are texts to translate, like ``_("…")``;
    ``counted("…", "…", count=2)`` is one entry with a plural, like ``ngettext``."""

    xgettext_options: list[str] = [  # as Django declares it
        *makemessages.Command.xgettext_options,
        "--keyword=Sentence",
        "--keyword=marked",
        "--keyword=counted:1,2",
    ]

    def handle(self, *args: Any, **options: Any) -> None:
        """Tests have sentences that are never shown."""
        ignored = [*options["ignore_patterns"], "tests/*", "bench/*", "var/*", ".venv/*"]
        super().handle(*args, **{**options, "ignore_patterns": ignored})
