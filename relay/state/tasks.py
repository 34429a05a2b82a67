"""Ending background tasks for certain."""

import asyncio
from collections.abc import Iterable

_AGAIN_S = 0.25


async def end_tasks(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel tasks until they are done, whatever they ended with.

    Once may not do: the Redis client can take a cancellation that meets a failing connection for that failure.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()
