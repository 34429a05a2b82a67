"""Names, durations, sizes and addresses as configuration writes them."""

import re
from typing import Annotated, Self

from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
"""Of streams, groups and the like."""

_NUMBER = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,3}))?\s*([A-Za-z]+)")
_DURATIONS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+):([0-9]{1,5})")
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


class Address(str):
    """Where a listener binds, written ``host:port`` or ``[v6]:port``. Port 0 lets the system choose."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the written form. Raises ValueError."""
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match[2]) > 65535:
            raise ValueError(f"expected host:port, got {text!r}")
        return cls(text)

    @property
    def host(self) -> str:
        """The host without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.rpartition(":")[2])


def _scaled(text: str, units: dict[str, int], expected: str) -> int:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[3] not in units:
        raise ValueError(f"expected {expected}, got {text!r}")
    thousandths = int(match[1]) * 1000 + int((match[2] or "0").ljust(3, "0"))
    scaled, rest = divmod(thousandths * units[match[3]], 1000)
    if rest:
        # Rounding 0.4ms down to 0 would turn it into "never".
        raise ValueError(f"expected {expected}, got {text!r}, a fraction of the smallest unit")
    return scaled
