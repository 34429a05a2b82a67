"""How the keys of streams rotate, and replacing all of them at once."""

from relay.api.plans import Emergency, EmergencyBody, KeyRotation, RotationBody
from relay.api.plans import Rotation as State
from relay.client.http import Http, Tagged, WaitFor

PATH = "/api/v1/drm/key-rotation"


class Rotation:
    """``/api/v1/drm/key-rotation``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, stream_id: str) -> Tagged[State]:
        """How the keys of a stream rotate, and where that stands."""
        return await self._http.tagged(PATH, State, {"stream_id": stream_id})

    async def set(
        self,
        stream_id: str,
        key_rotation: KeyRotation,
        *,
        if_match: str = "",
        wait: WaitFor = "local",
        timeout_ms: int = 2000,
    ) -> State:
        """Let keys rotate in another rhythm."""
        body = RotationBody(stream_id=stream_id, key_rotation=key_rotation)
        query = {"wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("PUT", PATH, State, body, query=query, if_match=if_match)

    async def emergency(
        self,
        stream_id: str,
        reason: str = "",
        spread_seconds: float | None = None,
        *,
        wait: WaitFor = "local",
        timeout_ms: int = 2000,
    ) -> Emergency:
        """Replace all keys of a stream from the next segments on; its sessions are told over ``spread_seconds``."""
        body = EmergencyBody(stream_id=stream_id, reason=reason, spread_seconds=spread_seconds)
        query = {"wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("POST", f"{PATH}/emergency", Emergency, body, query=query)
