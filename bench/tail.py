"""Latencies and their tail."""

from dataclasses import dataclass, field
from statistics import quantiles


@dataclass
class Tail:
    """Samples in seconds, shown as p50, p99 and the largest, in ms."""

    samples: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """A percentile in ms."""
        return quantiles(self.samples, n=100, method="inclusive")[percent - 1] * 1000

    def __str__(self) -> str:
        shown = (
            f"p50 {self.percentile(50):7.2f}  p99 {self.percentile(99):7.2f}  max {max(self.samples) * 1000:7.2f} ms"
        )
        return f"{shown}  ({len(self.samples):,} samples)"
