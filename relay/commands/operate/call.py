"""From a command to a call of the control listener, and its answer or error on the terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from relay.client import Client, ClientError

PATIENCE_S = 5.0
"""Nobody sits before a terminal for longer."""
P = ParamSpec("P")
T = TypeVar("T")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
WAIT = click.option(
    "--wait",
    type=click.Choice(["local", "quorum", "all"]),
    default="local",
    show_default=True,
    help="Which nodes must have it before this ends, for two seconds at most.",
)
_NEXT_STEPS = {
    "api_key": "Is --key-file that of this relay?",
    "role": "Use a key whose role may: `segmentgate keys api --help`.",
    "precondition_failed": "Look at what is there now, and repeat it if you still want it.",
    "timeline_unknown": "Nothing was changed. See that the stream's origin answers, and repeat it.",
    "rate_limited": "Wait a little, and repeat it.",
}
"""What to do about errors that do not say it themselves, by code."""
URL = click.option(
    "--url",
    envvar="SEGMENTGATE_URL",
    default="http://127.0.0.1:8081",
    show_default=True,
    help="The control listener; also SEGMENTGATE_URL.",
)
_ABOUT_KEY = "A file that holds the API key; also SEGMENTGATE_KEY_FILE."
KEY_FILE = click.option("--key-file", envvar="SEGMENTGATE_KEY_FILE", type=_FILE, default=None, help=_ABOUT_KEY)
_OPTIONS = (
    URL,
    click.option("--key-file", envvar="SEGMENTGATE_KEY_FILE", type=_FILE, required=True, help=_ABOUT_KEY),
    click.option("--actor", default="", help="Your name, for the audit log."),
)


def calls_relay(act: Callable[Concatenate["Client", P], Awaitable[Any]]) -> Callable[..., None]:
    """A command of a coroutine that gets the client; prints its answer as JSON."""

    @wraps(act)
    def command(url: str, key_file: Path, actor: str, *args: P.args, **kwargs: P.kwargs) -> None:
        answer = asked_of(url, key_file, actor, lambda relay: act(relay, *args, **kwargs))
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def asked_of(url: str, key_file: Path, actor: str, act: Callable[["Client"], Awaitable[T]]) -> T:
    """What a coroutine gives that gets the client. Its errors end the command."""
    from relay.client import Client, ClientError

    async def run(key: str) -> T:
        async with Client(url, key, actor, PATIENCE_S) as relay:
            return await act(relay)

    try:
        key = key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise click.ClickException(f"{key_file}: {err}. Name a file that holds the API key.") from None
    try:
        return asyncio.run(run(key))
    except ClientError as err:
        raise click.ClickException(_told(err)) from None


def _told(err: "ClientError") -> str:
    """What went wrong, and what to do next."""
    from relay.client import ProblemError, UnreachableError

    step = _NEXT_STEPS.get(err.code, "") if isinstance(err, ProblemError) else ""
    if isinstance(err, UnreachableError):
        step = "Does the relay run, and is --url its control listener? If it was a change, see whether it was made."
    return f"{err}. {step}" if step else str(err)
