"""A job, as it is kept. Pure."""

from enum import StrEnum

from msgspec import Struct


class State(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Fault(Struct, frozen=True):
    """Why a job came to nothing: one of :data:`relay.codes.CODES`."""

    code: str
    detail: str


class Job(Struct, frozen=True, kw_only=True):
    """One analysis. Ids ascend with time. ``key`` is the name of the API key that ordered it, ``actor`` who did.

    ``digest`` is that of the upload (SHA-256, hex), ``runs`` how often it was begun, ``share`` how much of its
    ``step`` is done.
    """

    id: str
    state: State
    key: str
    actor: str
    asset: str
    note: str
    size: int
    digest: str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    runs: int = 0
    step: str = ""
    share: float = 0.0
    fault: Fault | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in (State.DONE, State.FAILED)
