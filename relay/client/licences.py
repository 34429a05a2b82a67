"""Licences: what is known of a session's, and how many an audience asks for."""

from urllib.parse import quote

from relay.api.sessions import LicenceStatus
from relay.client.http import Http
from relay.licensing.estimate import Estimate, Usage

PATH = "/api/v1/drm/license"


class Licences:
    """``/api/v1/drm/license``, as far as it is for operators."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def status(self, session_id: str, *, issuer: str = "") -> LicenceStatus:
        """What a session was licensed, refused and revoked by, on whatever node."""
        return await self._http.get(f"{PATH}/{quote(session_id, safe='')}/status", LicenceStatus, {"issuer": issuer})

    async def estimate(self, usage: Usage) -> Estimate:
        """How many licences an audience asks for, and how fast; changes nothing."""
        return await self._http.change("POST", f"{PATH}/estimate", Estimate, usage)
