import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import features.models

# What was kept as a draft before there was a mark for it; and questions do not vanish.
RULES = """
UPDATE approvals_decision SET is_draft = true WHERE answer = 'deny' AND reasons -> 0 ->> 'code' = 'draft';
REVOKE DELETE, TRUNCATE ON approvals_question FROM clearance_app;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0003_absence"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            "decision",
            "is_draft",
            models.BooleanField(db_default=False, default=False, help_text="Denied, and kept as a draft"),
        ),
        migrations.AddField(
            "decision",
            "draft",
            models.OneToOneField(
                help_text="The draft that a person proposed as their own request",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="proposal",
                to="approvals.decision",
            ),
        ),
        migrations.AddField(
            "decision",
            "proposed_by",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            "decision",
            "edits",
            models.JSONField(default=list, help_text="[path] that a person changed; values are sealed"),
        ),
        migrations.CreateModel(
            name="Question",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=features.models.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("revision", models.PositiveIntegerField()),
                ("at", models.DateTimeField(db_default=features.models.ClockNow())),
                ("sealed", models.BinaryField(help_text="NULL: erased", null=True)),
                ("salt", models.BinaryField(max_length=16, null=True)),
                ("answered_at", models.DateTimeField(null=True)),
                ("answer_sealed", models.BinaryField(null=True)),
                ("answer_salt", models.BinaryField(max_length=16, null=True)),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="questions",
                        to="approvals.approvalrequest",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "answered_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["request", "id"], name="question_of_request")]},
        ),
        migrations.AddIndex(
            "decision",
            models.Index(
                condition=models.Q(("is_draft", True)), fields=["feature", "-id"], name="decision_drafts"
            ),
        ),
        migrations.AddConstraint(
            "decision",
            models.CheckConstraint(
                condition=models.Q(draft__isnull=True, proposed_by__isnull=True)
                | models.Q(draft__isnull=False, proposed_by__isnull=False, answer="needs_approval"),
                name="decision_of_person_is_of_a_draft",
            ),
        ),
        migrations.RunSQL(RULES, migrations.RunSQL.noop),
    ]
