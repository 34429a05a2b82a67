"""nginx's secure links."""

from base64 import urlsafe_b64encode
from hashlib import md5
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.bounds import Bounds
from relay.gate.dialects.claims import Terms
from relay.gate.dialects.keys import KeySet
from relay.gate.dialects.secure_link import SecureLinkDialect, SecureLinkOptions
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.links import END, NOW, TERMS, TIMES, at, proven, refused, secrets

HERE = at("/live/ch1/seg1.m4s")
TOKEN = f"4xZZSAfYE698YjTYXN0j5g,{END}"
DIALECT = SecureLinkDialect(TERMS, secrets(b"secret"))


def minted(text: str, expires: object = END) -> str:
    return f"{urlsafe_b64encode(md5(text.encode()).digest()).rstrip(b'=').decode()},{expires}"


def test_our_vector() -> None:
    session = proven(DIALECT, TOKEN, HERE).session
    assert session.sid == session.account == session.token_id
    assert session.bounds == Bounds(networks=("192.0.2.7/32",))
    assert refused(DIALECT, TOKEN, HERE) is None
    assert refused(DIALECT, TOKEN, at("/live/ch1/seg2.m4s")) is Reason.TOKEN_SIGNATURE
    assert refused(DIALECT, TOKEN, at(HERE.path, address="192.0.2.8")) is Reason.TOKEN_SIGNATURE


def test_the_example_of_nginxs_documentation() -> None:
    # ngx_http_secure_link_module, directive secure_link_md5: "$secure_link_expires$uri$remote_addr secret".
    for_ever = Terms("links.example", "edge", 5.0, 10.0**9)
    here = at("/s/link", address="127.0.0.1")
    dialect = SecureLinkDialect(for_ever, secrets(b"secret"))
    assert refused(dialect, "_e4Nc3iduzkWRm01TBBNYw,2147483647", here) is None


def test_mechanical_negatives() -> None:
    digest = TOKEN.partition(",")[0]
    mutants = [*negatives.all_of(TOKEN, ","), *negatives.mixed(TOKEN, minted("x", END - 1), ",")]
    mutants += [
        (name, f"{mutant},{END}") for name, mutant in (*negatives.byte_flips(digest), *negatives.spare_bits(digest))
    ]
    for name, mutant in mutants:
        assert isinstance(DIALECT.verify(mutant, HERE, NOW), Deny), name


@pytest.mark.parametrize(("now", "reason"), TIMES)
def test_times(now: float, reason: Reason | None) -> None:
    assert refused(DIALECT, TOKEN, HERE, now) is reason


def test_what_is_over_is_gone() -> None:
    verdict = DIALECT.verify(TOKEN, HERE, END + 10)
    assert isinstance(verdict, Deny)
    assert (verdict.reason, verdict.answer) == (Reason.TOKEN_EXPIRED, (410, {}))


@pytest.mark.parametrize(
    "expires", [f"0{END}", f" {END}", f"+{END}", "", "0", "-1", "9999999999999", "\u0661790003600"]
)
def test_an_expiry_has_one_spelling(expires: str) -> None:
    token = minted(f"{expires}{HERE.path}192.0.2.7 secret", expires)
    assert refused(DIALECT, token, HERE) is Reason.TOKEN_MALFORMED


def test_a_text_of_the_operators() -> None:
    options = SecureLinkOptions("{scheme}://{host}{uri}|{expires}|{secret}")
    dialect = SecureLinkDialect(TERMS, secrets(b"old", b"new"), options)
    token = minted(f"https://edge.example/a|{END}|new")
    session = proven(dialect, token, at("/a")).session
    assert (session.key_id, session.bounds) == ("k2", Bounds())
    assert refused(dialect, token, at("/a", host="EDGE.example")) is None
    for other in ({"host": "other.example"}, {"scheme": "http"}, {"host": "\udcff"}):
        facts: dict[str, Any] = dict(other)
        assert refused(dialect, token, at("/a", **facts)) is Reason.TOKEN_SIGNATURE


def test_the_uri_is_nginxs_normalised_one() -> None:
    options = SecureLinkOptions("{uri}{expires}{secret}")
    dialect = SecureLinkDialect(TERMS, secrets(b"secret"), options)
    token = minted(f"/live/a{END}secret")
    assert refused(dialect, token, at("/live/%61")) is None
    assert refused(dialect, token, at("/live/x/../a")) is Reason.SCOPE_PATH
    for path in ("/live%2fa", "/live\\a", "/live/%", "/\u00e9"):
        assert refused(dialect, token, at(path)) is Reason.SCOPE_PATH


def test_without_an_address_nothing_is_bound_to_one() -> None:
    token = minted(f"{END}/a secret")
    assert refused(DIALECT, token, at("/a", address="")) is Reason.SCOPE_NETWORK


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{expires}{uri}{secret} ", "end in {secret}"),
        ("{secret}{expires}{uri}", "end in {secret}"),
        ("{expires}{uri}", "end in {secret}"),
        ("{uri}{secret}", "hold {expires} and {uri}"),
        ("{expires}{secret}", "hold {expires} and {uri}"),
        ("{expires}{uri}{cookie}{secret}", "{cookie} is none of"),
        ("{expires}{uri}{}{secret}", "{} is none of"),
        ("", "must hold"),
    ],
)
def test_a_text_that_protects_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("{", r"\{")):
        SecureLinkOptions(text)


def test_without_keys_nothing_is_good() -> None:
    assert refused(SecureLinkDialect(TERMS, KeySet()), TOKEN, HERE) is Reason.TOKEN_SIGNATURE


@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    assert isinstance(DIALECT.verify(text, HERE, NOW), Deny)
