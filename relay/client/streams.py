"""Streams, and the groups that they are in."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from relay.api.streams import StreamGroup, StreamGroupChanged, StreamPage, StreamState
from relay.client.http import Http, WaitFor

PATH = "/api/v1/streams"


class Streams:
    """``/api/v1/streams``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def all(self, page_size: int = 100) -> AsyncIterator[StreamState]:
        """Every stream by name, as far as the node knows it by now."""
        async for page in self._http.pages(PATH, StreamPage, {"limit": page_size}):
            for stream in page.streams:
                yield stream

    async def get(self, stream_id: str) -> StreamState:
        """One stream; its origin is asked where it stands."""
        return await self._http.get(f"{PATH}/{quote(stream_id, safe='')}", StreamState)

    async def join(
        self, stream_id: str, group: str | None, *, wait: WaitFor = "local", timeout_ms: int = 2000
    ) -> StreamGroupChanged:
        """Let a stream join a group; None: leave the one that it is in."""
        path, query = f"{PATH}/{quote(stream_id, safe='')}/group", {"wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("PUT", path, StreamGroupChanged, StreamGroup(group=group), query=query)
