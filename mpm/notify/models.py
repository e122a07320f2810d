"""Webhooks, their deliveries, and every attempt."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mpm.changes.models.change import new_id
from mpm.history.models.events import Event


class Webhook(models.Model):
    """One receiver. ``position`` is the last event that was turned into deliveries: history
    itself is the outbox, so no event is lost when the sender dies in between.

    The secret is not kept: it is derived from the pepper, the id and ``generation``
    (mpm.notify.webhooks.secret). ``kinds`` may hold
    ``change.*``; empty ones mean every kind, empty ``servers`` every server.
    """

    class Format(models.TextChoices):
        GENERIC = "generic", _("Generic JSON")
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"
        EMAIL = "email", _("E-mail")

    uuid = models.CharField(max_length=32, unique=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=100)
    url = models.CharField(_("address"), max_length=500)
    format = models.CharField(_("format"), max_length=10, choices=Format, default=Format.GENERIC)
    kinds = models.JSONField(_("kinds of event"), default=list, blank=True)
    servers = models.JSONField(_("servers"), default=list, blank=True)
    active = models.BooleanField(_("active"), default=True)
    sandbox = models.BooleanField(default=False, editable=False)
    """Created by a sandbox token: gets events of simulated servers only."""
    pepper_id = models.CharField(max_length=32, editable=False)
    generation = models.PositiveIntegerField(default=1, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    position = models.BigIntegerField(default=0, editable=False)
    created_at = models.DateTimeField()
    created_by_name = models.CharField(max_length=150)

    class Meta:
        ordering: ClassVar = ["pk"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """The delivery of one event to one endpoint, at least once, with the result of each attempt.

    ``uuid`` is sent with it and is the same for all attempts: receivers recognize repetitions by
    it.
    """

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")
        SENDING = "sending", _("Being sent")
        DELIVERED = "delivered", _("Delivered")
        GIVEN_UP = "given_up", _("Given up")

    uuid = models.CharField(max_length=32, unique=True, default=new_id, editable=False)
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(
        Event, models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )
    """Null for a test. Without a constraint in the database, as events may be pruned."""
    kind = models.CharField(max_length=40)
    body = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)
    """When it is due; while it is being sent, when the attempt counts as lost."""
    delivered_at = models.DateTimeField(null=True)
    log = models.JSONField(default=list)
    """Per attempt {at, status, ms, error, answer}; the latest twenty."""

    class Meta:
        ordering: ClassVar = ["-pk"]
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["webhook", "event"],
                condition=Q(event__isnull=False),
                name="one_delivery_per_event",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_at"],
                condition=Q(state__in=["pending", "sending"]),
                name="delivery_due",
            ),
            models.Index(fields=["webhook", "-id"], name="delivery_by_webhook"),
            models.Index(fields=["created_at"], name="delivery_age"),
        ]

    def __str__(self) -> str:
        return self.uuid
