"""A PlayReady licence server without I/O: challenges in, signed responses out.

It trusts only the roots it is given. Certified devices answer to Microsoft's keys and roots, which only licensees get.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from keys.errors import LicenceRefusedError
from keys.licences.playready.challenge import PlayReadyChallenge, read_challenge
from keys.licences.playready.curve import Point, Scalar
from keys.licences.playready.elgamal import encrypt, key_message
from keys.licences.playready.response import ResponseSigner
from keys.licences.playready.restrictions import SL2000, global_policy, minimum_level, playback_policy
from keys.licences.playready.xmr import key_material, licence
from keys.licences.terms import GrantedKey, Term
from keys.model import Scheme


@dataclass(frozen=True, slots=True)
class PlayReadyServer:
    """The material of a licence server. Its repr shows no key.

    ``roots`` are the points that a client's chain may end in, ``server_keys`` the secrets that clients encrypt their
    data to, the one in use first. ``software_level`` is the security level that every client must have: 2000, or 150
    where test clients are served, too. ``revoked`` holds certificate IDs and SHA-256 digests of keys.
    """

    roots: frozenset[bytes]
    server_keys: tuple[Scalar, ...] = field(repr=False)
    signer: ResponseSigner = field(repr=False)
    software_level: int = SL2000
    revoked: frozenset[bytes] = frozenset()

    @classmethod
    def load(
        cls,
        *,
        roots: Iterable[bytes],
        server_keys: Iterable[bytes],
        response_key: bytes,
        response_chain: bytes,
        software_level: int = SL2000,
        revoked: Iterable[bytes] = (),
    ) -> Self:
        """Build from raw material: ``roots`` of 64 bytes each, keys as unencrypted PKCS#8 PEM, a chain ``CHAI``.

        Raises :class:`ValueError` for anything unusable, and without a root or a server key.
        """
        points = frozenset(Point.decode(root).encode() for root in roots)
        secrets = tuple(_scalar(_private_key(pem, "server key")) for pem in server_keys)
        if not points or not secrets:
            raise ValueError("PlayReady: needs a root and a server key")
        signer = ResponseSigner(_private_key(response_key, "response key"), response_chain)
        return cls(points, secrets, signer, software_level, frozenset(revoked))

    def open(self, challenge: bytes, now: float) -> PlayReadyChallenge:
        """Read and verify a challenge.

        Raises :class:`LicenceRequestError` for what cannot be read or verified, :class:`ProtocolVersionError`, which
        is one, for a protocol version that we do not speak, and :class:`LicenceRefusedError` for a revoked device.
        """
        return read_challenge(challenge, self.server_keys, self.roots, self.revoked, now)

    def issue(
        self,
        challenge: PlayReadyChallenge,
        keys: Sequence[GrantedKey],
        term: Term,
        *,
        now: float,
        entropy: Callable[[int], bytes],
        scheme: Scheme = Scheme.CENC,
    ) -> bytes:
        """The response with a licence for every key that the device may have; ``scheme`` is for keys whose protection
        scheme the challenge's header does not say.

        A header before 4.2 gets only the key it asks for, a later one also keys that it did not. Raises
        :class:`LicenceRefusedError` where no key is left or the term is over, and :class:`ValueError` for a persistent
        licence without an end.
        """
        if term.persistent and not term.until:
            raise ValueError("a persistent licence must have an end")
        if term.until and term.until <= now:
            raise LicenceRefusedError("expired", "PlayReady: the term of the licence is over")
        wanted = [granted for granted in keys if challenge.header.several or granted.key.kid in challenge.kids]
        if not wanted:
            raise LicenceRefusedError("no-key", "PlayReady: none of the keys asked for is granted")
        meets = [
            granted for granted in wanted if challenge.security_level >= minimum_level(granted, self.software_level)
        ]
        if not meets:
            raise LicenceRefusedError(
                "security-level", "PlayReady: the device's security level is too low for every key"
            )
        schemes = dict(challenge.header.keys)
        licences = [
            self._licence(challenge, granted, term, schemes.get(granted.key.kid) or scheme, now, entropy)
            for granted in meets
        ]
        return self.signer.response(licences, challenge.nonce, entropy(16))

    def _licence(
        self,
        challenge: PlayReadyChallenge,
        granted: GrantedKey,
        term: Term,
        scheme: Scheme,
        now: float,
        entropy: Callable[[int], bytes],
    ) -> bytes:
        integrity_key, message = key_message(granted.key.key, entropy)
        wrapped = encrypt(message, challenge.receiver, Scalar.from_entropy(entropy(40)))
        level = minimum_level(granted, self.software_level)
        # A client takes a licence that it may not store only if its ID is the nonce of the request that it just made.
        rights_id = entropy(16) if term.persistent else challenge.nonce
        return licence(
            rights_id,
            global_policy(level, term, now, real_time=challenge.real_time_expiration)
            + playback_policy(granted.outputs)
            + key_material(granted.key.kid, scheme, wrapped, challenge.receiver.encode()),
            integrity_key,
        )


def _private_key(pem: bytes, what: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{what}: not an unencrypted private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"{what}: not on the curve P-256")
    return key


def _scalar(key: ec.EllipticCurvePrivateKey) -> Scalar:
    return Scalar(key.private_numbers().private_value)
