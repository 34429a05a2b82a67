"""``/api/v1/webhooks``: who is told of what, how far they are, and a test."""

import asyncio
import time
from collections.abc import AsyncIterator
from secrets import token_hex
from urllib.parse import urlsplit

from aiohttp import web

from relay.api.webhooks import HookName, WebhookList, WebhookState, WebhookTest
from relay.background import in_background
from relay.config import Config
from relay.control.errors import BusyError, NotFoundError
from relay.control.notes import NOTES
from relay.control.requests import actor_of, json_answer
from relay.node import NODE, Node
from relay.operation import Operation
from relay.roles import OPERATORS, READERS
from relay.secrets import Secrets
from relay.webhooks.hook import Endpoint
from relay.webhooks.outbox import Outbox, Sender
from relay.webhooks.settings import EventType

PATH = "/api/v1/webhooks"
OUTBOX = web.AppKey("outbox", Outbox)


def endpoints_of(config: Config, secrets: Secrets) -> tuple[Endpoint, ...]:
    """The webhooks of a configuration."""
    return tuple(
        Endpoint(
            hook.name,
            hook.url,
            secrets.webhooks[hook.name],
            frozenset(hook.events),
            frozenset(hook.streams),
            hook.private,
        )
        for hook in config.webhooks
    )


async def keep_sending(app: web.Application) -> AsyncIterator[None]:
    """Tell the webhooks while the application lives."""
    async with in_background(app[OUTBOX].run()):
        yield


async def get_webhooks(request: web.Request) -> web.Response:
    """Every webhook of this node, and how far it is. Each node and worker tells of its own events by itself."""
    node = request.app[NODE]
    position = await asyncio.to_thread(lambda: node.journal.position)
    senders = request.app[OUTBOX].senders.values()
    return json_answer(WebhookList(webhooks=[_state(node, sender, position) for sender in senders]))


async def post_test(request: web.Request) -> web.Response:
    """Send a webhook a test event, once and now. If it is taken, whatever waits is sent again at once."""
    sender = request.app[OUTBOX].senders.get(request.match_info["name"])
    if sender is None:
        raise NotFoundError("no such webhook is configured, or it has not begun yet")
    if sender.tested.locked():
        raise BusyError("this webhook is being tested")
    actor = actor_of(request)
    async with sender.tested:
        event = request.app[OUTBOX].test_event(f"test-{token_hex(8)}")
        started = time.perf_counter()
        attempt = await sender.hook.attempt(event, event.encode())
    request.app[NOTES].audit(
        actor, "webhooks.test", {"id": sender.hook.endpoint.name, "status": attempt.status, "error": attempt.error}
    )
    return json_answer(
        WebhookTest(
            id=event.id,
            delivered=attempt.taken,
            status=attempt.status or None,
            error=attempt.error or None,
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )
    )


def _state(node: Node, sender: Sender, position: int) -> WebhookState:
    hook, endpoint = sender.hook, sender.hook.endpoint
    parts = urlsplit(endpoint.url)
    return WebhookState(
        name=endpoint.name,
        host=f"{parts.scheme}://{parts.netloc}",
        events=sorted(endpoint.events or EventType),
        streams=sorted(endpoint.streams),
        state="disabled" if hook.disabled else "failing" if hook.failures else "active",
        failures=hook.failures,
        behind=max(0, position - sender.position) + len(sender.passing),
        lag_s=0.0 if hook.owed_since is None else max(0.0, node.clock() - hook.owed_since),
        last_success=hook.last_success,
        last_failure=hook.last_failure,
        last_error=hook.last_error or None,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path=PATH,
        handler=get_webhooks,
        tag="Webhooks",
        roles=READERS,
        answers={200: WebhookList},
    ),
    Operation(
        method="POST",
        path=f"{PATH}/{{name}}/test",
        handler=post_test,
        tag="Webhooks",
        roles=OPERATORS,
        path_types={"name": HookName},
        answers={200: WebhookTest},
        errors=(NotFoundError, BusyError),
    ),
)
