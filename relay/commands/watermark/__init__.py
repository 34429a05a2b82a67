"""Commands of the forensic watermark."""

import click

from relay.commands.watermark.embed import embed
from relay.commands.watermark.keys import keys


@click.group()
def watermark() -> None:
    """Mark assets, so that a leaked copy names its session."""


watermark.add_command(embed)
watermark.add_command(keys)

__all__ = ["watermark"]
