"""Distances between flows: what weights do is compared, never the weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..solution import Solution
from .steps import flow_jacobian, points

NORMS = ("sup", "l2", "w1inf", "wasserstein")


def flow_distance(
    solution: Solution,
    other: Solution,
    x: ArrayLike | None = None,
    norm: str = "sup",
    *,
    parameters: ArrayLike | None = None,
) -> float:
    """Return the distance between two flows on the same points.

    Parameters
    ----------
    solution, other : Solution
        Of systems of one dimension; depths and systems may differ.
    x : array-like, shape (M, d), optional
        Points, of equal weight; the samples of ``solution`` with their weights without them.
    norm : {"sup", "l2", "w1inf", "wasserstein"}, default "sup"
        - ``"sup"``: the largest |Phi(x) - Psi(x)|.
        - ``"l2"``: the root of the mean of |Phi(x) - Psi(x)|^2, that of L2(mu).
        - ``"w1inf"``: the larger one of ``"sup"`` and the largest norm of DPhi(x) - DPsi(x), that of
          W^{1,inf} on the points.
        - ``"wasserstein"``: the first Wasserstein distance between the measures that the points
          are carried to, whichever goes where; at most ``"l2"``. For some 1000 points in more
          than one dimension.
    parameters : array-like, shape (M, p), optional
        Those of the points, where the systems have parameters.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For bad input.

    Notes
    -----
    A flow of relu units has no Jacobian at a kink. Training may put samples there; ``"w1inf"`` is then
    that of one side or the other, as rounding decides, and other points are the better question.

    References
    ----------
    J. Berner, D. Elbraechter, P. Grohs, How degenerate is the parametrization of neural networks
    with the ReLU activation function?, NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), np.zeros((3, 2)),
    ...                          terminal_cost=losses.Squared(), steps=1)
    >>> here, there = (pmpnet.solve.msa(problem, [u], max_iter=0) for u in ([0, 0], [3, 4]))
    >>> flow_distance(here, there), flow_distance(here, there, norm="wasserstein")
    (5.0, 5.0)
    """
    norm = checks.choice("norm", norm, NORMS)
    weighted = x is None
    x, theta = points(solution, x, parameters)
    checks.instance("other", other, Solution, checks.A_SOLUTION)
    checks.same_dimension(other.problem.dynamics.dim, x.shape[1])
    checks.some_points(len(x))
    w = np.asarray(solution.problem.weights, float) if weighted else np.full(len(x), 1 / len(x))
    y, z = (np.asarray(s.flow(x, theta), np.float64) for s in (solution, other))
    if norm == "wasserstein":
        return _wasserstein(y, z, w)
    off = np.linalg.norm(y - z, axis=1)
    if norm == "l2":
        return float(np.sqrt(w @ off**2))
    if norm == "sup":
        return float(off.max())
    D = flow_jacobian(solution, x, theta) - flow_jacobian(other, x, theta)
    return float(max(off.max(), np.linalg.norm(D, 2, axis=(1, 2)).max()))


def _wasserstein(y: np.ndarray, z: np.ndarray, w: np.ndarray) -> float:
    """Return the first Wasserstein distance of two clouds with the same weights."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist
    from scipy.stats import wasserstein_distance, wasserstein_distance_nd

    if y.shape[1] == 1:
        return float(wasserstein_distance(y[:, 0], z[:, 0], w, w))
    if np.ptp(w) <= 1e-12 * w.max():  # equal weights: an optimal plan is an assignment
        costs = cdist(y, z)
        return float(costs[linear_sum_assignment(costs)].mean())
    return float(wasserstein_distance_nd(y, z, w, w))
