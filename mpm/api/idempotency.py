"""One key, one change: the answer is stored in the transaction that makes the change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mpm.access.tokens import ANSWERS_KEPT
from mpm.api.problems import MEDIA_TYPE, Problem
from mpm.models import Change, IdempotentAnswer, Token


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response, problem or not; stored for the key."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    change: Change | None = None

    @property
    def lasting(self) -> bool:
        """Whether to store it for repeated requests. A response with Retry-After is not stored."""
        return "Retry-After" not in self.headers

    def response(self, *, replayed: bool = False) -> HttpResponse:
        kind = MEDIA_TYPE if self.status >= 400 else "application/json"
        response = HttpResponse(json.dumps(self.body), content_type=kind, status=self.status)
        for name, value in self.headers.items():
            response[name] = value
        if replayed:
            response["Idempotency-Replayed"] = "true"
        return response


def fingerprint(request: HttpRequest, body: Any) -> str:
    """What makes two requests the same: method, address and the values of the body."""
    text = json.dumps(body, sort_keys=True, default=str)
    return hashlib.sha256(f"{request.method} {request.path}\n{text}".encode()).hexdigest()


def once(token: Token, key: str, print_: str, act: Callable[[], Answer]) -> HttpResponse:
    """The response of ``act``, or the stored one if the key was used within a day.

    With concurrent requests, the unique row of the key admits one; the others wait for its
    transaction and then read its response. If ``act`` raises, neither the change nor the key is
    stored; no key is stored for a response with Retry-After either. Raises Problem 422 for a key of
    another request.
    """
    if not key or token.pk is None:  # what runs in process is not cut off from its answer
        return act().response()
    now = timezone.now()
    with transaction.atomic():
        IdempotentAnswer.objects.filter(
            token=token, key=key, created_at__lte=now - ANSWERS_KEPT
        ).delete()
        # Waits for another transaction with the same key, and leaves its row alone.
        IdempotentAnswer.objects.bulk_create(
            [IdempotentAnswer(token=token, key=key, fingerprint=print_, created_at=now)],
            ignore_conflicts=True,
        )
        row = IdempotentAnswer.objects.select_for_update().get(token=token, key=key)
        if row.fingerprint != print_:
            raise Problem(
                422,
                "key_reused",
                "This Idempotency-Key was used for another request. Use a new key for a new one.",
            )
        if row.status:
            return Answer(row.status, row.body, row.headers).response(replayed=True)
        answer = act()
        kept = IdempotentAnswer.objects.filter(pk=row.pk)
        if answer.lasting:
            kept.update(
                status=answer.status,
                body=answer.body,
                headers=answer.headers,
                change=answer.change,
            )
        else:
            kept.delete()
    return answer.response()
