"""Servers, and their installed packages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from easyapache.ea4.faults import faults_of
from easyapache.ea4.profile import Profile
from easyapache.ea4.protocol import SERVER_NAME


class Server(models.Model):
    """One managed EasyApache 4 server. ``name`` also names the queue its agent listens to."""

    class Kind(models.TextChoices):
        REAL = "real", _("Server")
        LAB = "lab", _("Lab server")
        SIMULATED = "simulated", _("Simulated server")

    name = models.CharField(
        max_length=63, unique=True, validators=[RegexValidator(SERVER_NAME.pattern)]
    )
    hostname = models.CharField(max_length=253, blank=True)
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.REAL)
    active = models.BooleanField(default=True)
    require_digest = models.BooleanField(
        default=False,
        help_text=_("Refuse a change that does not name the digest of the plan it confirms."),
    )
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True, blank=True)
    agent: models.JSONField[dict[str, object], dict[str, object]] = models.JSONField(
        default=dict, blank=True
    )
    """The agent's last own data: {version, capabilities, …}."""
    mpm_memory: models.JSONField[dict[str, dict[str, Any]], dict[str, dict[str, Any]]] = (
        models.JSONField(default=dict, blank=True)
    )
    """What each MPM took when it last ran, by its name: {process_bytes, thread_bytes, at}, as
    ``easyapache.ea4.capacity.Measured`` has them. So an MPM is judged by its own figures also while
    another one runs."""

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.hostname or self.name

    @property
    def profile(self) -> Profile | None:
        """The latest installed profile as a value, or None before the first scan."""
        latest = self.installed_profiles.order_by("-pk").first()
        return latest.profile if latest else None


class InstalledProfile(models.Model):
    """What one scan found, kept only when it differs from the one before.

    ``observed_at`` is when it was first seen so, ``confirmed_at`` when it was last seen so.
    """

    class Source(models.TextChoices):
        SCAN = "scan", _("Scan")
        CHANGE = "change", _("Change")
        PREVIEW = "preview", _("Preview")

    server = models.ForeignKey(Server, models.CASCADE, related_name="installed_profiles")
    observed_at = models.DateTimeField()
    confirmed_at = models.DateTimeField()
    digest = models.CharField(max_length=32)
    packages = models.JSONField()
    configured = models.JSONField(null=True)
    running = models.JSONField(null=True)
    facts = models.JSONField(default=dict)
    faults = models.JSONField(default=list)
    """The faults of this profile: codes of easyapache.ea4.faults. Updated by ``save``."""
    source = models.CharField(max_length=12, choices=Source, default=Source.SCAN)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["server", "-id"], name="profile_latest")]

    def __str__(self) -> str:
        return f"{self.server} {self.observed_at:%Y-%m-%d %H:%M:%S}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.faults = list(faults_of(self.profile))
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "faults"}
        super().save(*args, **kwargs)

    @property
    def profile(self) -> Profile:
        return Profile.from_json(
            {
                "packages": self.packages,
                "configured": self.configured,
                "running": self.running,
                "facts": self.facts,
            }
        )


class ServerParticulars(models.Model):
    """Package metadata of a server, and the contents of EasyApache 4's own files on it
    (``easyapache.ea4.package_metadata``). ``digest`` is sent to the agent, which answers only if
    they have changed."""

    server = models.OneToOneField(
        Server, models.CASCADE, related_name="particulars", primary_key=True
    )
    digest = models.CharField(max_length=32)
    said = models.JSONField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.server} {self.at:%Y-%m-%d %H:%M:%S}"


class SavedProfile(models.Model):
    """A saved or uploaded EasyApache 4 profile file.

    Deleting only sets ``deleted_at``, so that it can be undone; the file name of a deleted one is
    free.
    """

    class Origin(models.TextChoices):
        CUSTOM = "custom", _("Saved from a server")
        UPLOADED = "uploaded", _("Uploaded")

    file_name = models.CharField(max_length=120)
    """Without ``.json``."""
    origin = models.CharField(max_length=10, choices=Origin)
    name = models.CharField(max_length=200)
    desc = models.TextField(blank=True)
    version = models.CharField(max_length=40)
    tags = models.JSONField(default=list)
    packages = models.JSONField(default=list)
    extra = models.JSONField(default=dict)
    """Other contents of the file, which a download includes: {pre, os_upgrade}."""
    saved_at = models.DateTimeField()
    saved_by = models.CharField(max_length=150, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    deleted_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["file_name"],
                condition=models.Q(deleted_at=None),
                name="one_profile_per_file_name",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Pulse(models.Model):
    """When a part of the panel was last seen to work: ``beat`` and ``control``.

    Written when a message has passed through the broker, so that a worker that runs but no longer
    consumes is noticed. Also when an unknown proxy was last seen (mpm.web.background_parts), and
    until when agents' messages have been read (mpm.servers.reading).
    """

    name = models.CharField(max_length=30, primary_key=True)
    at = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=0)
    """How often, where that is counted."""

    def __str__(self) -> str:
        return f"{self.name} {self.at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def beat(cls, name: str, at: datetime) -> None:
        if not cls.objects.filter(name=name).update(at=at):
            cls.objects.update_or_create(name=name, defaults={"at": at})

    @classmethod
    def add(cls, name: str, at: datetime, count: int) -> None:
        cls.objects.get_or_create(name=name, defaults={"at": at})
        cls.objects.filter(name=name).update(at=at, count=models.F("count") + count)


class Peak(models.Model):
    """The busiest moment of one server on one day, for the capacity section.

    Counted at every scan, so a burst between two scans can be higher.
    """

    server = models.ForeignKey(Server, models.CASCADE, related_name="peaks")
    day = models.DateField()
    busiest = models.PositiveIntegerField()
    """Workers that served a request at the same moment."""
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["server", "day"], name="one_peak_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.server} {self.day}: {self.busiest}"
