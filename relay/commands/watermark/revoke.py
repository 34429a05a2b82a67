"""``segmentgate watermark revoke``: what an analysis found, acted upon."""

from typing import TYPE_CHECKING

import click

from relay.commands.operate.call import calls_relay

if TYPE_CHECKING:
    from relay.client import Client


@click.command()
@click.argument("watermark_id")
@click.option("--reason", default="leak", show_default=True, help="For the record.")
@calls_relay
async def revoke(relay: "Client", /, watermark_id: str, reason: str) -> object:
    """Stop every session with a watermark now."""
    return await relay.revocations.revoke(watermark_id=watermark_id, reason=reason)
