"""Notes in the panel's own chain how far every other chain has got.

A chain proves itself only while its head is there: with all of its rows gone, nothing would be left
that could be missed. The panel's chain then still tells how many events there were, and the hash of
the newest.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from mpm.history.seal import HEADS
from mpm.history.services.events import append
from mpm.models import Chain, Event

AT_ONCE = 500
"""Chains in one event."""
ANEW = timedelta(days=7)
"""An older note is repeated: it may be pruned, and is not searched for."""


def note_heads(now: datetime) -> int:
    """Note the chains that have grown since they were noted; returns how many."""
    recent = Event.objects.filter(server_name="", kind=HEADS, at__gte=now - ANEW)
    noted: dict[str, int] = {}
    for data in recent.order_by("pk").values_list("data", flat=True).iterator(chunk_size=20):
        noted.update({name: seq for name, seq, _ in data["heads"]})
    chains = Chain.objects.exclude(server_name="").exclude(seq=0).order_by("server_name")
    grown = [
        [name, seq, sealed]
        for name, seq, sealed in chains.values_list("server_name", "seq", "hash")
        if noted.get(name) != seq
    ]
    for start in range(0, len(grown), AT_ONCE):
        with transaction.atomic():
            append(HEADS, now, data={"heads": grown[start : start + AT_ONCE]})
    return len(grown)
