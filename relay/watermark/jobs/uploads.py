"""An upload that comes in: counted, digested, looked at and put down piece by piece."""

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from relay.watermark.analyse.errors import LeakFormatError, LeakSizeError
from relay.watermark.jobs.containers import BEGINNING, is_like_video
from relay.watermark.jobs.errors import AnalysesBusyError


class Received:
    """An upload that comes in. Its digest and size grow with it."""

    def __init__(self, path: Path, file: BinaryIO, most: int) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._most = most
        self._hash = sha256()
        self._beginning = b""

    @property
    def digest(self) -> str:
        """SHA-256 of what has come, in hex."""
        return self._hash.hexdigest()

    async def add(self, piece: bytes) -> None:
        """Take a piece. Raises :class:`LeakSizeError`, :class:`LeakFormatError`, :class:`AnalysesBusyError`."""
        self.size += len(piece)
        if self.size > self._most:
            raise LeakSizeError(f"the upload has more than the {self._most} bytes that are taken")
        if len(self._beginning) < BEGINNING:
            self._beginning += piece[: BEGINNING - len(self._beginning)]
            if len(self._beginning) == BEGINNING:
                self._check()
        await asyncio.to_thread(self._write, piece)

    async def done(self) -> None:
        """All has come. Raises as :meth:`add` does."""
        self._check()
        await asyncio.to_thread(self._file.flush)

    def _check(self) -> None:
        if not is_like_video(self._beginning):
            raise LeakFormatError("the upload is no MP4, MOV, Matroska, WebM, MPEG-TS or AVI file")

    def _write(self, piece: bytes) -> None:
        self._hash.update(piece)
        try:
            self._file.write(piece)
        except OSError as err:
            raise AnalysesBusyError(f"the upload cannot be kept: {err.strerror}") from None
