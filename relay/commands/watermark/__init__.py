"""Commands of the forensic watermark."""

import click

from relay.commands.watermark.analyze import analyze
from relay.commands.watermark.embed import embed
from relay.commands.watermark.keys import keys
from relay.commands.watermark.revoke import revoke
from relay.commands.watermark.token import token


@click.group()
def watermark() -> None:
    """Mark assets, and find out from a leaked copy whose session it was."""


watermark.add_command(embed)
watermark.add_command(keys)
watermark.add_command(analyze)
watermark.add_command(revoke)
watermark.add_command(token)

__all__ = ["watermark"]
