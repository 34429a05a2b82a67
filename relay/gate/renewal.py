"""Renewing a token on its way (CTA-5007, claim catr; JWT profile, claim rnw)."""

from dataclasses import dataclass, field

from relay.gate.carriers import MAX_TOKEN, Carrier, Credential, Names
from relay.gate.dialects.base import Dialect, Proof, Renewal

COOKIE_PARAMETERS = ("Path=/", "Secure", "HttpOnly", "SameSite=None")
"""Attributes of a cookie whose token names none: players are on other sites than the relay."""


@dataclass(frozen=True, slots=True)
class RenewalAnswer:
    """Where an answer carries the renewed token: as a cookie or header ``name`` with ``parameters``.

    By query or path, it is a redirect with ``status`` to the same URL with the token under ``name``.
    """

    carrier: Carrier
    name: str
    value: str = field(repr=False)
    parameters: tuple[str, ...] = ()
    status: int = 0


def renewal_of(
    proof: Proof, dialect: Dialect, credential: Credential, names: Names, max_lifetime: float, now: float
) -> RenewalAnswer | None:
    """The renewed token, when one is due. Ask only for what has just passed the gate, revocations among it.

    ``names`` are those that the issuer's tokens travel under. The new expiry counts from now, so that asking often
    gains nothing, and never lies further than ``max_lifetime`` seconds past the first issue; a token that does not
    say when it was issued is not renewed.
    """
    renewal, session = proof.renewal, proof.session
    if renewal is None or not session.issued_at or now < session.expires_at - renewal.deadline:
        return None
    expires_at = int(min(now + renewal.add, session.issued_at + max_lifetime))
    answer = _place(renewal, credential, names)
    if expires_at <= session.expires_at or answer is None:
        return None
    carrier, name = answer
    redirected = carrier in (Carrier.QUERY, Carrier.PATH)
    if redirected and now >= expires_at - renewal.deadline:
        # It would be due again on arrival: a redirect without end.
        return None
    token = dialect.renew(proof, expires_at)
    if token is None or len(token) > MAX_TOKEN:
        return None
    parameters = renewal.parameters or (COOKIE_PARAMETERS if carrier is Carrier.COOKIE else ())
    return RenewalAnswer(carrier, name, token, () if redirected else parameters, renewal.status if redirected else 0)


def _place(renewal: Renewal, credential: Credential, names: Names) -> tuple[Carrier, str] | None:
    """Where the renewed token goes: by default, back to where it came from."""
    match renewal.via:
        case "cookie":
            carrier, usual = Carrier.COOKIE, names.cookie
        case "header":
            carrier, usual = Carrier.HEADER, names.header
        case "redirect" if credential.carrier not in (Carrier.QUERY, Carrier.PATH):
            carrier, usual = Carrier.QUERY, names.query
        case _:
            carrier, usual = credential.carrier, (credential.name,)
    name = renewal.name or (credential.name if credential.carrier is carrier else next(iter(usual), ""))
    return (carrier, name) if name else None
