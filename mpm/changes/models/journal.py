"""The agent's reports and log of a change, stored as received."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from mpm.changes.models.change import Change
from mpm.history.models.append_only import OnceQuerySet, WrittenOnce


class Report(WrittenOnce):
    """One line of the agent's journal (easyapache.ea4.protocol.Report)."""

    change = models.ForeignKey(Change, models.CASCADE, related_name="reports")
    seq = models.IntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=20)
    data = models.JSONField()

    objects = OnceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["seq"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["change", "seq"], name="one_report_per_number")
        ]

    def __str__(self) -> str:
        return f"{self.change_id}/{self.seq} {self.kind}"


class LogChunk(WrittenOnce):
    """A piece of the log, byte for byte, from ``offset`` on. Pieces touch and never overlap."""

    change = models.ForeignKey(Change, models.CASCADE, related_name="log_chunks")
    offset = models.BigIntegerField()
    size = models.IntegerField()
    data = models.BinaryField()
    received_at = models.DateTimeField()

    objects = OnceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["offset"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["change", "offset"], name="one_chunk_per_offset")
        ]

    def __str__(self) -> str:
        return f"{self.change_id}@{self.offset}"
