"""Feedback by request ID, facts once, prices with their days, alarms of lag."""

import tomllib
from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
import features.models
from django.conf import settings
from django.db import migrations, models


PRICES = Path(__file__).resolve().parent.parent / "prices.toml"


def load_prices(apps, schema_editor):
    """The shipped prices; what people change later stays changed."""
    Price = apps.get_model("traces", "Price")
    shipped = tomllib.loads(PRICES.read_text())
    for entry in shipped["price"]:
        Price.objects.get_or_create(
            model=entry["model"],
            valid_from=entry["from"],
            defaults={
                "input": entry["input"],
                "cached_input": entry.get("cached"),
                "output": entry["output"],
                "source": shipped["source"],
            },
        )


class Migration(migrations.Migration):

    dependencies = [
        ('features', '0004_outbox'),
        ('traces', '0010_failed_traces'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='LagAlarm',
            fields=[
                ('id', models.UUIDField(default=features.models.new_id, primary_key=True, serialize=False)),
                ('began_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('over_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'lag_alarm',
            },
        ),
        migrations.CreateModel(
            name='Price',
            fields=[
                ('id', models.UUIDField(default=features.models.new_id, primary_key=True, serialize=False)),
                ('model', models.CharField(help_text='A name, or its start with * behind it; small letters.', max_length=200)),
                ('valid_from', models.DateField()),
                ('input', models.DecimalField(decimal_places=4, max_digits=12)),
                ('cached_input', models.DecimalField(blank=True, decimal_places=4, max_digits=12, null=True)),
                ('output', models.DecimalField(decimal_places=4, max_digits=12)),
                ('source', models.CharField(help_text='Where the figure comes from.', max_length=200)),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'price',
            },
        ),
        migrations.CreateModel(
            name='PriceChange',
            fields=[
                ('id', models.UUIDField(default=features.models.new_id, primary_key=True, serialize=False)),
                ('model', models.CharField(max_length=200)),
                ('valid_from', models.DateField()),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('feature_done', models.UUIDField(help_text='The last feature, in order, that is done.', null=True)),
                ('reached', models.DateTimeField(help_text='The start of the last trace looked at in the next one.', null=True)),
                ('reached_trace', models.BinaryField(max_length=16, null=True)),
            ],
            options={
                'db_table': 'price_change',
            },
        ),
        migrations.CreateModel(
            name='RequestFact',
            fields=[
                ('id', models.UUIDField(default=features.models.new_id, primary_key=True, serialize=False)),
                ('request_id', models.TextField()),
                ('kind', models.TextField()),
                ('source', models.TextField()),
                ('value', models.JSONField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('digest', models.BinaryField(max_length=16)),
            ],
            options={
                'db_table': 'request_fact',
            },
        ),
        migrations.AddField(
            model_name='factrow',
            name='digest',
            field=models.BinaryField(help_text='Of kind, source, value and the time given: once is once.', max_length=16, null=True),
        ),
        migrations.AlterField(
            model_name='factrow',
            name='created_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='When its sender says it was said, else when it came.'),
        ),
        migrations.AddConstraint(
            model_name='factrow',
            constraint=models.UniqueConstraint(fields=('trace_id', 'feature', 'digest'), name='fact_once'),
        ),
        migrations.AddField(
            model_name='lagalarm',
            name='feature',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='features.feature'),
        ),
        migrations.AddField(
            model_name='price',
            name='changed_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='requestfact',
            name='feature',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='features.feature'),
        ),
        migrations.AddConstraint(
            model_name='lagalarm',
            constraint=models.UniqueConstraint(condition=models.Q(('over_at__isnull', True)), fields=('feature',), name='lag_alarm_open_once'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.UniqueConstraint(fields=('model', 'valid_from'), name='price_of_a_model_from_a_day'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Q(('input__gte', 0), ('output__gte', 0), models.Q(('cached_input__isnull', True), ('cached_input__gte', 0), _connector='OR')), name='price_is_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='requestfact',
            constraint=models.UniqueConstraint(fields=('feature', 'request_id', 'digest'), name='request_fact_once'),
        ),
        migrations.RunPython(load_prices, migrations.RunPython.noop),
    ]
