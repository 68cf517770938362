"""The one exception tree: a code for programs, a message for people, and a hint that says what to mend."""


class ClearanceError(Exception):
    """Something asked for cannot be done. API: problem details; page: a notice; command: one line and
    exit 2.
    """

    status = 400

    def __init__(
        self, code: str, message: str, hint: str = "", field: str | None = None, position: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.field = field
        self.position = position

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class NotFoundError(ClearanceError):
    """Absent, or not to be known by who asks: the same answer for both."""

    status = 404


class ConflictError(ClearanceError):
    """What is asked for contradicts what is there."""

    status = 409
