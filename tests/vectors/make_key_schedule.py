"""Writes key_schedule.json: the key schedule worked out a second time, from RFC 5869 and hashlib alone.

Nothing of the project is imported, so the vectors cannot inherit its mistakes. Run it only to add
cases: the values in the file are fixed, since a change to them is a change of every content key.
"""

import hashlib
import hmac
import json
from pathlib import Path

ROOTS = {1: bytes(range(32)), 2: bytes(range(64, 112))}
SALT = bytes.fromhex("00112233445566778899aabbccddeeff")

# (stream, track, scheme, generation, period or None for the stable key, salt)
SLOTS: list[tuple[str, str, str, int, int | None, bytes | None]] = [
    ("live", "hd", "cenc", 1, None, None),
    ("live", "hd", "cenc", 1, 0, None),
    ("live", "hd", "cenc", 1, 600_000, None),
    ("live", "audio", "cenc", 1, 600_000, None),
    ("live", "hd", "cbcs", 1, 600_000, None),
    ("live", "hd", "aes-128", 1, 600_000, None),
    ("live", "hd", "cenc", 2, 600_000, None),
    ("live", "hd", "cenc", 1, 600_000, SALT),
    ("köln/élysée 4", "uhd", "cbcs", 2, 1_767_225_600_000, SALT),
    ("", "sd", "cenc", 1, 0, None),
]


def hkdf(secret: bytes, info: bytes, length: int, salt: bytes | None) -> bytes:
    """RFC 5869 §2.2 and §2.3; no salt means a hash length of zeros."""
    pseudorandom_key = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(pseudorandom_key, block + info + bytes([counter]), hashlib.sha256).digest()
        output += block
        counter += 1
    return output[:length]


def info(*fields: str) -> bytes:
    """Every field after its length in 4 bytes, big-endian."""
    encoded = b""
    for field in fields:
        encoded += len(field.encode("utf-8")).to_bytes(4, "big") + field.encode("utf-8")
    return encoded


def main() -> None:
    """Write the file beside this one."""
    slots = []
    for stream, track, scheme, generation, period, salt in SLOTS:
        name = "stable" if period is None else f"period {period}"
        rest = (stream, track, scheme, str(generation), name)
        secret = ROOTS[generation]
        slots.append(
            {
                "stream": stream,
                "track": track,
                "scheme": scheme,
                "generation": generation,
                "period": period,
                "salt": None if salt is None else salt.hex(),
                "kid": hkdf(secret, info("segmentgate/1 key id", *rest), 16, None).hex(),
                "key": hkdf(secret, info("segmentgate/1 content key", *rest), 16, salt).hex(),
                "constant_iv": hkdf(secret, info("segmentgate/1 constant iv", *rest), 16, salt).hex(),
                "iv_key": hkdf(secret, info("segmentgate/1 sample iv key", *rest), 32, salt).hex(),
            }
        )
    services = [
        {
            "generation": generation,
            "purpose": purpose,
            "key": hkdf(secret, info("segmentgate/1 service key", purpose), 32, None).hex(),
        }
        for generation, secret in ROOTS.items()
        for purpose in ("pass", "url")
    ]
    vectors = {
        "source": "make_key_schedule.py: HKDF-SHA256 written out from RFC 5869 with hashlib and hmac, sharing no code "
        "with the key schedule under test",
        "roots": {str(generation): secret.hex() for generation, secret in ROOTS.items()},
        "slots": slots,
        "services": services,
    }
    text = json.dumps(vectors, indent=1, ensure_ascii=False) + "\n"
    Path(__file__).with_name("key_schedule.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
