"""The partitioned tables and the function that makes their days (traces/sql/partitioned.sql)."""

from pathlib import Path

from django.db import migrations

SQL = (Path(__file__).resolve().parent.parent / "sql" / "partitioned.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("traces", "0001_initial")]

    operations = [
        migrations.RunSQL(
            SQL,
            "DROP FUNCTION ensure_partitions(date, date); DROP TABLE log_event; DROP TABLE span;",
        )
    ]
