"""The record in partitions (audit/sql/partitions.sql), made by and for audit_owner."""

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).resolve().parent.parent / "sql" / "partitions.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_sinks")]

    operations = [migrations.RunSQL(f"SET ROLE audit_owner; {SQL} RESET ROLE;", migrations.RunSQL.noop)]
