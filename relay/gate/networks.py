"""Networks that are revoked: address blocks by their length, and autonomous systems by their number."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_ASN = re.compile(r"[Aa][Ss]([0-9]{1,10})")
_MAX_TEXT = 64
_MAPPED = 96
"""Bits before the IPv4 address in an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2)."""


def parse_network(text: str) -> str:
    """The normal form of a network: ``192.0.2.0/24``, ``2001:db8::/32``, ``AS64500``.

    A bare address is a block of one; an IPv4-mapped block is the IPv4 block. Raises ValueError with what is wrong.
    """
    if len(text) > _MAX_TEXT:
        raise ValueError("too long for a network")
    if match := _ASN.fullmatch(text):
        number = int(match[1])
        if not 0 < number < 2**32:
            raise ValueError(f"{text!r} is not an AS number from AS1 to AS4294967295")
        return f"AS{number}"
    try:
        block = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is neither a network like 192.0.2.0/24 nor an AS number like AS64500") from None
    address = text.partition("/")[0]
    if "%" in address:
        raise ValueError(f"{text!r} has a zone, which means nothing elsewhere")
    if ip_address(address) != block.network_address:
        # A slip in the length would block far more than was meant.
        raise ValueError(f"{text!r} has bits after the prefix: write {block} or {address}")
    return str(unmapped_block(block))


class NetworkIndex:
    """Finds which of the networks here an address or AS number lies in. Each has a digest, and its normal form."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}
        # (IP version, prefix length) → the network's bits → its digest.
        self._blocks: dict[tuple[int, int], dict[int, bytes]] = {}
        self._asns: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self.names)

    def add(self, digest: bytes, name: str) -> None:
        """Add a network by its normal form."""
        self.names[digest] = name
        if name.startswith("AS"):
            self._asns[int(name[2:])] = digest
        else:
            version, length, bits = _key(name)
            self._blocks.setdefault((version, length), {})[bits] = digest

    def discard(self, digest: bytes) -> None:
        """Take a network out again."""
        name = self.names.pop(digest, None)
        if name is None:
            return
        if name.startswith("AS"):
            del self._asns[int(name[2:])]
            return
        version, length, bits = _key(name)
        blocks = self._blocks[version, length]
        del blocks[bits]
        if not blocks:
            del self._blocks[version, length]

    def containing(self, address: str, asn: int) -> list[bytes]:
        """The digests of every network here that an address is in, and of its AS. What is no address is in none."""
        found = [self._asns[asn]] if asn in self._asns else []
        try:
            parsed = unmapped(ip_address(address))
        except ValueError:
            return found
        bits, width = int(parsed), parsed.max_prefixlen
        for (version, length), blocks in self._blocks.items():
            if version == parsed.version and (digest := blocks.get(bits >> (width - length))):
                found.append(digest)
        return found


def _key(name: str) -> tuple[int, int, int]:
    block = ip_network(name)
    return block.version, block.prefixlen, int(block.network_address) >> (block.max_prefixlen - block.prefixlen)


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4-mapped address as the IPv4 address it stands for; any other as it is."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def unmapped_block(block: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """The same for a block."""
    if isinstance(block, IPv6Network) and block.prefixlen >= _MAPPED and block.network_address.ipv4_mapped:
        return IPv4Network((IPv4Address(block.network_address.ipv4_mapped), block.prefixlen - _MAPPED))
    return block
