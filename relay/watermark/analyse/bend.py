"""What a homography leaves: the curvature of lenses and screens, as a cubic polynomial from dense optical flow."""

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from relay.watermark.analyse.warp import Matrix, Warp, bend_terms
from relay.watermark.least_squares import Columns, combined, solved
from relay.watermark.picture.planes import BytePlane, Plane

_STRONG = 12.0  # code values a pixel, of the evened picture: weaker gradients do not tell where a picture is
_FARTHEST = 6.0  # pixels: what moved more is not residue
_EVERY = 5
_ROUNDS = 4
_LEAST = 2_000
_RIDGE = 1e-4


def bent(warp: Warp, frames: Iterable[tuple[BytePlane, BytePlane, Warp]]) -> Warp:
    """The warp with the bend of frames: the original, the copy (mirrored where that is so), how it lies by itself.

    Each frame has a warp of its own, for what a moving camera does is no bend.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    even = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8))
    rows, columns = warp.shape
    grid_y, grid_x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    places, moves = [], []
    for original, copy, own in frames:
        seen, inside = own.laid_over(copy)
        here, there = even.apply(original), even.apply(np.clip(seen, 0, 255).astype(np.uint8))
        moved = flow.calc(here, there, np.zeros((rows, columns, 2), np.float32))
        strength = np.hypot(
            cv2.Sobel(here, cv2.CV_32F, 1, 0, ksize=3) / 4, cv2.Sobel(here, cv2.CV_32F, 0, 1, ksize=3) / 4
        )
        margin = cv2.erode(inside.astype(np.uint8), np.ones((15, 15), np.uint8), borderValue=0) > 0
        good = margin & (strength > _STRONG) & (np.abs(moved).max(axis=2) < _FARTHEST)
        where = np.flatnonzero(good)[::_EVERY]
        x, y = grid_x.reshape(-1)[where], grid_y.reshape(-1)[where]
        by = moved.reshape(-1, 2)[where]
        before, after = own.places(x, y), own.places(x + by[:, 0], y + by[:, 1])
        places.append(np.stack(own.straight_places(x, y)))
        moves.append(np.stack((after[0] - before[0], after[1] - before[1]), axis=1))
    if not places or sum(p.shape[1] for p in places) < _LEAST:
        return warp
    at, along = np.concatenate(places, axis=1), np.ascontiguousarray(np.concatenate(moves))
    terms = bend_terms(at[0], at[1], warp.copy_shape)
    return replace(warp, bend=warp.bend + _fitted(terms, along))


def _fitted(terms: Columns, moves: Plane) -> Matrix:
    """Robust least squares, both axes weighed alike."""
    weights = np.ones(len(moves), np.float32)
    for _ in range(_ROUNDS):
        factors = np.stack([solved(terms, axis, weights, _RIDGE) for axis in moves.T])
        left = np.hypot(*(axis - combined(one, terms) for one, axis in zip(factors, moves.T, strict=True)))
        weights = np.asarray(1 / (1 + np.square(left / max(1.5 * float(np.median(left)), 0.05))), np.float32)
    return factors.T.astype(np.float64)
