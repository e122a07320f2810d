from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("easyapache", "0005_faults_of_a_profile"),
    ]

    operations = [
        migrations.AddField(
            model_name="pulse",
            name="count",
            field=models.PositiveBigIntegerField(default=0),
        ),
    ]
