"""What the tests of signed links share: the vectors' key and times, and shorthands for verdicts."""

from typing import Any

from relay.facts import Facts
from relay.gate.dialects.base import Dialect, Proof
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.verdict import Deny, Reason

NOW = 1_790_000_100
END = 1_790_003_600
TERMS = Terms("links.example", "edge", 5.0, 86_400.0)
# The sample key of RFC 8392, appendix A.
KEY = bytes.fromhex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388")
SID = "5f0c2a9b7d3e4c61"
TIMES = [
    (NOW, None),
    (END + 4.9, None),
    (END + 5, Reason.TOKEN_EXPIRED),
    (END - 86_406, Reason.TOKEN_UNSUPPORTED),
]
"""When a link that ends at END is taken, and why not."""


def secrets(*values: bytes) -> KeySet:
    return KeySet(TokenKey(f"k{number}", "HS256", value) for number, value in enumerate(values, 1))


def at(path: str, **facts: Any) -> Facts:
    return Facts("GET", path, **{"scheme": "https", "host": "edge.example", "address": "192.0.2.7", **facts})


def proven(dialect: Dialect, token: str, facts: Facts, now: float = NOW) -> Proof:
    proof = dialect.verify(token, facts, now)
    assert isinstance(proof, Proof), proof
    return proof


def refused(dialect: Dialect, token: str, facts: Facts, now: float = NOW) -> Reason | None:
    """Why a request with the token is refused: in itself, or for what it is presented for; None: it is not."""
    verdict = dialect.verify(token, facts, now)
    deny = verdict if isinstance(verdict, Deny) else verdict.scope.check(facts) or verdict.session.bounds.check(facts)
    return deny.reason if deny else None
