"""``segmentgate watermark embed``: from a source to marked variants, their index and a proxy."""

import os
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relay.commands.options import Seconds
from relay.commands.reporting import reports_errors
from relay.commands.watermark.secret_file import FILE, read_hex

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.watermark.embed.plan import Plan
    from relay.watermark.embed.source import Source
    from relay.watermark.index import AssetIndex

_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


@click.command()
@click.argument("source", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="A folder of its own.")
@click.option("--asset", default=None, help="Name of the asset; the file's name without its ending.")
@click.option("--chip-key-file", type=FILE, required=True, help="See `segmentgate watermark keys`.")
@click.option("--strength", type=click.FloatRange(0.2, 0.8), default=0.45, show_default=True, help="0.7 is strong.")
@click.option("--segment", type=Seconds(1, 10), default=2.0, show_default=True, help="Seconds of one position.")
@click.option(
    "--rendition", multiple=True, help="As 1280x720@2500k, 720@2500k or 720; repeatable. Left out: the source's size."
)
@click.option("--crf", type=click.FloatRange(10, 40), default=20.0, show_default=True, help="Quality of x264.")
@click.option("--preset", type=click.Choice(_PRESETS), default="veryfast", show_default=True, help="Speed of x264.")
@click.option("--jobs", type=click.IntRange(1, 256), default=None, help="Processes; as many as there are cores.")
@click.option("--follow", is_flag=True, help="SOURCE is still being written, or - for a pipe: publish it as it comes.")
@click.option(
    "--window", type=Seconds(10, 86400), default=60.0, show_default=True, help="With --follow: seconds listed."
)
@click.option(
    "--idle", type=Seconds(1, 3600), default=30.0, show_default=True, help="With --follow: silence that ends it."
)
@click.option(
    "--epoch",
    type=Seconds(0),
    default=None,
    help="With --follow: Unix time of the source's time stamp 0; left out: now.",
)
@reports_errors
def embed(
    source: Path,
    out: Path,
    asset: str | None,
    chip_key_file: Path,
    strength: float,
    segment: float,
    rendition: tuple[str, ...],
    crf: float,
    preset: str,
    jobs: int | None,
    follow: bool,
    window: float,
    idle: float,
    epoch: float | None,
) -> None:
    """Mark SOURCE: two variants of every segment, for an origin, and what the analyser needs of the original.

    What is served comes to OUT/origin. OUT/asset shows the original: it is for the analyser alone. The same command
    goes on with a run that was ended.
    """
    from relay.watermark.embed.threads import take_one_thread

    take_one_thread()
    try:
        from relay.watermark.embed.plan import Rung, planned
        from relay.watermark.embed.source import probe
    except ImportError as error:
        raise click.ClickException(f"{error.name} is missing: install segmentgate[watermark]") from None
    try:
        rungs = [Rung.parse(text) for text in rendition]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--rendition") from None
    key = read_hex(chip_key_file)
    cores = jobs or len(os.sched_getaffinity(0))

    def plan_of(found: "Source") -> "Plan":
        plan = planned(
            source,
            found,
            out,
            asset or source.stem,
            key,
            rungs or [Rung(found.width, found.height, 0)],
            segment_s=Fraction(segment).limit_denominator(1000),
            gain=strength,
            crf=crf,
            preset=preset,
            threads=max(1, cores // max(1, len(rungs))) if follow else 1,
        )
        _warn_of_small(plan)
        return plan

    if follow:
        _follow(source, plan_of, window, idle, epoch)
        return
    if not source.is_file():
        raise click.UsageError(f"{source}: not a file. A pipe, or a file that is still written, takes --follow.")
    plan = plan_of(probe(source, source.name))
    begun = time.monotonic()
    index = _run(plan, cores)
    click.echo(_told(plan, index, time.monotonic() - begun))


def _follow(source: Path, plan_of: "Callable[[Source], Plan]", window: float, idle: float, epoch: float | None) -> None:
    from relay.watermark.embed.follow import follow
    from relay.watermark.embed.growing import Growing

    def told(position: int, behind_s: float) -> None:
        click.echo(f"position {position}, published {behind_s:.1f} s behind its end", err=True)

    at = None if epoch is None else Fraction(epoch).limit_denominator(1000)
    with click.open_file(str(source), "rb") as file:
        try:
            made = follow(
                Growing(file, idle), source.name, plan_of, time.time, window_s=window, epoch=at, progress=told
            )
        except KeyboardInterrupt:
            raise click.ClickException("ended") from None
    click.echo(f"{source.name} has ended: {made} positions")


def _run(plan: "Plan", jobs: int) -> "AssetIndex":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from relay.watermark.embed.pool import StoppedError, embed

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Segments", total=None)
        try:
            return embed(plan, jobs, lambda done, total: bar.update(task, completed=done, total=total))
        except KeyboardInterrupt:
            raise StoppedError(f"{plan.folder.path}: ended. The same command goes on with it.") from None


def _warn_of_small(plan: "Plan") -> None:
    from relay.watermark.embed.plan import WEAK_BELOW

    for one in plan.renditions:
        lines = min(one.encoding.width, one.encoding.height)
        if lines < WEAK_BELOW:
            click.echo(
                f"{one.name}: {lines} lines: copies of it that are encoded again lose much of the mark.", err=True
            )


def _told(plan: "Plan", index: "AssetIndex", seconds: float) -> str:
    """What was made, and how well it reads."""
    length = sum(one.duration_ms for one in index.segments) / 1000
    silent = sum(not one.is_informative for one in index.segments)
    marks = [mark for one in index.segments for mark in one.marks.values()]
    stronger = sum(mark.gain > plan.gain for mark in marks)
    weakest = min(mark.weakest for mark in marks)
    names = ", ".join(one.name for one in plan.renditions)
    return (
        f"{index.asset}: {len(index.segments)} segments, {length:.1f} s of {names} in {seconds:.0f} s\n"
        f"weakest score {weakest:.1f}; {stronger} of {len(marks)} made stronger; {silent} carry no information\n"
        f"origin: {plan.folder.origin}\nanalyser only: {plan.folder.asset}"
    )
