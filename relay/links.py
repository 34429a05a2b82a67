"""The paths at which a session is played: its entry manifests, its licences, its event channel. Pure."""

from urllib.parse import quote

from relay.model import ManifestClass

LICENCE_PATH = "/api/v1/drm/license"


def licence_link(text: str, stream: str, cls: ManifestClass) -> str:
    """Where the session of a pass gets its licences. It holds no ``&``, so it reads the same in HLS and in XML."""
    return f"{LICENCE_PATH}?session={quote(f'{text}/{stream}/{cls}', safe='/')}"


def session_link(text: str, stream: str, cls: ManifestClass, name: str) -> str:
    """What lies in the class folder of a pass: an entry manifest, ``events`` or ``keys``."""
    return f"/p/{text}/{quote(stream)}/{cls}/{name}"
