"""Pulling from the origin: timeouts, size limits, one retry, and no way out of the configured bases."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal

import aiohttp
from yarl import URL

from relay.config import OriginConfig
from relay.errors import (
    OriginConnectionError,
    OriginError,
    OriginForeignError,
    OriginMissingError,
    OriginStatusError,
    OriginTimeoutError,
    OriginTooLargeError,
)
from relay.sources import ByteRange, OriginScope, Source

MAX_REDIRECTS = 3
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole resource of the origin. ``source`` is where it was found in the end, after redirects."""

    data: bytes
    source: Source
    validator: str
    content_type: str


class OriginResponse:
    """A successful response whose body is still to be read, never past ``limit`` bytes.

    ``length`` is None while the origin is still producing the resource (no Content-Length).
    """

    def __init__(self, response: aiohttp.ClientResponse, source: Source, span: ByteRange | None, limit: int) -> None:
        self.source = source
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        # Sent back in a header, where anything else could not stand.
        self.validator = validator if validator.isascii() and validator.isprintable() else ""
        self.content_type = response.headers.get("Content-Type", "")
        self.not_modified = response.status == 304
        self._response = response
        self._limit = limit
        # A server may ignore Range and send the whole (RFC 9110 §14.2): cut it out here.
        self._cut = span if span and response.status == 200 else None
        if self._cut and self._cut.start > limit:
            raise OriginTooLargeError(f"origin ignores Range, and the range begins past {limit} bytes")
        if span and response.status == 206 and not _begins_at(response, span.start):
            raise OriginError("origin answered with another range than the one asked for")
        self.length = None if self._cut else _declared_length(response)
        if self.length is not None and self.length > limit:
            raise OriginTooLargeError(f"origin announces {self.length} bytes, limit {limit}")

    def header(self, name: str) -> str:
        """One of the response's headers; empty where there is none."""
        return self._response.headers.get(name, "")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises the :class:`OriginError` family."""
        skip, left = 0, None
        if self._cut:
            skip, left = self._cut.start, self._cut.length
        kept = 0
        while True:
            with _origin_errors():
                chunk = await self._response.content.read(_CHUNK)
            if not chunk:
                return
            if skip:
                skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
            if left is not None:
                chunk = chunk[:left]
                left -= len(chunk)
            kept += len(chunk)
            if kept > self._limit:
                raise OriginTooLargeError(f"origin sent more than {self._limit} bytes")
            if chunk:
                yield chunk
            if left == 0:
                return

    async def read(self) -> bytes:
        """The whole body."""
        # Never more than two copies: the pieces as received and the joined result.
        return b"".join([chunk async for chunk in self.chunks()])

    async def fetched(self) -> Fetched:
        """The whole body with what is known of it."""
        return Fetched(await self.read(), self.source, self.validator, self.content_type)


class Origin:
    """The client for all origins of this relay."""

    def __init__(self, config: OriginConfig) -> None:
        self._connect_timeout = config.connect_timeout.seconds
        self._read_timeout = config.read_timeout.seconds
        self._total_timeout = config.total_timeout.seconds
        self._connections = config.connections
        self._slots: dict[tuple[OriginScope, bool], asyncio.Semaphore] = {}
        self._session = aiohttp.ClientSession(
            # Bounded by the slots below, of each stream apart: an origin that stalls must not starve the others.
            connector=aiohttp.TCPConnector(limit=0),
            headers={"User-Agent": "segmentgate"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, scope: OriginScope, source: Source, limit: int, *, span: ByteRange | None = None) -> Fetched:
        """Fetch a whole resource or a range of one, as :meth:`open` does."""
        async with self.open(scope, source, limit, span=span) as response:
            return await response.fetched()

    async def get_if_changed(
        self,
        scope: OriginScope,
        source: Source,
        limit: int,
        validator: str,
        *,
        extra_query: str = "",
        patience: float | None = None,
    ) -> Fetched | None:
        """Fetch a whole resource, as :meth:`open` does; None when it still matches ``validator``."""
        async with self.open(
            scope, source, limit, extra_query=extra_query, validator=validator, patience=patience
        ) as response:
            return None if response.not_modified else await response.fetched()

    @asynccontextmanager
    async def open(
        self,
        scope: OriginScope,
        source: Source,
        limit: int,
        *,
        span: ByteRange | None = None,
        extra_query: str = "",
        validator: str = "",
        patience: float | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> AsyncIterator[OriginResponse]:
        """Begin to fetch a resource. ``patience`` replaces the read timeout (s) for held requests.

        Asks once more when the first try meets a broken connection or a server error: a GET or HEAD may be
        repeated. Raises the :class:`OriginError` family, here and while the body is read.
        """
        headers = {}
        if span:
            headers["Range"] = span.header()
            headers["Accept-Encoding"] = "identity"
        if validator:
            # Not just W, because a date may begin with Wed.
            tag = validator.startswith(('"', 'W/"'))
            headers["If-None-Match" if tag else "If-Modified-Since"] = validator
        timeout = aiohttp.ClientTimeout(
            total=self._total_timeout,
            connect=self._connect_timeout,
            sock_connect=self._connect_timeout,
            sock_read=patience or self._read_timeout,
        )
        async with self._slot(scope, held=patience is not None):
            try:
                response, found = await self._request(method, scope, source, extra_query, headers, timeout)
            except OriginError as err:
                if not err.transient:
                    raise
                response, found = await self._request(method, scope, source, extra_query, headers, timeout)
            try:
                yield OriginResponse(response, found, span, limit)
            finally:
                response.close()

    @asynccontextmanager
    async def _slot(self, scope: OriginScope, *, held: bool) -> AsyncIterator[None]:
        """One of the connections a stream may have open; held reloads have a quarter as many, of their own."""
        slots = self._slots.get((scope, held))
        if slots is None:
            count = max(1, self._connections // 4) if held else self._connections
            slots = self._slots[scope, held] = asyncio.Semaphore(count)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await slots.acquire()
        except TimeoutError:
            raise OriginTimeoutError("all connections to this stream's origin are busy") from None
        try:
            yield
        finally:
            slots.release()

    async def _request(
        self,
        method: Literal["GET", "HEAD"],
        scope: OriginScope,
        source: Source,
        extra_query: str,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own, of the socket
    ) -> tuple[aiohttp.ClientResponse, Source]:
        for _ in range(MAX_REDIRECTS + 1):
            url = scope.url(source)
            if extra_query:
                url += ("&" if source.query else "?") + extra_query
            with _origin_errors():
                response = await self._session.request(
                    method, URL(url, encoded=True), headers=headers, allow_redirects=False, timeout=timeout
                )
            if response.status not in (301, 302, 303, 307, 308):
                try:
                    _check_status(response, headers)
                except OriginError:
                    response.close()
                    raise
                return response, source
            location = response.headers.get("Location", "")
            response.close()
            source = scope.resolve(location, source)
        raise OriginForeignError(f"origin redirects more than {MAX_REDIRECTS} times")


@contextmanager
def _origin_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise OriginTimeoutError("origin took too long") from None
    except (aiohttp.ClientError, OSError, ValueError) as err:
        raise OriginConnectionError(f"origin connection failed: {type(err).__name__}") from None


def _check_status(response: aiohttp.ClientResponse, asked: Mapping[str, str]) -> None:
    status = response.status
    if status in (404, 410):
        raise OriginMissingError(f"origin answered {status}", status)
    partial = status == 206 and "Range" in asked
    unchanged = status == 304 and ("If-None-Match" in asked or "If-Modified-Since" in asked)
    if status != 200 and not partial and not unchanged:
        raise OriginStatusError(f"origin answered {status}", status)


def _begins_at(response: aiohttp.ClientResponse, start: int) -> bool:
    # A client must look (RFC 9110 §15.3.7): a cache in between may hold another part.
    return response.headers.get("Content-Range", "").lower().startswith(f"bytes {start}-")


def _declared_length(response: aiohttp.ClientResponse) -> int | None:
    # With a content coding, Content-Length counts the coded bytes.
    return None if response.headers.get("Content-Encoding") else response.content_length
