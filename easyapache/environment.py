"""Settings from the environment, read strictly: an invalid value stops the start.

Every name can also be given as ``NAME_FILE``, the path of a file that holds the value; that is
how containers and systemd hand over secrets without showing them to ``ps``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Environment:
    """Reads one mapping of variables. Every reader raises ImproperlyConfigured for an invalid
    value, and names the variable (never the value of a secret)."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def text(self, name: str, default: str = "") -> str:
        """The value of NAME, else the content of the file NAME_FILE names, else ``default``.

        A value that is empty or blank counts as not set. One trailing end of line of a file is not
        part of the value, because every editor adds it.
        """
        value, path = self._variables.get(name, ""), self._variables.get(f"{name}_FILE", "")
        if value.strip() and path:
            raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
        if value.strip():
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

    def files(self, *names: str) -> dict[str, Path]:
        """The files that hold the values of these names, where files do."""
        paths = {f"{name}_FILE": self._variables.get(f"{name}_FILE", "") for name in names}
        return {variable: Path(path) for variable, path in paths.items() if path}

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

    def address(self, name: str) -> str:
        """An address of pages, "" if it is not set."""
        value = self.text(name).strip()
        try:
            parts = urlsplit(value)
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if value and (not whole or "@" in value or re.search(r"[?#\s\\]", value)):
            raise ImproperlyConfigured(
                f"{name} is not the address of a page. Write it as https://panel.example.com, with "
                "a port or a path if it has one."
            )
        return value

    def networks(self, name: str, default: tuple[str, ...] = ()) -> list[str]:
        """A list of networks in CIDR notation, separated by commas."""
        found = self.names(name, default)
        for item in found:
            try:
                ipaddress.ip_network(item)
            except ValueError as error:
                raise ImproperlyConfigured(f"{name}: {item!r} is not a network.") from error
        return found


def peppers_from(text: str, secret_key: str) -> dict[str, bytes]:
    """Read ``id:secret,id:secret``, the current pepper first.

    The last one is derived from the secret key, with its own id: it is the only one of a panel
    without configured peppers, and what was sealed with it remains valid when peppers are added.
    Raises ImproperlyConfigured; the message holds no secret.
    """
    peppers: dict[str, bytes] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        identity, colon, secret = item.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", identity) or len(secret) < 16:
            raise ImproperlyConfigured(
                "TOKEN_PEPPERS must be id:secret,id:secret with secrets of at least 16 characters."
            )
        if identity in peppers:
            raise ImproperlyConfigured(f"TOKEN_PEPPERS names {identity} twice.")
        peppers[identity] = secret.encode()
    derived = hashlib.sha256(b"pepper of API tokens\0" + secret_key.encode()).digest()
    peppers.setdefault(f"key-{hashlib.sha256(derived).hexdigest()[:8]}", derived)
    return peppers
