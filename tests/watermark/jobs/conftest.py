"""A film of short segments, and what one of its sessions received: made once, for encoding is what takes the time."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from keys.watermark import chip_key, code_key
from relay.watermark.code import AssetCode, number_of
from tests.control.desk import desk_secrets
from tests.watermark.analyse import film

SEGMENTS = 16
SHORT = 9
LEAKER = "wm-17"


@dataclass(frozen=True)
class Case:
    """The folder of assets, and a copy of ``film`` as the session with watermark :data:`LEAKER` received it."""

    assets: Path
    leak: bytes
    short: bytes
    """Its first nine seconds: enough to be found, too little to name anybody."""


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder, secret = tmp_path_factory.mktemp("case"), desk_secrets().watermark_secret
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "FRAMES", film.FPS)
        patch.setattr(film, "KEY", chip_key(secret, "film"))
        film.write_asset(folder / "assets" / "film", "film", seed=1, segments=SEGMENTS)
        code, number = AssetCode(code_key(secret, "film")), number_of(LEAKER)
        bits = [code.bit(number, position) for position in range(SEGMENTS)]
        for name, length in (("leak.mp4", SEGMENTS), ("short.mp4", SHORT)):
            received = film.marked(film.scenes(1, SEGMENTS), "film", bits)
            film.write(folder / name, islice(received, length * film.FPS))
    return Case(folder / "assets", (folder / "leak.mp4").read_bytes(), (folder / "short.mp4").read_bytes())
