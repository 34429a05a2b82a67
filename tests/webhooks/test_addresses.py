"""Where webhooks may lead."""

from ipaddress import ip_address

import pytest

from relay.webhooks.addresses import is_loopback, is_public


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "192.0.2.1", "::", "::1", "fe80::1", "fd00::1", "ff02::1", "2001:db8::1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:a00:1::1", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_nothing_else_is(text: str) -> None:
    assert not is_public(ip_address(text))


def test_loopback() -> None:
    assert all(is_loopback(ip_address(text)) for text in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"))
    assert not is_loopback(ip_address("10.0.0.1"))
