"""Licences that only nodes read: what comes back out of them, and that no nonce is ever used twice."""

import pickle
from hmac import digest
from itertools import product

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceRefusedError, SealError
from keys.licences import sealed as sealed_module
from keys.licences.native import NativeKey
from keys.licences.sealed import MAX_KEYS, LicenceOpener, LicenceSealer, SealedLicence, entries_of

SECRET, BOOT = bytes(range(32)), bytes(range(100, 116))
SESSION, DEVICE, WATERMARK = bytes(range(16)), b"d" * 16, b"w" * 16
KEYS = (NativeKey(b"1" * 16, b"a" * 16), NativeKey(b"2" * 16, b"b" * 16))
EXPIRY, NOW = 2000, 1000.0


def seal(sealer: LicenceSealer, expiry: int = EXPIRY, keys: tuple[NativeKey, ...] = KEYS) -> bytes:
    return sealer.seal(SESSION, expiry, DEVICE, WATERMARK, entries_of(keys))


def test_a_licence_is_sealed_as_documented() -> None:
    """Key and plain text put together here by hand, from RFC 5869 and the layout."""
    key = digest(SECRET, b"segmentgate/1 sealed licence\0" + BOOT + b"\1", "sha256")[:16]
    sealed = seal(LicenceSealer(SECRET, BOOT))
    assert sealed[:32] == b"RNL2" + BOOT + bytes(12)
    plain = SESSION + EXPIRY.to_bytes(8) + DEVICE + WATERMARK + b"1" * 16 + b"a" * 16 + b"2" * 16 + b"b" * 16
    assert AESGCM(key).decrypt(bytes(12), sealed[32:], None) == plain
    assert len(sealed) == 168


def test_any_node_of_the_deployment_opens_it() -> None:
    sealed = seal(LicenceSealer(SECRET, BOOT))
    expected = SealedLicence(SESSION, EXPIRY, DEVICE, WATERMARK, KEYS)
    assert LicenceOpener([SECRET]).open(sealed, DEVICE, NOW) == expected
    assert LicenceOpener([b"n" * 32, SECRET]).open(sealed, DEVICE, NOW) == expected
    with pytest.raises(SealError, match="does not open"):
        LicenceOpener([b"n" * 32]).open(sealed, DEVICE, NOW)
    assert "w" * 16 not in repr(expected)


def test_another_device_and_a_later_time_are_refused() -> None:
    sealed, opener = seal(LicenceSealer(SECRET, BOOT)), LicenceOpener([SECRET])
    for device, now, reason in (
        (b"e" * 16, NOW, "other-device"),
        (b"", NOW, "other-device"),
        (DEVICE, 2000.0, "expired"),
    ):
        with pytest.raises(LicenceRefusedError) as refused:
            opener.open(sealed, device, now)
        assert refused.value.reason == reason
    assert opener.open(sealed, DEVICE, 1999.9)


def test_it_is_issued_again_with_a_later_end_by_any_node() -> None:
    opener, other = LicenceOpener([SECRET]), LicenceSealer(SECRET, bytes(16))
    licence = opener.open(seal(LicenceSealer(SECRET, BOOT)), DEVICE, NOW)
    later = opener.open(other.reissue(licence, 3000), DEVICE, 2500.0)
    assert later == SealedLicence(SESSION, 3000, DEVICE, WATERMARK, KEYS)
    for expiry in (EXPIRY, EXPIRY - 1):
        with pytest.raises(ValueError, match="later end"):
            other.reissue(licence, expiry)


def test_no_sealer_uses_a_nonce_twice_and_no_two_share_a_key() -> None:
    sealers = [LicenceSealer(SECRET, boot) for boot in (BOOT, bytes(16))] + [LicenceSealer(b"n" * 32, BOOT)]
    licences = [seal(sealer) for sealer, _ in product(sealers, range(100))]
    assert len({licence[:32] for licence in licences[:200]}) == 200
    # The same plain text each time: equal cipher text would show an equal key stream.
    assert len({licence[32:48] for licence in licences}) == 300
    with pytest.raises(TypeError, match="belongs to one process"):
        pickle.dumps(sealers[0])


def test_a_node_key_ends_before_it_is_worn_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_module, "MAX_LICENCES", 2)
    sealer = LicenceSealer(SECRET, BOOT)
    seal(sealer)
    seal(sealer)
    with pytest.raises(OverflowError, match="new sealer"):
        seal(sealer)


def test_every_changed_bit_and_every_cut_is_refused() -> None:
    sealed, opener = seal(LicenceSealer(SECRET, BOOT)), LicenceOpener([SECRET])
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(SealError):
            opener.open(bytes(changed), DEVICE, NOW)
        with pytest.raises(SealError):
            opener.open(sealed[:at], DEVICE, NOW)


@given(st.binary(max_size=300))
def test_no_bytes_break_an_opener(data: bytes) -> None:
    with pytest.raises(SealError):
        LicenceOpener([SECRET]).open(data, DEVICE, NOW)


def test_as_many_keys_as_fit_and_no_others() -> None:
    many = tuple(NativeKey(bytes([n]) * 16, bytes(16)) for n in range(MAX_KEYS))
    opened = LicenceOpener([SECRET]).open(seal(LicenceSealer(SECRET, BOOT), keys=many), DEVICE, NOW)
    assert opened.keys == many
    for keys in ((), (*many, KEYS[0])):
        with pytest.raises(ValueError, match="1 to 64 keys"):
            entries_of(keys)
    with pytest.raises(ValueError, match="16 bytes each"):
        entries_of([NativeKey(b"", b"")])


@pytest.mark.parametrize("fields", [(b"", DEVICE, WATERMARK), (SESSION, b"d", WATERMARK), (SESSION, DEVICE, b"w" * 17)])
def test_fields_of_another_length_are_refused(fields: tuple[bytes, bytes, bytes]) -> None:
    session_id, device, watermark = fields
    with pytest.raises(ValueError, match="16 bytes each"):
        LicenceSealer(SECRET, BOOT).seal(session_id, EXPIRY, device, watermark, entries_of(KEYS))


@pytest.mark.parametrize(("secret", "boot"), [(b"", BOOT), (SECRET, b""), (bytes(31), BOOT)])
def test_material_of_another_length_is_refused(secret: bytes, boot: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        LicenceSealer(secret, boot)
