"""Snapshots of the state, so that a node starts without replaying its whole journal.

A snapshot is no record of anything: a missing or damaged one costs time, for the journal holds every event. It is
taken while events are folded in. Its vector is taken first, so it holds every event that the vector covers and
perhaps later ones, which the replay folds in once more.

The file: a line with the version; pieces, each after its length (32 bits, big-endian), the first of which is the
vector; a length of 0; a BLAKE2b checksum of all before.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from relay.errors import JournalError
from relay.state.state import State

_MAGIC = b"segmentgate snapshot 1\n"
_LENGTH_BYTES = 4
_CHECKSUM_BYTES = 32
_BLOCK_BYTES = 1024 * 1024
_SYNC_BYTES = 16 * 1024 * 1024
_encode = msgspec.msgpack.Encoder().encode
_vectors = msgspec.msgpack.Decoder(dict[str, int])


class SnapshotError(ValueError):
    """There is no snapshot that can be used; the text says why."""


async def save_snapshot(path: Path, state: State, vector: Mapping[str, int]) -> None:
    """Write a snapshot of a state that goes on changing, and put it in place of the old one once it is durable.

    ``vector`` is what the state holds at this moment: by origin, the number up to which no event is missing. The
    pieces are made here, each within a millisecond or so, and written in a thread. Raises :class:`JournalError`, as
    on a full disk: then the old snapshot stays.
    """
    pieces = chain([_encode(dict(vector))], state.dump())
    try:
        writer = await asyncio.to_thread(_Writer, path)
        try:
            for piece in pieces:
                await asyncio.to_thread(writer.write, piece)
            await asyncio.to_thread(writer.commit)
        finally:
            await asyncio.to_thread(writer.close)
    except OSError as err:
        raise JournalError(f"{path}: cannot be written: {err.strerror}") from None


def load_snapshot(path: Path, state: State) -> dict[str, int]:
    """Load a snapshot into an empty state; returns its vector: the events that it does not cover are to be replayed.

    Raises :class:`SnapshotError` where none can be used; what the state then holds, the journal holds as well.
    """
    try:
        with path.open("rb") as file:
            # Read twice, for what is loaded cannot be taken back; the second time it comes from memory.
            _verify(file, os.fstat(file.fileno()).st_size)
            file.seek(len(_MAGIC))
            pieces = _pieces(file)
            vector = _vectors.decode(next(pieces))
            for piece in pieces:
                state.load(piece)
    except OSError as err:
        raise SnapshotError(f"{path}: {err.strerror}") from None
    except SnapshotError as err:
        raise SnapshotError(f"{path}: {err}") from None
    except (StopIteration, ValueError) as err:
        raise SnapshotError(f"{path}: whole, but not of this relay: {err}") from None
    return vector


class _Writer:
    """Everything here waits for the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(path.name + ".new")
        self._checksum = blake2b(digest_size=_CHECKSUM_BYTES)
        self._unsynced = 0
        # How much is revoked is nobody else's business.
        self._file = os.fdopen(os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._put(_MAGIC)

    def write(self, piece: bytes) -> None:
        self._put(len(piece).to_bytes(_LENGTH_BYTES))
        self._put(piece)
        if self._unsynced > _SYNC_BYTES:
            # All at the end, it would hold up the journal's next write for as long as the disk needs.
            self._sync()

    def commit(self) -> None:
        self._put(bytes(_LENGTH_BYTES))
        self._put(self._checksum.digest())
        self._sync()
        self._unfinished.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        with suppress(OSError):  # of what could not be written before
            self._file.close()
        self._unfinished.unlink(missing_ok=True)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._checksum.update(data)
        self._unsynced += len(data)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unsynced = 0


def _verify(file: BinaryIO, size: int) -> None:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise SnapshotError("not a snapshot of this version")
    checksum, left = blake2b(_MAGIC, digest_size=_CHECKSUM_BYTES), size - len(_MAGIC) - _CHECKSUM_BYTES
    while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
        checksum.update(block)
        left -= len(block)
    if left or file.read() != checksum.digest():
        raise SnapshotError("damaged")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while length := int.from_bytes(file.read(_LENGTH_BYTES)):
        yield file.read(length)
