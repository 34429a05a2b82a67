"""The client: one object for one relay, with a part for each resource of the API."""

from types import TracebackType

import aiohttp

from relay.api.status import Health, NodeStatus, Readiness
from relay.client.analyses import Analyses
from relay.client.audit import Audit
from relay.client.blocks import Blocks
from relay.client.errors import ClientError
from relay.client.groups import Groups
from relay.client.http import Http
from relay.client.licences import Licences
from relay.client.marks import Detections, Mappings
from relay.client.purchases import Entitlements, Purchases
from relay.client.revocations import Revocations
from relay.client.rotation import Rotation
from relay.client.scenes import Scenes
from relay.client.sessions import Sessions
from relay.client.streams import Streams
from relay.client.webhooks import Webhooks

PATIENCE_S = 30.0


class Client:
    """A relay's control API.

    ``key`` is the API key, ``actor`` the person whose name goes into the audit log. A call that meets a passing fault
    is sent again until it has taken ``patience_s``. Raises :class:`ClientError` for a key that no header can hold.
    """

    def __init__(self, url: str, key: str, actor: str = "", patience_s: float = PATIENCE_S) -> None:
        if not (key.isascii() and key.isprintable() and actor.isprintable()):
            raise ClientError("the API key and the actor must be printable, the key in ASCII")
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._http = http = Http(url, key, self._session, actor, patience_s)
        self.revocations = Revocations(http)
        self.blocks = Blocks(http)
        self.audit = Audit(http)
        self.analyses = Analyses(http)
        self.scenes = Scenes(http)
        self.rotation = Rotation(http)
        self.streams = Streams(http)
        self.groups = Groups(http)
        self.sessions = Sessions(http)
        self.licences = Licences(http)
        self.purchases = Purchases(http)
        self.entitlements = Entitlements(http)
        self.webhooks = Webhooks(http)
        self.mappings = Mappings(http)
        self.detections = Detections(http)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def health(self) -> Health:
        """That the process runs."""
        return await self._http.get("/healthz", Health)

    async def ready(self) -> Readiness:
        """Whether the node may be sent viewers."""
        return await self._http.get("/readyz", Readiness, answers=(503,))

    async def status(self) -> NodeStatus:
        """What is revoked, and how far this node and the others are."""
        return await self._http.get("/api/v1/revocations/meta", NodeStatus)
