"""The two roles: administrator changes things, support reads everything and changes nothing."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

RIGHTS = {"read": "May read everything", "change": "May request, cancel and roll back changes"}
ROLES = {"administrator": ("read", "change"), "support": ("read",)}


def make_roles(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Django makes permissions only after all migrations; it takes over those it finds."""
    group = apps.get_model("auth", "Group")
    permission = apps.get_model("auth", "Permission")
    content_type = apps.get_model("contenttypes", "ContentType")
    kind, _ = content_type.objects.get_or_create(app_label="mpm", model="change")
    rights = {
        code: permission.objects.get_or_create(
            content_type=kind, codename=code, defaults={"name": name}
        )[0]
        for code, name in RIGHTS.items()
    }
    for role, codes in ROLES.items():
        row, _ = group.objects.get_or_create(name=role)
        row.permissions.set([rights[code] for code in codes])


class Migration(migrations.Migration):
    dependencies = [
        ("mpm", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
