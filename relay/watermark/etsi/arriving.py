"""Overwriting the pace information of a segment that is still arriving, box by box. Pure."""

from relay.media.box import is_open_ended, read_header
from relay.watermark.etsi.inband import overwritten


class Arriving:
    """Passes on whole boxes, overwritten: a message in a sample may be split between two chunks, never two boxes.

    What comes after waits for whole fragments in any case.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Take what arrived; give the boxes that are whole. Raises :class:`relay.errors.MediaError`."""
        self._buffer += chunk
        end = 0
        with memoryview(self._buffer) as view:
            while (box := read_header(view, end)) is not None and box.end <= len(view) and not is_open_ended(box):
                end = box.end
        whole = bytes(self._buffer[:end])
        del self._buffer[:end]
        return overwritten(whole)

    def finish(self) -> bytes:
        """The rest: nothing, or a box without a size of its own."""
        return overwritten(bytes(self._buffer))
