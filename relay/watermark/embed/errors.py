"""What the embedder cannot do."""

from relay.errors import RelayError


class EmbedError(RelayError):
    """A source that cannot be marked, or an output that cannot be written; names which, and a remedy."""

    code = "watermark_embed"


class SourceError(EmbedError):
    """The source: unreadable, without video, or of a kind that is not marked."""

    code = "watermark_source"
