"""In the process of an analysis: an upload and the assets in, the reading out."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2

from relay.watermark.analyse.analysis import analyse
from relay.watermark.analyse.asset import Asset, read_asset
from relay.watermark.analyse.errors import AssetError
from relay.watermark.analyse.limits import Limits
from relay.watermark.index import FILE
from relay.watermark.jobs.messages import HasRead, Read

_NO_MEMORY = -4
"""OpenCV's word for it: ``Error::StsNoMem``."""


def read(order: Read, key_of: Callable[[str, str], bytes], progress: Callable[[str, float], None]) -> HasRead:
    """Do what an order says; ``key_of`` gives the chip key of an asset by its name and its index's key check.

    Raises as :func:`relay.watermark.analyse.analysis.analyse` and ``key_of`` do, and :class:`MemoryError`.
    """
    cv2.setNumThreads(1)
    limits = Limits(size=order.max_upload, duration_s=order.max_duration_s, read_s=order.read_s)
    assets = assets_in(Path(order.assets), order.asset)
    checks = {asset.asset: asset.key_check for asset in assets}
    try:
        with Path(order.upload).open("rb") as upload:
            return HasRead(analyse(upload, assets, cache(lambda asset: key_of(asset, checks[asset])), limits, progress))
    except cv2.error as err:
        if err.code == _NO_MEMORY:
            raise MemoryError from None
        raise


def assets_in(folder: Path, name: str = "") -> list[Asset]:
    """The assets with a folder of their own in there, or the one of that name. Raises :class:`AssetError`."""
    found = [read_asset(index.parent) for index in sorted(folder.glob(f"*/{FILE}"))]
    chosen = [asset for asset in found if name in ("", asset.asset)]
    if not chosen:
        raise AssetError(f"no asset {name!r} is in the assets' folder" if name else "the assets' folder is empty")
    return chosen
