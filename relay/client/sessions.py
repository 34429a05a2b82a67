"""Sessions: issued, listed, renewed, ended."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from relay.api.revocations import Done
from relay.api.sessions import IssuedSession, LiveSession, RenewBody, SessionBody, SessionPage
from relay.client.http import Http, Query, WaitFor

PATH = "/api/v1/sessions"


class Sessions:
    """``/api/v1/sessions``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def issue(self, session: SessionBody) -> IssuedSession:
        """Issue a session: where it plays. The URLs are bearer proofs."""
        return await self._http.change("POST", PATH, IssuedSession, session)

    async def renew(self, session_id: str, renewal: RenewBody | None = None) -> IssuedSession:
        """Let a session go on; without a body for as long as any may."""
        return await self._http.change("POST", f"{_path(session_id)}/renew", IssuedSession, renewal or RenewBody())

    async def live(
        self, *, account_id: str = "", stream_id: str = "", device_id: str = "", page_size: int = 100
    ) -> AsyncIterator[LiveSession]:
        """Every session that is live on the node that is asked, or those of an account, a stream or a device."""
        query: Query = {
            "account_id": account_id,
            "stream_id": stream_id,
            "device_id": device_id,
            "limit": page_size,
        }
        async for page in self._http.pages(PATH, SessionPage, query):
            for session in page.sessions:
                yield session

    async def get(self, session_id: str, *, issuer: str = "") -> LiveSession:
        """A session that the node has seen lately."""
        return await self._http.get(_path(session_id), LiveSession, {"issuer": issuer})

    async def end(self, session_id: str, detail: str = "", *, wait: WaitFor = "local", timeout_ms: int = 2000) -> Done:
        """End a session now, on every node; ``detail`` is for the record."""
        query: Query = {"detail": detail, "wait": wait, "timeout_ms": timeout_ms}
        return await self._http.change("DELETE", _path(session_id), Done, query=query)


def _path(session_id: str) -> str:
    return f"{PATH}/{quote(session_id, safe='')}"
