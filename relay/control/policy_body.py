"""The scenes that a caller orders, read and checked. Pure: ``now`` is an argument."""

import msgspec

from policies.text import SceneError, scenes_of
from relay.api.plans import PolicyBody
from relay.control.errors import BodyError, Flaw
from relay.control.moments import read_moment
from relay.control.requests import decode

_body: msgspec.json.Decoder[PolicyBody] = msgspec.json.Decoder(PolicyBody)


def read_policy(raw: bytes, now: float) -> tuple[PolicyBody, float | None]:
    """A policy, and when its event starts (s since the epoch).

    Raises :class:`BodyError` for scenes that contradict themselves or one another.
    """
    body = decode(raw, _body)
    try:
        scenes_of(body.scenes)
    except SceneError as err:
        raise BodyError([Flaw(f"/scenes/{err.at}/{err.field}", str(err))]) from None
    try:
        return body, None if body.starts_at is None else read_moment(body.starts_at, now)
    except ValueError as err:
        raise BodyError([Flaw("/starts_at", str(err))]) from None
