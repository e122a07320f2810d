"""A token's policy for packages that a WHM client did not name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mpm", "0010_webhook_format"),
    ]

    operations = [
        migrations.AddField(
            model_name="token",
            name="implied_removals",
            field=models.BooleanField(default=False, verbose_name="implied removals"),
        ),
    ]
