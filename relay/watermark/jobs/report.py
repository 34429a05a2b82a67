"""The evidence of an analysis as one page of HTML that needs nothing else: to read, to print, to keep. Pure."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from math import floor, log10
from typing import Final

from msgspec import UNSET

from relay.watermark.analyse.reading import Picture
from relay.watermark.jobs.chart import geometry_sketch, score_chart
from relay.watermark.jobs.job import Job
from relay.watermark.jobs.result import AnalysisResult, AssetFinding, Match, Pictures, ServedSession, Status, Upload

_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1.5rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid #ccd3dd}
h3{font-size:1rem;margin:1.4rem 0 .4rem}p{margin:.5rem 0;max-width:48rem}
.verdict{border-left:6px solid #8592a3;background:#f3f5f8;padding:.8rem 1rem;margin:1.2rem 0;font-size:1.05rem}
.verdict.named{border-color:#b3261e;background:#fbeeed}.verdict strong{display:block;font-size:1.2rem}
table{border-collapse:collapse;margin:.6rem 0;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.25rem 1.2rem .25rem 0;border-bottom:1px solid #e4e8ee}
th{font-weight:600;color:#47536a}td{overflow-wrap:anywhere}code{font:.9em ui-monospace,monospace}
svg{display:block;max-width:100%}svg text{font:11px system-ui,sans-serif;fill:#47536a}
.scores .noise{fill:#eef1f5}.scores .rule{stroke:#d5dbe3;stroke-width:.7}
.scores .a{fill:#1f5fa8}.scores .b{fill:#c8641b}.scores .unread{fill:#8592a3}
.sketch{width:17rem}.sketch .frame{fill:#f3f5f8;stroke:#8592a3}
.sketch .outline{fill:none;stroke:#b3261e;stroke-width:2}
.key{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em}
figure{margin:1rem 0;break-inside:avoid}figure img{width:100%;border:1px solid #ccd3dd}
figcaption,.small{color:#47536a;font-size:.88rem}
@media print{body{margin:0;max-width:none;font-size:11pt}h2{break-after:avoid}tr,svg{break-inside:avoid}}
"""
_MANY: Final = 40


def page_of(job: Job, result: AnalysisResult, pictures: Sequence[Pictures], false_accusation: float) -> str:
    """The page. Where sessions are left out of the result, it says so."""
    by_asset = {one.asset: one.pictures for one in pictures}
    found = "".join(_asset(one, result.upload, by_asset.get(one.asset, ())) for one in result.findings if one.scores)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Watermark analysis {job.id}</title><style>{_STYLE}</style></head><body>"
        f'<h1>Watermark analysis</h1><p class="small"><code>{job.id}</code></p>'
        f"{_verdict(result)}{_upload(job, result.upload)}{found}{_meaning(result, false_accusation)}"
        "</body></html>\n"
    )


def _verdict(result: AnalysisResult) -> str:
    matches = [match for one in result.findings for match in one.matches]
    named = ", ".join(f"<code>{escape(one)}</code>" for one in dict.fromkeys(match.watermark_id for match in matches))
    asset = escape(result.asset)
    match result.status:
        case Status.IDENTIFIED:
            bound = max(match.false_accusation_bound for match in matches)
            text = (
                "<strong>The source of this copy is identified.</strong>"
                f"It was made from what was served under {'watermark' if len(matches) == 1 else 'watermarks'} {named}. "
                f"The probability that this names an innocent one is at most {_odds(bound)}."
            )
        case Status.PAIR_IDENTIFIED:
            text = (
                "<strong>Two sources of this copy are identified together.</strong>"
                f"It was made by mixing what was served under {named}. The probability that both are innocent is at "
                f"most {_odds(result.pair_bound or 0.0)}; that of each alone stands below."
            )
        case Status.INSUFFICIENT_EVIDENCE if not result.needed_bits:
            text = (
                f"<strong>The copy shows asset {asset}.</strong>"
                "Its segments were read; who may have been served them was not asked, so nobody could be named."
            )
        case Status.INSUFFICIENT_EVIDENCE:
            text = (
                "<strong>There is not enough evidence to name anybody.</strong>"
                f"The copy shows asset {asset}; the session with most evidence has {result.best_bits:.1f} of the "
                f"{result.needed_bits:.1f} bits that are needed, which is no accusation. {_further(result)}"
            )
        case Status.REGISTRATION_FAILED:
            text = f"<strong>The copy does not show asset {asset}.</strong>Nothing was read."
        case _:
            text = "<strong>The copy shows none of the assets kept here.</strong>Nothing was read."
    return f'<div class="verdict{" named" if matches else ""}">{text}</div>'


def _further(finding: AssetFinding) -> str:
    seconds = finding.estimated_further_seconds
    if seconds is None:
        return "How much more would be needed cannot be said: no mark is seen, or it points to no candidate."
    return f"About {seconds:.0f} seconds more of a copy as good as this can be expected to be enough."


def _upload(job: Job, upload: Upload) -> str:
    rows = [
        ("SHA-256 of the upload", f"<code>{job.digest}</code>"),
        ("Size", f"{job.size / 1e6:.1f} MB, {upload.width} × {upload.height}, {upload.duration_s:.1f} s"),
        ("Received", _moment(job.created_at)),
        ("Analysed", _moment(job.finished_at)),
        ("Ordered by", escape(job.actor)),
        ("Note", escape(job.note)),
        ("Not explained by any asset", f"{upload.unknown_s:.1f} s"),
        ("Read to its end", "no: it is damaged, or longer than is read" if upload.cut_short else "yes"),
    ]
    return f"<h2>The copy</h2>{_table(row for row in rows if row[1])}"


def _asset(finding: AssetFinding, upload: Upload, pictures: Sequence[Picture]) -> str:
    where = finding.leak_range
    geometry = finding.geometry
    rows = []
    if where:
        mirrored = ", mirrored" if where.mirrored else ""
        rows.append(("Shown", f"{where.start_s:.1f} s to {where.end_s:.1f} s, speed {where.speed:.4f}{mirrored}"))
    rows += [
        ("Segments that tell their variant", f"{finding.segments_used}"),
        ("Segments that do not", f"{finding.segments_erased}"),
        ("Median strength of the mark", f"{finding.quality:.1f} (0.7 where there is none, 48 at most)"),
        ("Control with keys that nobody used", f"{finding.control_rms:.2f} (1 is as it should be)"),
        ("Sessions that were served any of it", f"{finding.candidates}{_missing(finding)}"),
        ("Evidence needed to name one", f"{finding.needed_bits:.1f} bits"),
        ("Most evidence against any", f"{finding.best_bits:.1f} bits"),
        ("Most against any other", f"{finding.runner_up_bits:.1f} bits"),
    ]
    return (
        f"<h2>Asset {escape(finding.asset)}</h2>{_table(rows)}{''.join(map(_match, finding.matches))}"
        f"<h3>Scores of its segments</h3>{score_chart(finding.scores)}"
        '<p class="small"><span class="key" style="background:#1f5fa8"></span>variant a'
        '<span class="key" style="background:#c8641b"></span>variant b'
        '<span class="key" style="background:#8592a3"></span>not read'
        '<span class="key" style="background:#eef1f5"></span>where 95 of 100 scores lie without a mark. '
        "Below: time in the asset.</p>"
        f"{_unread(finding)}{_passages(finding)}"
        f"{_geometry(finding, upload) if geometry else ''}{''.join(map(_picture, pictures))}"
    )


def _match(match: Match) -> str:
    rows = [
        ("Evidence", f"{match.evidence_bits:.1f} bits"),
        ("Probability of naming an innocent one", f"at most {_odds(match.false_accusation_bound)}"),
        ("Segments that show its variant", f"{match.segments_agreeing} of {match.segments_compared}"),
        ("Served", f"{_moment(match.served_from)} to {_moment(match.served_to)}"),
        ("Sessions with this watermark", f"{match.sessions_in_all}"),
    ]
    return f"<h3>Watermark <code>{escape(match.watermark_id)}</code></h3>{_table(rows)}{_sessions(match)}"


def _sessions(match: Match) -> str:
    if match.sessions is UNSET:
        return '<p class="small">Who that is, is told to those alone who may read of viewers.</p>'
    head = "".join(f"<th>{name}</th>" for name in ("Session", "Account", "Device", "Stream", "Served", "Nodes"))
    rows = "".join(map(_session, match.sessions))
    more = match.sessions_in_all - len(match.sessions)
    rest = f'<p class="small">And {more} more.</p>' if more > 0 else ""
    return f"<table><tr>{head}</tr>{rows}</table>{rest}"


def _session(one: ServedSession) -> str:
    cells = (
        f"<code>{escape(one.session_id)}</code>",
        f"{escape(one.account_id)}<br><span class='small'>{escape(one.issuer)}</span>",
        escape(one.device_id),
        escape(one.stream_id),
        f"{_moment(one.served_from)} to {_moment(one.served_to)}",
        escape(", ".join(one.nodes)),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _unread(finding: AssetFinding) -> str:
    unread = [one for one in finding.scores if one.erased]
    if not unread:
        return "<p>Every segment that the copy shows was read.</p>"
    told = ", ".join(str(one.position) for one in unread[:_MANY]) + (" …" if len(unread) > _MANY else "")
    return (
        f"<p>Not read: position {told}. Too little of them could be laid over the original, or they are black or flat. "
        "They count neither for nor against anybody.</p>"
    )


def _passages(finding: AssetFinding) -> str:
    head = "<tr><th>In the copy</th><th>In the asset</th><th>Speed</th></tr>"
    rows = "".join(
        f"<tr><td>{run.leak_start_s:.1f} s to {run.leak_end_s:.1f} s</td>"
        f"<td>{run.asset_start_s:.1f} s to {run.asset_end_s:.1f} s</td><td>{run.speed:.4f}</td></tr>"
        for run in finding.passages[:_MANY]
    )
    return f"<h3>Passages without a cut</h3><table>{head}{rows}</table>"


def _geometry(finding: AssetFinding, upload: Upload) -> str:
    geometry = finding.geometry
    assert geometry is not None
    rows = [
        ("Of the picture, the copy shows", f"{geometry.visible:.0%}"),
        ("Mirrored", "yes" if geometry.mirrored else "no"),
        ("Bent by a lens or a screen", f"{geometry.bend_px:.1f} px at 480 wide"),
        ("Moved by a camera", f"{geometry.moved_px:.1f} px at 480 wide"),
    ]
    sketch = geometry_sketch(geometry, upload.width, upload.height)
    return f"<h3>How it lies in the copy</h3>{sketch}{_table(rows)}"


def _picture(picture: Picture) -> str:
    data = b64encode(picture.jpeg).decode()
    return (
        f'<figure><img alt="Alignment at position {picture.position}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>Position {picture.position}, {picture.leak_s:.1f} s into the copy. Above: the original; the copy "
        "with the original's outline. Below: the copy laid over the original; what the original does not explain, "
        "eight times as strong.</figcaption></figure>"
    )


def _meaning(result: AnalysisResult, false_accusation: float) -> str:
    needed = f"{result.needed_bits:.1f} bits" if result.needed_bits else "so many bits"
    return (
        "<h2>What this means</h2>"
        "<p>Each segment of the asset exists in two variants that look alike. Which of them a session is served is "
        "drawn from a secret key and the session's watermark id alone, as if by a coin. The analysis lays the copy "
        "over the original and tells for each segment which variant it shows: a score far above zero is variant a, "
        "far below zero variant b. Then it asks of every session that was served these segments how much better its "
        "own draws explain the copy than chance does. That is its evidence, in bits: each bit doubles it.</p>"
        "<p>For an innocent session the draws have nothing to do with the copy, whatever was done to it. So its "
        "evidence reaches T bits with a probability of at most 1 in 2<sup>T</sup>, and the bound above is that, times "
        "the number of sessions and of everything else that was tried. Nobody is named alone unless it is below "
        f"{_odds(false_accusation)}, which takes {needed} here. The bound assumes nothing of how the copy was made.</p>"
        "<p>It speaks of sessions: of what was served to a player under an account. Who sat before it, whether the "
        "account was shared or taken over, and whether a device was tampered with, it does not tell. Evidence below "
        "the limit accuses nobody, though it be the highest of all.</p>"
    )


def _missing(finding: AssetFinding) -> str:
    if finding.complete:
        return ""
    return f"; not told of by {escape(', '.join(finding.missing_nodes))}, so the one who leaked may be missing"


def _odds(probability: float) -> str:
    """A probability in words that a layman reads: one in so many."""
    if probability >= 0.1:
        return f"{probability:.0%}"
    if probability <= 0:
        return "less than can be written"
    times = 1 / probability
    power = floor(log10(times))
    if power < 6:
        return f"1 in {times:,.0f}"
    return f"1 in {times / 10**power:.1f} × 10<sup>{power}</sup>"


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><th>{name}</th><td>{value}</td></tr>' for name, value in rows)}</table>"
