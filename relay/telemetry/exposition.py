"""The metrics as Prometheus reads them."""

import os

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The folder in which prometheus_client keeps the values of several processes; it reads this when it is imported."""


def shared() -> bool:
    """Whether this process is one of several that are shown as one."""
    return MULTIPROCESS in os.environ


def exposition() -> bytes:
    """The metrics of this process or, where a supervisor runs several, of all of them together."""
    if not shared():
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it untyped
    return generate_latest(registry)
