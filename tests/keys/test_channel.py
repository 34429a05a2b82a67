import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import base64url
from keys.channel import NONCE_BYTES, derive_channel_key, seal_next_keys

SECRET = bytes(range(32))
KEY = derive_channel_key(SECRET, "https://platform.example", "session-1")
NONCE = bytes(range(100, 100 + NONCE_BYTES))
PERIOD = 1_760_000_010_000


def unseal(text: str, key: bytes, stream: bytes) -> tuple[int, bytes]:
    """As a player does it: written from the format's description, not with the module's own parts."""
    raw = base64url.decode(text)
    version, start, nonce, sealed = raw[:1], raw[1:9], raw[9:21], raw[21:]
    assert version == b"\x01"
    label = b"segmentgate/1 next keys"
    bound = b"".join(len(field).to_bytes(4, "big") + field for field in (label, stream, start))
    return int.from_bytes(start, "big"), AESGCM(key).decrypt(nonce, sealed, bound)


def test_a_player_opens_what_was_sealed_for_it() -> None:
    text = seal_next_keys(KEY, b'{"keys":[]}', "channel-one", PERIOD, NONCE)
    assert unseal(text, KEY, b"channel-one") == (PERIOD, b'{"keys":[]}')


def test_the_format_stands() -> None:
    # Worked out with the cryptography package by the description alone; players in the field rely on it.
    assert derive_channel_key(SECRET, "i", "s").hex() == DERIVED
    assert seal_next_keys(bytes(32), b"k", "s", 1, bytes(12)) == SEALED


DERIVED = "1d835a135c36d3a937e1b4afeaaacbd755a4c18a6779a29d5b34393296c1bbda"
SEALED = "AQAAAAAAAAABAAAAAAAAAAAAAAAApR5BjbN_4ZOytllgnWi5u6s"


@pytest.mark.parametrize("sid", ["session-2", "session-", "session-11", ""])
def test_each_session_has_its_own_key(sid: str) -> None:
    assert derive_channel_key(SECRET, "https://platform.example", sid) != KEY


def test_issuer_and_session_cannot_run_into_each_other() -> None:
    assert derive_channel_key(SECRET, "ab", "c") != derive_channel_key(SECRET, "a", "bc")
    assert derive_channel_key(bytes(32), "https://platform.example", "session-1") != KEY


@pytest.mark.parametrize(
    ("key", "stream", "at"),
    [
        (derive_channel_key(SECRET, "https://platform.example", "session-2"), b"channel-one", None),
        (KEY, b"channel-two", None),
        # Any one bit of period, nonce, ciphertext or tag.
        *((KEY, b"channel-one", at) for at in (1, 8, 9, 20, 21, -1)),
    ],
)
def test_nothing_else_opens_it(key: bytes, stream: bytes, at: int | None) -> None:
    raw = bytearray(base64url.decode(seal_next_keys(KEY, b"keys", "channel-one", PERIOD, NONCE)))
    if at is not None:
        raw[at] ^= 1
    with pytest.raises(InvalidTag):
        unseal(base64url.encode(bytes(raw)), key, stream)
