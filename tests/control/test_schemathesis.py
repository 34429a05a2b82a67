"""Every operation of the control listener, asked by schemathesis: well-formed requests and others.

It makes its requests from the published document, and holds every answer against it: the status must be one that the
document tells of, the body as its schema says, and never is it the relay's fault.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from aiohttp import web
from aiohttp.test_utils import TestServer
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
    SimpleCheckConfig,
)
from schemathesis.core import NOT_SET

from relay.app import listening
from relay.config import Config
from relay.edge.licence import OPERATIONS as PLAYERS
from relay.operation import IDEMPOTENCY_KEY
from tests.control.desk import API_KEY, desk_config, desk_secrets
from tests.edge.world import VECTORS
from tests.keys.exchange.material import REQUEST

DOCUMENT = json.loads((Path(__file__).parent.parent.parent / "docs" / "openapi.json").read_bytes())
EXAMPLES = 20
FRAMING = (414, 431)
"""More than a request line or its headers may hold: told before anybody looks at what is asked."""
HEADERS = {"Authorization": f"Bearer {API_KEY}"}

schema = schemathesis.openapi.from_dict(
    DOCUMENT,
    config=SchemathesisConfig(
        seed=1,
        projects=ProjectsConfig(
            default=ProjectConfig(
                generation=GenerationConfig(max_examples=EXAMPLES, deterministic=True),
                checks=ChecksConfig(
                    # Rules between the members of a body, and which cursors were given out, are beyond a schema.
                    positive_data_acceptance=PositiveDataAcceptanceConfig(enabled=False),
                    # A name below a path with a parameter is told the methods of both.
                    allow_header_conformance=SimpleCheckConfig(enabled=False),
                ),
                request_timeout=10,
            )
        ),
    ),
)
# Players' operations are the other listener's; the feed never ends.
asked = schema.exclude(tag="Players").exclude(path="/api/v1/revocations/stream")


class Relay:
    """A node with both its listeners, in a thread of its own: what asks it is synchronous."""

    def __init__(self) -> None:
        self.url = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._done = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Relay":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        origin = web.Application()
        origin.router.add_static("/", VECTORS)
        async with TestServer(origin) as server:
            streams = {"vod": {"origin": str(server.make_url("/clear/")), "hls": "master.m3u8"}}
            # No assets are there, but without a folder nothing would be looked at.
            analysis = {"assets": str(VECTORS)}
            await self._serve_before(desk_config({"probe": "0s"}, streams=streams, watermark={"analysis": analysis}))

    async def _serve_before(self, config: Config) -> None:
        async with listening(config, desk_secrets(), Path()) as where:
            self.url = f"http://127.0.0.1:{where.control[1]}"
            self._ready.set()
            await self._done.wait()


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with Relay() as made:
        yield made


@schemathesis.serializer("application/xml", "application/x-ndjson", "application/secevent+jwt", "video/mp4")
def as_it_is(_: schemathesis.SerializationContext, value: object) -> bytes:
    return str(value).encode()


@asked.parametrize()
def test_what_the_document_says_is_so(case: schemathesis.Case[Any], relay: Relay) -> None:
    key = case.headers.get(IDEMPOTENCY_KEY.name)
    if isinstance(key, str) and 0 < len(key) <= 128:
        # Those that are made up come again with other calls, and the refusal of that would hide what follows.
        case.headers[IDEMPOTENCY_KEY.name] = uuid4().hex
    answer = case.call(base_url=relay.url, headers=HEADERS)
    if answer.status_code in FRAMING:
        return
    case.validate_response(answer)


class Operator:
    """Asks each operation for what it is there for; every answer must be a success, and as the document says."""

    def __init__(self, relay: Relay) -> None:
        self._url = relay.url
        self.asked: set[tuple[str, str]] = set()

    def __call__(self, method: str, path: str, body: Any = NOT_SET, **parts: Any) -> Any:
        headers = {IDEMPOTENCY_KEY.name: uuid4().hex, **parts.pop("headers", {})} if method != "GET" else {}
        case = schema[path][method].Case(body=body, headers=headers, **parts)
        answer = case.call_and_validate(base_url=self._url, headers=HEADERS)
        assert answer.status_code < 300, answer.text
        self.asked.add((method, path))
        return answer.json() if answer.content.startswith((b"{", b"[")) else None


def test_every_operation_succeeds_as_the_document_says(relay: Relay) -> None:
    ask, api, taas = Operator(relay), "/api/v1/revocations", "/taas/v2/revocation-lists"
    item = {"type": "account", "value": "a", "issuer": "i", "reason": "r", "duration_s": 60}
    ask("POST", "/api/v1/drm/revoke", {"device_id": "d", "issuer": "i"})
    for media_type, body in (("application/json", [item]), ("application/x-ndjson", json.dumps(item) + "\n")):
        done = ask("POST", api, body, media_type=media_type, query={"wait": "all"})
    ask("POST", api, {"type": "session-version", "value": "a", "max_version": 3}, media_type="application/json")
    ask("POST", f"{api}/preview", item)
    one = {"id": done["id"]}
    assert ask("GET", f"{api}/{{id}}", path_parameters=one)["target"]["issuer"] == "i"
    assert ask("GET", api, query={"type": "account", "value": "a", "issuer": "i"})["revoked"]
    page = ask("GET", api, query={"limit": 1})
    assert page["next"]
    assert ask("GET", api, query={"limit": 1, "cursor": page["next"]}) != page
    ask("DELETE", f"{api}/{{id}}", path_parameters=one, query={"reason": "r", "wait": "quorum"})
    blocked = {"kind": "users", "id": "u"}
    ask("POST", "/api/v1/blocks/{kind}/{id}", {"reason": "r"}, path_parameters=blocked)
    for method in ("GET", "DELETE", "GET"):
        ask(method, "/api/v1/blocks/{kind}/{id}", path_parameters=blocked)
    assert ask("GET", "/api/v1/audit", query={"limit": 1})["entries"]
    made = {"list": str(ask("POST", taas, {"name": uuid4().hex, "contractId": "c"})["id"])}
    ask("GET", taas)
    ask("POST", f"{taas}/{{list}}/identifiers/add", [{"id": "s1"}, {"id": "s2"}], path_parameters=made)
    ask("POST", f"{taas}/{{list}}/identifiers/remove", ["s2"], path_parameters=made)
    ask("GET", f"{taas}/{{list}}/identifiers/{{token}}", path_parameters={**made, "token": "s1"})
    for rest in ("", "/identifiers", "/meta", "/properties"):
        assert ask("GET", f"{taas}/{{list}}{rest}", path_parameters=made)
    ask("PUT", f"{taas}/{{list}}", {"name": uuid4().hex}, path_parameters=made)
    ask("DELETE", f"{taas}/{{list}}", path_parameters=made)
    for path in (f"{api}/meta", f"{api}/snapshot", "/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs"):
        ask("GET", path)
    for file in ("page.js", "page.css"):
        ask("GET", "/api/docs/{file}", path_parameters={"file": file})
    usage = {"viewers": 10, "duration_s": 3600, "renewal_interval_s": 60}
    ask("POST", "/api/v1/drm/license/estimate", usage)
    ask("GET", "/api/v1/keys/cpix", query={"stream": "vod", "period": 0})
    ask("POST", "/api/v1/keys/cpix", REQUEST, media_type="application/xml")
    ask("POST", "/api/v1/keys/speke", REQUEST, media_type="application/xml", headers={"X-Speke-Version": "2.0"})
    policy, rotation = "/api/v1/drm/protection-policy", "/api/v1/drm/key-rotation"
    scene = {"label": "main", "start": "00:00:01", "end": "00:00:05", "drm_level": "L1", "hdcp": "2.2"}
    for method in ("PUT", "POST"):
        ask(method, policy, {"scenes": [scene]}, query={"wait": "all"})
        ask(method, rotation, {"stream_id": "vod", "key_rotation": {"enabled": True, "interval_minutes": 5}})
    assert ask("GET", policy, query={"stream_id": "vod"})["scenes"]
    assert ask("GET", f"{policy}/timeline", query={"at": "00:00:02"})["stream_id"] == "vod"
    assert ask("GET", rotation, query={"stream_id": "vod"})
    ask("POST", f"{rotation}/emergency", {"stream_id": "vod", "reason": "a key was seen elsewhere"})
    ask("DELETE", policy, query={"stream_id": "vod"})
    group = {"name": "sports"}
    ask("PUT", "/api/v1/drm/groups/{name}", {"drm_level": "High", "rotation_minutes": 5}, path_parameters=group)
    ask("GET", "/api/v1/drm/groups/{name}", path_parameters=group)
    assert ask("GET", "/api/v1/drm/groups")
    for name in ("sports", None):
        ask("PUT", "/api/v1/streams/{id}/group", {"group": name}, path_parameters={"id": "vod"})
    ask("DELETE", "/api/v1/drm/groups/{name}", path_parameters=group)
    assert ask("GET", "/api/v1/streams")
    assert ask("GET", "/api/v1/streams/{id}", path_parameters={"id": "vod"})
    issued = {"account_id": "viewer", "stream_ids": ["vod"], "expires_in": 60}
    session = {"session_id": ask("POST", "/api/v1/sessions", issued)["session_id"]}
    ask("GET", "/api/v1/sessions", query={"account_id": "viewer"})
    ask("POST", "/api/v1/sessions/{session_id}/renew", {"expires_in": 60}, path_parameters=session)
    ask("GET", "/api/v1/drm/license/{session_id}/status", path_parameters=session)
    ask("DELETE", "/api/v1/sessions/{session_id}", path_parameters=session)
    ask("GET", "/api/v1/webhooks")
    sale = {"id": uuid4().hex, "type": "purchase", "account_id": "buyer", "stream_id": "vod", "valid_for_seconds": 60}
    ask("POST", "/api/v1/purchases", sale, media_type="application/json")
    bought = {"id": ask("GET", "/api/v1/entitlements", query={"account_id": "buyer"})["entitlements"][0]["id"]}
    for method in ("GET", "DELETE"):
        ask(method, "/api/v1/entitlements/{id}", path_parameters=bought)
    marks, mark = "/api/v1/drm/watermark", {"id": "mark-1"}
    assert ask("GET", f"{marks}/candidates", query={"asset": "film"}) == {"complete": True, "missing": []}
    ask("POST", f"{marks}/mappings", {"watermark_id": "mark-1", "session_id": "s1"})
    for method in ("GET", "DELETE"):
        ask(method, f"{marks}/mappings/{{id}}", path_parameters=mark)
    for verdict in ("approve", "dismiss"):
        told = {"id": uuid4().hex, "watermark_id": "mark-1", "confidence": 0.5, "evidence": {"url": "u"}}
        detection = {"id": ask("POST", f"{marks}/detections", told)["id"]}
        ask("POST", f"{marks}/detections/{{id}}/{verdict}", {"reason": "r"}, path_parameters=detection)
    ask("GET", f"{marks}/detections/{{id}}", path_parameters=detection)
    assert ask("GET", f"{marks}/detections", query={"state": "dismissed"})["detections"]
    ask("GET", f"{marks}/candidates", query={"asset": "vod", "first": 0, "last": 1})
    analyses = "/api/v1/drm/watermark/analyses"
    ask("GET", analyses, query={"limit": 1})
    every = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    # Of one node alone nothing is ever left to report. What a transmitter pushes is in test_ssf.py, the feed in
    # test_feed.py, what packagers sign in test_keys.py, what endpoints are sent in test_webhooks.py, what is told of a
    # session that plays in test_sessions.py, copies to analyse in test_analyses.py.
    elsewhere = {
        ("POST", "/api/v1/drm/watermark/analyze"),
        ("GET", f"{analyses}/{{id}}"),
        ("GET", f"{analyses}/{{id}}/report"),
        ("GET", f"{analyses}/{{id}}/report.json"),
        ("DELETE", f"{analyses}/{{id}}"),
        ("GET", f"{api}/status/{{id}}"),
        ("POST", "/ssf/events"),
        ("GET", f"{api}/stream"),
        ("POST", "/api/v1/keys/widevine"),
        ("POST", "/api/v1/webhooks/{name}/test"),
        ("GET", "/api/v1/sessions/{session_id}"),
    }
    of_players = {(one.method, one.path) for one in PLAYERS}
    assert every - ask.asked == elsewhere | of_players
