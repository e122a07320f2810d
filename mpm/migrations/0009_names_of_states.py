"""The states of a change get their new names, in rows and in what webhooks are subscribed to.

What was sealed stays as it is: mpm.history.renamed says what it means. The guards of the history
are away while this runs. Self-contained, as the rules of a later version may differ.
"""

from typing import Any

from django.db import migrations, models
from django.db.models import Q

STATES = {"requested": "scheduled", "rolled_back": "restored", "cancelled": "canceled"}
BEFORE_THE_POINT = ("", "preflight", "download", "rehearsal")
UNKNOWN_ENDS = ("recover", "spool", "confirmed")
KINDS = {
    "change.requested": ("change.scheduled",),
    "change.rolled_back": ("change.restored",),
    "change.cancelled": ("change.canceled",),
    "change.told_later": ("change.late_report",),
    "change.outside": ("change.external",),
    "change.adopted": ("change.accepted",),
    "preview.asked": ("preview.requested",),
    "server.added": ("server.created",),
    "server.altered": ("server.updated",),
    "server.repair_asked": ("server.repair_requested",),
    "token.made": ("token.created",),
    "webhook.made": ("webhook.created",),
    "webhook.changed": ("webhook.updated",),
    "webhook.removed": ("webhook.deleted",),
    "webhook.sent_again": ("webhook.redelivered",),
    "user.added": ("user.created",),
    "user.activated": ("user.enabled",),
    "user.deactivated": ("user.disabled",),
    "change.failed": ("change.failed", "change.not_started"),
}
ACTIVE = ["scheduled", "queued", "running", "canceling"]
ENDED = ["succeeded", "restored", "not_started", "failed", "canceled"]
LABELS = {
    "scheduled": "Scheduled",
    "queued": "Queued",
    "running": "Running",
    "canceling": "Canceling",
    "succeeded": "Succeeded",
    "restored": "Failed, rolled back",
    "not_started": "Not started",
    "failed": "Needs attention",
    "canceled": "Canceled",
}


def rename(apps: Any, _schema: Any) -> None:
    changes = apps.get_model("mpm", "Change").objects
    for old, new in STATES.items():
        changes.filter(state=old).update(state=new)
    untouched = changes.filter(state="failed", step__in=BEFORE_THE_POINT)
    untouched.exclude(decided_by__in=UNKNOWN_ENDS).update(state="not_started")
    _subscribe(apps, {old: list(new) for old, new in KINDS.items()})


def rename_back(apps: Any, _schema: Any) -> None:
    changes = apps.get_model("mpm", "Change").objects
    for old, new in {**STATES, "failed": "not_started"}.items():
        changes.filter(state=new).update(state=old)
    back = {new: [old] for old, names in KINDS.items() for new in names}
    _subscribe(apps, back)


def _subscribe(apps: Any, names: dict[str, list[str]]) -> None:
    webhook: Any
    for webhook in apps.get_model("mpm", "Webhook").objects.all():
        kinds = sorted({new for kind in webhook.kinds for new in names.get(kind, [kind])})
        if kinds != webhook.kinds:
            webhook.kinds = kinds
            webhook.save(update_fields=["kinds"])


def _one_active(states: list[str]) -> models.UniqueConstraint:
    return models.UniqueConstraint(
        fields=["server"], condition=Q(state__in=states), name="one_active_change_per_server"
    )


class Migration(migrations.Migration):
    dependencies = [
        ("mpm", "0008_asked_at"),
    ]

    operations = [
        migrations.RemoveConstraint("change", "one_active_change_per_server"),
        migrations.RemoveConstraint("change", "change_state_exists"),
        migrations.RemoveIndex("change", "change_active"),
        migrations.AlterField(
            "change", "state", models.CharField(max_length=12, choices=list(LABELS.items()))
        ),
        migrations.RunPython(rename, rename_back),
        migrations.AddConstraint("change", _one_active(ACTIVE)),
        migrations.AddConstraint(
            "change",
            models.CheckConstraint(
                condition=Q(state__in=[*ACTIVE, *ENDED]), name="change_state_exists"
            ),
        ),
        migrations.AddIndex(
            "change",
            models.Index(fields=["id"], condition=Q(state__in=ACTIVE), name="change_active"),
        ),
    ]
