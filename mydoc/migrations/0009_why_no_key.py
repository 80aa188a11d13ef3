"""The server keeps why it gave a PC no key for a replica."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mydoc", "0008_restorations")]

    operations = [
        migrations.AddField(
            model_name="replica",
            name="refused",
            field=models.CharField(blank=True, editable=False, max_length=40),
        ),
        migrations.AddField(
            model_name="replica",
            name="refused_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
