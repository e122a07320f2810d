from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("easyapache", "0004_server_particulars"),
    ]

    operations = [
        migrations.AddField(
            model_name="pulse",
            name="count",
            field=models.PositiveBigIntegerField(default=0),
        ),
    ]
