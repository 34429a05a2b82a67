"""Networks: one way to write each, and an address is found in all it lies in."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gate.networks import NetworkIndex, parse_network


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8:0:0::1", "2001:db8::1/128"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::/0", "::/0"),
        ("AS64500", "AS64500"),
        ("as64500", "AS64500"),
        ("AS0064500", "AS64500"),
        ("AS4294967295", "AS4294967295"),
    ],
)
def test_a_network_has_one_normal_form(text: str, normal: str) -> None:
    assert parse_network(text) == normal
    assert parse_network(normal) == normal


@pytest.mark.parametrize(
    "text",
    [
        "", "AS", "AS0", "AS4294967296", "AS-1", "AS６４５００", "AS1_0", "64500", "192.0.2", "192.0.2.0/33",
        "192.0.2.0/", "192.0.2.0/24/8", "192.0.2.256", "192.0.02.1", " 192.0.2.1", "192.0.2.1\n", "fe80::1%eth0",
        "fe80::%1/64", ":::", "2001:db8::/129", "example.org", "1" * 65, "192.0.2.0/-1", "\x00",
    ],
)  # fmt: skip
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|AS number|zone"):
        parse_network(text)


def test_a_slip_in_the_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"write 192\.0\.2\.0/24 or 192\.0\.2\.7"):
        parse_network("192.0.2.7/24")


@given(st.text(max_size=80))
def test_any_text_is_a_network_or_a_value_error(text: str) -> None:
    try:
        assert parse_network(parse_network(text)) == parse_network(text)
    except ValueError:
        return


blocks = st.one_of(
    st.tuples(st.ip_addresses(v=4, network="192.0.2.0/27"), st.integers(0, 32)),
    st.tuples(st.ip_addresses(v=6, network="2001:db8::/123"), st.integers(0, 128)),
).map(lambda pair: str(ip_network(f"{pair[0]}/{pair[1]}", strict=False)))
addresses = st.one_of(st.ip_addresses(v=4, network="192.0.2.0/27"), st.ip_addresses(v=6, network="2001:db8::/123"))


@given(st.sets(blocks, max_size=20), st.sets(blocks, max_size=20), addresses)
def test_an_address_is_in_all_the_networks_that_hold_it(added: set[str], removed: set[str], address: object) -> None:
    index = NetworkIndex()
    for name in added | removed:
        index.add(name.encode(), name)
    for name in removed | {"192.0.2.99/32"}:
        index.discard(name.encode())
    inside = {name for name in added - removed if ip_address(str(address)) in ip_network(name)}
    assert {name.decode() for name in index.containing(str(address), 0)} == inside
    assert bool(index) == bool(added - removed)


def test_a_mapped_address_is_the_ipv4_address() -> None:
    index = NetworkIndex()
    index.add(b"1", "192.0.2.0/24")
    assert index.containing("::ffff:192.0.2.7", 0) == [b"1"]
    assert index.containing("::ffff:c000:207", 0) == [b"1"]
    assert index.containing("::c000:207", 0) == []


def test_an_autonomous_system_is_found_by_number() -> None:
    index = NetworkIndex()
    index.add(b"1", "AS64500")
    assert index.containing("no address", 64500) == [b"1"]
    assert index.containing("192.0.2.7", 64501) == []
    assert index.containing("", 0) == []
