"""What the embedder cannot do. It answers no requests, so its errors have no codes of their own."""

from relay.errors import RelayError


class EmbedError(RelayError):
    """A source that cannot be marked, or an output that cannot be written; names which, and a remedy."""


class SourceError(EmbedError):
    """The source: unreadable, without video, or of a kind that is not marked."""
