"""What all variants of a file have in common: the init segment and the index that begin it."""

from relay.errors import OriginMissingError
from relay.origin.client import Fetched, Origin
from relay.sources import ByteRange, Source
from relay.streams import Stream


async def get_neutral(origin: Origin, stream: Stream, source: Source, limit: int, span: ByteRange | None) -> Fetched:
    """Fetch a resource, or the range of a file that exists in variants alone from the first of them.

    Raises the :class:`relay.errors.OriginError` family.
    """
    try:
        return await origin.get(stream.scope, source, limit, span=span)
    except OriginMissingError:
        if stream.marking is None or span is None:
            raise
        return await origin.get(stream.scope, stream.marking.variant(source, 0), limit, span=span)
