"""Work that goes on beside the requests, for as long as the listener lives."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

_log = structlog.get_logger()


@asynccontextmanager
async def in_background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run works while the block runs. One that fails is a bug: it is logged, and the others go on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    for task in tasks:
        task.add_done_callback(_tell)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell(task: "asyncio.Future[None]") -> None:
    if not task.cancelled() and (err := task.exception()):
        _log.error("bug", exc_info=err)
