"""The Common Access Token (CTA-5007): a CBOR Web Token whose claims restrict where, how and by whom it is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cbor2

from keys import base64url
from relay.facts import Facts
from relay.gate.dialects import cat_claims
from relay.gate.dialects import claims as read
from relay.gate.dialects.base import Proof
from relay.gate.dialects.cat_claims import LABELS, Deadline
from relay.gate.dialects.cbor import CborError, read_map
from relay.gate.dialects.claims import BadTokenError, Claims, Terms
from relay.gate.dialects.cose import Cose, seal, take_apart
from relay.gate.dialects.keys import KeySet, Signer
from relay.verdict import Deny, Reason

MAX_CLAIMS = 64
PRIVATE = ("sid", "did", "sver", "wmid", "ent", "csl", "drm", "reval")
"""Claims of our own JWT profile that CTA-5007 has no label for: taken under these names, or as configured."""
_ADDRESS_TAGS = (52, 54)
_LONGEST_HEX_SID = 64


@dataclass(frozen=True, slots=True)
class CatOptions:
    """What differs between issuers.

    ``untagged``: the tag of a CBOR Web Token may be missing. ``short_mac``: secrets make MACs of 8 bytes (HS256/64)
    instead of whole ones. ``deadline`` is how the deadline of a renewal is meant. The others are the labels of
    :data:`PRIVATE` claims. Raises ValueError for a label that stands for something else.
    """

    untagged: bool = False
    short_mac: bool = False
    deadline: Deadline = Deadline.AUTO
    sid: int | str = "sid"
    did: int | str = "did"
    sver: int | str = "sver"
    wmid: int | str = "wmid"
    ent: int | str = "ent"
    csl: int | str = "csl"
    drm: int | str = "drm"
    reval: int | str = "reval"

    def __post_init__(self) -> None:
        labels = self.labels()
        for name, label in labels.items():
            if not cat_claims.is_private(label) or list(labels.values()).count(label) > 1:
                raise ValueError(f"{name}: {label!r} stands for another claim")

    def labels(self) -> dict[str, int | str]:
        """The label of each private claim."""
        return {name: getattr(self, name) for name in PRIVATE}


_DEFAULTS = CatOptions()


class CatDialect:
    """Verifies the CATs of one issuer. ``signer`` renews those that were not signed with a shared secret.

    Without a ``sid`` claim the session ID is the ``cti``: in hexadecimal, or in base64url beyond 32 bytes, and as it
    is where it came as text. Without a ``sub`` every session is an account of its own.
    """

    def __init__(
        self, terms: Terms, keys: KeySet, options: CatOptions = _DEFAULTS, signer: Signer | None = None
    ) -> None:
        self._terms = terms
        self._keys = keys
        self._options = options
        self._signer = signer
        private = options.labels()
        self._labels: dict[str, int | str] = {**LABELS, **private}
        self._private = frozenset(private.values())

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a token proves, or the first reason against it."""
        try:
            cose = take_apart(token, self._options.untagged)
            claims = self._claims(cose)
            key = cose.verify(self._keys, self._options.short_mac, now)
            return self._proof(claims, key.kid, now)
        except BadTokenError as bad:
            return bad.deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """The same claims with another expiry, signed anew; an absolute deadline for renewal keeps its distance."""
        signer = self._keys.signer_like(proof.session.key_id, self._signer)
        if signer is None:
            return None
        claims = {**proof.claims, LABELS["exp"]: expires_at}
        renewal = claims.get(LABELS["catr"])
        if proof.renewal is not None and isinstance(renewal, Mapping) and self._is_absolute(renewal.get(2)):
            claims[LABELS["catr"]] = {**renewal, 2: expires_at - proof.renewal.deadline}
        return seal(cbor2.dumps(claims), signer, self._options.short_mac)

    def _is_absolute(self, deadline: object) -> bool:
        return cat_claims.is_absolute(deadline, self._options.deadline)

    def _claims(self, cose: Cose) -> Claims:
        """The claims, not yet proven; they say which issuer's keys to try."""
        try:
            claims = Claims(read_map(cose.payload, MAX_CLAIMS, _ADDRESS_TAGS), self._labels)
        except CborError as err:
            raise read.malformed(f"claims: {err}") from None
        if claims.text("iss", 512) != self._terms.issuer:
            raise BadTokenError(Reason.KEY_UNKNOWN, "no key for this issuer")
        return claims

    def _proof(self, claims: Claims, key_id: str, now: float) -> Proof:
        cat_claims.check_version(claims)
        cat_claims.refuse_unknown(claims.values, self._private)
        answers = cat_claims.answers(claims)
        try:
            expires_at = read.check_times(claims, self._terms, now)
            if "aud" in claims:
                read.check_audience(claims, self._terms)
        except BadTokenError as bad:
            raise bad.answered(answers) from None
        token_id = cat_claims.token_id(claims)
        sid = read.session_id(claims.get("sid")) if "sid" in claims else _session_id(claims.get("cti"), token_id)
        session = read.session(
            claims,
            self._terms,
            sid=sid,
            account=claims.text("sub", 128) if "sub" in claims else sid,
            token_id=base64url.encode(token_id),
            key_id=key_id,
            expires_at=expires_at,
            bounds=cat_claims.bounds(claims),
        )
        return Proof(
            session=session,
            scope=cat_claims.scope(claims),
            use=cat_claims.use(claims),
            renewal=cat_claims.renewal(claims, expires_at, self._options.deadline),
            answers=answers,
            claims=claims.values,
        )


def mint_cat(claims: Mapping[Any, object], kid: str, algorithm: str, key: bytes, short_mac: bool = False) -> str:
    """Sign a CAT as a platform would: claims by label, ``key`` an HS256 secret or a private key's PEM.

    Names of claims are taken for their labels. Raises ValueError when the key does not fit the algorithm.
    """
    labelled = {LABELS.get(name, name) if isinstance(name, str) else name: value for name, value in claims.items()}
    return seal(cbor2.dumps(labelled), Signer.load(kid, algorithm, key), short_mac)


def _session_id(cti: object, token_id: bytes) -> str:
    if not token_id:
        raise read.malformed("neither sid nor cti")
    if isinstance(cti, str):
        return read.session_id(cti)
    return token_id.hex() if 2 * len(token_id) <= _LONGEST_HEX_SID else base64url.encode(token_id)
