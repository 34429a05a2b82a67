"""A client of the control API, for the customer's own Python programs, the command line and the tests.

async with Client("http://127.0.0.1:8081", key) as relay:
    done = await relay.revocations.revoke(account_id="viewer-1", reason="chargeback")
    seen = await relay.scenes.get("channel-one")
    await relay.scenes.set(scenes, stream_id="channel-one", if_match=seen.tag)

Bodies and answers are the Structs of :mod:`relay.api`.
"""

from relay.client.client import Client
from relay.client.errors import ClientError, ProblemError, UnreachableError
from relay.client.http import Tagged

__all__ = ["Client", "ClientError", "ProblemError", "Tagged", "UnreachableError"]
