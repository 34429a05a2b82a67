"""Pictures as arrays: row by row, luma in code values. Types, and the two ways of resizing them."""

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
"""A picture of real numbers, rows by columns."""
BytePlane = npt.NDArray[np.uint8]
"""Luma as a codec has it, of 8 bits."""


def shrunk(luma: BytePlane | Plane, width: int, height: int) -> Plane:
    """The picture at a smaller size, each pixel the mean of the area it covers."""
    return np.asarray(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def height_at(width: int, of_width: int, of_height: int) -> int:
    """The height of a picture that was scaled to ``width``, at least 1."""
    return max(1, round(width * of_height / of_width))
