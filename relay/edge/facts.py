"""The facts of a request, as the socket or a trusted front tells them."""

import ipaddress
import re
from functools import lru_cache

from aiohttp import web

from relay.config import EdgeConfig
from relay.facts import Facts
from relay.gate.networks import unmapped, unmapped_block
from relay.watermark.etsi.carriers import prefix_of

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_HOPS = 16
_COUNTRY = re.compile(r"[A-Z]{2}")
_REGION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")


def facts_of(edge: EdgeConfig, request: web.BaseRequest) -> Facts:
    """What a request shows of itself. What a header says of the client counts only from a trusted proxy."""
    trusted = _is_trusted(peer_address(request.remote or ""), edge.trusted_proxies)
    path, query = bare_path(request)

    def told(name: str, form: re.Pattern[str]) -> str:
        text = _last(request, name).upper() if trusted and name else ""
        # Part of something else would be another place.
        return text if form.fullmatch(text) else ""

    return Facts(
        method=request.method,
        path=path,
        query=query,
        scheme=_scheme(request, edge, trusted),
        host=request.host,
        headers=request.headers,
        address=client_address(edge, request),
        asn=client_asn(edge, request),
        country=told(edge.country_header, _COUNTRY),
        region=told(edge.region_header, _REGION),
    )


def bare_path(request: web.BaseRequest) -> tuple[str, str]:
    """The raw path and query, without a watermark token that stands before the path."""
    path, _, query = request.raw_path.partition("?")
    return path.removeprefix(watermark_prefix(request)), query


def watermark_prefix(request: web.BaseRequest) -> str:
    """What stands before the path of a request that carries its watermark token there; empty elsewhere."""
    return prefix_of(request.raw_path.partition("?")[0])


def client_address(edge: EdgeConfig, request: web.BaseRequest) -> str:
    """The client's own address. Most relays stand before no proxy, and then it is the socket's.

    One that is IPv4-mapped (RFC 4291 §2.5.5.2) is given as the IPv4 address it is.
    """
    peer = peer_address(request.remote or "")
    if not edge.trusted_proxies or not _is_trusted(peer, edge.trusted_proxies):
        return peer
    return _client(peer, _lines(request, edge.address_header), edge.trusted_proxies)


def client_asn(edge: EdgeConfig, request: web.BaseRequest) -> int:
    """The AS number of the client's network, as a trusted proxy tells it; 0 where none does."""
    if not edge.asn_header or not _is_trusted(peer_address(request.remote or ""), edge.trusted_proxies):
        return 0
    text = _last(request, edge.asn_header).upper().removeprefix("AS")
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 10 else 0


def peer_address(address: str) -> str:
    """A socket's address of its peer, as all others here are written."""
    # Of a listener for both IP versions every IPv4 client looks mapped.
    return _normal(address) if ":" in address else address


def _lines(request: web.BaseRequest, name: str) -> str:
    """All of a header: a front may add its own line below what a client made up (RFC 9110 §5.3)."""
    return ", ".join(request.headers.getall(name, ()))


def _last(request: web.BaseRequest, name: str) -> str:
    return _lines(request, name).rpartition(",")[2].strip()


def _scheme(request: web.BaseRequest, edge: EdgeConfig, trusted: bool) -> str:
    if edge.public_url:
        return edge.public_url.partition(":")[0]
    told = _last(request, "X-Forwarded-Proto") if trusted else ""
    return told if told in ("http", "https") else request.scheme


def _client(peer: str, forwarded: str, proxies: tuple[str, ...]) -> str:
    """The last address in the chain that no trusted proxy has: whatever stands before it, a client may have made up."""
    for hop in [_normal(part.strip()) for part in forwarded.split(",")[: -_MAX_HOPS - 1 : -1]]:
        if not hop:
            return peer
        if not _is_trusted(hop, proxies):
            return hop
        peer = hop
    return peer


@lru_cache(maxsize=4096)
def _normal(address: str) -> str:
    """An address without IPv4 mapping; empty for what is none."""
    try:
        return str(unmapped(ipaddress.ip_address(address)))
    except ValueError:
        return ""


@lru_cache(maxsize=4096)
def _is_trusted(address: str, proxies: tuple[str, ...]) -> bool:
    if not proxies or not _normal(address):
        return False
    here = ipaddress.ip_address(address)
    return any(here in network for network in _networks(proxies))


@lru_cache(maxsize=8)
def _networks(proxies: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(unmapped_block(ipaddress.ip_network(text, strict=False)) for text in proxies)
