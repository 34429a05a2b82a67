"""What is believed of a client: by whom it is said, and how it is written."""

from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from relay.config import EdgeConfig
from relay.edge.facts import client_address, client_asn, facts_of

FRONT = "10.0.0.1"
EDGE = EdgeConfig(
    trusted_proxies=("10.0.0.0/8", "2001:db8::/32", "::ffff:172.16.0.0/108"),
    asn_header="X-ASN",
    country_header="X-Country",
    region_header="X-Region",
)


def request_of(*headers: tuple[str, str], peer: str = FRONT) -> web.Request:
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: (peer, 4711) if name == "peername" else default
    lines = CIMultiDict(headers)
    lines.add("Host", "edge.example")
    return make_mocked_request("GET", "/watch/news/index.m3u8?token=t", lines, transport=transport)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], FRONT),
        (["203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        # The front leaves what the client sent, and adds a line of its own.
        (["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["198.51.100.1", "::ffff:203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
        (["203.0.113.7, 172.16.0.1"], "203.0.113.7"),
        (["203.0.113.7", "unknown"], FRONT),
        (["203.0.113.7", ""], FRONT),
        (["203.0.113.7" + ", 10.0.0.2" * 16], "10.0.0.2"),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_proxy(lines: list[str], expected: str) -> None:
    request = request_of(*(("X-Forwarded-For", line) for line in lines))
    assert client_address(EDGE, request) == facts_of(EDGE, request).address == expected


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("::ffff:10.0.0.1", "203.0.113.7"),
        ("2001:db8::1", "203.0.113.7"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:4860::1", "2001:4860::1"),
        ("", ""),
    ],
)
def test_a_listener_for_both_ip_versions_knows_its_proxies(peer: str, expected: str) -> None:
    headers = [("X-Forwarded-For", "203.0.113.7"), ("X-ASN", "64500"), ("X-Country", "NL")]
    request = request_of(*headers, peer=peer)
    believed = expected == "203.0.113.7"
    facts = facts_of(EDGE, request)
    assert (facts.address, facts.asn, facts.country) == (expected, 64500 if believed else 0, "NL" if believed else "")


def test_without_proxies_the_address_is_ipv4_all_the_same() -> None:
    assert client_address(EdgeConfig(), request_of(peer="::ffff:192.0.2.1")) == "192.0.2.1"


def test_what_a_front_adds_stands_last() -> None:
    forged = [("X-ASN", "1"), ("X-Country", "US"), ("X-Region", "US-CA"), ("X-Forwarded-Proto", "https")]
    added = [("X-ASN", "AS64500"), ("X-Country", "nl"), ("X-Region", "nl-nh"), ("X-Forwarded-Proto", "http")]
    facts = facts_of(EDGE, request_of(*forged, *added))
    assert (facts.asn, facts.country, facts.region, facts.scheme) == (64500, "NL", "NL-NH", "http")
    assert client_asn(EDGE, request_of(("X-ASN", "1, AS64500"))) == 64500


@pytest.mark.parametrize("country", ["USA", "N", "Netherlands", "N1", "", "ÄÖ"])
def test_what_is_no_country_is_unknown(country: str) -> None:
    assert facts_of(EDGE, request_of(("X-Country", country))).country == ""


@pytest.mark.parametrize("region", ["US-CALI", "CALIFORNIA", "CA", "US-", "USA-CA", "US_CA"])
def test_what_is_no_region_is_unknown(region: str) -> None:
    assert facts_of(EDGE, request_of(("X-Region", region))).region == ""
