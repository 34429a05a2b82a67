"""Finding the original's picture in the copy from nothing: SIFT features of pairs of frames, pooled, and RANSAC."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from relay.watermark.analyse.warp import Warp
from relay.watermark.picture.planes import BytePlane

_FEATURES = 1200
_CONTRAST = 0.015
_RATIO = 0.75
LEAST_MATCHES = 12
_PER_PAIR = 400
_EVEN_CELLS = 8

Points = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Features:
    """Places and descriptions of what stands out in a picture."""

    points: Points
    descriptors: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """A homography, and how many matches of how many agree with it."""

    warp: Warp
    inliers: int
    matches: int


class Finder:
    """Detects and matches. Holds OpenCV's detectors, which are costly to make."""

    def __init__(self) -> None:
        self._sift = cv2.SIFT.create(nfeatures=_FEATURES, contrastThreshold=_CONTRAST)
        self._even = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(_EVEN_CELLS, _EVEN_CELLS))
        self._matcher = cv2.BFMatcher(cv2.NORM_L2)

    def features(self, picture: BytePlane) -> Features:
        """Of the picture with its contrast evened out, so that dark and pale recordings show as many."""
        keypoints, descriptors = self._sift.detectAndCompute(self._even.apply(picture), None)
        if not keypoints:
            return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
        # Root-SIFT (Arandjelović and Zisserman 2012): the distance of distributions, not of vectors.
        rooted = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6))
        return Features(np.asarray(cv2.KeyPoint.convert(keypoints), np.float32), np.asarray(rooted, np.float32))

    def matches(self, original: Features, copy: Features) -> tuple[Points, Points]:
        """Places in the original and in the copy that look alike, and like nothing else."""
        if len(original.points) < 2 or len(copy.points) < 2:
            return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
        pairs = self._matcher.knnMatch(original.descriptors, copy.descriptors, k=2)
        good = [best for best, second in pairs if best.distance < _RATIO * second.distance]
        good.sort(key=lambda match: match.distance)
        good = good[:_PER_PAIR]
        return original.points[[m.queryIdx for m in good]], copy.points[[m.trainIdx for m in good]]

    def homography(
        self,
        pairs: Iterable[tuple[Features, Features]],
        shape: tuple[int, int],
        copy_shape: tuple[int, int],
        mirrored: bool,
        tolerance: float,
    ) -> Found | None:
        """The one that most matches of all pairs agree with within ``tolerance`` pixels; None below 12."""
        both = [self.matches(original, copy) for original, copy in pairs]
        source = np.concatenate([p for p, _ in both]) if both else np.zeros((0, 2), np.float32)
        target = np.concatenate([p for _, p in both]) if both else np.zeros((0, 2), np.float32)
        if len(source) < LEAST_MATCHES:
            return None
        matrix, agreeing = cv2.findHomography(source, target, cv2.USAC_MAGSAC, tolerance, maxIters=2000)
        if matrix is None or not _plausible(np.asarray(matrix, np.float64), shape):
            return None
        inliers = int(agreeing.sum())
        if inliers < LEAST_MATCHES:
            return None
        return Found(Warp(np.asarray(matrix, np.float64), shape, copy_shape, mirrored), inliers, len(source))


def _plausible(matrix: npt.NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether the picture keeps its sense of rotation and a sane size: no camera turns it inside out."""
    corners = Warp(matrix, shape, shape).corners()
    rows, columns = shape
    behind = (
        matrix[2, 0] * np.array([0, columns, columns, 0]) + matrix[2, 1] * np.array([0, 0, rows, rows]) + matrix[2, 2]
    )
    if behind.min() <= 0.05:
        return False
    following = np.roll(corners, -1, axis=0)
    area = float(np.sum(corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1])) / 2
    return 0.02 < area / (rows * columns) < 50 and cv2.isContourConvex(corners)
