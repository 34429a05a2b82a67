"""The luma of a decoded frame, without a copy where the decoder's memory can be looked at as it is."""

import numpy as np
from av.video.frame import VideoFrame

from relay.watermark.picture.planes import BytePlane

# 8-bit formats whose first plane is luma as it stands.
_LUMA_FIRST = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray")


def luma_of(frame: VideoFrame) -> BytePlane:
    """Its luma in 8 bits, upright: valid while the frame is."""
    if frame.format.name in _LUMA_FIRST:
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        luma = rows[: frame.height, : frame.width]
    else:
        luma = np.asarray(frame.reformat(format="gray").to_ndarray(), np.uint8)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(luma, turns)) if turns else luma
