"""Rates of convergence: slopes in doubly logarithmic scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def rate(sizes: ArrayLike, errors: ArrayLike) -> float:
    """Return the slope of log(errors) against log(sizes), by least squares.

    NaN where fewer than two errors are positive and finite.

    Examples
    --------
    >>> round(rate([10, 20, 40], [0.5, 0.25, 0.125]), 12)
    -1.0
    """
    sizes, errors = np.asarray(sizes, float), np.asarray(errors, float)
    usable = (errors > 0) & np.isfinite(errors)
    if usable.sum() < 2:
        return float("nan")
    x, y = np.log(sizes[usable]), np.log(errors[usable])
    x = x - x.mean()
    return float(x @ y / (x @ x))
