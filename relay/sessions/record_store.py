"""Session records that several nodes share, in a Valkey or Redis server, sealed: whoever reads it learns no viewer.

They are written a moment later and many at a time, so no viewer waits for them; those that wait while the server is
away are bounded, and only the latest of each kind is worth keeping. Every entry expires by itself.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from keys.encoding import encode_fields
from keys.errors import SealError
from keys.seal import Sealer
from relay.sessions.records import KINDS, Record, StoreAwayError, decode_record, encode_record
from relay.state.tasks import end_tasks
from relay.telemetry.metrics import RECORDS_DROPPED

TIMEOUT_S = 0.5
MAX_WAITING = 20_000
BATCH = 64
"""At a time: sealing and sending them takes a few milliseconds, for which viewers wait."""
GATHER_S = 0.02
RETRY_S = 1.0
FLUSH_S = 1.0
_log = structlog.get_logger()


class RecordStore:
    """The shared records. ``url`` is that of the server; ``namespace`` begins every key."""

    def __init__(self, url: str, password: str, namespace: str, sealer: Sealer) -> None:
        self._client = Redis.from_url(
            url,
            password=password or None,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._namespace = namespace.encode()
        self._sealer = sealer
        self._waiting: dict[bytes, tuple[Record, float]] = {}
        self._sender: asyncio.Task[None] | None = None

    def put(self, record: Record, until: float) -> None:
        """Put a record down a moment later, until a time; of too many that wait the oldest are dropped."""
        session = record.session
        key = self._key(session.issuer, session.sid, type(record))
        self._waiting.pop(key, None)
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
            RECORDS_DROPPED.inc()
        self._waiting[key] = record, until
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    async def read(self, names: Collection[tuple[str, str]]) -> list[Record]:
        """Every record of sessions, named by issuer and session id. Raises :class:`StoreAwayError`.

        What no node of this deployment wrote for the session is left out.
        """
        keys = [self._key(issuer, sid, kind) for issuer, sid in names for kind in KINDS]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with self._client.pipeline(transaction=False) as pipe:
                    for key in keys:
                        pipe.get(key)
                    values: list[Any] = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as err:
            raise StoreAwayError(type(err).__name__) from None
        found = (self._opened(key, value) for key, value in zip(keys, values, strict=True) if value is not None)
        return [record for record in found if record is not None]

    async def close(self) -> None:
        """Put down what waits, if the server takes it, and close the connection."""
        if self._sender is not None:
            await end_tasks([self._sender])
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while self._waiting:
                    await self._send_batch()
        await self._client.aclose()

    async def _send_all(self) -> None:
        away = False
        while self._waiting:
            await asyncio.sleep(RETRY_S if away else GATHER_S)
            try:
                await self._send_batch()
                away = False
            except (RedisError, OSError, TimeoutError) as err:
                if not away:
                    _log.warning("records_unshared", error=type(err).__name__)
                away = True

    async def _send_batch(self) -> None:
        batch = [(key, self._waiting[key]) for key in list(self._waiting)[:BATCH]]
        async with asyncio.timeout(TIMEOUT_S):
            async with self._client.pipeline(transaction=False) as pipe:
                for key, (record, until) in batch:
                    pipe.set(key, self._sealer.seal(encode_record(record), key), pxat=round(until * 1000))
                await pipe.execute()
        for key, sent in batch:
            # Unless a later one came meanwhile.
            if self._waiting.get(key) is sent:
                del self._waiting[key]

    def _key(self, issuer: str, sid: str, kind: type[Record]) -> bytes:
        name = blake2b(encode_fields(issuer.encode(), sid.encode()), digest_size=16).hexdigest()
        return b"%b:session:%b:%b" % (self._namespace, name.encode(), kind.__name__.lower().encode())

    def _opened(self, key: bytes, value: bytes) -> Record | None:
        # Sealed for its key: whoever holds the server cannot show one session's record as another's.
        try:
            return decode_record(self._sealer.open(value.decode("ascii"), key))
        except (SealError, ValueError):
            return None
