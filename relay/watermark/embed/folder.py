"""The output on disk: ``origin/`` to be served, ``asset/`` for the analyser alone, ``work/`` until all is done.

Every file appears whole under its name or not at all. What a position came to is noted last, so that whatever is
noted is there, and a run that was killed goes on behind it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cbor2
import msgspec

from relay.watermark.embed.errors import EmbedError
from relay.watermark.index import Mark
from relay.watermark.picture.mark import VARIANTS

PACE_FOLDER = "WMPaceInfo"
_WIRE_POSITIONS = 1 << 15
_PART = ".part-"


class Done(msgspec.Struct, frozen=True):
    """What a position of a rendition came to. ``sizes`` are the bytes of a and of b."""

    position: int
    frames: int
    sizes: tuple[int, int]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Folder:
    """An output folder."""

    path: Path

    @property
    def origin(self) -> Path:
        """What the origin serves (ETSI TS 104 002 §5.5)."""
        return self.path / "origin"

    @property
    def asset(self) -> Path:
        """What the analyser needs. It shows the original, so it is never served."""
        return self.path / "asset"

    @property
    def work(self) -> Path:
        """What an unfinished run has come to."""
        return self.path / "work"

    def put_segment(self, rendition: str, bodies: Iterable[bytes], done: Done) -> None:
        """Write both variants of a position, its sidecar, and that it is done. Raises :class:`EmbedError`."""
        name = segment_name(done.position)
        track = self.origin / rendition
        for variant, body in zip(VARIANTS, bodies, strict=True):
            put(track / variant / name, body)
        put(track / PACE_FOLDER / name, pace_sidecar(done.position))
        put(self._note(rendition, done.position), msgspec.json.encode(done))

    @property
    def proxy_init(self) -> Path:
        """The proxy's init segment."""
        return self.work / "proxy" / "init.mp4"

    @property
    def sound_note(self) -> Path:
        """What the sound came to."""
        return self.work / "audio.json"

    def begin(self, identity: str) -> None:
        """Claim the folder for a run. Raises :class:`EmbedError` where another run has left something in it."""
        note = self.work / "run"
        if note.exists():
            if note.read_text(encoding="utf-8") != identity:
                raise EmbedError(f"{self.path}: holds an unfinished run of another source or with other settings")
            for part in self.path.rglob(f"{_PART}*"):  # of a run that was killed while it wrote
                part.unlink(missing_ok=True)
        elif self.origin.exists() or self.asset.exists():
            raise EmbedError(f"{self.path}: holds a finished asset. Choose a new folder.")
        else:
            put(note, identity.encode())

    def clear_work(self) -> None:
        """Throw away what only an unfinished run needs."""
        shutil.rmtree(self.work, ignore_errors=True)

    def forget(self, rendition: str, position: int) -> None:
        """Throw away what notes that a position is done: a stream that goes on is not gone on with."""
        self._note(rendition, position).unlink(missing_ok=True)

    def clear_segments(self) -> None:
        """Throw away the segments of a stream that was ended and begins anew."""
        for path in self.origin.rglob("*.m4s"):
            path.unlink(missing_ok=True)

    def put_proxy(self, position: int, body: bytes) -> None:
        """Write the proxy's piece of a position."""
        put(self.proxy_piece(position), body)

    def proxy_piece(self, position: int) -> Path:
        """Where the proxy's piece of a position is kept until all are there."""
        return self.work / "proxy" / segment_name(position)

    def done(self, rendition: str) -> dict[int, Done]:
        """The positions of a rendition that are done."""
        notes = (self.work / rendition).glob("*.json")
        return {one.position: one for one in (msgspec.json.decode(note.read_bytes(), type=Done) for note in notes)}

    def count_done(self, rendition: str) -> int:
        """How many positions of a rendition are done."""
        return sum(1 for _ in (self.work / rendition).glob("*.json"))

    def _note(self, rendition: str, position: int) -> Path:
        return self.work / rendition / f"{position:05d}.json"


def segment_name(position: int) -> str:
    """The file name of a position: the same in both variants, in sidecars and in manifests."""
    return f"{position:05d}.m4s"


def pace_sidecar(position: int) -> bytes:
    """The pace information of a whole segment in deterministic CBOR: version, one position, its only part
    (ETSI TS 104 002 §5.5.3.2). Positions have 15 bits there."""
    return cbor2.dumps({1: 1, 2: [{6: position % _WIRE_POSITIONS, 7: True, 8: True}]}, canonical=True)


def put(path: Path, body: bytes) -> None:
    """Write a file at once. Raises :class:`EmbedError`, also where the disk is full."""
    with _replacing(path) as file:
        file.write(body)


def put_joined(path: Path, head: bytes, pieces: Iterable[Path]) -> None:
    """Write a file of a head and other files, as :func:`put` does."""
    with _replacing(path) as file:
        file.write(head)
        for piece in pieces:
            with piece.open("rb") as part:
                shutil.copyfileobj(part, file)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=_PART)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            Path(scratch).chmod(0o644)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as err:
        raise EmbedError(f"{path}: {err.strerror}. What is done so far is kept: run the same command again.") from None
