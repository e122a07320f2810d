"""An API token: a public key id, and a secret of which only an HMAC is kept."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Token(models.Model):
    """What one program may do, from where, on which servers, and until when.

    ``digest`` is HMAC-SHA256 over key id and secret under the pepper ``pepper_id`` names; the
    secret itself is shown once and exists nowhere (mpm.access.tokens). Empty ``servers`` means
    every server, empty ``networks`` means from anywhere.
    """

    key_id = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    pepper_id = models.CharField(max_length=32, editable=False)

    name = models.CharField(_("name"), max_length=100)
    purpose = models.CharField(_("purpose"), max_length=300, blank=True)
    scopes = models.JSONField(_("scopes"), default=list)
    servers = models.JSONField(_("servers"), default=list, blank=True)
    networks = models.JSONField(_("networks"), default=list, blank=True)
    sandbox = models.BooleanField(_("sandbox"), default=False)
    """Reaches simulated servers only."""
    implied_removals = models.BooleanField(_("implied removals"), default=False)
    """A WHM API call that only names packages to install may remove conflicting ones. Off: such a
    call must name them."""
    per_minute = models.PositiveIntegerField(_("requests a minute"), null=True, blank=True)
    """Null: the panel's own limit (settings.API_PER_MINUTE)."""

    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="tokens"
    )
    created_by_name = models.CharField(max_length=150)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(null=True)
    last_used_address = models.CharField(max_length=45, blank=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by_name = models.CharField(max_length=150, blank=True)
    replaces = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="replaced_by", editable=False
    )
    """The token this one was rotated from."""

    class Meta:
        ordering: ClassVar = ["-pk"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.key_id})"

    def state(self, now: datetime) -> str:
        """``revoked``, ``expired`` or ``active``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active"
