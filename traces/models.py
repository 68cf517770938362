"""The tables of traces. Partitioned ones (`span`, `log_event`) are made by SQL: migrations/0001 and sql/."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Value
from django.db.models.functions import Now

from features.models import Feature, Person, new_id


class Trace(models.Model):
    """One request, as settle last computed it from its spans, log events and facts. Written by settle
    alone.
    """

    pk = models.CompositePrimaryKey("trace_id", "feature_id")
    trace_id = models.BinaryField(max_length=16)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    request_id = models.TextField()
    name = models.TextField()
    session_id = models.TextField(null=True)
    user_id = models.TextField(null=True)
    variant = models.TextField()
    feature_version = models.TextField(null=True)
    segments = models.JSONField(default=dict)
    started_at = models.DateTimeField()
    duration_ns = models.BigIntegerField()
    waiting_ns = models.BigIntegerField()
    status = models.CharField(max_length=8)
    outcome = models.CharField(max_length=16)
    outcome_source = models.TextField()
    llm_calls = models.IntegerField()
    llm_errors = models.IntegerField()
    embeddings = models.IntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cached_input_tokens = models.BigIntegerField()
    tools = ArrayField(models.TextField())
    tool_calls = models.IntegerField()
    tool_errors = models.IntegerField()
    retries = models.IntegerField()
    violations = models.IntegerField()
    missing = ArrayField(models.TextField())
    span_count = models.IntegerField()
    cost_usd = models.DecimalField(
        max_digits=20,
        decimal_places=10,
        null=True,
        help_text="Of all model calls; unknown where one is unknown.",
    )
    unknown_cost_calls = models.IntegerField(db_default=0, help_text="Model calls whose model has no price.")
    context_tokens = models.BigIntegerField(null=True, help_text="Of the model call with the largest input.")
    budgeted_calls = models.IntegerField(
        db_default=0, help_text="Model calls with known input while the policy named a context budget."
    )
    over_budget_calls = models.IntegerField(db_default=0)
    violated_rules = ArrayField(models.TextField(), db_default=Value("{}", output_field=models.TextField()))
    error_signature = models.TextField(
        null=True, help_text="What failed first: tool or model and the error's words without its numbers."
    )
    policy = models.IntegerField(
        null=True, help_text="The policy version that judged it, when first settled."
    )
    executions = ArrayField(
        models.UUIDField(),
        db_default=Value("{}", output_field=models.TextField()),
        help_text="Executions that its tool spans are runs of.",
    )
    # The whole of vocabulary.Summary, for the trace page and the API; the columns above are what is filtered
    # and counted.
    summary = models.JSONField()
    settled_at = models.DateTimeField(db_default=Now())
    # Last, because from here on the name hides Django's module.
    models = ArrayField(models.TextField())

    class Meta:
        db_table = "trace"
        indexes: ClassVar[list[models.Index]] = [
            # The list and the metrics of a feature: a window of time, newest first.
            models.Index(fields=["feature", "-started_at", "-trace_id"], name="trace_by_time"),
            # An on-call person with a request ID from a customer.
            models.Index(fields=["request_id"], name="trace_by_request"),
            # Neighbours of a trace.
            models.Index(fields=["feature", "session_id", "-started_at"], name="trace_by_session"),
            models.Index(fields=["feature", "user_id", "-started_at"], name="trace_by_user"),
            # The dashboard's latest failures.
            models.Index(
                fields=["feature", "-started_at", "-trace_id"],
                name="trace_failed_by_time",
                condition=models.Q(outcome="failed"),
            ),
            # Neighbours with the same error.
            models.Index(
                fields=["feature", "error_signature", "-started_at"],
                name="trace_by_error",
                condition=models.Q(error_signature__isnull=False),
            ),
            # Whether an execution has a span, and where.
            GinIndex(fields=["executions"], name="trace_by_execution", condition=~models.Q(executions=[])),
        ]


class DirtyTrace(models.Model):
    """A trace whose spans, log events or facts changed since it was last settled: the work list of the
    workers.
    """

    pk = models.CompositePrimaryKey("trace_id", "feature_id")
    trace_id = models.BinaryField(max_length=16)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField(
        db_default=Now(), help_text="When it was first marked since the last settling."
    )
    marked_at = models.DateTimeField(db_default=Now())
    attempts = models.IntegerField(db_default=0)
    retry_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "dirty_trace"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["since"], name="dirty_trace_by_age")]


class DirtyMinute(models.Model):
    """A minute of a feature whose traces changed since its rollup was computed: until it is computed anew, its
    numbers come from the trace rows.
    """

    pk = models.CompositePrimaryKey("feature_id", "minute")
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    minute = models.DateTimeField()
    since = models.DateTimeField(db_default=Now())
    marked_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "dirty_minute"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["since"], name="dirty_minute_by_age")]


class DirtyHour(models.Model):
    """An hour of which a minute's rollup was computed anew: until it is added up, its minutes are read."""

    pk = models.CompositePrimaryKey("feature_id", "hour")
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    hour = models.DateTimeField()
    since = models.DateTimeField(db_default=Now())
    marked_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "dirty_hour"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["since"], name="dirty_hour_by_age")]


class DirtyDay(models.Model):
    """A day (UTC) of which an hour was added up anew: until it is itself, its hours are read."""

    pk = models.CompositePrimaryKey("feature_id", "day")
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    day = models.DateTimeField()
    since = models.DateTimeField(db_default=Now())
    marked_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "dirty_day"
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["since"], name="dirty_day_by_age")]


class Rollup(models.Model):
    """The sums of the traces that started in one step of time, by variant and by one dimension.

    `dimension` is '' for all traces, else `model`, `tool`, `version` or `segment.<name>`, with its `value`; a trace
    counts once under each value that it has. Histograms are pairs of arrays: bucket index and count.
    """

    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    dimension = models.TextField()
    variant = models.TextField()
    value = models.TextField()
    requests = models.IntegerField()
    errors = models.IntegerField()
    successes = models.IntegerField()
    escalated = models.IntegerField()
    failed = models.IntegerField()
    abandoned = models.IntegerField()
    violated = models.IntegerField()
    complete = models.IntegerField()
    llm_calls = models.IntegerField()
    llm_errors = models.IntegerField()
    tool_calls = models.IntegerField()
    tool_errors = models.IntegerField()
    retries = models.IntegerField()
    budgeted_calls = models.IntegerField()
    over_budget_calls = models.IntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cached_input_tokens = models.BigIntegerField()
    cost_usd = models.DecimalField(
        max_digits=24, decimal_places=10, help_text="Of the traces whose cost is known."
    )
    unknown_cost = models.IntegerField(help_text="Traces whose cost is unknown.")
    redactions = models.BigIntegerField()
    latency_buckets = ArrayField(models.IntegerField())
    latency_counts = ArrayField(models.IntegerField())
    waiting_buckets = ArrayField(models.IntegerField())
    waiting_counts = ArrayField(models.IntegerField())
    context_buckets = ArrayField(models.IntegerField())
    context_counts = ArrayField(models.IntegerField())

    class Meta:
        abstract = True


class RollupMinute(Rollup):
    """A minute's sums, computed from the trace rows."""

    pk = models.CompositePrimaryKey("feature_id", "dimension", "minute", "variant", "value")
    minute = models.DateTimeField()

    class Meta:
        db_table = "rollup_minute"
        # For its computation, which takes all dimensions of a step.
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["feature", "minute"], name="rollup_minute_by_time")
        ]


class RollupHour(Rollup):
    """An hour's sums, added up from its minutes."""

    pk = models.CompositePrimaryKey("feature_id", "dimension", "hour", "variant", "value")
    hour = models.DateTimeField()

    class Meta:
        db_table = "rollup_hour"
        # For its computation, which takes all dimensions of a step.
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["feature", "hour"], name="rollup_hour_by_time")
        ]


class RollupDay(Rollup):
    """A day's sums (UTC), added up from its hours."""

    pk = models.CompositePrimaryKey("feature_id", "dimension", "day", "variant", "value")
    day = models.DateTimeField()

    class Meta:
        db_table = "rollup_day"
        # For its computation, which takes all dimensions of a step.
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["feature", "day"], name="rollup_day_by_time")
        ]


class FactRow(models.Model):
    """Something about a trace that is not a span; higher rooms write it, settle reads it."""

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    trace_id = models.BinaryField(max_length=16)
    kind = models.TextField()
    source = models.TextField()
    value = models.JSONField()
    created_at = models.DateTimeField(
        db_default=Now(), help_text="When its sender says it was said, else when it came."
    )
    digest = models.BinaryField(
        max_length=16, null=True, help_text="Of kind, source, value and the time given: once is once."
    )

    class Meta:
        db_table = "fact"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["trace_id", "feature"], name="fact_by_trace"),
            # Executions that a span of another trace names.
            models.Index(
                fields=["feature", "source"], name="fact_of_execution", condition=models.Q(kind="execution")
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["trace_id", "feature", "digest"], name="fact_once")
        ]


class LagAlarm(models.Model):
    """A time in which a feature's traces waited too long to be settled; told once, and once when over."""

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    began_at = models.DateTimeField(db_default=Now())
    over_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "lag_alarm"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["feature"], condition=models.Q(over_at__isnull=True), name="lag_alarm_open_once"
            )
        ]


class RequestFact(models.Model):
    """A fact about a request ID: it holds for every trace of the feature that has it, whichever came first."""

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    request_id = models.TextField()
    kind = models.TextField()
    source = models.TextField()
    value = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    digest = models.BinaryField(max_length=16)

    class Meta:
        db_table = "request_fact"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Settle looks a request's facts up by its first two columns.
            models.UniqueConstraint(fields=["feature", "request_id", "digest"], name="request_fact_once")
        ]


class Price(models.Model):
    """What a model's tokens cost from a day on, in US dollars per million."""

    id = models.UUIDField(primary_key=True, default=new_id)
    model = models.CharField(
        max_length=200, help_text="A name, or its start with * behind it; small letters."
    )
    valid_from = models.DateField()
    input = models.DecimalField(max_digits=12, decimal_places=4)
    cached_input = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    output = models.DecimalField(max_digits=12, decimal_places=4)
    source = models.CharField(max_length=200, help_text="Where the figure comes from.")
    changed_at = models.DateTimeField(db_default=Now())
    changed_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        db_table = "price"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["model", "valid_from"], name="price_of_a_model_from_a_day"),
            models.CheckConstraint(
                condition=models.Q(input__gte=0)
                & models.Q(output__gte=0)
                & (models.Q(cached_input__isnull=True) | models.Q(cached_input__gte=0)),
                name="price_is_not_negative",
            ),
        ]


class PriceChange(models.Model):
    """A changed price whose traces are being put on the work list, and how far that is."""

    id = models.UUIDField(primary_key=True, default=new_id)
    model = models.CharField(max_length=200)
    valid_from = models.DateField()
    changed_at = models.DateTimeField(db_default=Now())
    feature_done = models.UUIDField(null=True, help_text="The last feature, in order, that is done.")
    reached = models.DateTimeField(
        null=True, help_text="The start of the last trace looked at in the next one."
    )
    reached_trace = models.BinaryField(max_length=16, null=True)

    class Meta:
        db_table = "price_change"


class SpanConflict(models.Model):
    """A different body that came under the ID of a span already stored: kept apart, never in its place."""

    pk = models.CompositePrimaryKey("trace_id", "span_id", "feature_id", "body_hash")
    trace_id = models.BinaryField(max_length=16)
    span_id = models.BinaryField(max_length=8)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    body_hash = models.BinaryField(max_length=16)
    body = models.TextField(help_text="The span as JSON, in the vocabulary, redacted.")
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "span_conflict"


class SavedSearch(models.Model):
    """A search that a person kept under a name: for themselves, or for all who hold a role on its feature."""

    id = models.UUIDField(primary_key=True, default=new_id)
    owner = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    feature = models.ForeignKey(
        Feature, on_delete=models.CASCADE, null=True, related_name="+", help_text="None: over all features."
    )
    name = models.CharField(max_length=80)
    line = models.CharField(
        max_length=2000, blank=True, help_text="As it was typed, personal data as tokens."
    )
    parameters = models.CharField(
        max_length=500, blank=True, help_text="Window, order and columns, as a query string."
    )
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "saved_search"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["owner", "feature", "name"], name="saved_search_name", nulls_distinct=False
            ),
            # What stands over all features is nobody else's: who sees which feature differs.
            models.CheckConstraint(
                condition=models.Q(shared=False) | models.Q(feature__isnull=False),
                name="saved_search_shared_in_a_feature",
            ),
        ]


class IngestReceipt(models.Model):
    """One body that came by OTLP with a good key: how much of it was stored, and why the rest was not. Kept a
    day.
    """

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now())
    signal = models.CharField(max_length=8)
    accepted = models.IntegerField()
    rejected = models.IntegerField()
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "ingest_receipt"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["feature", "-at"], name="ingest_receipt_latest")
        ]


class VaultEntry(models.Model):
    """What one token stands for, sealed (traces/vault.py). Without `sealed` it was erased, and stays so."""

    id = models.BigAutoField(primary_key=True)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    token = models.CharField(max_length=64)
    kind = models.CharField(max_length=32)
    sealed = models.BinaryField(null=True)
    seen_on = models.DateField(help_text="The newest day on which it came: retention counts from it.")
    erased_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "vault_entry"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["feature", "token"], name="vault_entry_of_token")
        ]


class Reveal(models.Model):
    """One showing of personal data: who saw what of which trace, and why. The record holds a commitment to
    it.
    """

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    trace_id = models.BinaryField(max_length=16)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    tokens = ArrayField(models.CharField(max_length=64))
    reason = models.CharField(max_length=500)
    salt = models.BinaryField(max_length=16)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "reveal"


class Hold(models.Model):
    """A trace that outlives its retention, and why: a lead holds it by law, or something in a room points at it."""

    class Kind(models.TextChoices):
        LEGAL = "legal"
        REVIEW = "review"
        CASE = "case"
        INCIDENT = "incident"
        APPROVAL = "approval"

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    trace_id = models.BinaryField(max_length=16)
    kind = models.CharField(max_length=8, choices=Kind)
    reference = models.CharField(max_length=200, blank=True, help_text="What points at it, by its own ID.")
    reason = models.CharField(max_length=500)
    salt = models.BinaryField(max_length=16, help_text="Of the commitments to the reasons in the record.")
    placed_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    release_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "hold"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["trace_id", "feature", "kind", "reference"],
                condition=models.Q(released_at__isnull=True),
                name="hold_once",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=["legal", "review", "case", "incident", "approval"]),
                name="hold_has_known_kind",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # The holds of a feature on its page of storage.
            models.Index(fields=["feature", "-created_at"], name="hold_by_feature")
        ]


class RetentionRun(models.Model):
    """One run of the retention over the installation (no feature: whole days) or one feature (its rows), with
    what went. Written with each batch, so that a run that was killed says what it did.
    """

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(
        max_length=12, help_text="running, done, stopped (goes on next time), interrupted."
    )
    before = models.DateField(help_text="The first day that is kept.")
    started_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    days = ArrayField(models.TextField(), help_text="Whole days dropped: table and day.")
    bytes = models.BigIntegerField(db_default=0, help_text="Given back by whole days.")
    traces = models.BigIntegerField(db_default=0)
    spans = models.BigIntegerField(db_default=0)
    events = models.BigIntegerField(db_default=0)
    held = models.BigIntegerField(
        db_default=0, help_text="Spans and log events copied because they are held."
    )
    released = models.BigIntegerField(db_default=0, help_text="Copies that went because no hold is left.")
    originals = models.BigIntegerField(db_default=0, help_text="What tokens stood for.")

    class Meta:
        db_table = "retention_run"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["-started_at"], name="retention_run_latest")
        ]


class RetentionMark(models.Model):
    """Up to where a feature's rows were deleted, and by which policy: the same again has nothing to look for."""

    feature = models.OneToOneField(Feature, primary_key=True, on_delete=models.PROTECT, related_name="+")
    policy = models.IntegerField(help_text="The version's number; 0: none.")
    kept_days = models.IntegerField()
    before = models.DateField()

    class Meta:
        db_table = "retention_mark"


class Participant(models.Model):
    """A person who had a part in what a request did, written by a higher room: nobody grades what they approved."""

    id = models.UUIDField(primary_key=True, default=new_id)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    trace_id = models.BinaryField(max_length=16)
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    part = models.CharField(max_length=20, help_text="voted, edited, proposed or settled")

    class Meta:
        db_table = "participant"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["trace_id", "feature", "person", "part"], name="participant_once")
        ]
