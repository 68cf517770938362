"""Holds, the copies that they keep, the runs of the retention, and the function that drops a day."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import features.models
from django.conf import settings
from django.db import migrations, models


SQL = (Path(__file__).resolve().parent.parent / "sql" / "retention.sql").read_text()


class Migration(migrations.Migration):

    dependencies = [
        ('features', '0004_outbox'),
        ('traces', '0007_rollup_levels'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='RetentionMark',
            fields=[
                ('feature', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='+', serialize=False, to='features.feature')),
                ('policy', models.IntegerField(help_text="The version's number; 0: none.")),
                ('kept_days', models.IntegerField()),
                ('before', models.DateField()),
            ],
            options={
                'db_table': 'retention_mark',
            },
        ),
        migrations.CreateModel(
            name='Hold',
            fields=[
                ('id', models.UUIDField(default=features.models.new_id, primary_key=True, serialize=False)),
                ('trace_id', models.BinaryField(max_length=16)),
                ('kind', models.CharField(choices=[('legal', 'Legal'), ('review', 'Review'), ('case', 'Case'), ('incident', 'Incident'), ('approval', 'Approval')], max_length=8)),
                ('reference', models.CharField(blank=True, help_text='What points at it, by its own ID.', max_length=200)),
                ('reason', models.CharField(max_length=500)),
                ('salt', models.BinaryField(help_text='Of the commitments to the reasons in the record.', max_length=16)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('released_at', models.DateTimeField(null=True)),
                ('release_reason', models.CharField(blank=True, max_length=500)),
                ('feature', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='features.feature')),
                ('placed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('released_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'hold',
                'indexes': [models.Index(fields=['feature', '-created_at'], name='hold_by_feature')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('released_at__isnull', True)), fields=('trace_id', 'feature', 'kind', 'reference'), name='hold_once'), models.CheckConstraint(condition=models.Q(('kind__in', ['legal', 'review', 'case', 'incident', 'approval'])), name='hold_has_known_kind')],
            },
        ),
        migrations.CreateModel(
            name='RetentionRun',
            fields=[
                ('id', models.UUIDField(default=features.models.new_id, primary_key=True, serialize=False)),
                ('state', models.CharField(help_text='running, done, stopped (goes on next time), interrupted.', max_length=12)),
                ('before', models.DateField(help_text='The first day that is kept.')),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('days', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), help_text='Whole days dropped: table and day.', size=None)),
                ('bytes', models.BigIntegerField(db_default=0, help_text='Given back by whole days.')),
                ('traces', models.BigIntegerField(db_default=0)),
                ('spans', models.BigIntegerField(db_default=0)),
                ('events', models.BigIntegerField(db_default=0)),
                ('held', models.BigIntegerField(db_default=0, help_text='Spans and log events copied because they are held.')),
                ('released', models.BigIntegerField(db_default=0, help_text='Copies that went because no hold is left.')),
                ('originals', models.BigIntegerField(db_default=0, help_text='What tokens stood for.')),
                ('feature', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='features.feature')),
            ],
            options={
                'db_table': 'retention_run',
                'indexes': [models.Index(fields=['-started_at'], name='retention_run_latest')],
            },
        ),
        migrations.RunSQL(SQL),
    ]
