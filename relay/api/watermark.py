"""What goes over the wire of ``/api/v1/drm/watermark``."""

from msgspec import Struct


class ServedInterval(Struct, frozen=True, kw_only=True):
    """Positions ``first`` to ``last``, served between ``since`` and ``until`` (seconds since the epoch).

    Not ``marked``: the code did not choose their variants; negative ones are not known. Not ``exact``: some of them may
    never have been served.
    """

    first: int
    last: int
    since: float
    until: float
    marked: bool
    exact: bool


class Candidate(Struct, frozen=True, kw_only=True):
    """A session that may have been served positions of an asset, as one node knows it.

    ``number`` is what its bits come from, 16 hex digits.
    """

    number: str
    watermark_id: str
    session_id: str
    issuer: str
    account_id: str
    device_id: str
    stream_id: str
    node: str
    intervals: list[ServedInterval]


class Told(Struct, frozen=True, kw_only=True):
    """The last line of an answer: whether every node that is there has answered, and which have not."""

    complete: bool
    missing: list[str]
