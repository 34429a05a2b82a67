"""From the URIs of an origin playlist to the URLs of the session, and what must not leave besides."""

import re

from relay.errors import OriginForeignError
from relay.manifest.context import RewriteContext
from relay.manifest.hls.playlist import Line
from relay.sources import Source
from relay.urls import MAX_URL, Ref

# A character must follow, or base64 that happens to end in "URI=" would count.
_ADDRESS = re.compile(r'://|UR[IL]\s*=\s*(?:"[^"]|[^\s,="])', re.IGNORECASE)


class Mint:
    """Reads the URIs of one playlist, fetched from ``source``, and writes URLs relative to ``at``,
    the path below the class folder under which the playlist itself is served. ``playlist`` is that source."""

    def __init__(self, ctx: RewriteContext, source: Source, at: str) -> None:
        self._ctx = ctx
        self.playlist = source
        self._up = "../" * at.partition("?")[0].count("/")

    def source(self, line: Line, uri: str) -> Source:
        """The source that ``uri`` on ``line`` points to.

        Raises :class:`OriginForeignError` for one outside the origin, :class:`ManifestError` for none.
        """
        if not uri:
            raise line.error("empty URI")
        try:
            return self._ctx.scope.resolve(uri, against=self.playlist)
        except OriginForeignError as err:
            raise OriginForeignError(f"HLS playlist, line {line.number}: {err}") from None

    def url(self, line: Line, ref: Ref) -> str:
        """The URL of ``ref``. Raises :class:`ManifestError` for one longer than we would take back."""
        written = self._ctx.urls.write(ref)
        if len(written) > MAX_URL:
            raise line.error(f"URL would be longer than {MAX_URL} characters")
        return self._up + written

    def names_origin(self, text: str) -> bool:
        """Whether ``text`` holds the host name of the origin."""
        return self._ctx.scope.named_in(text)

    def holds_address(self, text: str) -> bool:
        """Whether a tag's ``text`` holds a URL of any host, or an attribute made for one."""
        return _ADDRESS.search(text) is not None or self.names_origin(text)
