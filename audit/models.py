"""What stands around the record; the record itself is no model: audit/sql/record.sql."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class CheckpointDelivery(models.Model):
    """One checkpoint's way to one sink: pending until it arrived."""

    size = models.BigIntegerField(help_text="The checkpoint: how many records it covers.")
    sink = models.CharField(max_length=300)
    outside = models.BooleanField()
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["size", "sink"], name="checkpoint_once_a_sink")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=models.Q(delivered_at=None), name="checkpoint_due")
        ]


class Verification(models.Model):
    """The newest verifying of the whole record: up to which number, and the first bad one if there was any."""

    at = models.DateTimeField(db_default=Now())
    up_to = models.BigIntegerField()
    bad_number = models.BigIntegerField(null=True)
    why = models.CharField(max_length=300, blank=True)


class Comparison(models.Model):
    """The newest comparing of the record with what one sink keeps."""

    sink = models.CharField(max_length=300, unique=True)
    at = models.DateTimeField(null=True, help_text="When it was read; null: never.")
    size = models.BigIntegerField(default=0, help_text="The largest checkpoint there that is of this record.")
    root = models.CharField(max_length=64, blank=True, help_text="That one's root, hexadecimal.")
    error = models.CharField(max_length=200, blank=True, help_text="Why it could not be read the last time.")


class StrayCheckpoint(models.Model):
    """A checkpoint that is kept outside and is not of this record. It stopped the tools once."""

    sink = models.CharField(max_length=300)
    size = models.BigIntegerField()
    mark = models.CharField(max_length=300, help_text="What tells it from others over as many records.")
    found_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["sink", "size", "mark"], name="stray_checkpoint_once")
        ]
