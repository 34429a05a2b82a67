"""Base URLs: the chain of BaseURL elements that relative URLs of an MPD resolve against."""

from dataclasses import dataclass
from urllib.parse import urljoin

from lxml.etree import _Element as Element

from relay.errors import ManifestError, OriginForeignError
from relay.manifest.dash.mpd import children
from relay.sources import OriginScope, Source

MAX_ALTERNATIVES = 8


@dataclass(frozen=True, slots=True)
class Bases:
    """The alternative absolute base URLs at one level of an MPD, best first (ISO/IEC 23009-1 §5.6).

    ``availability`` are the attributes of the BaseURL that say how much earlier segments are there; they
    outlive the element.
    """

    scope: OriginScope
    urls: tuple[str, ...]
    availability: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, scope: OriginScope, source: Source) -> "Bases":
        """Those of an MPD that was fetched from ``source``."""
        return cls(scope, (scope.url(source),))

    def below(self, element: Element) -> "Bases":
        """Those inside ``element``. Raises :class:`ManifestError` for a BaseURL that is no URL."""
        found = children(element, "BaseURL")
        if not found:
            return self
        try:
            urls = tuple(
                urljoin(base, (url.text or "").strip()) for base in self.urls for url in found[:MAX_ALTERNATIVES]
            )
        except ValueError:
            raise ManifestError("MPD: a BaseURL is not a URL") from None
        early = {name: value for name, value in found[0].attrib.items() if str(name).startswith("availabilityTime")}
        return Bases(
            self.scope, urls[:MAX_ALTERNATIVES], tuple((str(n), str(v)) for n, v in early.items()) or self.availability
        )

    def resolve(self, uri: str) -> Source:
        """Where ``uri`` lies, by the first alternative inside the scope.

        Raises :class:`OriginForeignError` where all lie outside, :class:`ManifestError` for what is no URL.
        """
        refusal = OriginForeignError("MPD: no base URL")
        for base in self.urls:
            try:
                return self.scope.resolve(urljoin(base, uri.strip()))
            except OriginForeignError as error:
                refusal = error
            except ValueError:
                raise ManifestError("MPD: holds a URL that is none") from None
        raise refusal
