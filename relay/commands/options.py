"""What options of commands may hold."""

from math import isfinite
from typing import Any

import click

from relay.units import Duration


class Seconds(click.FloatRange):
    """A finite number of seconds: ``nan`` passes every comparison."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """What was written, as a value."""
        seconds = float(super().convert(value, param, ctx))
        if not isfinite(seconds):
            self.fail("not a finite number", param, ctx)
        return seconds


class Hex(click.ParamType[bytes]):
    """Bytes of one of the given sizes, in hexadecimal."""

    name = "HEX"

    def __init__(self, *sizes: int) -> None:
        self._sizes = sizes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """What was written, as a value."""
        if isinstance(value, bytes):
            return value
        try:
            data = bytes.fromhex(value)
        except ValueError:
            self.fail("not hexadecimal", param, ctx)
        if len(data) not in self._sizes:
            sizes = " or ".join(str(2 * size) for size in self._sizes)
            self.fail(f"{len(value)} hex digits, expected {sizes}", param, ctx)
        return data


class Time(click.ParamType[int]):
    """Whole seconds, written like durations in the configuration."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """What was written, as a value."""
        try:
            seconds, rest = divmod(Duration.parse(value), 1000)
        except ValueError as err:
            self.fail(str(err), param, ctx)
        if rest:
            self.fail(f"expected whole seconds, got {value!r}", param, ctx)
        return seconds


class Share(click.ParamType[tuple[str, float]]):
    """A DRM system and how many viewers in a hundred use it."""

    name = "SYSTEM=PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """What was written, as a value."""
        system, _, percent = str(value).partition("=")
        try:
            return system, float(percent)
        except ValueError:
            self.fail(f"expected a system and a number like fairplay=30, got {value!r}", param, ctx)
