"""``segmentgate watermark keys``: the two keys of an asset, for those who may have them."""

import json
from pathlib import Path

import click

from keys.watermark import chip_key, code_key
from relay.commands.reporting import reports_errors
from relay.commands.watermark.secret_file import FILE, read_hex


@click.command()
@click.option("--secret-file", type=FILE, required=True, help="The watermark secret, as `keys new` makes one.")
@click.option("--asset", required=True, help="Name of the asset, as a rule that of its stream.")
@click.option(
    "--only",
    type=click.Choice(["chip", "code"]),
    default=None,
    help="chip: for the embedder and the analyser. code: for the edge. Left out: both, as JSON.",
)
@reports_errors
def keys(secret_file: Path, asset: str, only: str | None) -> None:
    """Print the keys of an asset in hex. Handle the output as a secret."""
    secret = read_hex(secret_file)
    derived = {"chip": chip_key(secret, asset).hex(), "code": code_key(secret, asset).hex()}
    click.echo(derived[only] if only else json.dumps({"asset": asset, **derived}))
