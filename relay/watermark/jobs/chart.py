"""Scores of segments as a picture: a bar for each position of the copy. Inline SVG, made of numbers alone. Pure."""

from collections.abc import Sequence
from typing import Final

from relay.watermark.analyse.reading import Geometry, PositionReading

_WIDTH, _HEIGHT = 960, 260
_LEFT, _BELOW = 44, 26
_NOISE: Final = 2.0
"""Standard deviations: 95 of 100 scores of a copy without a mark stay within."""
_LEAST: Final = 8.0
_LABELS: Final = 8


def score_chart(scores: Sequence[PositionReading]) -> str:
    """Bars upwards for variant a, downwards for variant b; a grey mark below for what could not be read."""
    if not scores:
        return ""
    most = max(_LEAST, *(abs(one.z) for one in scores))
    plot = _HEIGHT - _BELOW
    middle = plot / 2
    step = (_WIDTH - _LEFT) / len(scores)

    def y(z: float) -> float:
        return middle - z / most * (middle - 6)

    noise = y(-_NOISE) - y(_NOISE)
    parts = [f'<rect class="noise" x="{_LEFT}" y="{y(_NOISE):.1f}" width="{_WIDTH - _LEFT}" height="{noise:.1f}"/>']
    for value in (most, most / 2, 0.0, -most / 2, -most):
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.0f}</text>')
    every = -(-len(scores) // _LABELS)
    for at, one in enumerate(scores):
        x = _LEFT + at * step
        width = max(step * 0.8, 0.6)
        if one.erased:
            parts.append(f'<rect class="unread" x="{x:.2f}" y="{plot - 5}" width="{width:.2f}" height="5"/>')
        else:
            top, height = min(y(one.z), middle), abs(y(one.z) - middle)
            name = "a" if one.z > 0 else "b"
            parts.append(
                f'<rect class="{name}" x="{x:.2f}" y="{top:.1f}" width="{width:.2f}" height="{max(height, 0.5):.1f}">'
                f"<title>position {one.position}, {one.start_s:.1f} s: {one.z:+.1f}</title></rect>"
            )
        if at % every == 0:
            parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}">{_clock(one.start_s)}</text>')
    return (
        f'<svg class="scores" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Scores of all segments">'
        f"{''.join(parts)}</svg>"
    )


def geometry_sketch(geometry: Geometry, width: int, height: int) -> str:
    """How the asset's picture lies in the copy's, which is the frame."""
    tall = 200 * height / max(width, 1)
    corners = " ".join(f"{x * 200:.1f},{y * tall:.1f}" for x, y in geometry.corners)
    margin = 40
    return (
        f'<svg class="sketch" viewBox="{-margin} {-margin} {200 + 2 * margin} {tall + 2 * margin:.0f}" role="img" '
        f'aria-label="How the picture lies in the copy"><rect class="frame" width="200" height="{tall:.1f}"/>'
        f'<polygon class="outline" points="{corners}"/></svg>'
    )


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
