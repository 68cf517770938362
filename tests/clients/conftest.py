"""A client's side of a feature of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import Stack

if TYPE_CHECKING:
    from tests.clients.support import Side


@pytest.fixture
def side(stack: Stack) -> Side:
    from tests.clients.support import Side  # models can be imported once the product runs

    return Side(stack)
