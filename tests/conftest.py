"""Fixtures that every folder of tests may use."""

from tests.edge.world import world

__all__ = ["world"]
