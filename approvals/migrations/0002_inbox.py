from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_decisions")]

    operations = [
        migrations.AddIndex(
            "approvalrequest",
            models.Index(
                "feature",
                "role",
                models.F("irreversible").desc(),
                "id",
                condition=models.Q(state="pending"),
                name="request_inbox",
            ),
        ),
        migrations.AddIndex(
            "approvalrequest",
            models.Index(fields=["feature", "-id"], condition=models.Q(state="pending"), name="request_waits"),
        ),
    ]
