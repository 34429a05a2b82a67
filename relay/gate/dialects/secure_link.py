"""nginx's secure links: an MD5 and an expiry, over a text that the operator composes (ngx_http_secure_link_module).

A token is ``{md5},{expires}``, as nginx's own directive ``secure_link`` takes it. MD5 is no MAC: a text that ends in
the secret keeps others from extending it, which is why one is required.
"""

import hmac
import re
from dataclasses import dataclass
from hashlib import md5

from keys import base64url
from relay.bounds import Bounds
from relay.facts import Facts
from relay.gate.dialects import claims as read
from relay.gate.dialects import links
from relay.gate.dialects.base import Proof
from relay.gate.dialects.claims import BadTokenError, Terms
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.gate.uri import normal_path
from relay.verdict import Deny, Reason

DEFAULT_TEXT = "{expires}{uri}{address} {secret}"
_TOKEN = re.compile(r"([A-Za-z0-9_-]{22}),([1-9][0-9]{0,11})")
_PLACE = re.compile(r"\{([a-z]*)\}")
_PLACES = frozenset({"expires", "uri", "address", "host", "scheme", "secret"})


@dataclass(frozen=True, slots=True)
class SecureLinkOptions:
    """What the MD5 stands over: ``text``, in which names in braces stand for nginx's variables.

    ``{expires}``, ``{uri}`` (the normalised path), ``{address}``, ``{host}``, ``{scheme}`` and ``{secret}``. Raises
    ValueError for others, and for a text that does not cover the expiry and the path or does not end in the secret.
    """

    text: str = DEFAULT_TEXT

    def __post_init__(self) -> None:
        places = _PLACE.findall(self.text)
        unknown = set(places) - _PLACES
        if unknown:
            raise ValueError(f"{{{min(unknown)}}} is none of {', '.join(sorted(_PLACES))}")
        if not {"expires", "uri"} <= set(places) or not self.text.endswith("{secret}"):
            raise ValueError("it must hold {expires} and {uri} and end in {secret}")


class SecureLinkDialect:
    """Verifies the links of one issuer, by any of its keys."""

    def __init__(self, terms: Terms, keys: KeySet, options: SecureLinkOptions | None = None) -> None:
        self._terms = terms
        self._keys = keys
        self._text = (options or SecureLinkOptions()).text

    def verify(self, token: str, facts: Facts, now: float) -> Proof | Deny:
        """What a link proves, or the first reason against it."""
        try:
            parts = _TOKEN.fullmatch(token)
            if parts is None:
                raise read.malformed("a link is an MD5 in base64url and an expiry")
            expires_at = links.seconds(parts[2], "expires")
            values = self._values(parts[2], facts)
            secrets = links.secrets_of(self._keys, now)
            key = links.first_fitting(
                [key for key in secrets if hmac.compare_digest(self._digest(values, key), parts[1])]
            )
            links.check_times(self._terms, now, expires_at)
            bounds = Bounds(networks=links.only_here(facts)) if "{address}" in self._text else None
            session = links.session_of(token, self._terms, key.kid, expires_at, bounds=bounds)
            return Proof(session, links.this_path(facts))
        except BadTokenError as bad:
            return bad.answered(links.GONE).deny

    def renew(self, proof: Proof, expires_at: int) -> str | None:
        """None: no link asks for it."""
        return None

    def _values(self, expires: str, facts: Facts) -> dict[str, bytes]:
        uri = normal_path(links.path_of(facts))
        if uri is None:
            raise BadTokenError(Reason.SCOPE_PATH, "a path that can be read in two ways")
        values = {"expires": expires, "uri": uri, "address": facts.address, "host": facts.host.lower()}
        return {
            name: value.encode(errors="surrogateescape") for name, value in {**values, "scheme": facts.scheme}.items()
        }

    def _digest(self, values: dict[str, bytes], key: TokenKey) -> str:
        pieces = _PLACE.split(self._text)
        filled = {**values, "secret": key.key}
        # Text and names of places alternate.
        message = b"".join(filled[piece] if at % 2 else piece.encode() for at, piece in enumerate(pieces))
        return base64url.encode(md5(message, usedforsecurity=False).digest())
