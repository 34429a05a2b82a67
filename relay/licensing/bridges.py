"""Licences from servers of a DRM system's owner: what :mod:`keys.licences.bridges` asks and reads, over HTTP.

A server is asked once, without redirects or cookies, and nothing of what it answered goes to the log.
"""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import aiohttp
import structlog

from keys.errors import BridgeError, KeysError
from keys.licences.bridges import playready, widevine
from keys.licences.bridges.playready import ServerChallenge
from keys.licences.bridges.widevine import CloudChallenge
from keys.licences.detect import DrmSystem
from keys.licences.widevine.request import RequestType
from keys.seal import Sealer
from relay.licensing.desk import Kind, Made, Opened, Order, Refusal, refusal_of
from relay.licensing.material import PlayReadyBridgeMaterial, ServerMaterial, WidevineBridgeMaterial
from relay.licensing.workers import LicencesBusyError

MAX_ANSWER_BYTES = 512 * 1024
_KINDS = {
    None: Kind.CERTIFICATE,
    RequestType.NEW: Kind.NEW,
    RequestType.RENEWAL: Kind.RENEWAL,
    RequestType.RELEASE: Kind.RELEASE,
}
_log = structlog.get_logger()


class BridgeClient:
    """Posts to one server: at most so many requests at a time, none for longer than its timeout."""

    def __init__(self, system: DrmSystem, server: ServerMaterial) -> None:
        self._system = system
        self._server = server
        self._client: aiohttp.ClientSession | None = None
        self._closed = False
        self.waiting = 0

    async def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer. Raises :class:`LicencesBusyError` and :class:`BridgeError`."""
        if self._closed:
            raise LicencesBusyError("the configuration is being replaced; try again")
        if self.waiting >= self._server.requests:
            raise LicencesBusyError("many licences are asked for; try again")
        if self._client is None:
            self._client = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=self._server.requests),
                timeout=aiohttp.ClientTimeout(total=self._server.timeout_s),
            )
        self.waiting += 1
        try:
            return await self._post(self._client, body, headers)
        except TimeoutError:
            # A player that asks again may find it quicker.
            _log.warning("bridge_timeout", system=self._system, seconds=self._server.timeout_s)
            raise LicencesBusyError("the licence server takes too long; try again") from None
        except (aiohttp.ClientError, OSError) as err:
            # Its text may repeat the URL, and that a secret.
            raise BridgeError(f"licence server out of reach: {type(err).__name__}") from None
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        """End its connections."""
        self._closed = True
        if self._client is not None:
            await self._client.close()

    async def _post(self, client: aiohttp.ClientSession, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        async with client.post(self._server.url, data=body, headers=headers, allow_redirects=False) as response:
            found = bytearray()
            async for chunk in response.content.iter_any():
                found += chunk
                if len(found) > MAX_ANSWER_BYTES:
                    raise BridgeError(f"licence server: an answer of more than {MAX_ANSWER_BYTES >> 10} KiB")
            return response.status, bytes(found)


@dataclass(frozen=True, slots=True)
class _Bridged(Opened):
    """What a challenge shows, with the challenge."""

    cloud: CloudChallenge | None = field(default=None, repr=False)
    server: ServerChallenge | None = field(default=None, repr=False)


class Bridge(ABC):
    """Answers the challenges of one DRM system by way of a server."""

    def __init__(self, system: DrmSystem, server: ServerMaterial) -> None:
        self._system = system
        self._client = BridgeClient(system, server)

    async def open(self, system: DrmSystem, challenge: bytes, now: float) -> Opened | Refusal:
        """What a challenge shows, of which nothing is proven before :meth:`make` gave a licence for it."""
        del system, now
        try:
            return self._read(challenge)
        except KeysError as err:
            return refusal_of(err)

    async def make(self, opened: Opened, order: Order | None, now: float) -> Made | Refusal:
        """The server's answer. Raises :class:`LicencesBusyError` when it is too busy or too slow."""
        assert isinstance(opened, _Bridged)
        try:
            return await self._made(opened, order, now)
        except KeysError as err:
            return refusal_of(err)

    def drop(self, opened: Opened) -> None:
        """Forget an opened challenge: nothing was kept of it."""
        del opened

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    @abstractmethod
    def _read(self, challenge: bytes) -> _Bridged: ...

    @abstractmethod
    async def _made(self, opened: _Bridged, order: Order | None, now: float) -> Made: ...


class WidevineBridge(Bridge):
    """Widevine by Google's licence service."""

    def __init__(self, material: WidevineBridgeMaterial) -> None:
        super().__init__(DrmSystem.WIDEVINE, material.server)
        self._account = material.account
        self._sealer = Sealer(material.state_keys)

    def _read(self, challenge: bytes) -> _Bridged:
        read = widevine.read_challenge(challenge, self._sealer)
        kind = _KINDS[read.type]
        return _Bridged(
            DrmSystem.WIDEVINE,
            kind,
            device=read.device,
            kids=read.kids,
            once=read.once if kind is Kind.NEW else b"",
            session=read.session,
            playing_for=read.playing_for,
            proven=False,
            cloud=read,
        )

    async def _made(self, opened: _Bridged, order: Order | None, now: float) -> Made:
        assert opened.cloud
        body = widevine.cloud_request(
            self._account,
            opened.cloud,
            order.content.encode() if order else b"",
            order.keys if order else (),
            order.term if order else None,
            now=now,
            sealer=self._sealer,
            session=order.session if order else b"",
        )
        status, answer = await self._client.post(body, {"Content-Type": "application/json"})
        if status != 200:
            raise BridgeError(f"Widevine service: answered with status {status}")
        return Made(*widevine.read_answer(answer, opened.cloud))


class PlayReadyBridge(Bridge):
    """PlayReady by a licence server built on Microsoft's SDK."""

    def __init__(self, material: PlayReadyBridgeMaterial) -> None:
        super().__init__(DrmSystem.PLAYREADY, material.server)
        self._material = material

    def _read(self, challenge: bytes) -> _Bridged:
        read = playready.read_challenge(challenge)
        return _Bridged(DrmSystem.PLAYREADY, Kind.NEW, kids=read.kids, once=read.nonce, proven=False, server=read)

    async def _made(self, opened: _Bridged, order: Order | None, now: float) -> Made:
        assert opened.server
        assert order
        told = playready.licence_order(
            self._material.secret,
            opened.server,
            order.keys,
            order.term,
            content=order.content,
            scheme=order.scheme,
            now=now,
            entropy=os.urandom,
            software_level=self._material.software_level,
        )
        headers = {
            playready.HEADER: told,
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": '"http://schemas.microsoft.com/DRM/2007/03/protocols/AcquireLicense"',
        }
        status, answer = await self._client.post(opened.server.challenge, headers)
        return Made(playready.read_answer(status, answer))
