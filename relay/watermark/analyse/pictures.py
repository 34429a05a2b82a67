"""Pictures for a report: that the copy was laid over the original as it should be, for the eye to judge."""

import cv2
import numpy as np

from relay.watermark.analyse.follow import Seen
from relay.watermark.analyse.leak import Leak
from relay.watermark.analyse.proxy import Proxy
from relay.watermark.analyse.reading import Picture
from relay.watermark.analyse.warp import oriented
from relay.watermark.picture.planes import BytePlane
from relay.watermark.score import unexplained

_OUTLINE = 255
_QUALITY = 80
_DIFFERENCE_GAIN = 8.0


def pictures(leak: Leak, proxy: Proxy, seen: list[Seen], count: int) -> tuple[Picture, ...]:
    """Up to ``count`` moments, evenly spread over what was aligned."""
    if not seen:
        return ()
    chosen = [seen[k] for k in np.unique(np.linspace(0, len(seen) - 1, count + 2)[1:-1].round().astype(int))]
    return tuple(_picture(leak, proxy, frame) for frame in chosen)


def _picture(leak: Leak, proxy: Proxy, frame: Seen) -> Picture:
    """Four panels: original, copy with the original's outline; copy laid over, what the original does not explain."""
    segment = proxy.asset.segments[frame.segment]
    frames = proxy.segment(frame.segment)
    number = round((frame.asset_s - segment.start_s) * float(proxy.asset.fps))
    original = frames[min(max(number, 0), len(frames) - 1)]
    copy = oriented(leak.picture(frame.kept), frame.warp.mirrored)
    over, inside = frame.warp.laid_over(copy)
    laid = np.where(inside, np.clip(over, 0, 255), 0).astype(np.uint8)
    try:
        left = unexplained(original.astype(np.float32), over, inside).plane
    except ValueError:
        left = np.zeros_like(over)
    differs = np.where(inside, np.clip(128 + _DIFFERENCE_GAIN * left, 0, 255), 0).astype(np.uint8)
    outlined = copy.copy()
    cv2.polylines(outlined, [frame.warp.corners().round().astype(np.int32)], True, _OUTLINE, 2, cv2.LINE_AA)
    if frame.warp.mirrored:
        # As it was uploaded.
        outlined = np.ascontiguousarray(outlined[:, ::-1])
    rows = original.shape[0]
    upper = np.hstack((original, _high(outlined, rows)))
    lower = np.hstack((laid, differs))
    width = max(upper.shape[1], lower.shape[1])
    sheet = np.vstack(
        [cv2.copyMakeBorder(part, 0, 0, 0, width - part.shape[1], cv2.BORDER_CONSTANT) for part in (upper, lower)]
    )
    _, jpeg = cv2.imencode(".jpg", sheet, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return Picture(position=segment.position, leak_s=frame.leak_s, jpeg=jpeg.tobytes())


def _high(picture: BytePlane, rows: int) -> BytePlane:
    width = max(1, round(picture.shape[1] * rows / picture.shape[0]))
    return np.asarray(cv2.resize(picture, (width, rows), interpolation=cv2.INTER_AREA), np.uint8)
