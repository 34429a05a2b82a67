"""What a relay process that is one of several gets from its supervisor (:mod:`relay.process.supervisor`)."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import msgspec

from relay.config import Config

READY = b"\n"
"""What a worker says on its lifeline once it serves."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's slot, its listening sockets, and its lifeline: a socket that ends when the supervisor does."""

    slot: int
    edge: socket.socket
    control: socket.socket
    lifeline: socket.socket

    @classmethod
    def inherit(cls, text: str) -> Self:
        """Take over the descriptors in ``slot,edge,control,lifeline``, as the supervisor writes it."""
        slot, *descriptors = (int(part) for part in text.split(","))
        return cls(slot, *(socket.socket(fileno=descriptor) for descriptor in descriptors))

    def config(self, config: Config) -> Config:
        """The configuration of this worker: with a journal and, where nodes are named, a name of its own.

        Analyses are kept in one place for all.
        """
        state, analysis = config.state, config.watermark.analysis
        if state.directory and not analysis.directory:
            # Whichever worker is asked knows of all analyses.
            analysis = msgspec.structs.replace(analysis, directory=f"{state.directory}/analyses")
        own = msgspec.structs.replace(
            state,
            directory=state.directory and f"{state.directory}/worker-{self.slot}",
            node=state.node and f"{state.node}-{self.slot}",
        )
        watermark = msgspec.structs.replace(config.watermark, analysis=analysis)
        return msgspec.structs.replace(config, state=own, watermark=watermark)

    def serving(self, orphaned: Callable[[], None]) -> None:
        """Say that it serves; from now on ``orphaned`` is called if the supervisor ends without a word."""
        self.lifeline.setblocking(False)
        self.lifeline.send(READY)
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self.lifeline)
            orphaned()

        loop.add_reader(self.lifeline, ended)
