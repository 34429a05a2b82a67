"""Commands that look at a relay: its nodes, streams and webhooks."""

from typing import TYPE_CHECKING

import click

from relay.commands.operate.call import calls_relay

if TYPE_CHECKING:
    from relay.client import Client


@click.command()
@calls_relay
async def status(relay: "Client", /) -> object:
    """Show what is revoked, and how far this node and the others are."""
    return await relay.status()


@click.command()
@calls_relay
async def streams(relay: "Client", /) -> object:
    """Show all streams, their groups, rotation and scenes."""
    return [stream async for stream in relay.streams.all()]


@click.group()
def webhooks() -> None:
    """Receivers of events."""


@webhooks.command("list")
@calls_relay
async def webhooks_list(relay: "Client", /) -> object:
    """Show how each webhook is on the node that is asked."""
    return await relay.webhooks.all()


@webhooks.command("test")
@click.argument("name")
@calls_relay
async def webhooks_test(relay: "Client", /, name: str) -> object:
    """Send a test event; a disabled webhook that takes it is called again."""
    return await relay.webhooks.test(name)
