"""Akamai tokens: vectors, negatives, and what each field restricts."""

import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.bounds import Bounds
from relay.gate.carriers import MAX_TOKEN
from relay.gate.dialects.akamai import AkamaiDialect, AkamaiOptions, mint_acl_token
from relay.gate.dialects.keys import KeySet, TokenKey
from relay.verdict import Deny, Reason
from tests.gate import negatives
from tests.gate.links import END, NOW, SID, TERMS, TIMES, at, proven, refused, secrets

KEY = bytes.fromhex("aabbccddeeff00112233445566778899")
# Checked against Akamai's own EdgeAuth for Python.
ACL_TOKEN = (
    f"st=1790000000~exp={END}~acl=/live/*!/vod/*~id={SID}~data=tier-gold"
    "~hmac=c78a707963036d82f964bb905914b6cf4fc838e9ae7e941f845ae1da8c3d2366"
)
URL_TOKEN = f"exp={END}~hmac=036226627639b5b2a0676eb43cce0b2086c9a1f089d363f26626029b40da30fa"
URL = at("/live/ch1/master.m3u8")
SALTED = AkamaiDialect(TERMS, secrets(KEY), AkamaiOptions(salt="pepper"))
PLAIN = AkamaiDialect(TERMS, secrets(KEY))


def minted(fields: str, hash_name: str = "sha256", suffix: str = "", key: bytes = KEY) -> str:
    return f"{fields}~hmac={hmac.digest(key, f'{fields}{suffix}'.encode(), hash_name).hex()}"


def test_an_acl_token() -> None:
    session = proven(SALTED, ACL_TOKEN, URL).session
    assert (session.sid, session.account, session.issuer) == (SID, SID, "links.example")
    assert (session.issued_at, session.expires_at, session.key_id) == (1_790_000_000, END, "k1")
    assert refused(SALTED, ACL_TOKEN, URL) is None
    assert refused(SALTED, ACL_TOKEN, at("/vod/a/b/c.mpd")) is None
    assert refused(SALTED, ACL_TOKEN, at("/other/a")) is Reason.SCOPE_PATH
    assert refused(PLAIN, ACL_TOKEN, URL) is Reason.TOKEN_SIGNATURE


def test_a_url_token_is_for_its_path_alone() -> None:
    session = proven(PLAIN, URL_TOKEN, URL).session
    assert session.sid == session.account == session.token_id
    assert refused(PLAIN, URL_TOKEN, URL) is None
    for path in ("/live/ch1/master.m3u", "/live/ch1/./master.m3u8", "/live/ch1/%6daster.m3u8", "/"):
        assert refused(PLAIN, URL_TOKEN, at(path)) is Reason.TOKEN_SIGNATURE
    assert refused(PLAIN, URL_TOKEN, at("/live/\u00e9")) is Reason.SCOPE_PATH


def test_a_url_token_of_a_path_that_can_be_read_in_two_ways_is_for_none() -> None:
    for path in ("/live/../vod/a.m3u8", "/live/%2e%2e/a.m3u8", "/live/a%2fb", "/a\\b"):
        assert refused(PLAIN, minted(f"exp={END}", suffix=f"~url={path}"), at(path)) is Reason.SCOPE_PATH


@pytest.mark.parametrize(("dialect", "token"), [(SALTED, ACL_TOKEN), (PLAIN, URL_TOKEN)])
def test_mechanical_negatives(dialect: AkamaiDialect, token: str) -> None:
    mac = token.rpartition("=")[2]
    for name, mutant in (*negatives.all_of(token, "~"), *negatives.hex_flips(token, mac)):
        assert isinstance(dialect.verify(mutant, URL, NOW), Deny), name


def test_fields_of_another_token_do_not_fit() -> None:
    other = minted(f"st=1790000000~exp={END}~acl=/*~id=other~data=tier-none", suffix="~salt=pepper")
    assert refused(SALTED, other, URL) is None
    for name, mutant in negatives.mixed(ACL_TOKEN, other, "~"):
        assert refused(SALTED, mutant, URL) is Reason.TOKEN_SIGNATURE, name


@pytest.mark.parametrize(("now", "reason"), TIMES)
def test_times(now: float, reason: Reason | None) -> None:
    assert refused(PLAIN, URL_TOKEN, URL, now) is reason


def test_a_start_that_lies_ahead() -> None:
    token = minted(f"st={NOW + 5}~exp={END}~acl=/*")
    assert refused(PLAIN, token, URL) is None
    assert refused(PLAIN, token, URL, NOW - 1) is Reason.TOKEN_NOT_YET_VALID


def test_the_order_of_fields_is_free() -> None:
    assert refused(PLAIN, minted(f"id={SID}~acl=/live/*~exp={END}"), URL) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (f"exp={END}~exp={END}~acl=/*", Reason.TOKEN_MALFORMED),
        (f"exp={END}~acl=/*~acl=/live/*", Reason.TOKEN_MALFORMED),
        (f"exp={END}~acl=/*~geo=DE", Reason.TOKEN_UNSUPPORTED),
        (f"exp={END}~acl=/*~", Reason.TOKEN_UNSUPPORTED),
        (f"exp={END}~acl=/*~hmac=00", Reason.TOKEN_UNSUPPORTED),
        (f"exp={END}~acl=/*~url=/live", Reason.TOKEN_UNSUPPORTED),
        (f"exp={END}~acl=/*~salt=pepper", Reason.TOKEN_UNSUPPORTED),
        ("acl=/*", Reason.TOKEN_MALFORMED),
        ("exp=~acl=/*", Reason.TOKEN_MALFORMED),
        ("exp~acl=/*", Reason.TOKEN_MALFORMED),
        (f"exp=0{END}~acl=/*", Reason.TOKEN_MALFORMED),
        (f"exp=+{END}~acl=/*", Reason.TOKEN_MALFORMED),
        (f"exp={END}.0~acl=/*", Reason.TOKEN_MALFORMED),
        ("exp=1e9~acl=/*", Reason.TOKEN_MALFORMED),
        ("exp=9999999999999~acl=/*", Reason.TOKEN_MALFORMED),
        (f"st=now~exp={END}~acl=/*", Reason.TOKEN_MALFORMED),
        (f"exp={END}~acl=", Reason.TOKEN_MALFORMED),
        (f"exp={END}~acl=" + "!".join(["/live/*"] * 33), Reason.TOKEN_UNSUPPORTED),
        (f"exp={END}~acl=/*~id=with space", Reason.TOKEN_MALFORMED),
        (f"exp={END}~acl=/*~id=../x", Reason.TOKEN_MALFORMED),
        (f"exp={END}~acl=/*~id={'x' * 65}", Reason.TOKEN_MALFORMED),
        (f"ip=somewhere~exp={END}~acl=/*", Reason.TOKEN_MALFORMED),
        (f"ip=~exp={END}~acl=/*", Reason.TOKEN_MALFORMED),
    ],
)
def test_well_signed_nonsense_is_refused(fields: str, reason: Reason) -> None:
    assert refused(PLAIN, minted(fields), URL) is reason


@pytest.mark.parametrize(
    "token", ["", "~", "hmac=00", "~hmac=00", "exp=1", f"exp={END}~hmac=", "x" * 5000, "exp=1~hmac=\u0660"]
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    assert refused(PLAIN, token, URL) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("acl", "path", "fits"),
    [
        ("/live/*", "/live/ch1/a.m3u8", True),
        ("/live/*", "/live", False),
        ("/live/ch?/*", "/live/ch1/a", True),
        ("/live/ch?/*", "/live/ch12/a", False),
        ("/vod/*!/live/*", "/live/a", True),
        ("%2flive%2f*", "/live/a", True),
        ("/live/*", "/live/../vod/a", False),
        ("/live/*", "/%6cive/a", True),
        ("/live/*", "/live/a%2fb", False),
        ("*", "/anything", True),
    ],
)
def test_an_acl_is_compared_with_the_path_as_it_is_meant(acl: str, path: str, fits: bool) -> None:
    assert refused(PLAIN, minted(f"exp={END}~acl={acl}"), at(path)) is (None if fits else Reason.SCOPE_PATH)


def test_an_address_binds_the_session() -> None:
    token = minted(f"ip=192.0.2.7~exp={END}~acl=/*")
    assert proven(PLAIN, token, URL).session.bounds == Bounds(networks=("192.0.2.7/32",))
    assert refused(PLAIN, token, URL) is None
    for other in ("192.0.2.8", "2001:db8::7", ""):
        assert refused(PLAIN, token, at(URL.path, address=other)) is Reason.SCOPE_NETWORK


def test_the_transition_key_and_no_other() -> None:
    old, new = b"o" * 16, b"n" * 16
    keys = KeySet([TokenKey("new", "HS256", new), TokenKey("old", "HS256", old, retire_at=NOW + 10)])
    dialect = AkamaiDialect(TERMS, keys)
    fields = f"exp={END}~acl=/*"
    assert proven(dialect, minted(fields, key=new), URL).session.key_id == "new"
    assert proven(dialect, minted(fields, key=old), URL).session.key_id == "old"
    assert refused(dialect, minted(fields, key=old), URL, NOW + 10) is Reason.TOKEN_SIGNATURE
    assert refused(dialect, minted(fields), URL) is Reason.TOKEN_SIGNATURE
    assert refused(AkamaiDialect(TERMS, KeySet()), minted(fields), URL) is Reason.TOKEN_SIGNATURE


@pytest.mark.parametrize("name", ["sha1", "md5"])
def test_an_old_hash_is_taken_where_the_issuer_may_use_it(name: Any) -> None:
    token = minted(f"exp={END}~acl=/*", name)
    assert refused(PLAIN, token, URL) is Reason.TOKEN_SIGNATURE
    lenient = AkamaiDialect(TERMS, secrets(KEY), AkamaiOptions(hashes=("sha256", name)))
    assert refused(lenient, token, URL) is None
    assert refused(lenient, minted(f"exp={END}~acl=/*"), URL) is None


def test_escape_early() -> None:
    dialect = AkamaiDialect(TERMS, secrets(KEY), AkamaiOptions(escape_early=True, account="data"))
    token = minted(f"ip=2001%3adb8%3a%3a7~exp={END}~acl=%2flive%2f*~id=session-1~data=ann%40example%2c+de")
    here = at("/live/ch1/index.m3u8", address="2001:db8::7")
    session = proven(dialect, token, here).session
    assert (session.sid, session.account) == ("session-1", "ann@example, de")
    assert refused(dialect, token, here) is None
    assert refused(dialect, token, at("/vod/a", address="2001:db8::7")) is Reason.SCOPE_PATH
    url = minted(f"exp={END}", suffix="~url=%2flive%2fch1%2findex.m3u8")
    assert refused(dialect, url, here) is None
    assert refused(PLAIN, url, here) is Reason.TOKEN_SIGNATURE


def test_an_account_too_long_for_one_derives() -> None:
    dialect = AkamaiDialect(TERMS, secrets(KEY), AkamaiOptions(account="data"))
    long, longer = (minted(f"exp={END}~acl=/*~data={'x' * size}") for size in (129, 130))
    accounts = {proven(dialect, token, URL).session.account for token in (long, longer)}
    assert len(accounts) == 2
    assert all(len(account) == 22 for account in accounts)


def test_the_same_token_is_the_same_session_and_another_is_not() -> None:
    one, other = minted(f"exp={END}~acl=/*"), minted(f"exp={END - 1}~acl=/*")
    assert proven(PLAIN, one, URL).session == proven(PLAIN, one, at("/x")).session
    assert proven(PLAIN, one, URL).session.sid != proven(PLAIN, other, URL).session.sid


def test_a_minted_token_is_the_vector() -> None:
    fields: dict[str, str | int] = {"st": 1_790_000_000, "exp": END, "acl": "/live/*!/vod/*"}
    fields |= {"id": SID, "data": "tier-gold"}
    assert mint_acl_token(fields, KEY, AkamaiOptions(salt="pepper")) == ACL_TOKEN


def test_secrets_do_not_print_and_refusals_repeat_nothing() -> None:
    assert "pepper" not in repr(AkamaiOptions(salt="pepper"))
    for token in (minted("exp=1~acl=/secret*"), minted(f"exp={END}~acl=/*~id=secret id"), "exp=secret~hmac=00"):
        verdict = PLAIN.verify(token, URL, NOW)
        assert isinstance(verdict, Deny)
        assert "secret" not in verdict.detail


@given(
    st.text(max_size=120)
    | st.from_regex(r"(exp|acl|id|ip|data|st)=.{0,20}(~(exp|acl|id)=.{0,20}){0,3}", fullmatch=True)
)
def test_any_fields_are_judged_without_raising(fields: str) -> None:
    for token in (fields, minted(fields)) if fields.isascii() else (fields,):
        PLAIN.verify(token, URL, NOW)


def test_a_token_is_not_longer_than_it_may_be() -> None:
    assert refused(PLAIN, minted(f"exp={END}~acl=/*~data={'x' * MAX_TOKEN}"), URL) is Reason.TOKEN_MALFORMED
