"""Traces that were settled before there were search documents and sums are settled anew, by the worker."""

from django.db import migrations

SQL = """
INSERT INTO dirty_trace (trace_id, feature_id)
SELECT t.trace_id, t.feature_id FROM trace t
WHERE NOT EXISTS (
    SELECT FROM search_document d
    WHERE d.trace_id = t.trace_id AND d.feature_id = t.feature_id
      AND d.day = (t.started_at AT TIME ZONE 'UTC')::date
)
ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [("traces", "0011_feedback_and_prices")]

    operations = [migrations.RunSQL(SQL, migrations.RunSQL.noop)]
