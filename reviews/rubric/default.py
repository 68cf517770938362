"""The rubric that a feature has until a lead publishes another."""

from reviews.rubric.document import Criterion, Rubric, Value

_GUIDELINE = """Grade what the user saw. Read the whole conversation first, then answer the questions in order.
Open the documents before you say that an answer is supported. When two values fit, give the lower one.
A request that you cannot judge is skipped with a reason, not graded by guess: somebody else gets it."""


def _values(*anchors: str) -> tuple[Value, ...]:
    """`label: anchor`, from worst to best."""
    pairs = (text.partition(": ") for text in anchors)
    return tuple(Value(label=label, anchor=anchor) for label, _, anchor in pairs)


DEFAULT = Rubric(
    guideline=_GUIDELINE,
    criteria=(
        Criterion(
            key="task_done",
            name="Task done",
            question="Is what the user asked for done?",
            scale="choice",
            values=_values(
                "not done: The user still has the whole problem",
                "partly: Something is left that the user asked for",
                "done: Nothing that was asked for is left",
            ),
        ),
        Criterion(
            key="grounded",
            name="Correct and grounded",
            question="Is every statement right, and held by a document or a tool's answer?",
            scale="choice",
            grounding=True,
            values=_values(
                "wrong: A statement is false, or contradicts what was retrieved",
                "doubtful: A statement that matters has no support",
                "supported: Each statement that matters is held by what was retrieved",
            ),
        ),
        Criterion(
            key="tone",
            name="Tone",
            question="Does it speak as we want to speak?",
            scale="one_to_five",
            values=_values(
                ": Rude, or it blames the user",
                ": Cold, or full of empty phrases",
                ": Neutral and correct",
                ": Warm and clear, without filler",
                ": So well put that it could be an example",
            ),
        ),
        Criterion(
            key="helpfulness",
            name="Helpfulness",
            question="How far does the answer take the user?",
            scale="one_to_five",
            values=_values(
                ": Nowhere, or astray",
                ": A little; the user has to ask again",
                ": To a solution, with detours",
                ": To a solution at once",
                ": To a solution, and past the next question",
            ),
        ),
        Criterion(
            key="policy",
            name="Policy followed",
            question="Did it keep to what it may say and do?",
            scale="pass_fail",
            values=_values(
                "fail: It said or did something that its policy forbids",
                "pass: Nothing that its policy forbids",
            ),
        ),
    ),
)
