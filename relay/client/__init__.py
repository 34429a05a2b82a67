"""A client of the control API, for the customer's own Python programs, the command line and the tests.

async with Client("http://127.0.0.1:8081", key) as relay:
    done = await relay.revocations.revoke(account_id="viewer-1", reason="chargeback")
"""

from relay.client.client import Client
from relay.client.errors import ClientError, ProblemError, UnreachableError

__all__ = ["Client", "ClientError", "ProblemError", "UnreachableError"]
