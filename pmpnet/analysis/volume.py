"""How the flow changes volumes: the logarithm of |det| of its Jacobian.

Layer by layer log|det(I + A)| with A the Jacobian of the displacement; exact, or for |A| <= c < 1
by the series sum_{k=1}^n (-1)^(k+1) tr(A^k) / k, whose rest is at most d c^(n+1) / ((n+1) (1-c)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..solution import Solution
from .invertibility import lipschitz
from .steps import layer_jacobians


def log_det(
    solution: Solution,
    x: ArrayLike | None = None,
    method: str = "exact",
    *,
    terms: int = 10,
    probes: int | None = None,
    seed: int = 0,
    parameters: ArrayLike | None = None,
) -> np.ndarray:
    """Return log|det DPhi(x)| of the flow Phi at points.

    Parameters
    ----------
    solution : Solution
    x : array-like, shape (M, d), optional
        The samples without it.
    method : {"exact", "series"}, default "exact"
        By the determinants of the layers, or by ``terms`` terms of the series of the logarithm,
        which converges where every displacement is a contraction.
    terms : int, default 10
        n of the series.
    probes : int, optional
        Traces are estimated by so many random vectors of signs (Hutchinson), without bias; exact
        without it.
    seed : int, default 0
        Of the random vectors.
    parameters : array-like, shape (M, p), optional
        Those of the points, where the system has parameters.

    Returns
    -------
    ndarray, shape (M,)

    Raises
    ------
    ValueError, TypeError
        For bad input.

    References
    ----------
    J. Behrmann et al., Invertible residual networks, ICML 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2, "identity")
    >>> problem = pmpnet.Problem(layer, np.zeros((1, 2)), terminal_cost=losses.Squared(), steps=1)
    >>> solution = pmpnet.solve.msa(problem, layer.pack(W=[[1, 0], [0, 2]])[None], max_iter=0)
    >>> np.exp(log_det(solution)).round(12).tolist()
    [6.0]
    """
    method = checks.choice("method", method, ("exact", "series"))
    terms = checks.integer("terms", terms, 1)
    if probes is not None:
        probes = checks.size("probes", probes, 1)
    J = layer_jacobians(solution, x, parameters)
    if method == "exact":
        return np.linalg.slogdet(J)[1].sum(axis=0)
    d = J.shape[-1]
    A = J - np.eye(d)
    V = np.eye(d)
    if probes is not None:
        rng = np.random.default_rng(checks.integer("seed", seed, 0))
        V = rng.choice([-1.0, 1.0], (*A.shape[:-1], probes))
    power, total = np.broadcast_to(V, (*A.shape[:-1], V.shape[-1])), np.zeros(A.shape[:2])
    for k in range(1, terms + 1):
        power = A @ power
        traces = (V * power).sum(axis=(2, 3)) / (1 if probes is None else probes)
        total += (-1) ** (k + 1) * traces / k
    return total.sum(axis=0)


def series_bound(
    solution: Solution,
    terms: int,
    x: ArrayLike | None = None,
    parameters: ArrayLike | None = None,
) -> float:
    """Return a bound on the error of `log_det` by the series with exact traces.

    Parameters
    ----------
    solution : Solution
    terms : int
        n of the series.
    x, parameters
        As those of `lipschitz`.

    Returns
    -------
    float
        sum over the layers of d c^(n+1) / ((n+1) (1-c)), c the layer's Lipschitz constant; infinite
        if one is not below 1.

    Raises
    ------
    ValueError, TypeError
        For bad input.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2, "identity")
    >>> problem = pmpnet.Problem(layer, np.zeros((1, 2)), terminal_cost=losses.Squared(), steps=1)
    >>> u = layer.pack(W=[[0.5, 0], [0, 0.5]])[None]
    >>> solution = pmpnet.solve.msa(problem, u, max_iter=0)
    >>> round(series_bound(solution, 9), 6)
    0.000391
    """
    n = checks.integer("terms", terms, 1)
    found = lipschitz(solution, x, parameters)
    if not found.invertible:
        return float("inf")
    c, d = found.layers, solution.problem.dynamics.dim
    return float((d * c ** (n + 1) / ((n + 1) * (1 - c))).sum())
