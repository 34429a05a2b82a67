"""Errors of the key package."""


class KeysError(Exception):
    """Base of everything this package raises on purpose."""


class KeyRingError(KeysError):
    """A root key ring is unusable: empty, duplicated, or too short a secret."""


class SealError(KeysError):
    """A sealed value does not open: truncated, altered, or sealed for something else."""


class SignallingError(KeysError):
    """A DRM signalling blob (PSSH, PlayReady object, …) cannot be read or built."""


class ExchangeError(KeysError):
    """A key exchange document that cannot be read, or asks for what is not given. It may quote names, never keys."""


class LicenceRequestError(KeysError):
    """A player's licence request cannot be read. The player's fault; the message repeats none of its bytes."""


class LicenceRefusedError(KeysError):
    """A sound licence request that gets no licence. ``reason`` is a short code, stable, for counters and logs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BridgeError(KeysError):
    """A licence server or module of a DRM system's owner failed, or answered nonsense. The message is for the log."""
