"""Commands for operators of a running relay: each is a call of its control listener."""

from relay.commands.operate.nodes import status, streams, webhooks
from relay.commands.operate.policies import rotation, scenes
from relay.commands.operate.viewers import entitlements, licence_status, restore, revoke, sessions

COMMANDS = (revoke, restore, status, scenes, rotation, streams, sessions, entitlements, webhooks)

__all__ = ["COMMANDS", "licence_status"]
