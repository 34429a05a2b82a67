"""One way to make bytes of several fields, so that no two lists of fields give the same bytes."""


def encode_fields(*fields: bytes) -> bytes:
    """Join fields unambiguously: each preceded by its length as 4 bytes, big-endian."""
    return b"".join([len(field).to_bytes(4, "big") + field for field in fields])
