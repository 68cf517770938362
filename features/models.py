"""Feature, person, roles per feature, policy versions, API key."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

import uuid_utils.compat as uuids
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now
from guardian.models import UserObjectPermissionBase

ROLES = ("lead", "approver", "reviewer", "on_call", "viewer")
SCOPES = ("ingest", "read", "decide", "evaluate", "rollout")


class ClockNow(models.Func):
    """The time at which a statement runs, not that at which its transaction began."""

    template = "clock_timestamp()"
    output_field = models.DateTimeField()


def new_id() -> Any:
    """A UUIDv7: unguessable outside, in the order of making inside."""
    return uuids.uuid7()


class PersonManager(BaseUserManager["Person"]):
    """What Django's and guardian's machinery asks for; people are made by services.create_person."""

    def get_by_natural_key(self, username: str | None) -> "Person":
        return self.get(name__iexact=username)


class Person(AbstractBaseUser, PermissionsMixin):
    """A human with one identity. Superuser rights of Django are not used: no check asks for them."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(r"\A[a-z0-9][a-z0-9._@+-]*\Z", "Small letters, digits and . _ @ + - only.")
        ],
        help_text="The login.",
    )
    display_name = models.CharField(max_length=120, blank=True)
    email = models.EmailField(blank=True)
    is_administrator = models.BooleanField(default=False, help_text="May register features and people.")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    USERNAME_FIELD = "name"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = PersonManager()

    class Meta:
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return self.display_name or self.name


class Feature(models.Model):
    """One LLM feature or agent under control: the unit of ownership, policy, metrics and verdict."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.CharField(
        max_length=63,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z",
                "Small letters, digits and single dashes inside only.",
            )
        ],
    )
    name = models.CharField(max_length=120)
    task = models.CharField(max_length=400, blank=True, help_text="One sentence that defines the job.")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering: ClassVar[list[str]] = ["name", "slug"]
        # A role is a permission on the object; what a role may do is decided where it is done.
        permissions = tuple((f"role_{role}", f"Is {role} of the feature") for role in ROLES)

    def __str__(self) -> str:
        return self.name


class FeatureRole(UserObjectPermissionBase):
    """A person's role on a feature: guardian's object permission in a table of its own, with a real foreign
    key.
    """

    content_object = models.ForeignKey(Feature, on_delete=models.CASCADE)
    # Given by the provider's groups, and taken with them; False: a person gave it.
    by_groups = models.BooleanField(default=False, db_default=False)
    # Nobody votes by a role that the proposer gave, or that came after the request.
    given_at = models.DateTimeField(db_default=Now())
    given_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta(UserObjectPermissionBase.Meta):
        abstract = False


class RoleDenial(models.Model):
    """A role that was taken from a person by hand: no group gives it back."""

    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=16)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["feature", "person", "role"], name="role_denial_once")
        ]


class PolicyVersion(models.Model):
    """An immutable, numbered version of a feature's policy; the newest is in force. The database refuses its
    change and its removal.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="policies")
    number = models.PositiveIntegerField()
    document = models.JSONField(help_text="features.policy.PolicyDocument, defaults filled in.")
    digest = models.BinaryField(max_length=32)
    source = models.TextField(help_text="The text as it was written, with its comments.")
    activated_at = models.DateTimeField(db_default=Now())
    activated_by = models.ForeignKey(
        Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["-number"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["feature", "number"], name="policy_version_number")
        ]

    def __str__(self) -> str:
        return f"policy {self.number}"


class PolicyDraft(models.Model):
    """What a feature's leads are writing as its next policy: one text, kept also where it does not parse. A revision
    is saved over the one that its editor saw, never over another.
    """

    feature = models.OneToOneField(Feature, primary_key=True, on_delete=models.PROTECT, related_name="draft")
    text = models.TextField()
    revision = models.PositiveIntegerField(default=1)
    edited_at = models.DateTimeField(db_default=Now())
    edited_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")


class PolicyProposal(models.Model):
    """A draft as it was when somebody proposed to make it the policy in force; another lead answers. States:
    pending, accepted, declined.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="proposals")
    source = models.TextField()
    digest = models.BinaryField(max_length=32, help_text="Of the policy that the source says.")
    base = models.PositiveIntegerField(help_text="The policy that was in force; 0: none.")
    edited_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    proposed_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=8, default="pending")
    decided_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    number = models.PositiveIntegerField(null=True, help_text="The policy that it became.")

    class Meta:
        ordering: ClassVar[list[str]] = ["-proposed_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["feature"], condition=models.Q(state="pending"), name="policy_proposal_one_pending"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["pending", "accepted", "declined"]),
                name="policy_proposal_state",
            ),
            # Whoever proposes or wrote it does not accept it.
            models.CheckConstraint(
                condition=~models.Q(state="accepted")
                | (
                    models.Q(decided_by__isnull=False, number__isnull=False)
                    & ~models.Q(decided_by=models.F("proposed_by"))
                    & ~models.Q(decided_by=models.F("edited_by"))
                ),
                name="policy_proposal_second_person",
            ),
        ]

    def __str__(self) -> str:
        return f"proposal of {self.proposed_at:%d %B %Y}"


class ApiKey(models.Model):
    """A program's right on one feature. The key itself is never stored: 256 random bits, kept as their
    SHA-256.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="keys")
    prefix = models.CharField(max_length=16, unique=True, help_text="The visible start of the key.")
    digest = models.BinaryField(max_length=32)
    scopes = ArrayField(models.CharField(max_length=16))
    label = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(Person, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    # The first key of a row of rotations; what one of them asked for, its successors may collect.
    lineage = models.UUIDField(default=new_id, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=list(SCOPES)) & models.Q(scopes__len__gt=0),
                name="api_key_has_known_scopes",
            )
        ]

    def __str__(self) -> str:
        return f"{self.prefix}..."

    def allows(self, scope: str) -> bool:
        return scope in self.scopes

    def is_usable(self, at: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def missing(self, scopes: Iterable[str]) -> list[str]:
        return [scope for scope in scopes if scope not in self.scopes]


class Notice(models.Model):
    """Something that people must know, written with what caused it (features/outbox.py)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=40)
    once = models.CharField(
        max_length=200, unique=True, help_text="The occasion: the same again is no notice."
    )
    feature = models.ForeignKey(Feature, null=True, on_delete=models.PROTECT, related_name="+")
    facts = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())


class Delivery(models.Model):
    """One notice's way to one person by one channel: console or email; pending, delivered or failed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="+")
    channel = models.CharField(max_length=8)
    state = models.CharField(max_length=12)
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["notice", "person", "channel"], name="delivery_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=models.Q(state="pending"), name="delivery_due"),
            models.Index(fields=["person", "channel"], name="delivery_of_person"),
        ]


class Gate(models.Model):
    """What every permission of a feature is bound to: kill, restore and the activation of a policy raise its epoch,
    and what was decided under an older one opens nothing (features/gate.py).
    """

    feature = models.OneToOneField(Feature, primary_key=True, on_delete=models.PROTECT, related_name="gate")
    epoch = models.PositiveBigIntegerField(default=1, db_default=1)


_DOUBTS = {
    "record_behind": "Tools are off everywhere: the record is older than what is kept outside (record {record:,}, kept "
    "outside {outside:,}). Find what happened in between, then restore.",
    "record_differs": "Tools are off everywhere: the record is not the one that is kept outside (kept up to "
    "{outside:,}, record {record:,}). Find who changed it, then restore.",
    "outside_unread": "Tools are off everywhere: what is kept outside could not be read at the start ({sinks}), so "
    "nobody knows whether the record is whole. Mend the way there or compare by hand, then restore.",
}


class ToolStop(models.Model):
    """The kill switch was used: these tools are off from `stopped_at` until `restored_at`. No feature: all of them;
    no action: every action.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, null=True, on_delete=models.PROTECT, related_name="stops")
    action = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    stopped_at = models.DateTimeField(db_default=ClockNow())
    stopped_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    stopped_by_key = models.ForeignKey("ApiKey", null=True, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(null=True, help_text="When epoch, revocation and record followed.")
    in_flight = models.JSONField(default=list, help_text="Executions that were out when it was used.")
    cause = models.CharField(
        max_length=20,
        blank=True,
        help_text="Why the console itself doubts its record; empty: a person or a key.",
    )
    cause_facts = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        help_text="The numbers that the cause is told with.",
    )
    restored_at = models.DateTimeField(null=True)
    restored_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    restored_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["feature", "action"],
                condition=models.Q(restored_at__isnull=True),
                nulls_distinct=False,
                name="tool_stop_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.action or 'all tools'} of {self.feature or 'every feature'}"

    @property
    def doubt(self) -> str:
        """The cause in words, and what to do about it; empty where there is none."""
        said = _DOUBTS.get(self.cause)
        return said.format(**{"record": 0, "outside": 0, "sinks": "", **self.cause_facts}) if said else ""


class IncidentRequest(models.Model):
    """Something that should be an incident, written by a room that knows none; the incidents' room reads it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=40)
    once = models.CharField(max_length=200, unique=True)
    facts = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    taken_at = models.DateTimeField(null=True)


class CaseRequest(models.Model):
    """A request that should be an eval case, written by a room that knows none; the evals' room reads it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    trace_id = models.BinaryField(max_length=16)
    source = models.CharField(max_length=40, help_text="The room that asks")
    once = models.CharField(max_length=200, unique=True)
    facts = models.JSONField(default=dict)
    asked_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    taken_at = models.DateTimeField(null=True)


class Score(models.Model):
    """A feature's figure of a week by one criterion, written by the reviews' room for rooms that do not import it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="scores")
    week = models.CharField(max_length=8, help_text="ISO 8601, such as 2026-W47")
    criterion = models.CharField(max_length=40)
    rubric = models.PositiveIntegerField(help_text="The version it was asked in")
    value = models.FloatField(help_text="Share that passes, weighted")
    low = models.FloatField()
    high = models.FloatField()
    n = models.PositiveIntegerField(help_text="Graded requests")
    population = models.PositiveIntegerField()
    alpha = models.FloatField(null=True)
    alpha_low = models.FloatField(null=True)
    alpha_n = models.PositiveIntegerField(default=0)
    computed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["feature", "week", "criterion"], name="score_of_week")
        ]
