"""One position of one rendition: marked, encoded twice, read back, and made again stronger if it reads badly."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from av.video.frame import VideoFrame

from relay.watermark.embed.encode import Encoded, Encoding, decode, encode, luma_of
from relay.watermark.embed.errors import EmbedError
from relay.watermark.index import INFORMATIVE, Mark
from relay.watermark.picture.grid import Chips, Grid, chips
from relay.watermark.picture.mark import Marker, variant_of, window
from relay.watermark.picture.planes import Plane, height_at, shrunk
from relay.watermark.score import WIDTH, evidence, score, scored_frames, unexplained

MAX_GAIN = 0.8
WANTED = 12.0
"""The score of a variant, straight from the encoder, below which the mark is made stronger."""
_RAISE = 1.3
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Pattern:
    """What the marks of an asset depend on."""

    chip_key: bytes = field(repr=False)
    asset: str
    grid: Grid


@dataclass(frozen=True, slots=True)
class Marked:
    """A position: its two variants, alike in all but what they show, and how well they read."""

    variants: tuple[Encoded, Encoded]
    mark: Mark


def mark_segment(
    pictures: Sequence[VideoFrame], position: int, pattern: Pattern, encoding: Encoding, gain: float
) -> Marked:
    """Both variants of the frames of one position, at strength ``gain`` or up to 1.69 times it, but not above 0.8.

    What stays unreadable however strong (black, or flat) is left at ``gain``. Raises :class:`EmbedError` where the
    variants differ in what one init segment and one playlist must say of both.
    """
    cells = chips(pattern.chip_key, pattern.asset, position, pattern.grid.rows, pattern.grid.columns)
    marker = Marker(cells, encoding.width, encoding.height)
    tried: list[Marked] = []
    for _ in range(_ROUNDS):
        variants, shown = _variants(pictures, marker, encoding, gain)
        a, b = (_score(pictures, frames, cells, pattern.grid) for frames in shown)
        tried.append(Marked(variants, Mark(round(gain, 4), round(a, 2), round(-b, 2))))
        if tried[-1].mark.weakest >= WANTED or gain >= MAX_GAIN:
            break
        gain = min(gain * _RAISE, MAX_GAIN)
    best = max(tried, key=lambda one: one.mark.weakest)
    return best if best.mark.weakest >= INFORMATIVE else tried[0]


def proxy_size(width: int, height: int) -> tuple[int, int]:
    """The size of the proxy of a picture: what is scored, its height even for the codec."""
    return WIDTH, max(2, height_at(WIDTH, width, height) // 2 * 2)


def _variants(
    pictures: Sequence[VideoFrame], marker: Marker, encoding: Encoding, gain: float
) -> tuple[tuple[Encoded, Encoded], tuple[list[VideoFrame], list[VideoFrame]]]:
    """Both variants, encoded, and as they are shown."""
    lumas = [luma_of(picture) for picture in pictures]
    offsets = [marker.offset(luma, k, len(lumas), gain) for k, luma in enumerate(lumas)]
    in_a, in_b = ([variant_of(luma, d, which) for luma, d in zip(lumas, offsets, strict=True)] for which in range(2))
    a = encode(pictures, encoding, lumas=in_a)
    shown = decode(a)
    # b takes the picture types that the encoder chose for a, or samples would be decoded in another order.
    b = encode(pictures, encoding, [frame.pict_type for frame in shown], in_b)
    _check_alike(a, b)
    return (a, b), (shown, decode(b))


def _check_alike(a: Encoded, b: Encoded) -> None:
    if a.config != b.config:
        raise EmbedError("the variants need different init segments")
    if [sample.shown for sample in a.samples] != [sample.shown for sample in b.samples]:
        raise EmbedError("the variants are decoded in different orders")


def _score(originals: Sequence[VideoFrame], shown: Sequence[VideoFrame], cells: Chips, grid: Grid) -> float:
    n = len(originals)
    gathered = np.zeros((grid.rows, grid.columns), np.float32)
    for k in scored_frames(n):
        original, copy = _reduced(originals[k]), _reduced(shown[k])
        gathered += evidence(unexplained(original, copy), original, window(k, n), grid)
    return score(cells, gathered)


def _reduced(frame: VideoFrame) -> Plane:
    return shrunk(luma_of(frame), *proxy_size(frame.width, frame.height))
