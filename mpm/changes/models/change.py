"""A change: the request, who made it, its progress and its outcome."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mpm.servers.models import Server

SOMEBODY = "a user on the server"
"""The author of an external change if the package manager does not name one."""


def new_id() -> str:
    """32 hexadecimal digits: the id by which agent, spool and package manager know a change."""
    return uuid.uuid4().hex


class State(models.TextChoices):
    """The states of mpm.changes.lifecycle, with the words a page shows."""

    SCHEDULED = "scheduled", _("Scheduled")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    CANCELING = "canceling", _("Canceling")
    SUCCEEDED = "succeeded", _("Succeeded")
    RESTORED = "restored", _("Failed, rolled back")
    NOT_STARTED = "not_started", _("Not started")
    FAILED = "failed", _("Needs attention")
    CANCELED = "canceled", _("Canceled")


ACTIVE_STATES = (State.SCHEDULED, State.QUEUED, State.RUNNING, State.CANCELING)
TERMINAL_STATES = (
    State.SUCCEEDED,
    State.RESTORED,
    State.NOT_STARTED,
    State.FAILED,
    State.CANCELED,
)


class Origin(models.TextChoices):
    """The source of a request."""

    WEB = "web", _("Web")
    REST = "rest", _("REST API")
    WHMAPI = "whmapi", _("WHM API")
    CLI = "cli", _("Command line")
    SCHEDULE = "schedule", _("Schedule")
    OUTSIDE = "outside", _("Outside the panel")


class Preview(models.Model):
    """A question to a server's own package manager, and its answer."""

    class State(models.TextChoices):
        PENDING = "pending", _("Asked")
        READY = "ready", _("Answered")
        FAILED = "failed", _("Not possible")

    uuid = models.CharField(max_length=32, unique=True, default=new_id, editable=False)
    server = models.ForeignKey(Server, models.CASCADE, related_name="previews")
    choice = models.JSONField()
    base_digest = models.CharField(max_length=32, blank=True)
    actor_name = models.CharField(max_length=150)
    requested_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    plan = models.JSONField(null=True)
    """Plan.as_json of the server's answer."""
    transaction = models.JSONField(null=True)
    """The answer itself, whole packages with their architecture."""
    goal = models.JSONField()
    """The goal sent to the server, as easyapache.ea4.protocol.Goal.as_json."""
    stored_digest = models.CharField(max_length=32, blank=True)
    """Digest of the instant plan on the screen when the request was made."""
    digest = models.CharField(max_length=32, blank=True)
    undo_of = models.CharField(max_length=32, blank=True)
    """The uuid of the change that the plan would roll back; "" where it's for a selection."""
    error = models.JSONField(null=True)
    """{code, message, remedy} when the server could not answer."""

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["requested_at"], name="preview_age"),
            models.Index(
                fields=["requested_at"], condition=Q(state="pending"), name="preview_pending"
            ),
        ]

    def __str__(self) -> str:
        return self.uuid


class Change(models.Model):
    """One change of the MPM, ITK or their packages on one server.

    Who, where, why and what are frozen at the request: they remain when the user, the token or the
    server is deleted, and the database refuses to alter them (mpm.history.models.guards).
    """

    uuid = models.CharField(max_length=32, unique=True, default=new_id, editable=False)
    server = models.ForeignKey(Server, models.PROTECT, related_name="changes")
    server_name = models.CharField(max_length=63)
    state = models.CharField(max_length=12, choices=State)
    step = models.CharField(max_length=16, blank=True)

    # -- what
    from_mpm = models.CharField(max_length=10, blank=True)
    from_itk = models.BooleanField(default=False)
    to_mpm = models.CharField(max_length=10, blank=True)
    to_itk = models.BooleanField(default=False)
    choice = models.JSONField()
    plan = models.JSONField()
    transaction = models.JSONField(null=True)
    """Transaction.as_json that was confirmed and is sent to the agent."""
    goal = models.JSONField(null=True)
    digest = models.CharField(max_length=32)
    base_digest = models.CharField(max_length=32)
    preview = models.ForeignKey(Preview, models.SET_NULL, null=True, related_name="changes")
    rollback_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="rolled_back_by"
    )
    undo_of = models.CharField(max_length=32, blank=True)
    """The uuid of the change whose rollback kit may serve."""

    # -- why, who and from where
    reason = models.CharField(max_length=500, blank=True)
    ticket = models.CharField(max_length=100, blank=True)
    origin = models.CharField(max_length=10, choices=Origin)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="changes"
    )
    actor_name = models.CharField(max_length=150)
    actor_role = models.CharField(max_length=30, blank=True)
    token_name = models.CharField(max_length=100, blank=True)
    address = models.CharField(max_length=45, blank=True)
    agent_class = models.CharField(max_length=30, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    # -- when
    requested_at = models.DateTimeField()
    not_before = models.DateTimeField(null=True)
    not_after = models.DateTimeField(null=True)
    queued_at = models.DateTimeField(null=True)
    dispatched_at = models.DateTimeField(null=True)
    """When it was first sent to the agent; until then it can be canceled at once."""
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    silent_since = models.DateTimeField(null=True)
    asked_at = models.DateTimeField(null=True)
    """Set while the agent is offline: the time of its last message."""
    unknown_since = models.DateTimeField(null=True)
    """Set while the agent reports that it does not have this change."""
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.CharField(max_length=150, blank=True)
    cancel_refused = models.CharField(max_length=500, blank=True)

    # -- how it ended
    sentence = models.TextField(blank=True)
    sentence_words = models.JSONField(null=True)
    """What ``sentence`` was made of, where it has values (see easyapache.ea4.sentences)."""
    decided_by = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    diagnosis = models.JSONField(default=list)
    moved = models.JSONField(null=True)
    """The server's own answer where it was not the confirmed one: Transaction.as_json."""
    interruption = models.JSONField(null=True)
    refused = models.IntegerField(null=True)
    longest_wait_ms = models.FloatField(null=True)
    adopted_at = models.DateTimeField(null=True)
    adopted_by = models.CharField(max_length=150, blank=True)
    """Who accepted a change that was made outside the panel."""
    log_size = models.BigIntegerField(default=0)
    last_report = models.IntegerField(default=0)
    unsealed_since = models.DateTimeField(null=True)
    """When the agent last sent a report after the end that no event has sealed yet."""
    search = models.TextField(blank=True)
    """Reason, ticket, packages and error in lower case: what free text looks through."""

    class Meta:
        permissions: ClassVar = [
            ("read", "May read everything"),
            ("change", "May request, cancel and roll back changes"),
        ]
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["server"],
                condition=Q(state__in=["scheduled", "queued", "running", "canceling"]),
                name="one_active_change_per_server",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "scheduled",
                        "queued",
                        "running",
                        "canceling",
                        "succeeded",
                        "restored",
                        "not_started",
                        "failed",
                        "canceled",
                    ]
                ),
                name="change_state_exists",
            ),
        ]
        # One per filter of the history, each continued by the key of the pages; and with the
        # result, so that days and their failures are counted without a look at any row.
        indexes: ClassVar = [
            models.Index(fields=["server_name", "-id", "state"], name="change_by_server"),
            models.Index(fields=["actor_name", "-id", "state"], name="change_by_person"),
            models.Index(fields=["origin", "-id", "state"], name="change_by_origin"),
            models.Index(fields=["state", "-id"], name="change_by_result"),
            models.Index(fields=["from_mpm", "-id", "state"], name="change_by_from"),
            models.Index(fields=["to_mpm", "-id", "state"], name="change_by_to"),
            models.Index(fields=["from_mpm", "to_mpm", "-id", "state"], name="change_by_way"),
            models.Index(fields=["to_itk", "-id", "state"], name="change_by_itk"),
            models.Index(fields=["ticket", "-id", "state"], name="change_by_ticket"),
            models.Index(fields=["requested_at", "-id"], name="change_by_time"),
            models.Index(fields=["request_id", "-id", "state"], name="change_by_request"),
            models.Index(
                fields=["id"],
                condition=Q(state__in=["scheduled", "queued", "running", "canceling"]),
                name="change_active",
            ),
            models.Index(
                fields=["unsealed_since"],
                condition=Q(unsealed_since__isnull=False),
                name="change_unsealed",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def finished(self) -> bool:
        return self.state in TERMINAL_STATES
