"""Moves a change from one state to the next: one guarded UPDATE, one event, one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from easyapache.ea4.sentences import words_of
from mpm.access.services.actor import SYSTEM, Actor
from mpm.changes.lifecycle import is_legal
from mpm.history import seal_payload
from mpm.history.services.events import append
from mpm.models import TERMINAL_STATES, Change, State


def move(
    change: Change,
    expected: Collection[State],
    to: State,
    at: datetime,
    *,
    actor: Actor = SYSTEM,
    kind: str = "",
    data: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Set ``to`` and ``fields`` if the row is in one of ``expected`` (and matches ``where``).

    True if exactly one row was updated; then the event (``change.<state>`` unless named) is written
    too, and ``change`` has the new values. The event of an end seals the outcome and the agent's
    reports. False if another process was faster; then nothing was written. Raises ValueError for an
    invalid transition.
    """
    if "sentence" in fields:
        fields["sentence_words"] = words_of(fields["sentence"])
    for state in expected:
        if not is_legal(state.value, to.value):
            raise ValueError(f"A change can't change from {state.value} to {to.value}.")
    with transaction.atomic():
        moved = (
            Change.objects.filter(pk=change.pk, state__in=list(expected))
            .filter(**(where or {}))
            .update(state=to, **fields)
        )
        if moved != 1:
            return False
        if to in TERMINAL_STATES:
            row = Change.objects.get(pk=change.pk)
            data = {**(data or {}), **seal_payload.ended(row), **seal_payload.received(row)}
        append(
            kind or f"change.{to.value}",
            at,
            server_name=change.server_name,
            change=change,
            actor=actor,
            data=data,
        )
    change.state = to
    for name, value in fields.items():
        setattr(change, name, value)
    return True
