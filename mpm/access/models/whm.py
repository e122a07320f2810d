"""Sign-in from the WHM of a server: its key, its users, and used tickets."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from easyapache.tickets import fingerprint
from mpm.servers.models import Server


class WhmKey(models.Model):
    """The public key of a server, with which its tickets are verified. Without one, sign-in from
    that server's WHM is refused, and its sessions end."""

    server = models.OneToOneField(Server, models.CASCADE, related_name="whm_key")
    key = models.CharField(max_length=43)
    """32 bytes in URL-safe base64 (``easyapache.tickets``)."""
    may_change = models.BooleanField(default=False)
    """Whether a WHM user with all privileges may change this server; else all may only read."""
    registered_at = models.DateTimeField()
    registered_by = models.CharField(max_length=150)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.server_id} {self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """For people to compare with what the server prints."""
        return fingerprint(self.key)


class WhmUser(models.Model):
    """The panel's account of one WHM user of one server. It has no role and no password: its rights
    belong to its sessions (``mpm.access.whm_sessions``)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="whm")
    server = models.ForeignKey(Server, models.CASCADE, related_name="whm_users")
    name = models.CharField(max_length=64)
    root = models.BooleanField()
    """Whether this user had all of WHM's privileges at the last sign-in."""

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["server", "name"], name="one_account_per_whm_user")
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.server_id}"


class WhmTicket(models.Model):
    """A ticket that was used, kept until it would have expired anyway: a second use is refused by
    the constraint. ``entry`` is a digest of what the browser shows to enter with it."""

    server = models.ForeignKey(Server, models.CASCADE, related_name="whm_tickets")
    nonce = models.CharField(max_length=32)
    name = models.CharField(max_length=64)
    root = models.BooleanField()
    used_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    entry = models.CharField(max_length=64, unique=True)
    entered_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["server", "nonce"], name="each_ticket_once")
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.server_id} at {self.used_at:%Y-%m-%d %H:%M:%S}"
