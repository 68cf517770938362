"""Every test process starts the product once, on a state folder of its own, and Django here speaks to its
database as the application's role: what tests touch is what runs.
"""

import os
import shutil
import tempfile
from pathlib import Path

import django
import pytest

from tests.support import Client, Stack, discard_databases, unique

_stack: Stack | None = None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start before collection: test modules import Django's models."""
    global _stack
    config = session.config
    is_controller = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if is_controller or config.option.collectonly:
        return
    # A space in the path: it must work everywhere.
    folder = Path(tempfile.mkdtemp(prefix="clearance tests "))
    _stack = Stack(folder / "var")
    try:
        _stack.start()
    except BaseException:
        _stack.stop()
        raise
    os.environ.update(_stack.env)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _stack is not None:
        _stack.stop()
        discard_databases()
        shutil.rmtree(_stack.var.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The running product of this test process."""
    assert _stack is not None
    return _stack


def make_client(stack: Stack, *scopes: str) -> Client:
    """A new feature with a key, made as operators make them: through the services."""
    from features.services import create_feature, create_key

    feature = create_feature(slug=unique("agent"), task="Resolve tier-1 billing tickets.")
    _, key = create_key(feature=feature, scopes=scopes or ("ingest", "read", "decide", "evaluate"))
    return Client(stack, feature.slug, key)


@pytest.fixture
def client(stack: Stack) -> Client:
    """An agent with a feature of its own."""
    return make_client(stack)
