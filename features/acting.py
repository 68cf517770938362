"""Who acts, as the record names them."""

import getpass

from audit.services import Actor
from features.models import Person


def actor_of(by: Person | None, session: str = "") -> Actor:
    """A person, by their ID; nobody is the operator at the command line, by the name that the system
    knows.
    """
    if by is not None:
        return Actor("person", str(by.pk), session)
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        name = ""
    return Actor("operator", name)
