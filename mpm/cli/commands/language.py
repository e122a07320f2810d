"""Translations of the commands in the language of the shell, without Django.

``_`` translates where it is called, so it is called while a command runs. The catalog is the
panel's own: beside the sources, or in the wheel of ``ea4mpm``.
"""

from __future__ import annotations

import gettext
import sys
from functools import cache
from pathlib import Path

DOMAIN = "django"
PLACES = (
    Path(__file__).resolve().parents[3] / "locale",
    Path(sys.prefix) / "share" / "ea4mpm" / "locale",
)


@cache
def catalog() -> gettext.NullTranslations:
    """By LANGUAGE, LC_ALL, LC_MESSAGES and LANG, as gettext reads them."""
    for place in PLACES:
        if gettext.find(DOMAIN, place):
            return gettext.translation(DOMAIN, place)
    return gettext.NullTranslations()


def _(text: str) -> str:
    return catalog().gettext(text)


def ngettext(one: str, many: str, count: int) -> str:
    return catalog().ngettext(one, many, count)


def marked(text: str) -> str:
    """``text`` as it is: translated where it is shown."""
    return text
