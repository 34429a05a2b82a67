"""Key material: it does not print, and its PlayReady face is worked as Microsoft's specification says."""

from base64 import b64encode

from keys.material import ContentKey, RootKey, kid_guid, playready_checksum
from keys.model import KeySignal

KID = bytes.fromhex("6d5c3a1e0f4b4c2d8e9f10213243546a")
KEY = bytes.fromhex("b4e1f7a90c2d5e638817f4d2a06b9c35")


def shows(text: str, secret: bytes) -> bool:
    """Whether a text holds 4 bytes of a secret in hexadecimal, or in the spelling of a bytes literal."""
    runs = [secret[at : at + 4] for at in range(len(secret) - 3)]
    return any(run.hex() in text.lower() or repr(run)[2:-1] in text for run in runs)


def test_content_keys_do_not_print() -> None:
    key = ContentKey(KID, KEY, constant_iv=bytes(range(65, 81)), iv_key=bytes(range(33, 65)))
    for text in (repr(key), str(key), f"{key}"):
        assert not any(shows(text, secret) for secret in (key.key, key.constant_iv, key.iv_key))
        assert shows(text, key.kid)


def test_root_keys_do_not_print() -> None:
    root = RootKey(3, bytes(range(65, 97)), active_from=7)
    assert repr(root) == "RootKey(generation=3, active_from=7)"


def test_a_key_id_is_reordered_as_a_windows_guid() -> None:
    assert kid_guid(KID).hex() == "1e3a5c6d4b0f2d4c8e9f10213243546a"
    assert b64encode(kid_guid(KID)) == b"HjpcbUsPLUyOnxAhMkNUag=="
    assert kid_guid(kid_guid(KID)) == KID


def test_the_checksum_is_that_of_an_independent_packager() -> None:
    assert b64encode(playready_checksum(KID, KEY)) == b"LOpLiYZ3kfc="


def test_a_signal_holds_the_public_part_only() -> None:
    key = ContentKey(KID, KEY, constant_iv=bytes(16), iv_key=bytes(32))
    assert key.signal() == KeySignal(KID, playready_checksum(KID, KEY), key.constant_iv)
