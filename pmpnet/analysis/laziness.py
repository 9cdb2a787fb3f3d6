"""Laziness: whether a trained network is still its linearisation at the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..solution import Solution
from .steps import Steps, points


def laziness(
    solution: Solution,
    start: ArrayLike | None = None,
    x: ArrayLike | None = None,
    *,
    parameters: ArrayLike | None = None,
) -> float:
    """Return how far a flow is from its linearisation by the control at the start.

    With Phi_u the flow of a control u, trained from u_0: the norm in L2(mu) of
    Phi_u - Phi_{u_0} - DPhi_{u_0} (u - u_0), relative to that of Phi_u - Phi_{u_0}. Lazy training
    is near 0: the larger the scale of the output, the less the weights have to move, and laziness
    is O(1 / scale).

    Parameters
    ----------
    solution : Solution
    start : array-like, shape (N, c), optional
        u_0; zero controls without it.
    x : array-like, shape (M, d), optional
        Points; the samples without them.
    parameters : array-like, shape (M, p), optional
        Those of the points, where the system has parameters.

    Returns
    -------
    float
        0 where the flow has not moved.

    Raises
    ------
    ValueError, TypeError
        For bad input.

    References
    ----------
    L. Chizat, E. Oyallon, F. Bach, On lazy training in differentiable programming, NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> problem = pmpnet.Problem(dynamics.Layer(1, "identity", bias=False), [[1.0]], steps=1,
    ...                          terminal_cost=losses.Squared())
    >>> laziness(pmpnet.solve.msa(problem, [[0.5]], max_iter=0))  # one layer, linear in its control
    0.0
    """
    weighted = x is None
    x, theta = points(solution, x, parameters)
    checks.some_points(len(x))
    problem, u = solution.problem, solution.controls
    first = np.zeros_like(u) if start is None else checks.controls(start, u.shape, "start")
    begun = replace(solution, controls=first)
    states = np.asarray(begun.states(x, theta), np.float64)
    steps = Steps(begun, theta, len(x))
    linear = np.zeros_like(states[0])
    for k in range(len(u)):
        linear = steps.tangent(k, states[k], linear, u[k] - first[k])
    moved = np.asarray(solution.flow(x, theta), np.float64) - states[-1]
    w = np.asarray(problem.weights, float) if weighted else np.full(len(x), 1 / len(x))
    rest, size = (np.sqrt(w @ (a**2).sum(axis=1)) for a in (moved - linear, moved))
    return float(rest / size) if size > 0 else 0.0
