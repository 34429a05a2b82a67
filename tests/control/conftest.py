"""Fixtures of the control listener's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.control.desk import Desk, open_desk


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """A node's control listener, and an operator at it."""
    async with open_desk() as made:
        yield made
