"""What a licence of the relay's own costs: two keys and a watermark payload, one core, in process.

``python -m bench.licence``. Sealed licences (AEAD) are read by nodes alone; those that players open carry a key of
their own each (HKDF, AES key wrap, HMAC). Included: the content of the licence from ready values (session ID, expiry,
device hash, watermark payload, the keys of a period) to its bytes, with every check of lengths. Not included: deriving
the keys, which is done once a period, asking the gate, and HTTP (``bench.licence_http``). The floor is the one call of
the cipher that is in it. Best of several runs, for the machine is others' too.
"""

from os import urandom
from timeit import Timer

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.licences.native import LicenceSecrets, NativeKey, NativeLicence, NativeServer
from keys.licences.sealed import LicenceOpener, LicenceSealer, entries_of
from keys.licences.terms import GrantedKey, Term
from keys.material import ContentKey
from keys.model import TrackType

BAR_NS, AIM_NS = 1170, 800
NUMBER, RUNS = 20_000, 9
EXPIRY, NOW = 1_795_300_000, 1_795_296_400.0


def main() -> None:
    secret = urandom(32)
    session_id, device, watermark = urandom(16), urandom(16), urandom(16)
    keys = [NativeKey(urandom(16), urandom(16)) for _ in range(2)]
    granted = [
        GrantedKey(ContentKey(key.kid, key.key, bytes(16), bytes(32)), track)
        for key, track in zip(keys, (TrackType.AUDIO, TrackType.HD), strict=True)
    ]
    sealer, opener, native = LicenceSealer(secret, urandom(16)), LicenceOpener([secret]), NativeServer([secret])
    entries, term = entries_of(keys), Term(EXPIRY)
    made = sealer.seal(session_id, EXPIRY, device, watermark, entries)
    assert opener.open(made, device, NOW).keys == tuple(keys)
    names = {
        "seal": sealer.seal, "entries_of": entries_of, "entries": entries, "keys": keys, "session_id": session_id,
        "EXPIRY": EXPIRY, "device": device, "watermark": watermark, "opener": opener, "made": made, "NOW": NOW,
        "encrypt": AESGCM(bytes(16)).encrypt, "nonce": bytes(12), "plain": bytes(len(made) - 48),
        "licence": NativeLicence(session_id, EXPIRY, tuple(keys), watermark), "derive": LicenceSecrets.derive,
        "secret": secret, "native": native, "granted": granted, "term": term,
    }  # fmt: skip
    print(f"{'':44} {'ns each':>8}")
    for label, statement in (
        ("sealed, keys of the period packed beforehand", "seal(session_id, EXPIRY, device, watermark, entries)"),
        ("sealed, its two keys packed for each", "seal(session_id, EXPIRY, device, watermark, entries_of(keys))"),
        ("  the cipher call alone", "encrypt(nonce, plain, None)"),
        ("opened and checked by a node", "opener.open(made, device, NOW)"),
        ("for players: derive, wrap, MAC", "licence.seal(derive(secret, session_id, EXPIRY))"),
        ("for players, with its terms applied", "native.issue(session_id, granted, term, watermark, NOW)"),
    ):
        best = min(Timer(statement, globals=names).repeat(RUNS, NUMBER)) / NUMBER * 1e9
        print(f"{label:44} {best:8.0f}")
    print(f"bar for a sealed licence {BAR_NS}, aim {AIM_NS}; a sealed one has {len(made)} bytes, one for players 160")


if __name__ == "__main__":
    main()
