"""What is unsent on a connection is looked at until it has left, and not too often."""

import asyncio
from typing import cast
from unittest.mock import create_autospec

from relay.edge.connection import discard_when_sent
from relay.sessions.open_responses import OpenResponse, OpenResponses


async def test_a_response_is_forgotten_once_it_has_left_and_looked_for_ever_less_often() -> None:
    transport = create_autospec(asyncio.Transport, instance=True)
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    transport.get_write_buffer_size.return_value = 1
    registry = create_autospec(OpenResponses, instance=True)
    entry = cast(OpenResponse, object())
    discard_when_sent(registry, entry, transport)
    await asyncio.sleep(1.0)
    assert 4 <= transport.get_write_buffer_size.call_count <= 6
    registry.discard.assert_not_called()
    transport.get_write_buffer_size.return_value = 0
    await asyncio.sleep(0.5)
    registry.discard.assert_called_once_with(entry)
