"""The picture of :mod:`bench.rotation`: requests a second around a key boundary, on a logarithmic scale, as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10

WIDTH, PANEL, TOP, BOTTOM = 860, 330, 34, 46
LEFT, RIGHT = 100, 24
FIRST_S, LAST_S = -40, 30
DECADES = 7
LEGEND = 18


@dataclass(frozen=True, slots=True)
class Line:
    """One course: what is counted, by second."""

    name: str
    colour: str
    counts: Mapping[int, int]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Courses on the same axes."""

    title: str
    lines: Sequence[Line]


def picture(panels: Sequence[Panel]) -> str:
    """The panels, one below the other."""
    parts, top = [], 0
    for panel in panels:
        height = TOP + LEGEND * len(panel.lines) + PANEL + BOTTOM
        parts.append(f'<g transform="translate(0 {top})">{_panel(panel)}</g>')
        top += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#333a44">'
        f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(panel: Panel) -> str:
    parts = [f'<text x="{LEFT}" y="22" font-size="15" font-weight="600">{panel.title}</text>']
    for row, line in enumerate(panel.lines):
        y = TOP + LEGEND * row + 8
        parts.append(f'<path d="M{LEFT} {y}h24" {_stroke(line)}/><text x="{LEFT + 32}" y="{y + 4}">{line.name}</text>')
    top = TOP + LEGEND * len(panel.lines)
    parts.append(f'<g transform="translate(0 {top})">{_axes()}')
    parts += [f'<path d="{_steps(line.counts)}" {_stroke(line)}/>' for line in panel.lines]
    return "\n".join([*parts, "</g>"])


def _axes() -> str:
    parts = []
    for decade in range(DECADES + 1):
        y, label = _y(10**decade), f"{10**decade:,}"
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e3e6ea"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for second in range(FIRST_S, LAST_S + 1, 10):
        x = _x(second)
        parts.append(f'<path d="M{x:.1f} {PANEL}v5" stroke="#333a44"/>')
        parts.append(f'<text x="{x:.1f}" y="{PANEL + 19}" text-anchor="middle">{second:+d}</text>'.replace("+0<", "0<"))
    zero = _x(0)
    parts.append(f'<path d="M{zero:.1f} 12V{PANEL}" stroke="#333a44" stroke-dasharray="2 3"/>')
    parts.append(f'<text x="{zero + 6:.1f}" y="20">first segment under the new key</text>')
    parts.append(f'<path d="M{LEFT} {PANEL}H{WIDTH - RIGHT}" stroke="#333a44"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{PANEL + 37}" text-anchor="middle">seconds</text>')
    parts.append(f'<text transform="translate(16 {PANEL / 2 + 10}) rotate(-90)" text-anchor="middle">a second</text>')
    return "\n".join(parts)


def _steps(counts: Mapping[int, int]) -> str:
    """One step a second; nothing is drawn where there is nothing."""
    found, before = [f"M{_x(FIRST_S):.1f} {PANEL}"], 0
    for second in range(FIRST_S, LAST_S):
        number = counts.get(second, 0)
        x = f"{_x(second + 1):.1f}"
        found.append(f"V{_y(number):.1f}H{x}" if number else f"V{PANEL}M{x} {PANEL}" if before else f"M{x} {PANEL}")
        before = number
    return "".join(found)


def _stroke(line: Line) -> str:
    dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
    return f'fill="none" stroke="{line.colour}" stroke-width="2" stroke-linejoin="round"{dashes}'


def _x(second: float) -> float:
    return LEFT + (second - FIRST_S) * (WIDTH - LEFT - RIGHT) / (LAST_S - FIRST_S)


def _y(count: float) -> float:
    """The ground is below one, so that one shows."""
    if not count:
        return PANEL
    return PANEL - 14 - log10(count) * (PANEL - 44) / DECADES
