"""Looks into replicas say of which time."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mydoc", "0005_keeping_replicas")]

    operations = [
        migrations.AddField(
            model_name="look",
            name="as_of",
            field=models.DateTimeField(null=True, verbose_name="as of"),
        ),
    ]
