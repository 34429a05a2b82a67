"""``segmentgate watermark analyze``: who leaked a copy, asked of a relay or found out here."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from relay.commands.operate.call import KEY_FILE, URL, asked_of
from relay.commands.reporting import reports_errors
from relay.commands.watermark.findings import told
from relay.commands.watermark.secret_file import FILE, read_hex

if TYPE_CHECKING:
    from relay.api.analyses import Analysis
    from relay.client import Client

LOOK_EVERY_S = 1.0


@click.command()
@click.argument("file", type=FILE)
@URL
@KEY_FILE
@click.option("--actor", default="", help="Your name, for the audit log.")
@click.option("--asset", default="", help="What it is a copy of; left out, it is found by its pictures.")
@click.option("--note", default="", help="For the record.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write the evidence: .html or .json.",
)
@click.option(
    "--assets",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Asset folders: analyse here, and ask no relay.",
)
@click.option("--chip-key-file", type=FILE, default=None, help="With --assets: the chip key, or the watermark secret.")
@click.option("--candidates", type=FILE, default=None, help="With --assets: what the API's candidates answered.")
@click.option("--code-key-file", type=FILE, default=None, help="With --candidates: the asset's code key.")
@click.option(
    "--colluders", type=click.Choice(["2", "4", "6", "8"]), default="2", help="With --candidates: the profile."
)
@click.option(
    "--false-accusation", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=1e-9, show_default=True
)
@reports_errors
def analyze(
    file: Path,
    url: str,
    key_file: Path | None,
    actor: str,
    asset: str,
    note: str,
    report: Path | None,
    assets: Path | None,
    chip_key_file: Path | None,
    candidates: Path | None,
    code_key_file: Path | None,
    colluders: str,
    false_accusation: float,
) -> None:
    """Find out whose session FILE, a suspected copy, was recorded from.

    A relay is asked, which knows who was served what. With --assets it is done here: then the scores of its segments
    are told, and who it was if --candidates says who may have been.
    """
    if assets is None:
        if key_file is None:
            raise click.UsageError("give --key-file to ask a relay, or --assets to analyse here.")
        _ask(file, url, key_file, actor, asset, note, report)
        return
    if chip_key_file is None:
        raise click.UsageError("--assets needs --chip-key-file.")
    if (candidates is None) != (code_key_file is None):
        raise click.UsageError("give --candidates and --code-key-file together, or neither.")
    try:
        from relay.commands.watermark.offline import Scan, analysed_here
    except ImportError as error:
        raise click.ClickException(f"{error.name} is missing: install segmentgate[watermark]") from None
    scan = None
    if candidates is not None and code_key_file is not None:
        scan = Scan(candidates, read_hex(code_key_file), int(colluders), false_accusation)
    with _progress() as tell:
        result, page = analysed_here(file, assets, asset, note, read_hex(chip_key_file), scan, tell)
    click.echo(told(result))
    if report:
        _write(report, page.encode() if report.suffix != ".json" else msgspec.json.encode(result))


def _ask(file: Path, url: str, key_file: Path, actor: str, asset: str, note: str, report: Path | None) -> None:
    async def act(relay: "Client") -> "tuple[Analysis, bytes]":
        with _progress() as tell:
            seen = await relay.analyses.begin(file, asset, note)
            while seen.state in ("queued", "running"):
                tell(seen.step or str(seen.state), seen.progress)
                await asyncio.sleep(LOOK_EVERY_S)
                seen = await relay.analyses.get(seen.id)
            tell(str(seen.state), seen.progress)
        if seen.error:
            raise click.ClickException(f"{seen.error.code} ({seen.error.number}): {seen.error.detail}")
        if report is None:
            return seen, b""
        if report.suffix == ".json":
            return seen, msgspec.json.encode(await relay.analyses.report(seen.id))
        return seen, await relay.analyses.page(seen.id)

    seen, evidence = asked_of(url, key_file, actor, act)
    click.echo(f"analysis {seen.id}", err=True)
    if seen.result:
        click.echo(told(seen.result))
    if report:
        _write(report, evidence)


def _write(report: Path, evidence: bytes) -> None:
    report.write_bytes(evidence)
    click.echo(f"evidence: {report}", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
    except ImportError:
        raise click.ClickException("rich is missing: install segmentgate[watermark]") from None
    columns = (TextColumn("{task.description:10}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("upload", total=1.0)
        yield lambda step, share: bar.update(task, description=step, completed=share)
