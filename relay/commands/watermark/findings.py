"""What an analysis found, as text for a terminal."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import UNSET

from relay.commands.tables import aligned

if TYPE_CHECKING:
    from relay.watermark.jobs.result import AnalysisResult, AssetFinding, Match

_WIDE = 24
"""Scores in a line."""


def told(result: "AnalysisResult") -> str:
    """All of it, asset by asset."""
    asked = result.needed_bits or not result.scores
    lines = [str(result.status).replace("_", " ") if asked else "read; nobody was asked about"]
    for finding in result.findings:
        if finding.scores:
            lines += _finding(finding)
    return "\n".join(lines)


def _finding(finding: "AssetFinding") -> Iterator[str]:
    where = finding.leak_range
    if where:
        mirrored = ", mirrored" if where.mirrored else ""
        yield f"asset {finding.asset}: {where.start_s:.1f} s to {where.end_s:.1f} s, speed {where.speed:.4f}{mirrored}"
    read = sum(not one.erased for one in finding.scores)
    yield f"{read} of {len(finding.scores)} segments read, median strength {finding.quality:.1f}"
    if finding.needed_bits:
        yield (
            f"{finding.best_bits:.1f} bits of evidence at most, {finding.needed_bits:.1f} needed, "
            f"{finding.candidates} candidates{'' if finding.complete else ', some nodes missing'}"
        )
    if finding.estimated_further_seconds:
        yield f"about {finding.estimated_further_seconds:.0f} s more of such a copy should be enough"
    if finding.matches:
        head = ("watermark", "account", "device", "session", "served from", "to", "bits", "bound")
        yield from aligned([head, *(row for match in finding.matches for row in _rows(match))], texts=6)
    else:
        yield "scores by position, above zero for variant a (- : not read):"
        scores = ["-" if one.erased else f"{one.z:+.0f}" for one in finding.scores]
        first = finding.scores[0].position
        for at in range(0, len(scores), _WIDE):
            yield f"  {first + at:>6}  " + " ".join(f"{score:>4}" for score in scores[at : at + _WIDE])


def _rows(match: "Match") -> Iterator[tuple[str, ...]]:
    strength = f"{match.evidence_bits:.1f}", f"{match.false_accusation_bound:.1e}"
    if match.sessions is UNSET:
        yield (match.watermark_id, "", "", "", _moment(match.served_from), _moment(match.served_to), *strength)
        return
    for one in match.sessions:
        when = _moment(one.served_from), _moment(one.served_to)
        yield (match.watermark_id, one.account_id, one.device_id, one.session_id, *when, *strength)


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
