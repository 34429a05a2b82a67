"""How a token asks to be renewed (claims ``rnw`` and ``catr``): checked, for it ends up in headers of answers."""

import re

from relay.gate.dialects.base import Renewal
from relay.gate.dialects.claims import malformed, unsupported, whole

DEFAULT_DEADLINE = 60
"""Seconds before ``exp`` at which a token is renewed that names no other time."""
REDIRECTS = (301, 302, 303, 307, 308)
FRAMING_HEADERS = frozenset(
    [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers that say where an answer ends or what it is: never a token's to set."""
_WAYS = ("automatic", "cookie", "header", "redirect")
_MAX_SECONDS = 366 * 86_400
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_PARAMETER = re.compile(r"[!-+\--:<-~ ]{1,128}")
_MAX_PARAMETERS = 8


def checked(
    claim: str,
    add: object,
    deadline: object = None,
    via: object = "automatic",
    name: object = "",
    status: object = 302,
    parameters: object = (),
) -> Renewal:
    """A renewal as a token asks for it. Raises :class:`~relay.gate.dialects.claims.BadTokenError`."""
    seconds = whole(add, f"{claim}.add", _MAX_SECONDS)
    if not seconds:
        raise malformed(f"claim {claim}: a renewal that adds nothing")
    if not isinstance(via, str) or via not in _WAYS:
        raise unsupported(f"claim {claim}: renewal is automatic, by cookie, by header or by redirect")
    if name != "" and (not isinstance(name, str) or not is_header_name(name)):
        raise malformed(f"claim {claim}: not a name for a cookie or header")
    if status not in REDIRECTS or type(status) is not int:
        raise malformed(f"claim {claim}: not the status of a redirect")
    if not isinstance(parameters, list | tuple) or len(parameters) > _MAX_PARAMETERS:
        raise malformed(f"claim {claim}: at most {_MAX_PARAMETERS} parameters")
    for parameter in parameters:
        if not isinstance(parameter, str) or not _PARAMETER.fullmatch(parameter):
            raise malformed(f"claim {claim}: a parameter that no header can carry")
    return Renewal(
        add=seconds,
        deadline=whole(DEFAULT_DEADLINE if deadline is None else deadline, f"{claim}.deadline", _MAX_SECONDS),
        via=via,
        name=name,
        status=status,
        parameters=tuple(parameters),
    )


def is_header_name(name: str) -> bool:
    """Whether a token may name a header or cookie so."""
    return bool(_NAME.fullmatch(name)) and name.lower() not in FRAMING_HEADERS
