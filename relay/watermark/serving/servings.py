"""Who was served what on this node: folded in memory, put down in a file every so often, and read by the analyser."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from relay.errors import JournalError
from relay.model import Guest, Session
from relay.state.database import MEMORY, Database, insert_rows
from relay.telemetry.metrics import SERVED_RANGES_DROPPED
from relay.watermark.code import number_of
from relay.watermark.serving.served import Interval, Viewing

SAVE_EVERY_S = 15.0
"""What a crash loses at most; a session is put down about so often while it plays."""
IDLE_S = 120.0
"""After so long without a segment what is held of a session in memory goes; if it comes back it gets another row."""
MAX_HELD = 200_000
MAX_ROWS = 5_000_000
"""Rows of a file, of about 300 bytes each; past them the oldest go. A tenth of it where there is no file."""
PAGE = 500
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE served (
    id INTEGER PRIMARY KEY, asset TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, until REAL NOT NULL, body BLOB NOT NULL
);
CREATE INDEX served_asset ON served (asset, id);
CREATE INDEX served_until ON served (until);
"""
_MEETING = """
SELECT id, body FROM served WHERE asset = ? AND id > ? AND last >= ? AND first <= ? ORDER BY id LIMIT ?
"""
_EXPIRE = "DELETE FROM served WHERE id IN (SELECT id FROM served WHERE until < ? LIMIT ?)"
_log = structlog.get_logger()


class ServedRow(Struct, frozen=True, array_like=True):
    """What one session was served of one asset on one node, as it is kept and told."""

    asset: str
    watermark_id: str
    issuer: str
    sid: str
    account: str
    device: str
    stream: str
    node: str
    intervals: list[Interval]

    @property
    def number(self) -> int:
        """The number that its bits come from."""
        return number_of(self.watermark_id)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ServedRow)


class Watching(Guest, Protocol):
    """What this needs of a visitor. ``viewing`` is its own to set."""

    viewing: Viewing | None


class Servings:
    """The viewings of one node. ``path`` is that of their file, None to keep them in memory; ``keep_s`` for how long.

    Opening raises :class:`relay.errors.ConfigError`.
    """

    def __init__(self, path: Path | None, node: str, clock: Callable[[], float], keep_s: float) -> None:
        self.keep_s = keep_s
        self._node = node
        self._clock = clock
        self._db = Database(path or MEMORY, _SCHEMA_VERSION, _SCHEMA)
        self._most = MAX_ROWS if path else MAX_ROWS // 10
        self._ids = count(self._db.read("SELECT coalesce(max(id), 0) + 1 FROM served")[0][0])
        self._viewings: dict[tuple[str, str, str, str], Viewing] = {}
        self._leaving: list[Viewing] = []
        self._saving = asyncio.Lock()

    def __len__(self) -> int:
        """How many viewings are held in memory."""
        return len(self._viewings)

    def viewing(self, visitor: Watching, asset: str, watermark_id: str = "") -> Viewing:
        """That of a visitor, begun if need be; ``watermark_id`` if its bits come from another than its session's."""
        viewing = visitor.viewing
        known = viewing is not None and viewing.held and viewing.asset == asset
        if viewing is None or not known or (watermark_id and viewing.session.watermark != watermark_id):
            viewing = visitor.viewing = self._join(visitor.session, visitor.stream, asset, watermark_id)
        return viewing

    async def keep_saving(self) -> None:
        """Put down what is new, and let go of what is old, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            with suppress(JournalError):
                await self.save()
                await asyncio.to_thread(self.expire)

    async def save(self) -> None:
        """Put down what is new. Raises :class:`JournalError`; what could not be written is tried again."""
        async with self._saving:
            leaving, self._leaving = self._leaving, []
            waiting = leaving + [viewing for viewing in self._viewings.values() if viewing.dirty]
            try:
                for at in range(0, len(waiting), PAGE):
                    await self._put(waiting[at : at + PAGE])
            except BaseException:
                self._leaving += [viewing for viewing in leaving if viewing.dirty]
                raise
        idle = self._clock() - IDLE_S
        for viewing in list(self._viewings.values()):
            if viewing.until < idle and not viewing.dirty:
                self._forget(viewing)

    async def candidates(self, asset: str, first: int, last: int) -> AsyncIterator[list[ServedRow]]:
        """Who may have been served any of these positions of an asset on this node, some at a time.

        A session may come in several rows. Of it all intervals are told that hold one of these positions or are of
        unknown ones. Memory is that of a page, however many there are. Raises :class:`JournalError`.
        """
        await self.save()
        after = 0
        while True:
            rows = await asyncio.to_thread(self._db.read, _MEETING, asset, after, first, last, PAGE)
            if not rows:
                return
            after = rows[-1][0]
            yield [met for _, body in rows if (met := _meeting(_decoder.decode(body), first, last)).intervals]

    async def close(self) -> None:
        """Put down what is new, and close the file."""
        try:
            await self.save()
            # What a thread may still be at when the task that awaits it is cancelled has its turn first.
            self._db.read("SELECT 1")
        except JournalError as err:
            _log.warning("served_ranges_unsaved", error=str(err))
        self._db.close()

    def _join(self, session: Session, stream: str, asset: str, watermark_id: str) -> Viewing:
        if watermark_id:
            session = replace(session, watermark=watermark_id)
        name = asset, session.issuer, session.sid, session.watermark_id
        viewing = self._viewings.get(name)
        if viewing is None:
            while len(self._viewings) >= MAX_HELD:
                oldest = self._forget(next(iter(self._viewings.values())))
                if len(self._leaving) < MAX_HELD:
                    self._leaving.append(oldest)
                else:
                    SERVED_RANGES_DROPPED.inc()
            viewing = self._viewings[name] = Viewing(
                session, stream, asset, number_of(session.watermark_id), next(self._ids)
            )
        return viewing

    def _forget(self, viewing: Viewing) -> Viewing:
        session = viewing.session
        del self._viewings[viewing.asset, session.issuer, session.sid, session.watermark_id]
        viewing.held = False
        return viewing

    async def _put(self, viewings: list[Viewing]) -> None:
        rows = [self._row(viewing) for viewing in viewings]
        for viewing in viewings:
            viewing.dirty = False
        try:
            await asyncio.to_thread(self._write, rows)
        except BaseException:
            # Cancelled, it may be written all the same; once more does no harm, for a row has its number.
            for viewing in viewings:
                viewing.dirty = True
            raise

    def _row(self, viewing: Viewing) -> tuple[object, ...]:
        session, intervals = viewing.session, viewing.served.intervals()
        row = ServedRow(
            asset=viewing.asset,
            watermark_id=session.watermark_id,
            issuer=session.issuer,
            sid=session.sid,
            account=session.account,
            device=session.device,
            stream=viewing.stream,
            node=self._node,
            intervals=intervals,
        )
        first, last = min(one.first for one in intervals), max(one.last for one in intervals)
        return viewing.row, viewing.asset, first, last, viewing.until, _encoder.encode(row)

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        with self._db.write() as db:
            insert_rows(db, "OR REPLACE INTO served", rows)

    def expire(self) -> None:
        """Drop what was kept for long enough, and the oldest past the limit. Raises :class:`JournalError`."""
        before = self._clock() - self.keep_s
        while True:
            with self._db.write() as db:
                # Rows are numbered as they come.
                db.execute("DELETE FROM served WHERE id <= (SELECT max(id) FROM served) - ?", (self._most,))
                if db.execute(_EXPIRE, (before, PAGE)).rowcount < PAGE:
                    return


def _meeting(row: ServedRow, first: int, last: int) -> ServedRow:
    met = [one for one in row.intervals if one.meets(first, last) or one.first < 0]
    return msgspec.structs.replace(row, intervals=met if any(one.last >= 0 for one in met) else [])
