"""Normal equations of a whole sequence: each moment is coupled with itself and, joint by joint, with the next two."""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import solveh_banded

from calibration.arrays import Array
from engines.refinement.body import Chain


def banded(own: Array, chains: list[Chain]) -> Array:
    """The lower bands of the matrix, as LAPACK stores them.

    Args:
        own: (T, D, D) of each moment.
        chains: what joins a moment with those after it.

    Returns:
        (2 D + 1, T D).
    """
    T, D, _ = own.shape
    out = np.zeros((2 * D + 1, T, D))
    for k in range(D):
        row = np.arange(D - k)
        out[k, :, : D - k] = own[:, row + k, row]
    for chain in chains:
        out[0] += chain.own.repeat(3, -1)
        out[D, : T - 1] += chain.next.repeat(3, -1)
        out[2 * D, : max(T - 2, 0)] += chain.after.repeat(3, -1)
    return out.reshape(2 * D + 1, T * D)


def solve(bands: Array, right: Array) -> Array:
    """Solve for right-hand sides (T D, K).

    Raises:
        numpy.linalg.LinAlgError: if the matrix is not positive definite.
    """
    return solveh_banded(bands, right, lower=True, check_finite=False)


def marginals(bands: Array, moments: int) -> Array:
    """The diagonal blocks (T, D, D) of the inverse, by the block-tridiagonal recursion (Takahashi 1973).

    Two moments are a block, for then a block is coupled with its neighbours only.
    """
    D = bands.shape[1] // moments
    T = moments + moments % 2
    padded = np.zeros((bands.shape[0], T * D))
    padded[:, : bands.shape[1]] = bands
    padded[0, bands.shape[1] :] = 1.0
    blocks = list(_blocks(padded, T // 2, 2 * D))
    eye = np.eye(2 * D)
    schur, gain = [], []
    for k, (own, _) in enumerate(blocks):
        here = own - gain[-1] @ schur[-1] @ gain[-1].T if k else own
        schur.append(here)
        if k + 1 < len(blocks):
            gain.append(np.linalg.solve(here, blocks[k][1].T).T)
    out = np.empty((T, D, D))
    inverse = np.zeros((2 * D, 2 * D))
    for k in range(len(blocks) - 1, -1, -1):
        own = np.linalg.solve(schur[k], eye)
        inverse = own + gain[k].T @ inverse @ gain[k] if k + 1 < len(blocks) else own
        out[2 * k], out[2 * k + 1] = inverse[:D, :D], inverse[D:, D:]
    return out[:moments]


def _blocks(bands: Array, count: int, size: int) -> Iterator[tuple[Array, Array]]:
    """Each diagonal block, and the block below it (zeros under the last)."""
    row, column = np.tril_indices(size)
    low_row, low_column = np.indices((size, size)).reshape(2, -1)
    for k in range(count):
        begin = k * size
        own = np.zeros((size, size))
        offset = row - column
        inside = offset < len(bands)
        own[row[inside], column[inside]] = bands[offset[inside], begin + column[inside]]
        own = own + np.tril(own, -1).T
        below = np.zeros((size, size))
        if k + 1 < count:
            offset = size + low_row - low_column
            inside = offset < len(bands)
            below[low_row[inside], low_column[inside]] = bands[offset[inside], begin + low_column[inside]]
        yield own, below
