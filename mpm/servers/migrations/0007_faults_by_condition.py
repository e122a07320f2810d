"""Faults of the latest profiles by the codes of the one catalogue of conditions."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations
from django.db.models import Max

from easyapache.ea4.faults import faults_of
from easyapache.ea4.profile import Profile


def judge_the_latest(apps: Any, _editor: Any) -> None:
    """Of each server: earlier profiles are history, and no page shows their faults."""
    profiles = apps.get_model("easyapache", "InstalledProfile")
    latest = profiles.objects.values("server").annotate(newest=Max("pk")).values("newest")
    for row in profiles.objects.filter(pk__in=list(latest.values_list("newest", flat=True))):
        seen = {name: getattr(row, name) for name in ("packages", "configured", "running", "facts")}
        row.faults = list(faults_of(Profile.from_json(seen)))
        row.save(update_fields=["faults"])


class Migration(migrations.Migration):
    dependencies: ClassVar = [("easyapache", "0006_pulse_count")]

    operations: ClassVar = [
        migrations.RunPython(judge_the_latest, migrations.RunPython.noop),
    ]
