"""Free text is found along an index; days are counted along the indexes of the filters."""

import django.db.models.deletion
from django.db import migrations, models

import mpm.history.models.search_index

FILTERS = {
    "change_by_server": "server_name",
    "change_by_person": "actor_name",
    "change_by_origin": "origin",
    "change_by_from": "from_mpm",
    "change_by_to": "to_mpm",
    "change_by_itk": "to_itk",
    "change_by_ticket": "ticket",
    "change_by_request": "request_id",
}


class Migration(migrations.Migration):
    dependencies = [
        ("mpm", "0006_seals_of_what_was_told"),
    ]

    operations = [
        migrations.CreateModel(
            name="Words",
            fields=[
                (
                    "change",
                    models.OneToOneField(
                        db_column="rowid",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="words",
                        serialize=False,
                        to="mpm.change",
                    ),
                ),
                ("found", mpm.history.models.search_index.MatchField(db_column="mpm_change_words")),
            ],
            options={
                "db_table": "mpm_change_words",
                "default_permissions": (),
                "managed": False,
            },
        ),
        migrations.RemoveIndex(model_name="change", name="change_by_result_and_time"),
        *(migrations.RemoveIndex(model_name="change", name=name) for name in FILTERS),
        *(
            migrations.AddIndex(
                model_name="change", index=models.Index(fields=[column, "-id", "state"], name=name)
            )
            for name, column in FILTERS.items()
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(fields=["from_mpm", "to_mpm", "-id", "state"], name="change_by_way"),
        ),
    ]
