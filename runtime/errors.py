"""What can go wrong before Clearance runs; each says what to do about it."""


class RuntimeFault(Exception):
    """A start that cannot go on. The message is for the person at the terminal."""

    exit_code = 1


class Refused(RuntimeFault):
    """Nothing was started: something asked for is taken or wrong."""

    exit_code = 2


class InUse(Refused):
    """Somebody else holds the state folder or its database."""


class NoState(RuntimeFault):
    """The state folder holds no database yet."""
