"""A relay process from its start to its end: what signals do to it.

SIGTERM and SIGINT drain it. SIGHUP makes it read its configuration and secrets again and take over what can
change while it runs: tokens, issuers and keys, streams, the API key, limits of the listeners, certificates. No
connection notices. What cannot be taken over whole is refused whole. Token lifetimes and leeway, on which it
depends how long revocations are kept, need a restart; so do transmitters.
"""

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from relay.app import listening
from relay.config import Config, load_config
from relay.errors import ConfigError
from relay.process.supervisor import Supervisor, check_shared
from relay.process.worker import Worker
from relay.secrets import Secrets, read_secrets

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Source:
    """The configuration file of a process and, where it is one of several, its place among them."""

    file: Path
    worker: Worker | None = None

    def read(self) -> tuple[Config, Secrets]:
        """What the file and the secrets it names say now. Raises :class:`ConfigError`."""
        config = load_config(self.file)
        try:
            secrets = read_secrets(config, self.file.parent)
        except ConfigError as err:
            raise ConfigError(f"{self.file}: {err}") from None
        return self.worker.config(config) if self.worker else config, secrets


def run_relay(file: Path, worker: Worker | None = None) -> None:
    """Run a node until SIGINT or SIGTERM. Raises :class:`ConfigError` before anything is served."""
    source = Source(file, worker)
    config, secrets = source.read()
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(source, config, secrets))


def run_supervisor(file: Path, command: Sequence[str], count: int) -> bool:
    """Run workers until SIGINT or SIGTERM; ``command`` starts one. False when one of them did not end well.

    Raises :class:`ConfigError` before any is started.
    """
    source = Source(file)
    config, _ = source.read()
    check_shared(config)
    supervisor = Supervisor(command, config, lambda: source.read()[0], count)
    with asyncio.Runner() as runner:
        return runner.run(supervisor.run())


async def _serve(source: Source, config: Config, secrets: Secrets) -> None:
    worker = source.worker
    stop, hangup = on_signals(signal.SIGINT, signal.SIGTERM), on_signals(signal.SIGHUP)
    sockets = (worker.edge, worker.control) if worker else None
    async with listening(config, secrets, source.file.parent, sockets) as where:
        _shorten_pauses()
        _log.info("serving", edge=where.edge, control=where.control, streams=sorted(config.streams))
        reloading = asyncio.create_task(_reload_on(hangup, source, where.reload))
        if worker:
            worker.serving(orphaned=stop.set)
        await stop.wait()
        reloading.cancel()
        _log.info("stopping")


def on_signals(*numbers: signal.Signals) -> asyncio.Event:
    """An event that these signals set, instead of ending the process."""
    event = asyncio.Event()
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


async def _reload_on(
    hangup: asyncio.Event, source: Source, reload: Callable[[Config, Secrets], Awaitable[None]]
) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        try:
            config, secrets = await asyncio.to_thread(source.read)
            await reload(config, secrets)
        except ConfigError as err:
            _log.error("reload_refused", reason=str(err))
        except Exception:
            _log.exception("reload_failed")
        else:
            _log.info("reloaded", streams=sorted(config.streams))


def _shorten_pauses() -> None:
    # What lives as long as the process need not be walked again and again: while ten thousand revocations were taken
    # at once, full collections held the event loop for 50 ms, and collections of 10,000 young objects for up to 23.
    gc.collect()
    gc.freeze()
    gc.set_threshold(1000, 2, 5000)
    # A thread that writes or encrypts hands the interpreter back after a twenty-fifth of the usual time.
    sys.setswitchinterval(0.0002)


def _raise_descriptor_limit() -> None:
    # The usual soft limit of 1024 is for programs that use select(); every viewer needs a descriptor here.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
