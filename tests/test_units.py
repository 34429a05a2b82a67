"""Durations, sizes and addresses: what configuration may write, and what it may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.units import Address, Duration, Size


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0s", 0),
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5s", 1500),
        ("0.001s", 1),
        ("10m", 600_000),
        ("1.5h", 5_400_000),
        ("6h", 21_600_000),
        ("1d", 86_400_000),
        (" 10 m ", 600_000),
        ("007s", 7000),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert Duration.parse(text) == milliseconds
    assert Duration.parse(text).seconds == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("64KiB", 65_536), ("1.5KiB", 1536), ("512MiB", 536_870_912), ("2GiB", 2**31)]
)
def test_sizes(text: str, size: int) -> None:
    assert Size.parse(text) == size


BAD = [
    "",
    " ",
    "s",
    "10",
    "-1s",
    "+1s",
    "1..5s",
    "1,5s",
    "1e3s",
    "10 seconds",
    "1h30m",
    "0x10s",
    "٣s",
    "1\u00a0x",
    "1" * 13 + "s",
]


@pytest.mark.parametrize("text", [*BAD, "10S", "10M", "10KiB", "0.4ms", "1.0005s"])
def test_what_is_no_duration_names_the_units(text: str) -> None:
    with pytest.raises(ValueError, match="a duration like 500ms, 30s, 10m, 6h or 1d"):
        Duration.parse(text)


@pytest.mark.parametrize("text", [*BAD, "10kib", "10KB", "10k", "10s", "1.5B", "0.001KiB"])
def test_what_is_no_size_names_the_units(text: str) -> None:
    with pytest.raises(ValueError, match="a size like 64KiB, 512MiB or 2GiB"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("0.0.0.0:8080", "0.0.0.0", 8080),
        ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65535),
        ("[::ffff:192.0.2.1]:80", "::ffff:192.0.2.1", 80),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "host",
        "host:",
        "host:http",
        "host:65536",
        "host:-1",
        "::1:80",
        "[::1]",
        "[zz]:80",
        "a b:80",
        "host:８０",
    ],
)
def test_what_is_no_address_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="expected host:port"):
        Address.parse(text)


@given(st.text(max_size=30))
def test_any_text_raises_nothing_but_a_value_error(text: str) -> None:
    for parse in (Duration.parse, Size.parse, Address.parse):
        try:
            parse(text)
        except ValueError as err:
            assert "expected" in str(err)  # noqa: PT017 - some texts are good
