"""Telling the other nodes, now and then, which sessions are live on this one."""

import asyncio
from collections.abc import Callable

from relay.gate.presence import Presence
from relay.sessions.records import Seen, SessionRecords

TELL_EVERY_S = 30.0
STEP_S = 0.1
MOST_A_STEP = 200
"""Beyond 60,000 live sessions each is told of more rarely: viewers must not feel it."""
BELIEVED_S = 150.0
"""How long a session is thought to be live where it was last told to be."""


async def keep_telling(records: SessionRecords, presence: Presence, clock: Callable[[], float], node: str) -> None:
    """Tell of each live session every half a minute, sooner where they are few, until cancelled.

    Returns at once where there are no others to tell.
    """
    while records.shared:
        live = list(presence.live(clock()))
        a_step = min(-(-len(live) // round(TELL_EVERY_S / STEP_S)), MOST_A_STEP)
        for at in range(0, len(live), a_step or 1):
            for one in live[at : at + a_step]:
                records.tell(Seen(session=one.session, at=one.last, node=node, stream=one.stream))
            await asyncio.sleep(STEP_S)
        # Where they are few they are told of sooner: one that has just begun is then known elsewhere, too.
        await asyncio.sleep(max(STEP_S, 1.0 - len(live) * STEP_S))
