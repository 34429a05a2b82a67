"""Pictures as arrays: row by row, luma in code values. Types, and the two ways of resizing them."""

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
"""A picture of real numbers, rows by columns."""
Luma = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""Luma as a codec has it: 8 bits, or 10 bits in 16."""
BytePlane = npt.NDArray[np.uint8]
"""8-bit luma."""


def shrunk(luma: Luma | Plane, width: int, height: int) -> Plane:
    """The picture at a smaller size, each pixel the mean of the area it covers."""
    return np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def height_at(width: int, of_width: int, of_height: int) -> int:
    """The height of a picture that was scaled to ``width``, at least 1."""
    return max(1, round(width * of_height / of_width))
