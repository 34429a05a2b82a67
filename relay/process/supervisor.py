"""Several relay processes on the same two addresses, and the supervisor that keeps them running.

The supervisor binds a socket per worker and listener (SO_REUSEPORT: the kernel spreads connections over them)
and keeps them open, so that a connection waits in its queue while its worker is started again. It serves
nothing itself.
"""

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import structlog
from prometheus_client import multiprocess

from relay.config import Config
from relay.errors import ConfigError
from relay.listener import bind
from relay.process.worker import READY
from relay.reload import check_reload
from relay.telemetry.exposition import MULTIPROCESS
from relay.units import Address

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 15.0
"""Before a worker that died is started again; doubled each time."""
STEADY_S = 60.0
"""A worker that lived this long dies for the first time again."""
STOP_GRACE_S = 10.0
"""What a worker may take to end, beside the time for draining."""
_log = structlog.get_logger()


@dataclass(slots=True)
class _Slot:
    number: int
    edge: socket.socket
    control: socket.socket
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)


def check_shared(config: Config) -> None:
    """Raise :class:`ConfigError` where several workers would not hear of each other's revocations."""
    if not config.state.log:
        raise ConfigError(
            "state.log: without a shared log one worker would go on serving whom another was told to refuse. "
            "Set it to the URL of a Valkey or Redis server, or run one worker."
        )


class Supervisor:
    """Runs ``count`` workers until it is told to stop.

    ``command`` starts one, given ``--worker`` with what it inherits; ``reread`` reads the configuration file
    anew and may raise :class:`ConfigError`.
    """

    def __init__(self, command: Sequence[str], config: Config, reread: Callable[[], Config], count: int) -> None:
        self._command = command
        self._config = config
        self._reread = reread
        self._count = count
        self._slots: list[_Slot] = []
        self._environment = dict(os.environ)
        self._stop = asyncio.Event()
        self._served = False
        self._failed = False
        self._reloads = 0

    async def run(self) -> bool:
        """Run until SIGINT or SIGTERM. False when a worker could not start or did not end well.

        Raises :class:`ConfigError` before anything is started.
        """
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            edges = _bind_shared(self._config.edge.listen, self._count, stack)
            controls = _bind_shared(self._config.control.listen, self._count, stack)
            self._slots = [_Slot(number, *pair) for number, pair in enumerate(zip(edges, controls, strict=True))]
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="segmentgate-metrics-"))
            self._environment[MULTIPROCESS] = metrics
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._reload)
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(self._keep(slot))
                announcing = group.create_task(self._announce())
                await self._stop.wait()
                announcing.cancel()
                _log.info("stopping")
                self._tell(signal.SIGTERM)
                patience = self._config.edge.drain.seconds + STOP_GRACE_S
                killing = loop.call_later(patience, self._tell, signal.SIGKILL)
            killing.cancel()
        return not self._failed

    async def _announce(self) -> None:
        for slot in self._slots:
            await slot.ready.wait()
        self._served = True
        edge, control = (socket.getsockname()[:2] for socket in (self._slots[0].edge, self._slots[0].control))
        _log.info("serving", edge=edge, control=control, streams=sorted(self._config.streams), workers=self._count)

    async def _keep(self, slot: _Slot) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while not self._stop.is_set():
            started = loop.time()
            status = await self._run(slot)
            if self._stop.is_set():
                self._failed |= status not in (0, -signal.SIGTERM)
                return
            _log.error("worker_ended", slot=slot.number, status=status)
            if not self._served:
                # What keeps the first of them from starting is no accident that trying again would mend.
                self._failed = True
                self._stop.set()
                return
            pause = FIRST_PAUSE_S if loop.time() - started > STEADY_S else pause
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _run(self, slot: _Slot) -> int:
        """One life of a worker; its exit status."""
        try:
            # The file may have been edited since: all workers must agree on what cannot change while they run.
            check_reload(self._config, self._reread())
        except ConfigError as err:
            _log.error("worker_not_started", slot=slot.number, reason=str(err))
            return 1
        mine, theirs = socket.socketpair()
        with mine, theirs:
            descriptors = (slot.edge.fileno(), slot.control.fileno(), theirs.fileno())
            process = slot.process = await asyncio.create_subprocess_exec(
                *self._command,
                "--worker",
                ",".join(str(number) for number in (slot.number, *descriptors)),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=descriptors,
                env=self._environment,
            )
            theirs.close()
            if self._stop.is_set():
                process.terminate()
            waiting = asyncio.create_task(self._await_ready(slot, mine))
            try:
                return await process.wait()
            finally:
                waiting.cancel()
                slot.process = None
                slot.ready.clear()
                # prometheus_client leaves this one function untyped.
                multiprocess.mark_process_dead(process.pid, self._environment[MULTIPROCESS])  # type: ignore[no-untyped-call]

    async def _await_ready(self, slot: _Slot, lifeline: socket.socket) -> None:
        lifeline.setblocking(False)
        reloads = self._reloads
        if await asyncio.get_running_loop().sock_recv(lifeline, len(READY)) == READY:
            slot.ready.set()
            if self._reloads != reloads:
                self._signal(slot, signal.SIGHUP)

    def _reload(self) -> None:
        try:
            config = self._reread()
            check_reload(self._config, config)
        except ConfigError as err:
            _log.error("reload_refused", reason=str(err))
            return
        self._config = config
        self._reloads += 1
        for slot in self._slots:
            # One that is not ready yet would not know the signal, and die of it; it is told when it is.
            if slot.ready.is_set():
                self._signal(slot, signal.SIGHUP)

    def _tell(self, number: signal.Signals) -> None:
        for slot in self._slots:
            self._signal(slot, number)

    def _signal(self, slot: _Slot, number: signal.Signals) -> None:
        if slot.process is not None:
            with contextlib.suppress(ProcessLookupError):
                slot.process.send_signal(number)


def _bind_shared(address: Address, count: int, stack: ExitStack) -> list[socket.socket]:
    # Alone at first: with SO_REUSEPORT the kernel would quietly give a second relay a share of the connections.
    with bind(address) as alone:
        port = alone.getsockname()[1]
    exact = Address(f"{address.rpartition(':')[0]}:{port}")
    return [stack.enter_context(bind(exact, reuse_port=True)) for _ in range(count)]
