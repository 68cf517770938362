"""Rubric, sample, its items, and one person's review of one item."""

from typing import ClassVar

from django.db import models

from features.models import ApiKey, ClockNow, Feature, Person, new_id

REVIEW_STATES = ("claimed", "submitted", "skipped")
PARTS = ("grade", "adjudication", "gold")
# How an item's final grades came about.
FINAL = ("single", "agreed", "by_lot", "adjudicated")
FLAGS = ("violation", "pii", "case", "incident")


class RubricVersion(models.Model):
    """An immutable, numbered version of a feature's rubric; the newest is in force."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="rubrics")
    number = models.PositiveIntegerField()
    document = models.JSONField(help_text="reviews.rubric.Rubric")
    digest = models.BinaryField(max_length=32)
    published_at = models.DateTimeField(db_default=ClockNow())
    published_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["feature", "number"], name="rubric_number")
        ]


class RubricDraft(models.Model):
    """What a lead is changing of a feature's rubric; one draft, kept until it is published or thrown away."""

    feature = models.OneToOneField(
        Feature, primary_key=True, on_delete=models.CASCADE, related_name="rubric_draft"
    )
    document = models.JSONField(help_text="As it was typed: it need not be right yet")
    revision = models.PositiveIntegerField(default=1)
    edited_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    edited_at = models.DateTimeField(db_default=ClockNow())


class Sample(models.Model):
    """The drawn requests of a week, or of a window that somebody chose; what was drawn is never drawn anew."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="samples")
    week = models.CharField(max_length=8, null=True, help_text="ISO 8601, such as 2026-W47; NULL: by hand")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    seed = models.CharField(max_length=64)
    asked = models.PositiveIntegerField(help_text="How many the policy asks for")
    double_graded = models.FloatField(help_text="Share that two people grade")
    rubric = models.ForeignKey(RubricVersion, on_delete=models.PROTECT, related_name="+")
    population = models.PositiveIntegerField()
    strata = models.JSONField(help_text="[{key, size, drawn, why}]")
    drawn_at = models.DateTimeField(db_default=ClockNow())
    drawn_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    closes_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    reminded_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["feature", "week"], name="sample_of_week"),
            models.CheckConstraint(
                condition=models.Q(starts_at__lt=models.F("ends_at")), name="sample_has_a_window"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # What is open: queues, the sweep.
            models.Index(
                fields=["feature", "-drawn_at"], condition=models.Q(closed_at=None), name="sample_open"
            ),
            models.Index(fields=["feature", "-starts_at"], name="sample_of_feature"),
        ]


class SampleItem(models.Model):
    """A drawn request: how it got in, what it stands for, and its final grades."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    sample = models.ForeignKey(Sample, on_delete=models.PROTECT, related_name="items")
    trace_id = models.BinaryField(max_length=16)
    place = models.PositiveIntegerField(help_text="In which order the items are handed out")
    stratum = models.TextField()
    chance = models.FloatField(help_text="To be drawn, in (0, 1]")
    weight = models.FloatField(help_text="How many requests of the population it stands for")
    why = models.TextField()
    wanted = models.PositiveIntegerField(default=1, help_text="How many people grade it")
    adjudicate = models.BooleanField(default=False, help_text="Two graded it too far apart: a third decides")
    # {criterion: number}, and how they came about; NULL until as many have graded it as are wanted.
    final = models.JSONField(null=True)
    final_is = models.CharField(max_length=12, blank=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["sample", "trace_id"], name="item_once"),
            models.UniqueConstraint(fields=["sample", "place"], name="item_place"),
            models.CheckConstraint(
                condition=models.Q(chance__gt=0) & models.Q(chance__lte=1), name="item_chance_is_a_chance"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["trace_id"], name="item_of_trace")]


class GoldItem(models.Model):
    """A request whose grades are agreed: it comes unseen among the others and shows how well a reviewer is set."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="golds")
    trace_id = models.BinaryField(max_length=16)
    rubric = models.ForeignKey(RubricVersion, on_delete=models.PROTECT, related_name="+")
    grades = models.JSONField(help_text="{criterion: number}, as agreed")
    because = models.TextField(help_text="Why these grades, shown to whoever graded otherwise")
    added_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(db_default=ClockNow())
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["feature", "trace_id", "rubric"],
                condition=models.Q(retired_at=None),
                name="gold_once",
            )
        ]


class Review(models.Model):
    """One person's grading of one request: claimed with a lease, typed into a draft, submitted or skipped."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    sample = models.ForeignKey(Sample, on_delete=models.PROTECT, related_name="reviews")
    item = models.ForeignKey(SampleItem, null=True, on_delete=models.PROTECT, related_name="reviews")
    gold = models.ForeignKey(GoldItem, null=True, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="reviews")
    part = models.CharField(max_length=12, default="grade")
    state = models.CharField(max_length=10, default="claimed")
    # Not set well enough when it was claimed: it is kept, and counts for nothing.
    shadow = models.BooleanField(default=False)
    claimed_at = models.DateTimeField(db_default=ClockNow())
    lease_until = models.DateTimeField()
    # {"grades": {criterion: number}, "note": text, "comments": [{"quote", "text"}]}
    draft = models.JSONField(default=dict)
    revision = models.PositiveIntegerField(
        default=0, help_text="Of the draft: two tabs never overwrite each other"
    )
    submitted_at = models.DateTimeField(null=True)
    skip_reason = models.CharField(max_length=500, blank=True)
    seconds = models.FloatField(null=True, help_text="Between claim and submit, idle times left out")
    gold_agreement = models.FloatField(null=True, help_text="Share of criteria graded as agreed")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["item", "reviewer"], condition=models.Q(item__isnull=False), name="review_once"
            ),
            models.UniqueConstraint(
                fields=["gold", "reviewer"], condition=models.Q(gold__isnull=False), name="review_gold_once"
            ),
            models.CheckConstraint(
                condition=models.Q(item__isnull=False, gold=None) | models.Q(item=None, gold__isnull=False),
                name="review_of_one_request",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=REVIEW_STATES) & models.Q(part__in=PARTS),
                name="review_has_known_state",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["reviewer", "sample"], condition=models.Q(state="claimed"), name="review_claimed"
            ),
            models.Index(fields=["sample", "reviewer", "-submitted_at"], name="review_of_reviewer"),
        ]


class Grade(models.Model):
    """One person's answer to one criterion: the number of a value of its scale, from worst (1) to best."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="grades")
    criterion = models.CharField(max_length=40)
    number = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["review", "criterion"], name="grade_once")
        ]


class Flag(models.Model):
    """What a reviewer raised while grading, and what it became."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="flags")
    kind = models.CharField(max_length=10)
    note = models.CharField(max_length=1000, blank=True)
    at = models.DateTimeField(db_default=ClockNow())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["review", "kind"], name="flag_once"),
            models.CheckConstraint(condition=models.Q(kind__in=FLAGS), name="flag_has_known_kind"),
        ]


class Reflection(models.Model):
    """What a reviewer says, when the week is closed, of a grade that differs from the final one."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="reflections")
    criterion = models.CharField(max_length=40)
    says = models.CharField(max_length=8, help_text="wrong (I was) or unclear (the anchor is)")
    at = models.DateTimeField(db_default=ClockNow())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["review", "criterion"], name="reflection_once"),
            models.CheckConstraint(condition=models.Q(says__in=("wrong", "unclear")), name="reflection_says"),
        ]


class JudgeGrade(models.Model):
    """One answer of an LLM judge to one criterion of one request, imported to be held against people's."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    feature = models.ForeignKey(Feature, on_delete=models.PROTECT, related_name="+")
    judge = models.CharField(max_length=100, help_text="Its name and version, as its owner calls it")
    rubric = models.ForeignKey(RubricVersion, on_delete=models.PROTECT, related_name="+")
    trace_id = models.BinaryField(max_length=16)
    criterion = models.CharField(max_length=40)
    number = models.PositiveIntegerField()
    imported_at = models.DateTimeField(db_default=ClockNow())
    imported_by_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["feature", "judge", "rubric", "trace_id", "criterion"], name="judge_grade_once"
            )
        ]
