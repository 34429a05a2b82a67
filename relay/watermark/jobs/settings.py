"""What analyses of suspected copies may take, and for how long they are kept, as configured."""

from typing import Annotated

from msgspec import Meta, Struct

from relay.errors import ConfigError
from relay.units import Duration, Size

LEAST_MEMORY = Size.parse("1GiB")
"""Half of it is address space of libraries."""


class AnalysisConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``assets`` is the folder of the asset folders that the embedder wrote; without it nothing is analysed here.

    ``chip_key_file`` holds the chip key of assets that were marked with another than follows from the watermark's
    secret. ``directory`` is where analyses are kept; empty: in the state's, or as long as the relay runs.

    Of an upload at most ``max_upload`` is taken and ``read`` of its playing time is read, from its start; one that
    lasts longer than ``max_duration`` is refused. A process may have ``memory`` (address space) and ``cpu`` (processor
    time), an analysis ``time_limit`` in all. ``queue`` may wait, ``keep`` are kept at most, for ``retention``. Uploads
    are erased when they are analysed. ``false_accusation`` is how likely naming any innocent session may be.
    """

    assets: str = ""
    chip_key_file: str = ""
    directory: str = ""
    max_upload: Size = Size.parse("2GiB")
    max_duration: Duration = Duration.parse("4h")
    read: Duration = Duration.parse("20m")
    memory: Size = Size.parse("2GiB")
    cpu: Duration = Duration.parse("1h")
    time_limit: Duration = Duration.parse("2h")
    queue: Annotated[int, Meta(ge=1, le=1000)] = 8
    keep: Annotated[int, Meta(ge=1, le=10_000)] = 500
    retention: Duration = Duration.parse("30d")
    false_accusation: Annotated[float, Meta(gt=0, lt=1)] = 1e-9


def check_analysis(where: str, analysis: AnalysisConfig) -> None:
    """Raises :class:`ConfigError` for what cannot work."""
    if analysis.memory < LEAST_MEMORY:
        raise ConfigError(f"{where}.memory: less than the libraries take. Give {LEAST_MEMORY >> 30}GiB or more.")
    for name in ("max_upload", "max_duration", "read", "cpu", "time_limit"):
        if not getattr(analysis, name):
            raise ConfigError(f"{where}.{name}: 0 would refuse every upload. Give more.")
