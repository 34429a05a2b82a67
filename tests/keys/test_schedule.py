"""The key schedule: RFC 5869's own vectors, ours, and that nothing it derives meets anything else."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.encoding import encode_fields
from keys.material import RootKey
from keys.model import KeySlot, Scheme, TrackType
from keys.schedule import derive_content_key, derive_kid, derive_service_key, expand

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "key_schedule.json").read_text(encoding="utf-8"))
ROOTS = {
    int(generation): RootKey(int(generation), bytes.fromhex(hex_)) for generation, hex_ in VECTORS["roots"].items()
}

# RFC 5869 appendix A.1 to A.3, the SHA-256 cases: secret, salt, info, output.
RFC_5869 = {
    "A.1 basic": (
        b"\x0b" * 22,
        bytes(range(0x0D)),
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2 longer": (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    "A.3 no salt, no info": (
        b"\x0b" * 22,
        None,
        b"",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}

slots = st.builds(
    KeySlot,
    stream=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    track=st.sampled_from(TrackType),
    scheme=st.sampled_from(Scheme),
    generation=st.integers(0, 20),
    period=st.none() | st.integers(0, 2**45),
)


@pytest.mark.parametrize("case", RFC_5869.values(), ids=RFC_5869.keys())
def test_expand_gives_the_outputs_of_rfc_5869(case: tuple[bytes, bytes | None, bytes, str]) -> None:
    secret, salt, info, output = case
    assert expand(secret, info, len(output) // 2, salt).hex() == output


@pytest.mark.parametrize("vector", VECTORS["slots"], ids=lambda vector: f"{vector['stream']}-{vector['kid'][:8]}")
def test_a_slot_gives_the_material_of_the_vector(vector: dict[str, Any]) -> None:
    slot = KeySlot(
        vector["stream"],
        TrackType(vector["track"]),
        Scheme(vector["scheme"]),
        vector["generation"],
        vector["period"],
    )
    salt = None if vector["salt"] is None else bytes.fromhex(vector["salt"])
    found = derive_content_key(ROOTS[slot.generation], slot, salt)
    assert found.kid.hex() == vector["kid"]
    assert found.key.hex() == vector["key"]
    assert found.constant_iv.hex() == vector["constant_iv"]
    assert found.iv_key.hex() == vector["iv_key"]


@pytest.mark.parametrize(
    "vector", VECTORS["services"], ids=lambda vector: f"{vector['purpose']}-{vector['generation']}"
)
def test_a_service_key_is_that_of_the_vector(vector: dict[str, Any]) -> None:
    assert derive_service_key(ROOTS[vector["generation"]], vector["purpose"]).hex() == vector["key"]


@given(slots, slots)
def test_two_slots_share_no_output(one: KeySlot, other: KeySlot) -> None:
    found = [derive_content_key(RootKey(slot.generation, bytes(32)), slot) for slot in (one, other)]
    same = one == other
    assert (found[0].kid == found[1].kid) is same
    assert (found[0].key == found[1].key) is same
    assert (found[0].constant_iv == found[1].constant_iv) is same
    assert (found[0].iv_key == found[1].iv_key) is same


@given(slots)
def test_the_purposes_of_one_slot_share_no_output(slot: KeySlot) -> None:
    root = RootKey(slot.generation, bytes(32))
    found = derive_content_key(root, slot)
    service = derive_service_key(root, "pass", 16)
    outputs = [found.kid, found.key, found.constant_iv, found.iv_key[:16], found.iv_key[16:], service]
    assert all(one != other for one, other in combinations(outputs, 2))


def test_service_purposes_share_no_output() -> None:
    assert derive_service_key(ROOTS[1], "pass") != derive_service_key(ROOTS[1], "url")


@given(slots, st.binary(min_size=16, max_size=16))
def test_a_salt_changes_every_secret_but_not_the_key_id(slot: KeySlot, salt: bytes) -> None:
    root = RootKey(slot.generation, bytes(32))
    plain, salted = derive_content_key(root, slot), derive_content_key(root, slot, salt)
    assert plain.kid == salted.kid == derive_kid(root, slot)
    # HMAC pads its key with zeros, so a salt of zeros is the same as none.
    changed = salt != bytes(16)
    assert (plain.key != salted.key) is changed
    assert (plain.constant_iv != salted.constant_iv) is changed
    assert (plain.iv_key != salted.iv_key) is changed


def test_a_root_does_not_derive_another_generation() -> None:
    slot = KeySlot("live", TrackType.HD, Scheme.CENC, 2, 0)
    with pytest.raises(ValueError, match="generation 2 derived from root 1"):
        derive_content_key(ROOTS[1], slot)


@given(st.lists(st.binary(max_size=5)), st.lists(st.binary(max_size=5)))
def test_fields_encode_injectively(one: list[bytes], other: list[bytes]) -> None:
    assert (encode_fields(*one) == encode_fields(*other)) is (one == other)


@given(st.lists(st.binary(max_size=300)))
def test_fields_can_be_told_apart_again(fields: list[bytes]) -> None:
    rest, found = encode_fields(*fields), []
    while rest:
        size = int.from_bytes(rest[:4], "big")
        found.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    assert found == fields
