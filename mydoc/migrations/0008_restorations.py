"""Whole restorations: what a replica holds, on its way to another PC."""

import uuid

import django.db.models.deletion
from django.db import migrations, models

COUNTS = ("place", "written", "written_bytes", "same", "beside", "left_out")


class Migration(migrations.Migration):
    dependencies = [("mydoc", "0007_clock_off")]

    operations = [
        migrations.CreateModel(
            name="Restoration",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("done", "done"),
                            ("failed", "failed"),
                            ("stopped", "stopped"),
                        ],
                        default="running",
                        editable=False,
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.CharField(editable=False, max_length=500, verbose_name="reason")),
                ("asked_at", models.DateTimeField(verbose_name="asked for")),
                ("asked_by", models.CharField(editable=False, max_length=150, verbose_name="by")),
                ("ended_at", models.DateTimeField(editable=False, null=True, verbose_name="ended")),
                ("files", models.PositiveBigIntegerField(default=0, editable=False)),
                ("total_bytes", models.PositiveBigIntegerField(default=0, editable=False)),
                *((name, models.PositiveBigIntegerField(default=0, editable=False)) for name in COUNTS),
                ("one_by_one", models.BooleanField(default=False, editable=False)),
                ("names", models.JSONField(default=list, editable=False)),
                ("code", models.CharField(blank=True, editable=False, max_length=40)),
                ("not_before", models.DateTimeField(editable=False, null=True)),
                ("holder", models.CharField(blank=True, editable=False, max_length=32)),
                ("until", models.DateTimeField(editable=False, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="restorations",
                        to="mydoc.replicationrun",
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="restored_from",
                        to="mydoc.volume",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="restored_to",
                        to="mydoc.volume",
                    ),
                ),
            ],
            options={
                "ordering": ["-asked_at"],
                "verbose_name": "restoration",
                "verbose_name_plural": "restorations",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "running")),
                        fields=("target",),
                        name="a_volume_is_restored_into_once_at_a_time",
                        violation_error_message="Something is being restored into this volume already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("source", models.F("target")), _negated=True),
                        name="a_volume_is_not_restored_into_itself",
                        violation_error_message="Choose the data on another PC.",
                    ),
                ],
            },
        ),
    ]
