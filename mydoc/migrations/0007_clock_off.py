"""The server knows whether its clock is the directory's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mydoc", "0006_look_as_of")]

    operations = [
        migrations.AddField(
            model_name="directorywatch", name="clock_off_s", field=models.IntegerField(default=0)
        ),
    ]
