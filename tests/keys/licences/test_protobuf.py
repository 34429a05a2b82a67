"""The Protocol Buffers codec, against the encoding guide's own examples and hostile input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LicenceRequestError
from keys.licences.protobuf import MAX_FIELDS, Message, Value, encode


@pytest.mark.parametrize(
    ("fields", "encoded"),
    [
        # https://protobuf.dev/programming-guides/encoding/: Test1, Test2, Test3 and a repeated field.
        ([(1, 150)], "089601"),
        ([(2, b"testing")], "120774657374696e67"),
        ([(3, bytes.fromhex("089601"))], "1a03089601"),
        ([(6, 1), (6, 2)], "30013002"),
        ([(1, 0)], "0800"),
        ([(16, 1)], "800101"),
        ([(1, 2**64 - 1)], "08ffffffffffffffffff01"),
    ],
)
def test_fields_are_written_and_read(fields: list[tuple[int, Value]], encoded: str) -> None:
    assert encode(*fields).hex() == encoded
    message = Message.decode(bytes.fromhex(encoded), "m")
    assert [(number, value) for number, values in message.fields.items() for value in values] == fields


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary()), max_size=20))
def test_what_is_written_reads_the_same(fields: list[tuple[int, Value]]) -> None:
    message = Message.decode(encode(*fields), "m")
    for number, _ in fields:
        assert message.fields[number] == tuple(value for other, value in fields if other == number)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(encoded: bytes) -> None:
    try:
        message = Message.decode(encoded, "m")
    except LicenceRequestError:
        return
    again = encode(*((number, value) for number, values in message.fields.items() for value in values))
    assert Message.decode(again, "m") == message


def test_accessors_give_the_last_value_or_the_default() -> None:
    message = Message.decode(encode((1, 5), (1, 6), (2, b"a"), (2, b"b"), (3, encode((1, 7)))), "m")
    assert message.number(1) == 6
    assert message.number(9) == 0
    assert message.number(9, default=3) == 3
    assert message.blob(2) == b"b"
    assert message.blob(9) == b""
    assert message.blobs(2) == (b"a", b"b")
    assert message.message(3, "inner").number(1) == 7
    assert message.message(9, "inner").fields == {}
    assert 3 in message
    assert 9 not in message


def test_fixed_size_fields_are_stepped_over() -> None:
    message = Message.decode(b"\x0d" + bytes(4) + b"\x11" + bytes(8) + encode((3, 1)), "m")
    assert message.fields == {3: (1,)}


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ("08", "a number is cut short at byte 1"),
        ("0880", "a number is cut short at byte 2"),
        ("08" + "ff" * 10 + "01", "a number of more than 10 bytes"),
        ("120774", "field 2 is cut short at byte 2"),
        ("12ffffffffffffffffff01", "field 2 is cut short"),
        ("0d000000", "field 1 is cut short"),
        ("0b0c", "field 1 has wire type 3"),
        ("0e", "field 1 has wire type 6"),
        ("0000", "a field number out of range"),
        ("808080801000", "a field number out of range"),
        ("0801" * (MAX_FIELDS + 1), f"more than {MAX_FIELDS} fields"),
    ],
)
def test_malformed_messages_are_refused(encoded: str, message: str) -> None:
    with pytest.raises(LicenceRequestError, match=f"^m: {message}"):
        Message.decode(bytes.fromhex(encoded), "m")


def test_a_field_of_the_other_kind_is_refused() -> None:
    message = Message.decode(encode((1, 5), (2, b"five")), "m")
    with pytest.raises(LicenceRequestError, match="m: field 1 is not length-delimited"):
        message.blob(1)
    with pytest.raises(LicenceRequestError, match="m: field 1 is not length-delimited"):
        message.blobs(1)
    with pytest.raises(LicenceRequestError, match="m: field 2 is not a varint"):
        message.number(2)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_numbers_that_do_not_fit_cannot_be_written(value: int) -> None:
    with pytest.raises(ValueError, match="at most 64 bits"):
        encode((1, value))


def test_its_repr_shows_no_field() -> None:
    assert repr(Message.decode(encode((1, 5), (3, b"secret")), "m")) == "Message('m', fields=[1, 3])"
