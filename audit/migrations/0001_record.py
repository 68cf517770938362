"""The record, made by and for audit_owner (audit/sql/record.sql); the migrating role only borrows it."""

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).resolve().parent.parent / "sql" / "record.sql").read_text()


class Migration(migrations.Migration):
    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.RunSQL(
            f"SET ROLE audit_owner; {SQL} RESET ROLE;",
            migrations.RunSQL.noop,  # a record that migrating back could drop would be none
        )
    ]
