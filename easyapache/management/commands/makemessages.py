"""Django's ``makemessages``, which also finds the templates of sentences.

``manage.py makemessages -l de --no-wrap --no-location``, translate, ``manage.py compilemessages``.
"""

from __future__ import annotations

from typing import ClassVar

from django.core.management.commands import makemessages


class Command(makemessages.Command):
    """``Sentence("…")`` and ``marked("…")`` are texts to translate, like ``_("…")``."""

    xgettext_options: ClassVar[list[str]] = [
        *makemessages.Command.xgettext_options,
        "--keyword=Sentence",
        "--keyword=marked",
    ]
