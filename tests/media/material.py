"""The vectors, and the keys they are made with."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from keys.material import ContentKey
from keys.model import Scheme
from relay.media.model import Protection

VECTORS = Path(__file__).parents[1] / "vectors"
TRACKS = ("v", "a")
SEGMENTS = range(1, 7)
CONSTANT_IV = bytes.fromhex("c0ffee0102030405060708090a0b0c0d")
FIRST_IV = 0xA0B1C2D3E4F50607
IV_KEY = bytes(range(32))


@cache
def listing() -> Any:
    return json.loads((VECTORS / "vectors.json").read_text())


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def content_key(kid: str, key: str) -> ContentKey:
    return ContentKey(bytes.fromhex(kid), bytes.fromhex(key), CONSTANT_IV, IV_KEY)


VIDEO = content_key("6d5c3a1e0f4b4c2d8e9f10213243546a", "b4e1f7a90c2d5e638817f4d2a06b9c35")
AUDIO = content_key("a1b2c3d4e5f60718293a4b5c6d7e8f90", "5f0e1d2c3b4a59687786950a1b2c3d4e")
KEYS = {VIDEO.kid: VIDEO.key, AUDIO.kid: AUDIO.key}


def protection(scheme: str) -> Protection:
    return Protection(Scheme(scheme), VIDEO, AUDIO)
