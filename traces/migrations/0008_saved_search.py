"""Saved searches, what counts as a word, and the orders of a search."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.functions.datetime
import features.models
from django.conf import settings
from django.db import migrations, models

SQL = (Path(__file__).resolve().parent.parent / "sql" / "search_words.sql").read_text()


class Migration(migrations.Migration):

    dependencies = [
        ('features', '0004_outbox'),
        ('traces', '0004_depth'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SavedSearch',
            fields=[
                ('id', models.UUIDField(default=features.models.new_id, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=80)),
                ('line', models.CharField(blank=True, help_text='As it was typed, personal data as tokens.', max_length=2000)),
                ('parameters', models.CharField(blank=True, help_text='Window, order and columns, as a query string.', max_length=500)),
                ('shared', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('feature', models.ForeignKey(help_text='None: over all features.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='features.feature')),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'saved_search',
                'constraints': [models.UniqueConstraint(fields=('owner', 'feature', 'name'), name='saved_search_name', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('shared', False), ('feature__isnull', False), _connector='OR'), name='saved_search_shared_in_a_feature')],
            },
        ),
        migrations.RunSQL(
            SQL,
            "DROP INDEX search_document_by_worked, search_document_by_cost; "
            "DROP FUNCTION search_phrase(text, boolean), search_words(text), search_plain(text)",
        ),
    ]
