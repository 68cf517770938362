"""Decision, approval request, vote, grant, execution, and what they use up."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from features.models import ApiKey, ClockNow, Feature, Person, PolicyVersion, new_id

# What a request is, and what becomes of it; only the first is open.
REQUEST_STATES = ("pending", "approved", "rejected", "expired", "withdrawn", "superseded")
GRANT_STATES = ("ready", "consumed", "expired", "revoked")
EXECUTION_STATES = ("started", "succeeded", "failed", "unknown")
# An execution that may have had its effect, or may still have it: the same is not run beside it.
UNSETTLED = ("started", "succeeded", "unknown")


class Decision(models.Model):
    """The policy's answer to one proposed action. What was proposed is sealed; what is bound to it is its digest."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="decisions")
    key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+")
    lineage = models.UUIDField(help_text="The key and its rotations: who may collect.")
    idempotency_key = models.CharField(max_length=200)
    body_digest = models.BinaryField(max_length=32)
    action = models.CharField(max_length=64)
    answer = models.CharField(max_length=16, help_text="allow, needs_approval or deny")
    reasons = models.JSONField(help_text="[{code, detail}], as the agent gets them")
    policy = models.ForeignKey(PolicyVersion, null=True, on_delete=models.PROTECT, related_name="+")
    epoch = models.PositiveBigIntegerField()
    revision = models.PositiveIntegerField(default=1)
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the canonical {action, args}")
    sealed = models.BinaryField(null=True, help_text="args, context and claim, sealed; NULL: erased")
    salt = models.BinaryField(max_length=16, null=True)
    args_mark = models.BinaryField(
        max_length=32, help_text="HMAC of the canonical args, for spans to be compared"
    )
    subject_mark = models.BinaryField(max_length=32, null=True, help_text="HMAC of whom it is about")
    cost = models.BigIntegerField(null=True, help_text="Of the first budget, in millionths")
    trace_id = models.BinaryField(max_length=16, null=True)
    span_id = models.BinaryField(max_length=8, null=True)
    edits = models.JSONField(default=list, help_text="[path] that a person changed; values are sealed")
    is_draft = models.BooleanField(default=False, db_default=False, help_text="Denied, and kept as a draft")
    draft = models.OneToOneField(
        "self",
        null=True,
        on_delete=models.PROTECT,
        related_name="proposal",
        help_text="The draft that a person proposed as their own request",
    )
    proposed_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=ClockNow())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["lineage", "idempotency_key"], name="decision_once"),
            models.CheckConstraint(
                condition=models.Q(draft__isnull=True, proposed_by__isnull=True)
                | models.Q(draft__isnull=False, proposed_by__isnull=False, answer="needs_approval"),
                name="decision_of_person_is_of_a_draft",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["feature", "-created_at"], name="decision_of_feature"),
            models.Index(fields=["feature", "action", "subject_mark"], name="decision_of_subject"),
            models.Index(
                fields=["trace_id"], condition=models.Q(trace_id__isnull=False), name="decision_of_trace"
            ),
            # Read by the list of drafts.
            models.Index(
                fields=["feature", "-id"], condition=models.Q(is_draft=True), name="decision_drafts"
            ),
        ]

    @property
    def by_person(self) -> bool:
        """Whether a person proposed it, and not its agent."""
        return self.proposed_by_id is not None


class ApprovalRequest(models.Model):
    """A decision that waits for people. An edit makes a new revision and clears the votes."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="request")
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="requests")
    action = models.CharField(max_length=64)
    state = models.CharField(max_length=12, default="pending")
    revision = models.PositiveIntegerField(default=1)
    role = models.CharField(max_length=16, help_text="Whose vote counts")
    quorum = models.PositiveIntegerField()
    irreversible = models.BooleanField()
    proposers = ArrayField(models.UUIDField(), help_text="People who may not vote on it")
    editor = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=ClockNow())
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=1000, blank=True, help_text="Of the rejection, for the model too")
    reminded_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["feature", "expires_at"], condition=models.Q(state="pending"), name="request_pending"
            ),
            models.Index(fields=["feature", "-created_at"], name="request_of_feature"),
            # Read by approvals/sql/inbox.sql and others.sql.
            models.Index(
                "feature",
                "role",
                models.F("irreversible").desc(),
                "id",
                condition=models.Q(state="pending"),
                name="request_inbox",
            ),
            models.Index(
                fields=["feature", "-id"], condition=models.Q(state="pending"), name="request_waits"
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(state__in=REQUEST_STATES), name="request_has_known_state"
            )
        ]


class Vote(models.Model):
    """One person's answer to one revision of a request; one that was taken back counts no more."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    request = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, related_name="votes")
    revision = models.PositiveIntegerField()
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    vote = models.CharField(max_length=8, help_text="approve or reject")
    reason = models.CharField(max_length=1000, blank=True)
    at = models.DateTimeField(db_default=ClockNow())
    taken_back_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["request", "revision", "person"],
                condition=models.Q(taken_back_at__isnull=True),
                name="vote_once",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["person", "-at"], name="vote_of_person")
        ]


class Question(models.Model):
    """What somebody asks before they decide, and the answer: sealed, because either may quote what was proposed. It
    prolongs nothing.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    request = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, related_name="questions")
    revision = models.PositiveIntegerField()
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=ClockNow())
    sealed = models.BinaryField(null=True, help_text="NULL: erased")
    salt = models.BinaryField(max_length=16, null=True)
    answered_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    answered_at = models.DateTimeField(null=True)
    answer_sealed = models.BinaryField(null=True)
    answer_salt = models.BinaryField(max_length=16, null=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["request", "id"], name="question_of_request")
        ]


class Absence(models.Model):
    """Out of office: until then a deputy gets the person's notices of approvals too. It moves no right."""

    person = models.OneToOneField(Person, primary_key=True, on_delete=models.CASCADE, related_name="+")
    deputy = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=~models.Q(person=models.F("deputy")), name="absence_has_another_deputy"
            )
        ]


class Grant(models.Model):
    """A single-use permission for exactly these arguments. Nothing but approvals/services/executing.py consumes it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="grants")
    state = models.CharField(max_length=12, default="ready")
    revision = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=32)
    epoch = models.PositiveBigIntegerField()
    made_at = models.DateTimeField(db_default=ClockNow())
    ready_at = models.DateTimeField(help_text="Until then the vote can be taken back")
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(state__in=GRANT_STATES), name="grant_has_known_state"),
            # Approved once more only when the grant before is worth nothing.
            models.UniqueConstraint(
                fields=["decision"],
                condition=models.Q(state__in=["ready", "consumed"]),
                name="grant_one_of_decision",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["expires_at"], condition=models.Q(state="ready"), name="grant_ready")
        ]


class Execution(models.Model):
    """One run of an action and its outcome. `unknown` is work to settle: it is never run again by itself."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    grant = models.OneToOneField(Grant, on_delete=models.PROTECT, related_name="execution")
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="executions")
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="executions")
    action = models.CharField(max_length=64)
    state = models.CharField(max_length=12, default="started")
    started_at = models.DateTimeField(db_default=ClockNow())
    deadline = models.DateTimeField()
    reported = models.CharField(max_length=12, blank=True, help_text="What the agent said")
    reported_at = models.DateTimeField(null=True)
    result = models.BinaryField(null=True, help_text="What the agent said of it, sealed")
    result_digest = models.BinaryField(max_length=32, null=True)
    settled_at = models.DateTimeField(null=True)
    settled_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    settled_reason = models.CharField(max_length=500, blank=True)
    record = models.PositiveBigIntegerField(null=True, help_text="The number of its start in the record")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(state__in=EXECUTION_STATES), name="execution_has_known_state"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["deadline"], condition=models.Q(state="started"), name="execution_due"),
            models.Index(fields=["feature", "-started_at"], name="execution_of_feature"),
        ]


class BudgetUse(models.Model):
    """How much of a budget is used or kept for what was granted, in one hour, day or week; locked by `id`'s order."""

    id = models.BigAutoField(primary_key=True)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    action = models.CharField(max_length=64)
    budget = models.CharField(max_length=32, help_text="The budget by its period and whose it is")
    begins_at = models.DateTimeField()
    mark = models.BinaryField(max_length=32, help_text="HMAC of the subject; empty: the feature's")
    used = models.BigIntegerField(help_text="Millionths")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["feature", "action", "budget", "begins_at", "mark"], name="budget_use_once"
            ),
            models.CheckConstraint(condition=models.Q(used__gte=0), name="budget_use_is_not_negative"),
        ]


class BudgetKept(models.Model):
    """What a decision keeps of a budget; given back when nothing ran."""

    id = models.BigAutoField(primary_key=True)
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="kept")
    use = models.ForeignKey(BudgetUse, on_delete=models.PROTECT, related_name="+")
    amount = models.BigIntegerField(help_text="Millionths")


class OnceUse(models.Model):
    """A value of `once_per`, or a whole digest, that is taken by a decision that may run or has run."""

    id = models.BigAutoField(primary_key=True)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    action = models.CharField(max_length=64)
    mark = models.BinaryField(max_length=32)
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="once")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["feature", "action", "mark"], name="once_use_once")
        ]
