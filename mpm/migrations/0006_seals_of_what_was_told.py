"""When something came after the end of a change that no event has sealed yet."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mpm", "0005_words_of_an_ending"),
    ]

    operations = [
        migrations.AddField(
            model_name="change",
            name="unsealed_since",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="change",
            index=models.Index(
                condition=models.Q(("unsealed_since__isnull", False)),
                fields=["unsealed_since"],
                name="change_unsealed",
            ),
        ),
    ]
