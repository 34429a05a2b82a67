"""Which addresses may be called: a name that somebody else controls must not lead into the operator's network. Pure."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

_Ip = IPv4Address | IPv6Address
_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: behind a translator its last four bytes are an IPv4 address."""


def is_loopback(address: _Ip) -> bool:
    """Whether an address is this machine's own."""
    return _plain(address).is_loopback


def is_public(address: _Ip) -> bool:
    """Whether an address is anybody's on the internet, and none within another that is not."""
    plain = _plain(address)
    if isinstance(plain, IPv6Address):
        if plain in _NAT64:
            return is_public(IPv4Address(int(plain) & 0xFFFFFFFF))
        inner = plain.sixtofour, *(plain.teredo or ())
        if not all(is_public(one) for one in inner if one is not None):
            return False
    return plain.is_global and not plain.is_multicast and not plain.is_reserved


def _plain(address: _Ip) -> _Ip:
    return getattr(address, "ipv4_mapped", None) or address
