"""The facts of a request, as the socket or a trusted front tells them."""

import ipaddress
from functools import lru_cache

from aiohttp import web

from relay.config import EdgeConfig
from relay.facts import Facts
from relay.node import NODE

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MAX_HOPS = 16


def facts_of(request: web.Request) -> Facts:
    """What a request shows of itself. What a header says of the client counts only from a trusted proxy."""
    edge = request.app[NODE].config.edge
    peer = request.remote or ""
    trusted = _is_trusted(peer, edge.trusted_proxies)
    path, _, query = request.raw_path.partition("?")

    def told(name: str) -> str:
        return request.headers.get(name, "").strip() if trusted and name else ""

    return Facts(
        method=request.method,
        path=path,
        query=query,
        scheme=_scheme(request, edge, trusted),
        host=request.host,
        headers=request.headers,
        address=client_address(request),
        asn=client_asn(request),
        country=told(edge.country_header).upper()[:2],
        region=told(edge.region_header).upper()[:6],
    )


def client_address(request: web.Request) -> str:
    """The client's own address. Most relays stand before no proxy, and then it is the socket's."""
    edge = request.app[NODE].config.edge
    peer = request.remote or ""
    if not edge.trusted_proxies or not _is_trusted(peer, edge.trusted_proxies):
        return peer
    return _client(peer, request.headers.get(edge.address_header, ""), edge.trusted_proxies)


def client_asn(request: web.Request) -> int:
    """The AS number of the client's network, as a trusted proxy tells it; 0 where none does."""
    edge = request.app[NODE].config.edge
    if not edge.asn_header or not _is_trusted(request.remote or "", edge.trusted_proxies):
        return 0
    text = request.headers.get(edge.asn_header, "").strip().upper().removeprefix("AS")
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 10 else 0


def _scheme(request: web.Request, edge: EdgeConfig, trusted: bool) -> str:
    if edge.public_url:
        return edge.public_url.partition(":")[0]
    told = request.headers.get("X-Forwarded-Proto", "") if trusted else ""
    return told if told in ("http", "https") else request.scheme


def _client(peer: str, forwarded: str, proxies: tuple[str, ...]) -> str:
    """The last address in the chain that no trusted proxy has: whatever stands before it, a client may have made up."""
    for hop in [part.strip() for part in forwarded.split(",")][: -_MAX_HOPS - 1 : -1]:
        if not _is_address(hop):
            return peer
        if not _is_trusted(hop, proxies):
            return hop
        peer = hop
    return peer


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _is_trusted(address: str, proxies: tuple[str, ...]) -> bool:
    if not proxies or not _is_address(address):
        return False
    here = ipaddress.ip_address(address)
    return any(here in network for network in _networks(proxies))


@lru_cache(maxsize=8)
def _networks(proxies: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in proxies)
