"""FairPlay Streaming's key server module: a server playback context (SPC) in, a content key context (CKC) out.

Container version 1, as public key server implementations have it. The function that derives the shared secret
is Apple's and not here: operators plug in the one that came with their deployment package.
"""

from keys.licences.fairplay.credentials import DeriveSecret, FairPlayCredentials
from keys.licences.fairplay.server import FairPlayServer
from keys.licences.fairplay.spc import FairPlayChallenge, PlaybackContext, PlaybackState, Screen, SpcVersionError

__all__ = [
    "DeriveSecret",
    "FairPlayChallenge",
    "FairPlayCredentials",
    "FairPlayServer",
    "PlaybackContext",
    "PlaybackState",
    "Screen",
    "SpcVersionError",
]
