"""Block lists of users and devices."""

from typing import Literal
from urllib.parse import quote

from relay.api.blocks import Block, BlockBody
from relay.api.revocations import MAX_AHEAD_S, Done
from relay.client.http import Http

Kind = Literal["users", "devices"]


class Blocks:
    """``/api/v1/blocks``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def block(
        self, kind: Kind, name: str, *, issuer: str = "", reason: str = "", duration_s: float = MAX_AHEAD_S
    ) -> Done:
        """Block a user or device until it is unblocked."""
        body = BlockBody(reason=reason, duration_s=duration_s)
        return await self._http.change("POST", _path(kind, name), Done, body, query={"issuer": issuer})

    async def unblock(self, kind: Kind, name: str, *, issuer: str = "") -> Done:
        """Unblock a user or device."""
        return await self._http.change("DELETE", _path(kind, name), Done, query={"issuer": issuer})

    async def get(self, kind: Kind, name: str, *, issuer: str = "") -> Block:
        """Whether a user or device is blocked."""
        return await self._http.get(_path(kind, name), Block, {"issuer": issuer})


def _path(kind: Kind, name: str) -> str:
    return f"/api/v1/blocks/{kind}/{quote(name, safe='')}"
