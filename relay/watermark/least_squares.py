"""Weighted least squares of a few terms over many pixels, on one core.

The sums are taken in blocks so small that a BLAS library keeps them on the thread that asked: with a large product
its threads wait for each other busily, which under load costs ten times what they save.
"""

import numpy as np
import numpy.typing as npt

_BLOCK = 384  # pixels: times 26 terms squared it is below OpenBLAS's bound of 2^18 multiplications

Columns = npt.NDArray[np.float32]
"""One row a term, one column a pixel."""
Values = npt.NDArray[np.float32]


def solved(columns: Columns, target: Values, weights: Values, ridge: float) -> Values:
    """The factors of the terms whose sum comes nearest to ``target``.

    ``ridge``, a share of the weights' sum, is what holds a term that the pixels do not determine at zero.
    """
    weighted = columns * weights
    inner, rest = _blocks(columns)
    outer, outer_rest = _blocks(weighted)
    normal = (outer @ inner.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64) + outer_rest @ rest.T
    normal[np.diag_indices_from(normal)] += ridge * float(weights.sum(dtype=np.float64))
    wanted, wanted_rest = _blocks(target[np.newaxis])
    right = (outer @ wanted.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64) + outer_rest @ wanted_rest.T
    return np.asarray(np.linalg.solve(normal, right)[:, 0], np.float32)


def combined(factors: Values, columns: Columns) -> Values:
    """The sum of the terms times their factors, at each pixel."""
    blocks, rest = _blocks(columns)
    return np.concatenate(((factors[np.newaxis] @ blocks).reshape(-1), factors @ rest))


def _blocks(columns: Columns) -> tuple[Columns, Columns]:
    """Views of the columns: block by block, and those that make no whole block."""
    terms, pixels = columns.shape
    whole = pixels // _BLOCK * _BLOCK
    return columns[:, :whole].reshape(terms, -1, _BLOCK).transpose(1, 0, 2), columns[:, whole:]
