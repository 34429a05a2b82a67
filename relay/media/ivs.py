"""Per-sample IVs for ``cenc``: how one and the same counter block never encrypts two different things.

AES-CTR breaks when a key and counter block meet different data twice: the XOR of the ciphertexts is that of the
plaintexts. A relay has many ways into that: renditions that share a key, parts and the segment they belong to, byte
ranges, encoder restarts that repeat names and times, several edges, retries after a short read. Counters need a
memory that all edges share; :class:`HashedIvs` needs none, because it derives the IV from what is encrypted:
equal input gives equal output on every edge, anything else gives fresh IVs.

How it derives. The ``mdat`` is hashed with GMAC, AES-GCM over no plaintext (NIST SP 800-38D), under one half of the
content key's ``iv_key``; its tag, the track, the ``moof`` and the layout of protected bytes then go through BLAKE2b
(RFC 7693) keyed with the other half. GMAC asks for a nonce per message because two tags that an attacker *sees* under
one nonce reveal its hash key. These tags are never seen: each leaves only through BLAKE2b, a pseudorandom function
under an independent key. What remains of GMAC is GHASH XOR a constant, a universal hash under a secret key, and hash
then PRF is a PRF: two different units of n blocks collide with probability n/2**128, nothing beside the birthday
bound of the 64-bit IV itself. With 10,000 units of 300 samples under one key, two of their IV ranges overlap with
probability 10,000**2 * 300 / 2**64, about 2 in 10**9.

The layout is part of the input because one unit may be read in two ways, for instance when a parameter set that came
in an earlier part is not known, or the init segment gives another default sample size. The same bytes of key stream
would then meet different bytes of the samples.

The two variants of a watermarked segment lie under one key and may share a ``moof``, name, sequence and times. Their
samples differ, so their IVs do. Where it is the whole resource that is encrypted, in HLS AES-128, they share an IV: CBC
then shows in which block they first differ, which is all that whoever has both can see anyway.

Why not one hash over everything: GMAC costs a twentieth of BLAKE2b or SHA-256 (see ``bench/protect.py``).
"""

from hashlib import blake2b

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.material import ContentKey
from relay.media.model import ClearUnit

_NO_NONCE = bytes(12)


class HashedIvs:
    """IVs derived from content. Stateless: give every edge the same keys and it makes the same bytes."""

    def first(self, key: ContentKey, unit: ClearUnit) -> int:
        """See :class:`relay.media.model.SampleIvs`."""
        half = len(key.iv_key) // 2
        tag = AESGCM(key.iv_key[:half]).encrypt(_NO_NONCE, b"", unit.data)
        prf = blake2b(key=key.iv_key[half:], digest_size=8)
        # Fixed lengths first, then the moof, which says its own: no two inputs read alike.
        prf.update(tag + unit.track_id.to_bytes(4, "big"))
        prf.update(unit.moof)
        prf.update(unit.layout)
        return int.from_bytes(prf.digest(), "big")


class CountingIvs:
    """IVs counted up from ``start``, key by key, over all tracks and segments in order, as packagers do.

    For files that are protected once, by one process: under the same key, another run must start elsewhere.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._next: dict[bytes, int] = {}

    def first(self, key: ContentKey, unit: ClearUnit) -> int:
        """See :class:`relay.media.model.SampleIvs`."""
        first = self._next.get(key.key, self._start)
        self._next[key.key] = (first + unit.sample_count) % 2**64
        return first
