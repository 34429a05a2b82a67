"""Writes the good inputs of the corpus anew: ``python -m tests.fuzz.seeds``.

What stands in the corpus under other names was found by fuzzing, or thought up, and is kept for ever.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import md5, sha256
from typing import Any

import cbor2
import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys import base64url
from keys.model import Security, TrackType
from keys.seal import Sealer
from relay.bounds import Bounds
from relay.gate.dialects.cat import mint_cat
from relay.gate.dialects.cat_claims import LABELS
from relay.gate.passes import _CONTEXT
from relay.gate.targets import TargetType
from relay.model import Session, StreamLimit
from relay.sessions.records import Licensed, Refused, encode_record
from relay.sources import ByteRange, Source
from relay.state.events import Action, Event, Revocation, SaltDrawn, encode_batch, encode_event
from relay.state.messages import Claim, Envelope, Heartbeat, Message, Report, spans_of
from relay.state.state import State
from relay.urls import ClearRef, InitRef, KeyRef, PlaylistRef, SegmentRef, SlotRef
from relay.verdict import Reason
from tests.fuzz.documents import URLS, _signed_set
from tests.fuzz.exchange import GOOD_INPUTS
from tests.fuzz.target import CORPUS, GOOD
from tests.fuzz.tokens import (
    ENCRYPTION_KEY,
    HERE,
    LINK_SIGNER,
    PASSES,
    SIGN_STATUS_LIST,
    STATUS_LIST_URI,
    _jws,
    _sign_akamai,
    _sign_media_cdn,
)
from tests.fuzz.watermark import WATERMARK_INPUTS
from tests.gate import platform
from tests.gate.links import END, KEY, NOW, TERMS
from tests.gate.test_dpop import JWKS, proof
from tests.media.material import VECTORS

_GOLDEN = VECTORS.parent / "golden"
_ES_KEY, _PLATFORM = platform.SIGNERS["es-1"], platform.TERMS.issuer
_STATUS = {"status_list": {"idx": 1, "uri": STATUS_LIST_URI}}
_THUMBPRINT = base64url.encode(bytes(32))


def _json(*values: Any) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in values)


def _jwt_claims() -> dict[str, bytes]:
    paths = [
        {"path": {"prefix": "/live/"}},
        {"host": {"exact": "edge.example"}, "filename": {"regex": ["[a-z]+[.]mpd"]}},
    ]
    narrow = {
        "ent": ["vod", "news"], "mth": ["GET"], "net": ["192.0.2.0/24", "AS64500"], "geo": ["DE", "FR-75"], "sver": 3,
        "hdr": {"X-Tier": {"exact": "gold"}}, "did": "device-1", "wmid": "mark-1", "reval": 5, "req": ["paths", "net"],
        "drm": {"max_track": "hd"}, "csl": {"limit": 2, "mode": "ask", "scope": "title", "count": "devices"},
    }  # fmt: skip
    renewed = {"rnw": {"add": 120, "deadline": 60, "via": "cookie", "name": "again"}, "use": "watch", "x": 1.5}
    return {
        "plain": _json(platform.CLAIMS),
        "listed": _json({**platform.CLAIMS, "status": _STATUS}),
        "narrow": _json({**platform.CLAIMS, "paths": paths, **narrow}),
        "renewed": _json({**platform.CLAIMS, **renewed, "cnf": {"jkt": _THUMBPRINT}}),
        "header": _json({**platform.HEADER, "x": [1.5, None]}, platform.CLAIMS),
    }


def _status_lists() -> dict[str, bytes]:
    said = {"sub": STATUS_LIST_URI, "iat": NOW}
    one, two = (
        {"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
        {"bits": 2, "lst": "eNo76fITAAPfAgc", "aggregation_uri": "https://a/"},
    )
    return {
        "one": _json({**said, "exp": NOW + 600, "ttl": 60, "status_list": one}),
        "two": _json({**said, "iss": _PLATFORM, "nbf": NOW, "ttl": 0.5, "status_list": two}),
    }


_CAT = {"iss": _PLATFORM, "aud": "edge", "sub": "acct-42", "exp": NOW + 600, "iat": NOW, "cti": bytes(range(8))}


def _cat_claims() -> dict[str, dict[Any, Any]]:
    return {
        "plain": {**_CAT, "catu": {3: {1: "/live/ch1/"}}, "catv": 1, "catm": ["GET", "HEAD"]},
        "listed": {**_CAT, "status": _STATUS},
        "narrow": {
            **_CAT, "catu": {1: {0: "edge.example"}, 3: {4: ["/live/ch1/.*", "i"]}, 8: {-1: sha256(b"m3u8").digest()}},
            "cath": {"x-tier": {0: "gold"}}, "catgeoiso3166": ["DE"], "cnf": {3: bytes(32)}, "catdpop": {0: 60, 1: 1},
            "catnip": [cbor2.CBORTag(52, [24, bytes([192, 0, 2])]), 64500, cbor2.CBORTag(54, bytes(16))],
            "catreplay": 2, "sver": 1, "ent": ["vod"], "did": "d",
        },
        "renewed": {
            **_CAT, "catu": {3: {1: "/live/ch1/"}}, "catr": {0: 2, 1: 120, 2: NOW + 500, 4: "X-Again", 6: "a=b"},
            "catif": {4: [302, {"Location": "https://sign.in/"}], 311: [403]},
        },
    }  # fmt: skip


def _cat_bytes(claims: Mapping[Any, Any]) -> bytes:
    return cbor2.dumps({LABELS.get(name, name): value for name, value in claims.items()})


def _jwe(text: str) -> str:
    protected = base64url.encode(b'{"enc":"A128GCM","alg":"dir"}')
    sealed = AESGCM(ENCRYPTION_KEY).encrypt(bytes(12), text.encode(), protected.encode())
    return (
        f"{protected}..{base64url.encode(bytes(12))}.{base64url.encode(sealed[:-16])}.{base64url.encode(sealed[-16:])}"
    )


def _uri_claims() -> dict[str, bytes]:
    base = {"iss": TERMS.issuer, "exp": END, "iat": NOW, "jti": "nonce-1"}
    uri = r"regex:https://edge\.example/live/ch1/[a-z]+\.m3u8\?a=1&b=2"
    digest = base64url.encode(sha256(f"https://edge.example{HERE.path}?{HERE.query}".encode()).digest())
    return {
        "regex": _json({**base, "cdniuc": uri, "cdniv": 1, "aud": "edge", "cdnicrit": "cdniuc"}),
        "hash": _json(
            {**base, "cdniuc": f"hash:sha-256;{digest}", "cdniets": 30, "cdnistt": 1, "cdnistd": 2, "x": 1.5}
        ),
        "sealed": _json({**base, "cdniuc": uri, "sub": _jwe("account-7"), "cdniip": _jwe("[2001:db8::/32]")}),
    }


_LINK_JWT = {"exp": END, "nbf": NOW, "iat": NOW, "paths": ["/live/ch1"], "exc": [], "headers": [], "qs": []}


def _secure_media() -> dict[str, bytes]:
    mac = base64url.encode(hmac.digest(KEY, b"192.0.2.7:DE:tv:1", sha256))
    bound = {"ip": True, "ip_ver": 4, "co": True, "headers": ["user-agent"], "qs": ["a"], "intsig": mac}
    return {"plain": _json(_LINK_JWT), "bound": _json({**_LINK_JWT, **bound})}


def _akamai() -> dict[str, bytes]:
    return {
        "acl": f"st={NOW}~exp={END}~acl=/live/*!/vod/*~id=session-1~data=account%201".encode(),
        "url": f"exp={END}".encode(),
        "address": f"ip=192.0.2.7~exp={END}~acl=/live/ch?/*".encode(),
    }


def _media_cdn() -> dict[str, bytes]:
    ranges, prefix = base64url.encode(b"192.0.2.0/24"), base64url.encode(b"https://edge.example/live/ch1")
    return {
        "globs": f"PathGlobs=/live/*,/live/a?/*~Starts={NOW}~Expires={END}~SessionID=s1~Data=account".encode(),
        "prefix": f"URLPrefix={prefix}~Expires={END}~IPRanges={ranges}".encode(),
        "path": f"FullPath~Expires={END}".encode(),
        "headers": f"PathGlobs=/live/*~Expires={END}~Headers=x-tier".encode(),
    }


def _secure_link() -> bytes:
    digest = md5(f"{END}{HERE.path}{HERE.address} ".encode() + KEY).digest()
    return f"{base64url.encode(digest)},{END}".encode()


def _fastly() -> bytes:
    return f"{END}_{hmac.digest(KEY, f'{HERE.path}?{HERE.query}{END}'.encode(), 'sha1').hex()}".encode()


def _sets() -> dict[str, bytes]:
    caep, risc = (
        "https://schemas.openid.net/secevent/caep/event-type/",
        "https://schemas.openid.net/secevent/risc/event-type/",
    )
    base = {"iss": "https://idp.example", "aud": "edge", "jti": "set-1", "iat": NOW - 10}
    opaque, user = (
        {"format": "opaque", "id": "session-1"},
        {"format": "iss_sub", "iss": "https://idp.example", "sub": "u"},
    )
    cases: dict[str, tuple[Any, str, dict[str, Any]]] = {
        "session": (opaque, caep + "session-revoked", {"reason_admin": {"en": "left"}, "event_timestamp": NOW - 20}),
        "complex": ({"format": "complex", "user": user, "device": opaque}, caep + "session-revoked", {}),
        "credential": (user, caep + "credential-change", {"change_type": "revoke"}),
        "device": (opaque, caep + "device-compliance-change", {"current_status": "not-compliant"}),
        "token": ({"format": "jwt_id", "iss": "i", "jti": "t"}, caep + "session-revoked", {}),
        "disabled": (
            {"format": "account", "uri": "acct:a@b.example"},
            risc + "account-disabled",
            {"reason_admin": "x"},
        ),
    }
    return {name: _json({**base, "sub_id": sub, "events": {kind: event}}) for name, (sub, kind, event) in cases.items()}


_ITEMS: list[dict[str, Any]] = [
    {"type": "session", "value": "s1", "reason": "shared", "detail": "seen twice", "duration_s": 60},
    {"type": "network", "value": "192.0.2.0/24", "expires_at": NOW + 600},
    {"type": "account", "value": "a\u00fc", "issuer": "i", "effective_at": "2027-01-31T20:15:00Z"},
    {"type": "session-version", "value": "a", "max_version": 3},
    {"type": "issued-before", "issuer": "i", "before": NOW - 5},
    {"type": "stream", "value": "news", "viewer": "a", "action": "restore"},
]


def _events() -> list[Event]:
    origin = "00112233445566aa"
    base = {"origin": origin, "action": Action.REVOKE, "created_at": float(NOW), "expires_at": NOW + 600.0}
    made: list[Event] = [
        Revocation(seq=at, order=(NOW * 1000 + at) << 16, type=kind, value="192.0.2.0/24", limit=at, **base)  # type: ignore[arg-type]
        for at, kind in enumerate(TargetType, start=1)
    ]
    scheduled = msgspec.structs.replace(made[0], seq=20, value="later", effective_at=NOW + 60.0, sources=("taas:1",))
    return [*made, scheduled, SaltDrawn(origin=origin, seq=21, stream="news", period=600_000, salt=bytes(32))]


def _messages() -> dict[str, Message | Heartbeat | Report | Claim]:
    events = _events()
    return {
        "message": Message("0" * 16, True, spans_of(events), encode_batch(events)),
        "heartbeat": Heartbeat("node-a", "1" * 16, float(NOW), {"0" * 16: 5}, {"2" * 16: 9}),
        "report": Report("node-b", "2" * 16, [("0" * 16, 1, 9)], 3, 4),
        "claim": Claim("salt:news:600000", bytes(32)),
    }


def _records(found: dict[str, dict[str, bytes]]) -> None:
    session = Session(
        "session-1", "account-1", _PLATFORM, END, "token-1", "device-1", frozenset({"vod"}), TrackType.HD, "k1", NOW, 2,
        "mark-1", StreamLimit(2), Bounds(("GET",), ("192.0.2.0/24",), ("DE",), _THUMBPRINT, 60, True, 5),
    )  # fmt: skip
    short = Session("s", "a", "i", END)
    found["pass"] = {"whole": PASSES.mint(session).encode(), "short": PASSES.mint(short).encode()}
    found["pass-body"] = {
        name: Sealer([bytes(32)]).open(minted.decode(), _CONTEXT) for name, minted in found["pass"].items()
    }
    envelope = Envelope(Sealer([bytes(32)]))
    found["envelope"] = {name: envelope.seal(told) for name, told in _messages().items()}
    for name, told in _messages().items():
        found[name] = {"one": msgspec.msgpack.encode(told)}
    found["event"] = {f"{at:02}": encode_event(event) for at, event in enumerate(_events())}
    licensed = Licensed(
        session=session, at=NOW, node="a", stream="vod", system="widevine", expires_at=END, renew_by=NOW + 45.5,
        device_level=Security.HARDWARE, key_level=Security.SOFTWARE, tracks=(TrackType.SD,), device="00" * 16,
        model="Box", scene="main", newest=600_000,
    )  # fmt: skip
    refused = Refused(session=short, at=NOW, node="a", stream="vod", reason=Reason.REVOKED)
    found["session-record"] = {"licensed": encode_record(licensed), "refused": encode_record(refused)}
    state = State()
    for event in _events():
        state.apply(event, NOW)
    pieces = list(state.dump())
    found["snapshot-piece"] = {f"{at:02}": piece for at, piece in enumerate(pieces) if len(piece) <= 4096}
    small = [msgspec.msgpack.encode({"00112233445566aa": 21}), *(piece for piece in pieces if piece[:1] != b"r")]
    found["snapshot"] = {"small": b"".join(len(piece).to_bytes(4) + piece for piece in small) + bytes(4)}
    found["last-event-id"] = {
        "wall": b"2~cenc~audio.hd~0~wall-600000",
        "two": b"2~cbcs~audio.sd.hd.uhd~0~media-0~sequence-1200000",
    }


def _documents(found: dict[str, dict[str, bytes]]) -> None:
    rule = {"scheme": {"exact": "https"}, "path": {"prefix": "/live/", "suffix": ".m3u8"}, "query": {"contains": "a=1"}}
    found["scope-json"] = {
        "paths": _json([rule, {"stem": {"regex": ["[a-z]{1,9}", "i"]}, "host": {"sha256": _THUMBPRINT}}]),
        "headers": _json({"X-Tier": {"exact": "gold"}, "user-agent": {"sha512-256": _THUMBPRINT}}),
    }
    found["scope-cbor"] = {
        name: cbor2.dumps(claims[label])
        for name, claims, label in (
            ("uris", _cat_claims()["narrow"], "catu"),
            ("headers", _cat_claims()["narrow"], "cath"),
        )
    }
    found["pattern"] = {
        "path": b"/live/[a-z0-9_-]{1,32}/(a|b(c|d)*)?[^/]+\\.m3u8\n/live/ch1/bcdx.m3u8",
        "any": b".*\nA",
    }
    found["glob"] = {"path": b"/live/*/a?.m4s\n/live/ch1/x/a1.m4s"}
    found["path"] = {"plain": b"/live/ch1/%41.m3u8\nedge.example:8443", "dots": b"/a/./b/../c\n[::1]:443"}
    tokens = {
        name: next(iter(found[name].values())).decode() for name in ("jwt", "cat", "akamai", "fastly", "media-cdn")
    }
    link = found["secure-link"]["link"].decode().split(",")
    found["carriers"] = {
        "header": f"\n\nAuthorization: Bearer {tokens['jwt']}".encode(),
        "cookie": f'\na=1\nCookie: x=y; CTA-Common-Access-Token="{tokens["cat"]}"'.encode(),
        "path": f"hdntl={tokens['akamai']}\n\n".encode(),
        "query": f"\na=1&edge-cache-token={tokens['media-cdn']}&b=2\n".encode(),
        "joined": f"\nexpires={link[1]}&md5={link[0]}\n".encode(),
        "twice": f"\ntoken={tokens['jwt']}\nCookie: segmentgate={tokens['jwt']}".encode(),
    }
    found["forwarded"] = {"chain": b"203.0.113.9, 198.51.100.7, 10.0.0.2", "six": b"2001:db9::1,2001:db8::2"}
    head = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": JWKS["EdDSA"]}
    good = proof("EdDSA")
    found["dpop"] = {"proof": good.encode()}
    found["dpop-claims"] = {"proof": _json(head, json.loads(base64url.decode(good.split(".")[1])))}
    rsa = {
        "kty": "RSA",
        "n": base64url.encode(bytes([255]) * 256),
        "e": "AQAB",
        "kid": "r",
        "use": "sig",
        "alg": "PS256",
    }
    jwks = [{**JWKS["ES256"], "kid": "e", "key_ops": ["verify"]}, {**JWKS["EdDSA"], "kid": "o"}, rsa, {"kty": "oct"}]
    found["jwks"] = {"set": _json({"keys": jwks})}
    found["items-array"] = {"array": _json(_ITEMS), "one": _json(_ITEMS[0])}
    found["items-lines"] = {"lines": _json(*_ITEMS)}
    found["body"] = {
        "revoke": _json({"account_id": "a", "issuer": "i", "reason": "r"}),
        "block": _json({"reason": "r", "duration_s": 5}),
        "list": _json({"name": "list-1", "contractId": "c"}),
        "identifiers": _json([{"id": "s1", "durationSeconds": 60}]),
        "ids": _json(["s1", "s2"]),
    }
    found["set-claims"] = _sets()
    found["set"] = {"session": _signed_set(_sets()["session"]).encode()}
    found["network"] = {"four": b"192.0.2.0/24", "six": b"2001:db8::/32", "one": b"::ffff:192.0.2.1", "as": b"AS64500"}
    slot, source = SlotRef(TrackType.HD, 1, 600_000), Source("a/v%201.m4s", "sig=x")
    refs = {
        "playlist": PlaylistRef(source, TrackType.HD),
        "init": InitRef(source, replace(slot, period=None), ByteRange(0, 100)),
        "segment": SegmentRef(source, slot, ByteRange(5, None), Source("a/init.mp4"), None, 7),
        "clear": ClearRef(source),
        "key": KeyRef(slot),
    }
    found["url"] = {name: URLS.write(ref).replace("?", "\n", 1).encode() for name, ref in refs.items()}  # type: ignore[arg-type]
    found["clear-key"] = {
        "two": _json({"kids": [base64url.encode(bytes([at]) * 16) for at in (1, 2)], "type": "temporary"})
    }


def _media(found: dict[str, dict[str, bytes]]) -> None:
    for kind, suffix in (("hls", "m3u8"), ("dash", "mpd")):
        found[kind] = {
            path.stem.removesuffix(".in"): path.read_bytes() for path in (_GOLDEN / kind).glob(f"*.in.{suffix}")
        }
    del found["hls"]["variables"]  # imports what only its multivariant playlist knows
    found["init"] = {name: (VECTORS / f"clear/{name}_init.mp4").read_bytes() for name in ("a", "v")}
    found["segment"] = {"a": (VECTORS / "clear/a_6.m4s").read_bytes()}


def seeds() -> dict[str, dict[str, bytes]]:
    """Every good input by target and name."""
    uris, sign_link = _uri_claims(), _jws(LINK_SIGNER, {"typ": "JWT"})
    cats = {name: _cat_bytes(claims) for name, claims in _cat_claims().items()}
    here: dict[str, Any] = {"paths": [{"path": {"prefix": "/live/"}}]}
    found = {
        "jwt": {kid: platform.token(kid, **here).encode() for kid in platform.SIGNERS},
        "cat": {
            "mac": mint_cat(_cat_claims()["plain"], "hs-1", *platform.SIGNERS["hs-1"]).encode(),
            "renewed": mint_cat(_cat_claims()["renewed"], "ed-1", *platform.SIGNERS["ed-1"]).encode(),
            "signed": mint_cat(_cat_claims()["plain"], "es-1", *_ES_KEY).encode(),
        },
        "akamai": {name: _sign_akamai(fields).encode() for name, fields in _akamai().items()},
        "uri-signing": {name: sign_link(claims).encode() for name, claims in uris.items() if name != "sealed"},
        "media-cdn": {name: _sign_media_cdn(fields).encode() for name, fields in _media_cdn().items()},
        "secure-media": {name: sign_link(claims).encode() for name, claims in _secure_media().items()},
        "secure-link": {"link": _secure_link()},
        "fastly": {"link": _fastly()},
        "jwt-claims": _jwt_claims(),
        "cat-claims": cats,
        "status-list-claims": _status_lists(),
        "uri-signing-claims": uris,
        "secure-media-claims": _secure_media(),
        "akamai-fields": _akamai(),
        "media-cdn-fields": _media_cdn(),
    }
    found["status-list"] = {name: SIGN_STATUS_LIST(claims).encode() for name, claims in _status_lists().items()}
    found["cat-message"] = {name: base64url.decode(token.decode()) for name, token in found["cat"].items()}
    _documents(found)
    _records(found)
    _media(found)
    return found | GOOD_INPUTS | WATERMARK_INPUTS


def main() -> None:
    """Write them, over those of before."""
    for target, inputs in seeds().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"{GOOD}*"):
            path.unlink()
        for name, data in inputs.items():
            (folder / f"{GOOD}{name}").write_bytes(data)


if __name__ == "__main__":
    main()
