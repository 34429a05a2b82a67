"""Scenes: what a stream asks of devices, and when."""

from collections.abc import Sequence

from keys.periods import Clock
from policies.text import SceneText
from relay.api.plans import Moments, Policy, PolicyBody
from relay.api.revocations import Moment
from relay.client.http import Http, Query, Tagged, WaitFor

PATH = "/api/v1/drm/protection-policy"


class Scenes:
    """``/api/v1/drm/protection-policy``. ``stream_id`` may be left out where only one stream is configured."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, stream_id: str | None = None) -> Tagged[Policy]:
        """The scenes of a stream, as they were ordered and where they lie."""
        return await self._http.tagged(PATH, Policy, {"stream_id": stream_id})

    async def set(
        self,
        scenes: Sequence[SceneText],
        *,
        stream_id: str | None = None,
        starts_at: Moment | None = None,
        if_match: str = "",
        wait: WaitFor = "local",
        timeout_ms: int = 2000,
    ) -> Policy:
        """Set the scenes of an event that begins at ``starts_at``, or where the change takes effect."""
        body = PolicyBody(scenes=tuple(scenes), stream_id=stream_id, starts_at=starts_at)
        query = {"wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("PUT", PATH, Policy, body, query=query, if_match=if_match)

    async def remove(
        self, stream_id: str | None = None, *, if_match: str = "", wait: WaitFor = "local", timeout_ms: int = 2000
    ) -> Policy:
        """Let the stream's own terms hold again."""
        query: Query = {"stream_id": stream_id, "wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("DELETE", PATH, Policy, query=query, if_match=if_match)

    async def timeline(
        self, stream_id: str | None = None, at: str = "", *, clock: Clock | None = None, limit: int = 16
    ) -> Moments:
        """What holds at a time (ISO 8601, ``HH:MM:SS`` of the event, ms of stream time; now), and what follows."""
        query: Query = {"stream_id": stream_id, "at": at, "clock": clock, "limit": limit}
        return await self._http.get(f"{PATH}/timeline", Moments, query)
