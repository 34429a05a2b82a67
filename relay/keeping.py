"""What a node keeps and what it shares, as its configuration has it: files, and places on the shared log's server."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keys.seal import Sealer
from relay.config import Config
from relay.errors import ConfigError
from relay.secrets import Secrets
from relay.sessions.lease_store import LeaseStore
from relay.sessions.record_store import RecordStore
from relay.state.database import MEMORY
from relay.state.journal import Journal
from relay.state.log import LogSettings, SharedLog
from relay.state.messages import Envelope
from relay.watermark.jobs.spool import Spool
from relay.watermark.serving.inquiries import Bus


def path_in(config: Config, base: Path, name: str) -> Path | None:
    """Where a node keeps a file; None: nowhere."""
    directory = config.state.directory
    return base / directory / name if directory else None


def journal_of(config: Config, base: Path) -> Journal:
    """The journal. Raises :class:`relay.errors.ConfigError`."""
    return Journal(path_in(config, base, "journal.sqlite") or MEMORY)


def shared_log(config: Config, secrets: Secrets, incarnation: str) -> tuple[SharedLog | None, LeaseStore | None]:
    """The log that nodes share, and the leases beside it; None for a node by itself."""
    state = config.state
    if not state.log:
        return None, None
    settings = LogSettings(state.log, state.namespace, secrets.log_password)
    envelope = Envelope(Sealer(secrets.ring.service_keys("shared log")))
    return (
        SharedLog(settings, envelope, incarnation),
        LeaseStore(state.log, secrets.log_password, state.namespace),
    )


def record_store(config: Config, secrets: Secrets) -> RecordStore | None:
    """The session records that nodes share."""
    state, sealer = config.state, Sealer(secrets.ring.service_keys("session records"))
    return RecordStore(state.log, secrets.log_password, state.namespace, sealer) if state.log else None


def inquiry_bus(config: Config, secrets: Secrets) -> Bus | None:
    """Where nodes ask each other who was served what."""
    state, sealer = config.state, Sealer(secrets.ring.service_keys("served ranges"))
    return Bus(state.log, secrets.log_password, state.namespace, sealer) if state.log else None


@contextmanager
def spool_of(config: Config, base: Path) -> Iterator[Spool]:
    """Where analyses are kept; a folder for the time being where nothing outlives the node.

    Raises :class:`ConfigError`.
    """
    configured = config.watermark.analysis.directory
    path = base / configured if configured else path_in(config, base, "analyses")
    if path is None:
        with tempfile.TemporaryDirectory(prefix="segmentgate-analyses-") as folder:
            yield Spool(Path(folder).resolve())
        return
    try:
        spool = Spool(path.resolve())
    except OSError as err:
        raise ConfigError(f"{err.filename}: watermark.analysis.directory: {err.strerror}. Name another.") from None
    yield spool


def name_of(config: Config) -> str:
    """The name shown to operators."""
    return config.state.node or f"{socket.gethostname()}-{os.getpid()}"
