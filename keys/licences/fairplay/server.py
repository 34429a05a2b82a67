"""The key server module: opens SPCs and issues CKCs."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from keys.errors import LicenceRefusedError, LicenceRequestError
from keys.licences.fairplay.ckc import write_ckc
from keys.licences.fairplay.credentials import DeriveSecret, FairPlayCredentials
from keys.licences.fairplay.limits import limits, obstacle
from keys.licences.fairplay.spc import FairPlayChallenge, read_spc
from keys.licences.terms import GrantedKey, Term

MAX_CLOCK_DIFFERENCE_S = 3600


class FairPlayServer:
    """Answers for one or more credential sets, so that they can be replaced; the first is the one to hand out.

    ``derive_secret`` is Apple's D function; what it raises passes through. ``max_clock_difference_s`` is how
    far from now an SPC may say it was made.
    """

    def __init__(
        self,
        credentials: Sequence[FairPlayCredentials],
        derive_secret: DeriveSecret,
        max_clock_difference_s: float = MAX_CLOCK_DIFFERENCE_S,
    ) -> None:
        if not credentials:
            raise ValueError("FairPlay needs a credential set")
        self._credentials: Mapping[bytes, FairPlayCredentials] = MappingProxyType(
            {own.digest: own for own in credentials}
        )
        self._certificate = credentials[0].certificate
        self._derive_secret = derive_secret
        self._max_clock_difference_s = max_clock_difference_s

    @property
    def certificate(self) -> bytes:
        """The application certificate (DER) for players: they need it to make an SPC."""
        return self._certificate

    def open(self, challenge: bytes, now: float) -> FairPlayChallenge:
        """Read an SPC and check that it was made by a device, for this server, about now.

        Raises :class:`LicenceRequestError`; of these :class:`SpcVersionError` for containers other than version 1.
        """
        opened = read_spc(challenge, self._credentials, self._derive_secret)
        if opened.playback and abs(opened.playback.created - now) > self._max_clock_difference_s:
            raise LicenceRequestError("SPC: not made about now")
        return opened

    def issue(
        self,
        challenge: FairPlayChallenge,
        keys: Sequence[GrantedKey],
        term: Term,
        now: float,
        entropy: Callable[[int], bytes],
        content_id: bytes | None = None,
    ) -> bytes:
        """The CKC with the key that ``challenge`` asks for, out of those that the session may have.

        A CKC holds one key: the one whose ID the asset ID spells, or for an asset ID that spells none the only
        one granted. ``content_id`` (16 bytes, else the key ID) groups keys that a device keeps.

        Raises :class:`LicenceRefusedError` if it may not have the key (``no-key``, or what the device or its
        screen lacks), or when the term is over.
        """
        asked = [granted for granted in keys if granted.key.kid in challenge.kids or not challenge.kids]
        if len(asked) != 1:
            raise LicenceRefusedError("no-key", f"FairPlay: {len(asked)} keys for one asset ID, expected one")
        granted = asked[0]
        if reason := obstacle(granted, challenge):
            raise LicenceRefusedError(reason, f"FairPlay: the device may not have this key: {reason}")
        if content_id is None:
            content_id = granted.key.kid
        return write_ckc(challenge, granted, limits(term, challenge, now), content_id, entropy)
