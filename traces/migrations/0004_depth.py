"""What the dashboard and the search read: rollups, dirty minutes, search documents, more columns of a trace."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


SQL = (Path(__file__).resolve().parent.parent / "sql" / "search_document.sql").read_text()


class Migration(migrations.Migration):

    dependencies = [
        ('features', '0004_outbox'),
        ('traces', '0003_vault'),
    ]

    operations = [
        migrations.CreateModel(
            name='DirtyMinute',
            fields=[
                ('pk', models.CompositePrimaryKey('feature_id', 'minute', blank=True, editable=False, primary_key=True, serialize=False)),
                ('feature', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='features.feature')),
                ('minute', models.DateTimeField()),
                ('since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('marked_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'dirty_minute',
            },
        ),
        migrations.CreateModel(
            name='RollupHour',
            fields=[
                ('dimension', models.TextField()),
                ('variant', models.TextField()),
                ('value', models.TextField()),
                ('requests', models.IntegerField()),
                ('errors', models.IntegerField()),
                ('successes', models.IntegerField()),
                ('escalated', models.IntegerField()),
                ('failed', models.IntegerField()),
                ('abandoned', models.IntegerField()),
                ('violated', models.IntegerField()),
                ('complete', models.IntegerField()),
                ('llm_calls', models.IntegerField()),
                ('llm_errors', models.IntegerField()),
                ('tool_calls', models.IntegerField()),
                ('tool_errors', models.IntegerField()),
                ('retries', models.IntegerField()),
                ('budgeted_calls', models.IntegerField()),
                ('over_budget_calls', models.IntegerField()),
                ('input_tokens', models.BigIntegerField()),
                ('output_tokens', models.BigIntegerField()),
                ('cached_input_tokens', models.BigIntegerField()),
                ('cost_usd', models.DecimalField(decimal_places=10, help_text='Of the traces whose cost is known.', max_digits=24)),
                ('unknown_cost', models.IntegerField(help_text='Traces whose cost is unknown.')),
                ('redactions', models.BigIntegerField()),
                ('latency_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('latency_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('waiting_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('waiting_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('context_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('context_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('pk', models.CompositePrimaryKey('feature_id', 'dimension', 'hour', 'variant', 'value', blank=True, editable=False, primary_key=True, serialize=False)),
                ('feature', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='features.feature')),
                ('hour', models.DateTimeField()),
            ],
            options={
                'db_table': 'rollup_hour',
            },
        ),
        migrations.CreateModel(
            name='RollupMinute',
            fields=[
                ('dimension', models.TextField()),
                ('variant', models.TextField()),
                ('value', models.TextField()),
                ('requests', models.IntegerField()),
                ('errors', models.IntegerField()),
                ('successes', models.IntegerField()),
                ('escalated', models.IntegerField()),
                ('failed', models.IntegerField()),
                ('abandoned', models.IntegerField()),
                ('violated', models.IntegerField()),
                ('complete', models.IntegerField()),
                ('llm_calls', models.IntegerField()),
                ('llm_errors', models.IntegerField()),
                ('tool_calls', models.IntegerField()),
                ('tool_errors', models.IntegerField()),
                ('retries', models.IntegerField()),
                ('budgeted_calls', models.IntegerField()),
                ('over_budget_calls', models.IntegerField()),
                ('input_tokens', models.BigIntegerField()),
                ('output_tokens', models.BigIntegerField()),
                ('cached_input_tokens', models.BigIntegerField()),
                ('cost_usd', models.DecimalField(decimal_places=10, help_text='Of the traces whose cost is known.', max_digits=24)),
                ('unknown_cost', models.IntegerField(help_text='Traces whose cost is unknown.')),
                ('redactions', models.BigIntegerField()),
                ('latency_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('latency_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('waiting_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('waiting_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('context_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('context_counts', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('pk', models.CompositePrimaryKey('feature_id', 'dimension', 'minute', 'variant', 'value', blank=True, editable=False, primary_key=True, serialize=False)),
                ('feature', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='features.feature')),
                ('minute', models.DateTimeField()),
            ],
            options={
                'db_table': 'rollup_minute',
            },
        ),
        migrations.AddField(
            model_name='trace',
            name='budgeted_calls',
            field=models.IntegerField(db_default=0, help_text='Model calls with known input while the policy named a context budget.'),
        ),
        migrations.AddField(
            model_name='trace',
            name='context_tokens',
            field=models.BigIntegerField(help_text='Of the model call with the largest input.', null=True),
        ),
        migrations.AddField(
            model_name='trace',
            name='cost_usd',
            field=models.DecimalField(decimal_places=10, help_text='Of all model calls; unknown where one is unknown.', max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='trace',
            name='error_signature',
            field=models.TextField(help_text="What failed first: tool or model and the error's words without its numbers.", null=True),
        ),
        migrations.AddField(
            model_name='trace',
            name='over_budget_calls',
            field=models.IntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='trace',
            name='policy',
            field=models.IntegerField(help_text='The policy version that judged it, when first settled.', null=True),
        ),
        migrations.AddField(
            model_name='trace',
            name='unknown_cost_calls',
            field=models.IntegerField(db_default=0, help_text='Model calls whose model has no price.'),
        ),
        migrations.AddField(
            model_name='trace',
            name='violated_rules',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=models.Value('{}', output_field=models.TextField()), size=None),
        ),
        migrations.AddIndex(
            model_name='trace',
            index=models.Index(condition=models.Q(('error_signature__isnull', False)), fields=['feature', 'error_signature', '-started_at'], name='trace_by_error'),
        ),
        migrations.AddIndex(
            model_name='dirtyminute',
            index=models.Index(fields=['since'], name='dirty_minute_by_age'),
        ),
        migrations.RunSQL(SQL),
    ]
