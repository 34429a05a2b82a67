"""PlayReady licences: :class:`PlayReadyServer` opens challenges and issues licences; faults are for refusals."""

from keys.licences.playready.challenge import PlayReadyChallenge, ProtocolVersionError
from keys.licences.playready.response import Status, fault, fault_for
from keys.licences.playready.server import PlayReadyServer

__all__ = ["PlayReadyChallenge", "PlayReadyServer", "ProtocolVersionError", "Status", "fault", "fault_for"]
