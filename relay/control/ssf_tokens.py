"""Security event tokens (RFC 8417) of one transmitter: who signed it, for whom, what it says. Pure.

What is wrong with one is told in the codes of RFC 8935 §2.4, to the transmitter that pushed it and, when it was
polled for, in the next poll.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.gate.dialects.claims import BadTokenError
from relay.gate.dialects.jws import Jws, take_apart
from relay.gate.dialects.keys import KeySet
from relay.verdict import Reason

MAX_SET_BYTES = 48 * 1024
MAX_JTI = 256
LEEWAY_S = 60
TYPES = ("secevent+jwt", "application/secevent+jwt")

_CODE_OF = {Reason.KEY_UNKNOWN: "invalid_key", Reason.TOKEN_SIGNATURE: "authentication_failed"}


class SetError(Exception):
    """A token that is not acted on. ``code`` is of RFC 8935 §2.4."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


@dataclass(frozen=True, slots=True)
class SecurityEvents:
    """A verified token. ``issued_at`` in seconds since the epoch; ``subject`` is its ``sub_id``, unread."""

    jti: str
    issued_at: int
    events: Mapping[str, Any]
    subject: Any


class SetVerifier:
    """Verifies the tokens of a transmitter, ``iss``, that are meant for ``audience``."""

    def __init__(self, iss: str, audience: str, keys: KeySet) -> None:
        self._iss = iss
        self._audience = audience
        self._keys = keys

    def verify(self, token: str, now: float) -> SecurityEvents:
        """What a token says. Raises :class:`SetError`."""
        try:
            jws = take_apart(token, MAX_SET_BYTES)
            # Told apart from an unknown key, though not proven yet: who sends it is known by the bearer token.
            if jws.claims.get("iss") != self._iss:
                raise SetError("invalid_issuer", "iss is not the transmitter's")
            jws.verify(self._iss, self._keys, now)
        except BadTokenError as err:
            raise SetError(_CODE_OF.get(err.deny.reason, "invalid_request"), err.deny.detail) from None
        return self._read(jws, now)

    def _read(self, jws: Jws, now: float) -> SecurityEvents:
        claims = jws.claims
        if str(jws.header.get("typ", "")).lower() not in TYPES:
            raise SetError("invalid_request", "typ must be secevent+jwt")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise SetError("invalid_audience", "aud does not name this receiver")
        jti, issued_at, events = claims.get("jti"), claims.get("iat"), claims.get("events")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI or not jti.isprintable():
            raise SetError("invalid_request", f"claim jti: text of 1 to {MAX_JTI} printable characters required")
        if isinstance(issued_at, bool) or not isinstance(issued_at, int | float) or not 0 < issued_at <= now + LEEWAY_S:
            raise SetError("invalid_request", "claim iat: seconds since the epoch, not ahead, required")
        if not isinstance(events, dict) or not events:
            raise SetError("invalid_request", "claim events: an object with an event required")
        return SecurityEvents(jti, int(issued_at), events, claims.get("sub_id"))
