"""Every code that an answer of the relay may carry, each with a number for ever. ``docs/errors.md`` is this table.

Names and numbers are public. A number is never given to another code, even when its own is gone: programs, dashboards
and support texts refer to it. The thousands say whose affair it is: 1 the gate refuses, 2 the request is wrong, 3 the
origin fails, 5 the relay does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from relay.verdict import Reason


@dataclass(frozen=True, slots=True)
class Code:
    """``status`` is the HTTP status it usually comes with. ``aliases`` are the numbers that other vendors' players and
    platforms know it by.
    """

    number: int
    name: str
    status: int
    meaning: str
    aliases: Mapping[str, int] = field(default_factory=dict)


_ALL = (
    Code(1001, Reason.TOKEN_MISSING, 401, "no token came with the request"),
    Code(1002, Reason.TOKEN_MALFORMED, 400, "the token cannot be read"),
    Code(1003, Reason.TOKEN_CONFLICT, 400, "two different tokens came with one request"),
    Code(1004, Reason.KEY_UNKNOWN, 401, "no key of the issuer verifies the token"),
    Code(1005, Reason.TOKEN_SIGNATURE, 401, "the token's signature is wrong"),
    Code(1006, Reason.TOKEN_UNSUPPORTED, 401, "the token asks for what is not enforced here"),
    Code(1007, Reason.TOKEN_NOT_YET_VALID, 401, "the token is not valid yet"),
    Code(1008, Reason.TOKEN_EXPIRED, 401, "the token, or the session, has expired", {"doverunner": 7011}),
    Code(1009, Reason.TOKEN_AUDIENCE, 401, "the token is meant for somebody else"),
    Code(1101, Reason.REVOKED, 403, "the session, or what it belongs to, was revoked"),
    Code(1102, Reason.STATE_STALE, 503, "revocations or purchases may be missing here; ask again or elsewhere"),
    Code(1103, Reason.CONCURRENCY_LIMIT, 403, "too many streams of the account are playing"),
    Code(1104, Reason.NOT_ENTITLED, 403, "nothing that the account bought allows this now"),
    Code(1201, Reason.PROOF_MISSING, 401, "the token is bound to a key, and its proof is missing"),
    Code(1202, Reason.PROOF_INVALID, 401, "the proof of possession is wrong"),
    Code(1203, Reason.PROOF_NONCE, 401, "the proof must hold the nonce that comes with this answer"),
    Code(1204, Reason.REPLAYED, 401, "what may be used once was used before"),
    Code(1301, Reason.GEO_BLOCKED, 451, "not in this territory"),
    Code(1302, Reason.SCOPE_METHOD, 403, "the token does not allow the method"),
    Code(1303, Reason.SCOPE_PATH, 403, "the token does not allow the path"),
    Code(1304, Reason.SCOPE_HOST, 403, "the token does not allow the host"),
    Code(1305, Reason.SCOPE_HEADER, 403, "the token asks for a header that is not as it must be"),
    Code(1306, Reason.SCOPE_NETWORK, 403, "the token does not allow the client's network"),
    Code(1307, Reason.SCOPE_CONNECTION, 403, "the token does not allow the connection"),
    Code(1308, Reason.SCOPE_STREAM, 403, "the token does not allow the stream"),
    Code(1309, Reason.SCOPE_TRACK, 403, "above the best track type that the session may have"),
    Code(1310, Reason.SCOPE_URL, 403, "the URL was not made by the relay, or was edited"),
    Code(1311, Reason.SCOPE_KEY, 403, "none of the keys belongs to what the session may have"),
    Code(1312, Reason.WATERMARK_TOKEN, 403, "the segment is for viewers with a valid watermark token"),
    Code(1401, Reason.STREAM_UNKNOWN, 404, "there is no such stream, or it has no such manifest"),
    Code(1402, Reason.KEY_PENDING, 503, "the key is not released yet; ask again"),
    Code(1501, Reason.SYSTEM_UNSUPPORTED, 403, "licences of this DRM system are not issued here"),
    Code(1502, Reason.SECURITY_LEVEL, 403, "the device is not trusted enough for any of the keys"),
    Code(1503, Reason.OUTPUT_PROTECTION, 403, "the device cannot protect its outputs as any of the keys asks"),
    Code(1504, Reason.DEVICE_REFUSED, 403, "the device, or its certificate, is not served"),
    Code(1505, Reason.DEVICE_UNFIT, 403, "the device cannot keep the licence's terms"),
    Code(1506, Reason.LICENCE_PERSISTENCE, 403, "the licence may not be stored"),
    Code(1507, Reason.LICENCE_EXPIRED, 403, "the licence has expired and is not renewed"),
    Code(1508, Reason.DEVICE_REVOKED, 403, "the owner of the DRM system has withdrawn the device's certificate"),
    Code(1509, Reason.LICENCE_REFUSED, 403, "the licence server of the DRM system's owner refuses this device"),
    Code(2001, "request_invalid", 400, "the request makes no sense; its detail says where"),
    Code(2002, "request_malformed", 400, "not HTTP as it may be written"),
    Code(2003, "protocol_version", 400, "the player speaks a version of its protocol that is not spoken here"),
    Code(2004, "api_key", 401, "no API key, or one that is not known"),
    Code(2005, "role", 403, "the role of the API key may not do this"),
    Code(2006, "not_found", 404, "there is no such thing"),
    Code(2007, "method_not_allowed", 405, "not with this method"),
    Code(2008, "request_timeout", 408, "the request took too long to arrive"),
    Code(2009, "conflict", 409, "what is asked for contradicts what is there"),
    Code(2010, "idempotency_conflict", 409, "the idempotency key was used for another request"),
    Code(2011, "precondition_failed", 412, "what is there is not what the condition expects"),
    Code(2012, "request_too_large", 413, "more than one request may hold"),
    Code(2013, "request_entity_too_large", 413, "a larger body than is read here"),
    Code(2014, "media_type", 415, "a body of a kind that is not read here"),
    Code(2015, "expectation_failed", 417, "an Expect header other than 100-continue"),
    Code(2016, "rate_limited", 429, "as much of this is going on as may be; ask again later"),
    Code(2017, "too_many_channels", 429, "the session has too many event channels open"),
    Code(2018, "key_exchange", 422, "a key exchange document that cannot be read, or asks for what there is not"),
    Code(2019, "webhook_signature", 401, "the webhook's signature is missing, wrong or too old"),
    Code(2020, "leak_unreadable", 422, "the uploaded copy cannot be read"),
    Code(2021, "leak_too_large", 413, "the uploaded copy has more bytes than are taken"),
    Code(2022, "leak_not_video", 422, "the uploaded copy is no video in a container that is read here"),
    Code(2023, "leak_truncated", 422, "the uploaded copy ends before any of it can be read"),
    Code(2024, "leak_picture_size", 422, "the pictures of the uploaded copy are too large or too small"),
    Code(2025, "leak_too_long", 422, "the uploaded copy lasts longer than is taken"),
    Code(2026, "leak_without_frames", 422, "the uploaded copy has no video, or none that can be decoded"),
    Code(2027, "asset_unknown", 422, "there is no asset of the name that the copy is said to be of"),
    Code(2028, "analysis_pending", 409, "what is asked for comes when the analysis is done"),
    Code(2029, "analysis_limit", 422, "the uploaded copy took more memory or time than an analysis may"),
    Code(3001, "origin_error", 502, "the origin failed"),
    Code(3002, "origin_unreachable", 502, "the origin could not be reached"),
    Code(3003, "origin_status", 502, "the origin answered with an error"),
    Code(3004, "origin_missing", 404, "the origin has no such resource"),
    Code(3005, "origin_timeout", 504, "the origin took too long"),
    Code(3006, "origin_too_large", 502, "the origin sent more than is taken"),
    Code(3007, "origin_foreign", 502, "a manifest or redirect points outside the origin"),
    Code(3008, "origin_manifest", 502, "the origin's manifest cannot be rewritten"),
    Code(3009, "origin_media", 502, "the origin's media cannot be parsed"),
    Code(3010, "origin_media_unsupported", 502, "media that the relay does not know how to protect"),
    Code(3011, "origin_already_protected", 502, "the origin's media is encrypted already"),
    Code(3012, "transmitter_error", 502, "a transmitter of security events cannot be polled"),
    Code(3013, "licence_failed", 502, "what makes licences failed, here or at the owner of the DRM system"),
    Code(3014, "timeline_unknown", 503, "nobody knows where the stream stands, and its origin cannot be asked"),
    Code(5001, "internal", 500, "a bug in the relay; its log says more under the request's id"),
    Code(5002, "config_invalid", 500, "the configuration cannot be used"),
    Code(5003, "state_unwritable", 503, "the journal cannot be written; what was asked is not promised to last"),
    Code(5004, "overload", 503, "too much is open; ask again"),
    Code(5005, "licences_busy", 503, "more licences are asked for than can be made; ask again"),
    Code(5006, "probe_failed", 500, "a probe could not begin"),
    Code(5007, "analyses_busy", 503, "as many analyses wait, or are kept, as may be"),
    Code(5008, "analysis_unavailable", 501, "nothing is analysed on this node; the detail says what is missing"),
    Code(5009, "analysis_failed", 500, "an analysis failed; the log says more"),
    Code(5010, "analysis_interrupted", 500, "the relay ended twice during an analysis, which is not tried once more"),
    Code(5011, "asset_key_unknown", 500, "the asset was marked with a chip key that is not configured"),
    Code(5012, "asset_unserved", 500, "no stream is configured with the asset that the copy is of"),
    Code(5013, "watermark_asset_unreadable", 500, "the folder of an asset cannot be read"),
)
CODES: Mapping[str, Code] = {code.name: code for code in _ALL}
"""By name."""


def table() -> str:
    """The table for people, in Markdown."""
    lines = ["| number | code | status | meaning | elsewhere |", "|---|---|---|---|---|"]
    for code in _ALL:
        aliases = ", ".join(f"{vendor} {number}" for vendor, number in code.aliases.items())
        lines.append(f"| {code.number} | `{code.name}` | {code.status} | {code.meaning} | {aliases} |")
    return "\n".join(lines) + "\n"
