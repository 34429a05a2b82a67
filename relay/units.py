"""Durations, sizes and addresses as configuration writes them."""

import re
from typing import Self

_NUMBER = re.compile(r"(\d{1,12})(?:\.(\d{1,3}))?\s*([A-Za-z]+)")
_DURATIONS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\s]+)):(\d{1,5})")
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Duration(int):
    """A duration in milliseconds, written like ``30s``, ``1.5h`` or ``500ms``."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form. Raises ValueError naming the units."""
        return cls(_scaled(text, _DURATIONS, "a duration like 500ms, 30s, 10m, 6h or 1d"))

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self / 1000


class Size(int):
    """A number of bytes, written like ``512MiB``."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form. Raises ValueError naming the units."""
        return cls(_scaled(text, _SIZES, "a size like 64KiB, 512MiB or 2GiB"))


class Address:
    """Where a listener binds, written ``host:port`` or ``[v6]:port``. Port 0 lets the system choose."""

    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form. Raises ValueError."""
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match[3]) > 65535:
            raise ValueError(f"expected host:port, got {text!r}")
        return cls(match[1] or match[2], int(match[3]))


def _scaled(text: str, units: dict[str, int], expected: str) -> int:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[3] not in units:
        raise ValueError(f"expected {expected}, got {text!r}")
    thousandths = int(match[1]) * 1000 + int((match[2] or "0").ljust(3, "0"))
    return thousandths * units[match[3]] // 1000
