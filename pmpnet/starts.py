"""Random controls to start from, independent or correlated in depth; all from a seed.

Each entry of the control is a process in depth of its own. What its increments or values look
like decides which scaling of the residuals a deep network needs at its start: N^(-1/2) for
independent ones, N^(-H) for fractional noise of Hurst exponent H, N^(-1) for smooth ones.

References
----------
P. Marion, A. Fermanian, G. Biau, J.-P. Vert, Scaling ResNets in the large-depth regime, 2022.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import checks


def independent(
    shape: tuple[int, int], std: ArrayLike = 1.0, *, law: str = "normal", seed: int = 0
) -> np.ndarray:
    """Return independent entries.

    Parameters
    ----------
    shape : (int, int)
        (N, c), such as ``problem.control_shape``.
    std : float or array-like, shape (c,), default 1.0
        Standard deviation.
    law : {"normal", "uniform"}, default "normal"
    seed : int, default 0

    Returns
    -------
    ndarray, shape (N, c)

    Raises
    ------
    ValueError, TypeError
        For bad input.

    Examples
    --------
    >>> u = independent((1000, 4), 0.5, law="uniform")
    >>> round(float(u.std()), 2), bool(np.abs(u).max() < 0.5 * np.sqrt(3))
    (0.5, True)
    """
    (N, c), std, rng = _checked(shape, std, seed)
    if checks.choice("law", law, ("normal", "uniform")) == "normal":
        return std * rng.standard_normal((N, c))
    return std * rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), (N, c))


def fractional(
    shape: tuple[int, int],
    hurst: float,
    std: ArrayLike = 1.0,
    *,
    increments: bool = True,
    seed: int = 0,
) -> np.ndarray:
    """Return fractional Gaussian noise, or fractional Brownian motion, in depth.

    Exact by the circulant embedding of the noise's covariance (|k+1|^2H - 2 |k|^2H + |k-1|^2H)/2,
    whose eigenvalues are not negative for any Hurst exponent.

    Parameters
    ----------
    shape : (int, int)
        (N, c), such as ``problem.control_shape``.
    hurst : float
        H in (0, 1): 1/2 for independent increments, above it they go on as they went, below it
        they turn back.
    std : float or array-like, shape (c,), default 1.0
        Standard deviation of every entry of the noise; of the motion at the last layer.
    increments : bool, default True
        The noise, stationary in depth; otherwise the motion B(t) at t = 1/N, 2/N, .. 1.
    seed : int, default 0

    Returns
    -------
    ndarray, shape (N, c)

    Raises
    ------
    ValueError, TypeError
        For bad input.

    References
    ----------
    R. Davies, D. Harte, Tests for Hurst effect, Biometrika, 1987.

    Examples
    --------
    >>> noise = fractional((4000, 4), 0.3)
    >>> neighbours = (noise[1:] * noise[:-1]).mean()
    >>> bool(abs(neighbours - (2**0.6 / 2 - 1)) < 0.02)
    True
    """
    (N, c), std, rng = _checked(shape, std, seed)
    H = checks.fraction("hurst", hurst)
    k = np.arange(N + 1.0)
    covariance = 0.5 * ((k + 1) ** (2 * H) - 2 * k ** (2 * H) + np.abs(k - 1) ** (2 * H))
    circle = np.concatenate([covariance[: N + 1], covariance[N - 1 : 0 : -1]])
    eigenvalues = np.maximum(np.fft.fft(circle).real, 0.0)  # negative ones are rounding
    n = len(circle)
    white = rng.standard_normal((n, c)) + 1j * rng.standard_normal((n, c))
    noise = np.fft.fft(np.sqrt(eigenvalues / n)[:, None] * white, axis=0).real[:N]
    if checks.flag("increments", increments):
        return std * noise
    return std * np.cumsum(noise, axis=0) / N**H


def smooth(
    shape: tuple[int, int], std: ArrayLike = 1.0, *, length: float = 0.2, seed: int = 0
) -> np.ndarray:
    """Return Gaussian processes that are smooth in depth.

    With covariance std^2 exp(-(t - t')^2 / (2 length^2)) of the layers' middles t in [0, 1].

    Parameters
    ----------
    shape : (int, int)
        (N, c), such as ``problem.control_shape``.
    std : float or array-like, shape (c,), default 1.0
        Standard deviation.
    length : float, default 0.2
        Over which the process forgets, as a part of the whole depth.
    seed : int, default 0

    Returns
    -------
    ndarray, shape (N, c)

    Raises
    ------
    ValueError, TypeError
        For bad input.

    Examples
    --------
    >>> u = smooth((100, 2))
    >>> bool(np.abs(np.diff(u, axis=0)).max() < 0.25)
    True
    """
    (N, c), std, rng = _checked(shape, std, seed)
    length = checks.real("length", length, above=0.0)
    t = (np.arange(N) + 0.5) / N
    covariance = np.exp(-0.5 * ((t[:, None] - t) / length) ** 2)
    # far from full rank for many layers: its root by eigenvectors, which needs no nugget
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return std * (root @ rng.standard_normal((N, c)))


def _checked(shape: tuple[int, int], std: ArrayLike, seed: int):
    shape = checks.start_shape(shape)
    std = checks.spread(std, shape[1])
    return shape, std, np.random.default_rng(checks.integer("seed", seed, 0))
