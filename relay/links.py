"""The addresses at which a session begins, by its pass. Pure."""

from urllib.parse import quote

from relay.model import ManifestClass

LICENCE_PATH = "/api/v1/drm/license"


def entry_path(sealed: str, stream: str, cls: ManifestClass, index: str) -> str:
    """Where the entry manifest of a session is, by its pass."""
    return f"/p/{sealed}/{quote(stream)}/{cls}/{index}"


def licence_path(sealed: str, stream: str, cls: ManifestClass) -> str:
    """Where a session asks for licences. It holds no ``&``, so it reads the same in HLS and in XML."""
    return f"{LICENCE_PATH}?session={quote(f'{sealed}/{stream}/{cls}', safe='/')}"
