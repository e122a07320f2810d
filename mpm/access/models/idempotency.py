"""Answers that were given to a request with an Idempotency-Key."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from mpm.access.models.token import Token
from mpm.changes.models.change import Change


class IdempotentAnswer(models.Model):
    """The answer to one key of one token: written in the transaction that made the change.

    The unique constraint is what makes fifty identical requests at once one change: the
    first one's row holds the others back until its answer is there to be read.
    """

    token = models.ForeignKey(Token, models.CASCADE, related_name="answers")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    """SHA-256 over method, path and body."""
    created_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.JSONField(null=True)
    change = models.ForeignKey(Change, models.SET_NULL, null=True, related_name="+")

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["token", "key"], name="one_answer_per_key")
        ]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="answer_age")]

    def __str__(self) -> str:
        return f"{self.token_id}/{self.key}"
