"""Truncated costates: what the last layers alone say of a control that all layers share.

A network whose layers are all the same, and contractions towards their fixed point, is the
iteration of an implicit network. Backward through its last layer only, the gradient is that of
Jacobian-free backpropagation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import checks
from ..solution import Solution


@dataclass(frozen=True, eq=False)
class Truncation:
    """The gradient by a shared control, and what the last layers alone make of it.

    Attributes
    ----------
    gradient, truncated : ndarray, shape (c,)
        dJ/du summed over all layers, and over the last ones.
    inner : float
        Their inner product: positive where the truncated one is a direction of ascent.
    cosine : float
    """

    gradient: np.ndarray
    truncated: np.ndarray
    inner: float
    cosine: float


def truncated_costates(solution: Solution, layers: int = 1) -> Truncation:
    """Return the gradient by a control that all layers share, from the last costates only.

    Parameters
    ----------
    solution : Solution
        Of a problem whose layers are meant to be the same.
    layers : int, default 1
        How many layers the costates go back through.

    Returns
    -------
    Truncation
        Of the sampled costs, without the control cost.

    Raises
    ------
    ValueError, TypeError
        For bad input; if the layers are not the same.

    References
    ----------
    S. Wu Fung et al., JFB: Jacobian-free backpropagation for implicit networks, AAAI 2022.

    Examples
    --------
    The steady state of x' = W tanh(x) + b, reached in 100 steps:

    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2)
    >>> problem = pmpnet.Problem(layer, [[0.0, 0.0]], terminal_cost=losses.Squared(),
    ...                          horizon=50.0, steps=100)
    >>> u = np.tile(layer.pack(W=[[-1, 0.3], [-0.3, -1]], b=[0.1, 0.2]), (100, 1))
    >>> found = truncated_costates(pmpnet.solve.msa(problem, u, max_iter=0))
    >>> found.inner > 0, found.cosine > 0.9
    (True, True)
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    u, problem = solution.controls, solution.problem
    checks.shared_control(bool((u == u[0]).all()))
    layers = min(checks.integer("layers", layers, 1), len(u))
    done = problem.sweep(u, solution.readouts, solution.stretch, multipliers=solution.lagrangian)
    slopes = -problem.steps[:, None] * done.g
    whole, part = slopes.sum(axis=0), slopes[-layers:].sum(axis=0)
    inner = float(whole @ part)
    size = float(np.linalg.norm(whole) * np.linalg.norm(part))
    return Truncation(whole, part, inner, inner / size if size > 0 else 0.0)
