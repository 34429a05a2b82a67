"""From a configuration to the issuers whose tokens are accepted."""

from typing import Any

from keys.material import RootKey
from keys.ring import KeyRing
from relay.config import Config, parse_config
from relay.facts import Facts
from relay.gate.carriers import Credential, Names, Presented
from relay.gate.dialects.base import Proof
from relay.gate.dialects.keys import TokenKey
from relay.gate.status_list import StatusList
from relay.issuing import issuers_of, lists_of, names_of
from relay.secrets import Secrets
from tests.gate.platform import NOW, SECRET, token
from tests.test_config import GOOD

URL = "https://platform.example/jwks.json"
LIST = "https://platform.example/lists/1"


def configured(**issuer: Any) -> Config:
    one = {"iss": "https://platform.example", **issuer}
    return parse_config({**GOOD, "tokens": {"audience": "edge", "issuers": [one]}}, "test")


def held(*keys: TokenKey) -> Secrets:
    return Secrets(KeyRing([RootKey(1, bytes(32))]), {"https://platform.example": list(keys)}, b"")


KEY = TokenKey("hs-1", "HS256", SECRET)
KEYS = [{"kid": "hs-1", "alg": "HS256", "file": "x"}]


def test_a_configured_issuers_token_is_accepted() -> None:
    issuers, pinned = issuers_of(configured(keys=KEYS).tokens, held(KEY))
    assert not pinned
    credential = issuers.find(Presented({}, f"token={token()}"))
    assert isinstance(credential, Credential)
    assert isinstance(issuers.verify(credential, Facts("GET", "/"), "news", NOW), Proof)


def test_names_are_the_dialects_where_none_are_configured() -> None:
    jwt = configured(keys=KEYS, cookie=["mine"], query=[], path="t").tokens.issuers[0]
    assert names_of(jwt) == Names(("Authorization",), ("mine",), (), "t")
    link = configured(dialect="secure-link", keys=KEYS, query=["st", "e"]).tokens.issuers[0]
    assert names_of(link) == Names(query=("st", "e"), joined=True)


def test_a_published_set_keeps_its_keys_over_a_reload() -> None:
    tokens = configured(jwks={"url": URL, "refresh": "1m", "keep": "2h"}).tokens
    _, first = issuers_of(tokens, held())
    assert (first[0].url, first[0].refresh_s, first[0].keep_s) == (URL, 60.0, 7200.0)
    first[0].keys.replace([KEY])
    issuers, again = issuers_of(tokens, held(), first)
    assert again[0].keys is first[0].keys
    assert issuers["https://platform.example"].keys is first[0].keys
    other = configured(jwks={"url": URL + "?2"}).tokens
    assert len(issuers_of(other, held(), first)[1][0].keys) == 0
    assert len(issuers_of(tokens, held(KEY), first)[1][0].keys) == 1


def test_a_status_list_is_kept_over_a_reload_for_its_issuer() -> None:
    tokens = configured(keys=KEYS, status_lists={"urls": [LIST, f"{LIST}2"], "refresh": "30s", "keep": "2h"}).tokens
    issuers, _ = issuers_of(tokens, held(KEY))
    first = lists_of(tokens, issuers)
    issuer = issuers["https://platform.example"]
    assert [(one.url, one.every_s, one.keep_s) for one in first] == [(LIST, 30.0, 7200.0), (f"{LIST}2", 30.0, 7200.0)]
    assert all(one.lists is issuer.status_lists and one.keys is issuer.keys for one in first)
    found = StatusList(1, b"", NOW)
    issuer.status_lists.put(LIST, found)
    issuers, _ = issuers_of(tokens, held(KEY))
    again = lists_of(tokens, issuers, first)
    assert [one.lists.get(one.url) for one in again] == [found, None]
    without = configured(keys=KEYS).tokens
    assert lists_of(without, issuers_of(without, held(KEY))[0], again) == []
