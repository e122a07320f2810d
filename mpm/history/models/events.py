"""History: events that are written once and never altered, each sealed by the one before.

The database itself refuses to update or delete them (mpm.history.models.guards).
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from mpm.changes.models.change import Change
from mpm.history import renamed
from mpm.history.models.append_only import OnceQuerySet, WrittenOnce
from mpm.history.seal import stamp


class Chain(models.Model):
    """The head of one server's chain of events ("" is the panel's own).

    Locking this row is what puts two writers in order; its ``hash`` shows when the newest
    events were cut off.
    """

    server_name = models.CharField(max_length=63, primary_key=True)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return self.server_name or "panel"


class Event(WrittenOnce):
    """One event: who did what to which change, with its data at that time.

    ``hash`` is SHA-256 over the hash before and the canonical JSON of everything else
    (mpm.history.seal). ``seq`` counts within the chain of one server.
    """

    server_name = models.CharField(max_length=63, blank=True)
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    change = models.ForeignKey(Change, models.PROTECT, null=True, related_name="events")
    kind = models.CharField(max_length=40)
    actor_name = models.CharField(max_length=150, blank=True)
    actor_role = models.CharField(max_length=30, blank=True)
    origin = models.CharField(max_length=10, blank=True)
    token_name = models.CharField(max_length=100, blank=True)
    address = models.CharField(max_length=45, blank=True)
    agent_class = models.CharField(max_length=30, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    objects = OnceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["server_name", "seq"], name="one_event_per_number")
        ]
        indexes: ClassVar = [
            models.Index(fields=["server_name", "at"], name="event_age"),
            models.Index(fields=["kind", "-id"], name="event_by_kind"),
            models.Index(fields=["request_id"], name="event_by_request"),
        ]

    def __str__(self) -> str:
        return f"{self.server_name or 'panel'}/{self.seq} {self.kind}"

    @property
    def kind_now(self) -> str:
        """Its kind in current codes; ``kind`` is the sealed one."""
        return renamed.kind_of(self.kind, self.data)

    @property
    def data_now(self) -> dict[str, Any]:
        """Its data in current codes; ``data`` is the sealed one."""
        return renamed.data_of(self.data)

    @property
    def sealed(self) -> dict[str, Any]:
        """What its hash is made of, as mpm.history.seal and an export want it."""
        return {
            "server_name": self.server_name,
            "seq": self.seq,
            "at": stamp(self.at),
            "change": self.change_id,
            "kind": self.kind,
            "actor_name": self.actor_name,
            "actor_role": self.actor_role,
            "origin": self.origin,
            "token_name": self.token_name,
            "address": self.address,
            "agent_class": self.agent_class,
            "request_id": self.request_id,
            "data": self.data,
        }


class PruningPermit(models.Model):
    """The events of a chain that may be deleted right now.

    Exists only inside the pruning transaction, which creates, uses and deletes it, and writes the
    event ``history.pruned`` with the deleted range.
    """

    server_name = models.CharField(max_length=63, blank=True)
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.server_name}/{self.first_seq}-{self.last_seq}"
