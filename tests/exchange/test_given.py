"""Which keys are given, and which would cost too much."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keys.errors import ExchangeError
from keys.model import Scheme, TrackType
from keys.periods import Clock
from relay.app import running_node
from relay.config import parse_config
from relay.errors import KeyPendingError
from relay.exchange.given import REACH, key_of
from relay.gate.dialects.keys import TokenKey
from relay.manifest.context import Observed
from relay.secrets import Secrets
from relay.streams import Stream
from tests.edge.world import API_KEY, KEY_RING

NOW = 1_800_000_000.0
EDGE = 7200_000
INTERVAL = 10_000


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    """A salted live stream."""
    rotation = {"interval": "10s", "pre_delivery": "1s", "salt": True}
    config = parse_config(
        {
            "control": {"api_key_file": "-", "probe": "0s"},
            "keys": {"roots": [{"generation": 1, "file": "-"}]},
            "tokens": {
                "audience": "edge",
                "issuers": [{"iss": "i", "keys": [{"kid": "k1", "alg": "HS256", "file": "-"}]}],
            },
            "streams": {"live": {"origin": "http://a/", "hls": "a", "rotation": rotation, "window": "1m"}},
            "state": {"directory": "state"},
        },
        "test",
    )
    secrets = Secrets(KEY_RING, {"i": [TokenKey.symmetric("k1", bytes(range(32)))]}, API_KEY.encode())
    async with running_node(config, secrets, tmp_path, lambda: NOW) as node:
        yield node.streams["live"]


def given(stream: Stream, start: int, scheme: Scheme = Scheme.CENC) -> bytes:
    return key_of(stream, TrackType.SD, scheme, start, NOW).key


def observe(stream: Stream) -> None:
    seen = Observed(Clock.WALL, EDGE - 60_000, EDGE, False, frozenset({TrackType.SD}), 2000)
    stream.timeline.observe(seen, NOW)


async def test_keys_that_cost_something_are_given_near_the_live_edge(stream: Stream) -> None:
    with pytest.raises(KeyPendingError):
        given(stream, EDGE)
    observe(stream)
    for start in (EDGE - 60_000, EDGE, EDGE + REACH * INTERVAL):
        assert given(stream, start) == stream.content_key(stream.slot_of(TrackType.SD, Scheme.CENC, start)).key
    for start in (INTERVAL, EDGE + (REACH + 1) * INTERVAL, 10**15):
        with pytest.raises(ExchangeError, match="so distant"):
            given(stream, start)


async def test_video_of_unknown_size_is_of_the_streams_default(stream: Stream) -> None:
    observe(stream)
    hd = stream.content_key(stream.slot_of(TrackType.HD, Scheme.CENC, EDGE))
    assert key_of(stream, None, Scheme.CENC, EDGE, NOW) == hd
