"""A key server elsewhere: SPEKE over HTTP, with keys of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from os import urandom

from aiohttp import web

from keys.exchange import provider, reader
from keys.exchange.model import Document, Version
from keys.exchange.provider import Wanted
from keys.material import ContentKey, RootKey
from keys.model import TrackType
from keys.ring import KeyRing

RING = KeyRing([RootKey(1, b"\x05" * 32)])


def vendor_key(wanted: Wanted) -> ContentKey:
    """The vendor's key, under the key ID that was asked for."""
    period = None if wanted.period is None else wanted.period.index
    key = RING.content_key(RING.slot(wanted.content_id, wanted.track or TrackType.HD, wanted.scheme, period))
    return replace(key, kid=wanted.kid)


@dataclass
class Vendor:
    """``asked`` are the documents it was sent; ``replies`` are given instead of keys, one for each request."""

    url: str = ""
    asked: list[Document] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    replies: list[Callable[[], web.Response]] = field(default_factory=list)
    key_of: Callable[[Wanted], ContentKey] = vendor_key

    async def answer(self, request: web.Request) -> web.Response:
        """A POST."""
        body = await request.read()
        self.asked.append(reader.parse(body))
        self.heads.append(dict(request.headers))
        if self.replies:
            return self.replies.pop(0)()
        version = {"2.0": Version.V2_3, "2.1": Version.V2_4}[request.headers["X-Speke-Version"]]
        filled = provider.answer(body, self.key_of, urandom, version)
        head = {"X-Speke-Version": request.headers["X-Speke-Version"]}
        return web.Response(body=filled, content_type="application/xml", headers=head)


@asynccontextmanager
async def running_vendor() -> AsyncIterator[Vendor]:
    """A key server at work."""
    vendor = Vendor()
    app = web.Application()
    app.router.add_post("/speke", vendor.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        vendor.url = f"http://127.0.0.1:{runner.addresses[0][1]}/speke"
        yield vendor
    finally:
        await runner.cleanup()
