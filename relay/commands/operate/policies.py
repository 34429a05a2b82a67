"""Commands about scenes, and about how keys rotate."""

import time
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from relay.commands.operate.call import WAIT, calls_relay
from relay.commands.options import Time
from relay.errors import RelayError

if TYPE_CHECKING:
    from relay.client import Client
    from relay.client.http import WaitFor


@click.group()
def scenes() -> None:
    """What streams ask of devices, and when."""


_STREAM_OR_ONLY = click.option("--stream", default=None, help="May be left out where there is only one.")
_STREAM = click.option("--stream", required=True)


@scenes.command("show")
@_STREAM_OR_ONLY
@calls_relay
async def scenes_show(relay: "Client", /, stream: str | None) -> object:
    """Show the scenes of a stream, as they were ordered and where they lie."""
    return (await relay.scenes.get(stream)).value


@scenes.command("set")
@click.argument("file", type=click.File("rb"))
@click.option("--stream", default=None, help="In place of the file's stream_id.")
@click.option("--starts-at", default=None, help="In place of the file's: ISO 8601 with an offset.")
@WAIT
@calls_relay
async def scenes_set(
    relay: "Client", /, file: BinaryIO, stream: str | None, starts_at: str | None, wait: "WaitFor"
) -> object:
    """Set the scenes of a file, as `segmentgate policy check` reads it, in place of those that are not over."""
    from relay.commands.scenes import read_file

    try:
        body = read_file(file.read(), time.time())
    except RelayError as err:
        raise click.ClickException(f"{file.name}: {err}. Nothing was changed.") from None
    return await relay.scenes.set(
        body.scenes, stream_id=stream or body.stream_id, starts_at=starts_at or body.starts_at, wait=wait
    )


@scenes.command("remove")
@_STREAM_OR_ONLY
@WAIT
@calls_relay
async def scenes_remove(relay: "Client", /, stream: str | None, wait: "WaitFor") -> object:
    """Let the stream's own terms hold again."""
    return await relay.scenes.remove(stream, wait=wait)


@scenes.command("at")
@click.argument("moment", default="")
@_STREAM_OR_ONLY
@calls_relay
async def scenes_at(relay: "Client", /, moment: str, stream: str | None) -> object:
    """Show what holds at a moment (now; ISO 8601, HH:MM:SS of the event, ms of stream time), and what follows."""
    return await relay.scenes.timeline(stream, moment)


@click.group()
def rotation() -> None:
    """How the keys of streams rotate."""


@rotation.command("show")
@_STREAM
@calls_relay
async def rotation_show(relay: "Client", /, stream: str) -> object:
    """Show how keys rotate, and where that stands."""
    return (await relay.rotation.get(stream)).value


@rotation.command("set")
@_STREAM
@click.option("--interval", type=Time(), default=None, help="How long a key lasts, as 10m.")
@click.option("--pre-delivery", type=Time(), default=None, help="The lead by which the next key is told, as 30s.")
@click.option("--off", is_flag=True, help="Rotate no more.")
@WAIT
@calls_relay
async def rotation_set(
    relay: "Client", /, stream: str, interval: int | None, pre_delivery: int | None, off: bool, wait: "WaitFor"
) -> object:
    """Change what is given and leave the rest; refused if somebody else changes it meanwhile."""
    if off == (interval is not None or pre_delivery is not None):
        raise click.UsageError("give --off, or one or both of --interval and --pre-delivery.")
    seen = await relay.rotation.get(stream)
    given: dict[str, object] = {"enabled": not off and (interval is not None or seen.value.key_rotation.enabled)}
    if interval is not None:
        given["interval_minutes"] = interval / 60
    if pre_delivery is not None:
        given["pre_delivery_seconds"] = pre_delivery
    wanted = msgspec.structs.replace(seen.value.key_rotation, **given)
    return await relay.rotation.set(stream, wanted, if_match=seen.tag, wait=wait)


@rotation.command("emergency")
@_STREAM
@click.option("--reason", default="", help="For the record.")
@click.option("--spread", type=Time(), default=None, help="Over how long sessions are told; two segments at most.")
@WAIT
@calls_relay
async def rotation_emergency(
    relay: "Client", /, stream: str, reason: str, spread: int | None, wait: "WaitFor"
) -> object:
    """Keys have leaked: replace all of a stream from the next segments on."""
    return await relay.rotation.emergency(stream, reason, spread, wait=wait)
