"""What httpd says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """The machine-readable page of mod_status, or why there is none (``error``)."""

    fields: Mapping[str, str]
    error: str = ""

    @property
    def mpm(self) -> str:
        return self.fields.get("ServerMPM", "").lower()

    @property
    def itk_signature(self) -> bool:
        return "mpm-itk/" in self.fields.get("ServerVersion", "")

    def count(self, name: str) -> int:
        text = self.fields.get(name, "")
        return int(text) if text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Build:
    """``version`` as ``2.4.67``, empty when httpd does not say; and what Apache's guidelines ask
    of a system: threads, and polling that is safe with them (epoll, kqueue or event ports
    through APR)."""

    version: str
    threads: bool
    safe_thread_polling: bool
