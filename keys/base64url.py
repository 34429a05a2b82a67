"""base64url without padding (RFC 4648 §5, RFC 7515 §2): how URLs, tokens and JSON Web Keys spell bytes."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(data: bytes) -> str:
    """Spell bytes."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Read what :func:`encode` wrote. Raises :class:`ValueError` for every other spelling.

    The standard library's decoder alone would drop foreign characters and stray bits without a word,
    so that one value had many spellings.
    """
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
