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
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
    SimpleCheckConfig,
)

from relay.app import listening
from relay.operation import IDEMPOTENCY_KEY
from tests.control.desk import API_KEY, desk_config, desk_secrets

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
# Players' operations are the other listener's; the feed never ends, and is asked by hand below.
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
        async with listening(desk_config({"probe": "0s"}), desk_secrets(), Path()) as where:
            self.url = f"http://127.0.0.1:{where.control[1]}"
            self._ready.set()
            await self._done.wait()


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with Relay() as made:
        yield made


@schemathesis.serializer("application/x-ndjson", "application/secevent+jwt")
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
