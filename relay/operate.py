"""Commands for operators of a running relay: each is a call of its control listener."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from relay.client import Client

PATIENCE_S = 5.0
"""Nobody sits before a terminal for longer."""
P = ParamSpec("P")
T = TypeVar("T")
_OPTIONS = (
    click.option(
        "--url",
        envvar="SEGMENTGATE_URL",
        default="http://127.0.0.1:8081",
        show_default=True,
        help="The control listener; also SEGMENTGATE_URL.",
    ),
    click.option(
        "--key-file",
        envvar="SEGMENTGATE_KEY_FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        required=True,
        help="A file that holds the API key; also SEGMENTGATE_KEY_FILE.",
    ),
    click.option("--actor", default="", help="Your name, for the audit log."),
)


def _call(act: Callable[Concatenate["Client", P], Awaitable[Any]]) -> Callable[..., None]:
    """A command of a coroutine that gets the client; prints its answer as JSON."""

    @wraps(act)
    def command(url: str, key_file: Path, actor: str, *args: P.args, **kwargs: P.kwargs) -> None:
        from relay.client import Client, ClientError

        async def run(key: str) -> Any:
            async with Client(url, key, actor, PATIENCE_S) as relay:
                return await act(relay, *args, **kwargs)

        try:
            answer = asyncio.run(run(key_file.read_text(encoding="utf-8").strip()))
        except (ClientError, OSError, UnicodeDecodeError) as err:
            raise click.ClickException(str(err)) from None
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.option("--session", "session_id", default=None, help="Session id.")
@click.option("--account", "account_id", default=None, help="Account id.")
@click.option("--device", "device_id", default=None, help="Device id.")
@click.option("--watermark", "watermark_id", default=None, help="Watermark id.")
@click.option("--issuer", default="", help="The one token issuer whose account or device it is.")
@click.option("--reason", default="", help="For the record.")
@_call
async def revoke(relay: "Client", /, **named: Any) -> object:
    """Stop one session, account, device or watermark now."""
    if sum(named[name] is not None for name in ("session_id", "account_id", "device_id", "watermark_id")) != 1:
        raise click.UsageError("give exactly one of --session, --account, --device and --watermark.")
    return await relay.revocations.revoke(**named)


@click.command()
@click.argument("record")
@click.option("--reason", default="", help="For the record.")
@_call
async def restore(relay: "Client", /, record: str, reason: str) -> object:
    """Take back a revocation, by the id that it was answered with."""
    return await relay.revocations.restore(record, reason)


@click.command()
@_call
async def status(relay: "Client", /) -> object:
    """Show what is revoked, and how far this node and the others are."""
    return await relay.status()


COMMANDS = (revoke, restore, status)
