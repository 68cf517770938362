"""All writes of the reviews' room, one transaction each."""

from reviews.services.calibrating import add_gold, retire_gold
from reviews.services.claiming import claim
from reviews.services.closing import close_due, close_sample
from reviews.services.drawing import draw_due, draw_week, draw_window
from reviews.services.flagging import flag
from reviews.services.grading import save_draft, skip, submit, take_back
from reviews.services.judging import import_grades
from reviews.services.reflecting import reflect
from reviews.services.rubrics import discard_draft, publish, save_rubric_draft

__all__ = [
    "add_gold",
    "claim",
    "close_due",
    "close_sample",
    "discard_draft",
    "draw_due",
    "draw_week",
    "draw_window",
    "flag",
    "import_grades",
    "publish",
    "reflect",
    "retire_gold",
    "save_draft",
    "save_rubric_draft",
    "skip",
    "submit",
    "take_back",
]
