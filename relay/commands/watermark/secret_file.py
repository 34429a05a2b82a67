"""Keys that commands read from files."""

from pathlib import Path

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_LEAST = 32
_MOST_TEXT = 1024


def read_hex(path: Path) -> bytes:
    """The bytes that a file holds in hexadecimal, 32 at least."""
    with path.open("rb") as file:
        text = file.read(_MOST_TEXT)
    try:
        data = bytes.fromhex(text.decode("ascii").strip())
    except ValueError:  # of the decoding, too
        raise click.ClickException(f"{path}: not hexadecimal. Make a key with `segmentgate keys new`.") from None
    if len(data) < _LEAST:
        raise click.ClickException(f"{path}: {len(data)} bytes, expected at least {_LEAST}")
    return data
