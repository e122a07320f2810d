"""Settings from the environment, read strictly: what is misspelt stops the start.

Every name can also be given as ``NAME_FILE``, the path of a file that holds the value; that is
how containers and systemd hand over secrets without showing them to ``ps``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Environment:
    """Reads one mapping of variables. Every reader raises ImproperlyConfigured for what it
    cannot understand, and names the variable (never the value of a secret)."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def text(self, name: str, default: str = "") -> str:
        """The value of NAME, else the content of the file NAME_FILE names, else ``default``.

        A value that is empty counts as not set. One trailing end of line of a file is not
        part of the value, because every editor adds it.
        """
        value, path = self._variables.get(name, ""), self._variables.get(f"{name}_FILE", "")
        if value and path:
            raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
        if value:
            return value
        if not path:
            return default
        try:
            content = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE={path} cannot be read: {error}") from error
        content = content.removesuffix("\n").removesuffix("\r")
        if not content:
            raise ImproperlyConfigured(f"{name}_FILE={path} is empty.")
        return content

    def boolean(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if not value:
            return default
        if value.strip().lower() in _TRUE:
            return True
        if value.strip().lower() in _FALSE:
            return False
        raise ImproperlyConfigured(
            f"{name}={value!r} is neither true nor false. "
            "Write one of true, yes, on, 1, false, no, off, 0."
        )

    def integer(self, name: str, default: int, minimum: int = 0) -> int:
        value = self.text(name)
        if not value:
            return default
        try:
            number = int(value)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}={value!r} is not a whole number.") from error
        if number < minimum:
            raise ImproperlyConfigured(f"{name}={number} is too small: at least {minimum}.")
        return number

    def names(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
        """A list separated by commas, blanks around each item ignored."""
        value = self.text(name)
        if not value:
            return list(default)
        return [item.strip() for item in value.split(",") if item.strip()]
