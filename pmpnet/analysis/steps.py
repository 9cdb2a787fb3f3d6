"""A scheme's step and its derivatives, layer by layer, by CasADi.

========  =====================================================  =========
symbol    meaning                                                shape
========  =====================================================  =========
``x, u``  state and control at the start of the step             d, c
``Psi``   the state after it                                     d
``J``     dPsi/dx                                                d, d
``dx``    how x changes; ``du`` how u does                       d, c
========  =====================================================  =========
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..dynamics.base import Dynamics
from ..schemes import Scheme
from ..solution import Solution

if TYPE_CHECKING:
    from casadi import SX


def said(
    dynamics: Dynamics,
    scheme: Scheme,
    running: Callable[[Any, SX], SX] | None = None,
    theta: SX | None = None,
) -> tuple[tuple[SX, ...], SX, SX]:
    """Return the symbols t, h, x, u, theta, the step Psi and the running cost's increment."""
    from casadi import SX

    t, h, x = SX.sym("t"), SX.sym("h"), SX.sym("x", dynamics.dim)
    u = SX.sym("u", dynamics.controls)
    theta = SX.sym("theta", dynamics.parameters) if theta is None else theta
    system = dynamics.symbolic().map
    slopes: list[SX] = []
    after, increment = x, SX(0)
    for row, b, c in zip(scheme.A, scheme.b, scheme.c, strict=True):
        stage = x + h * sum((a * k for a, k in zip(row, slopes, strict=False) if a), SX(0))
        slopes.append(system.said(t + c * h, stage, u, theta))
        after = after + h * b * slopes[-1]
        if running is not None:
            increment = increment + h * b * running(t + c * h, stage)
    return (t, h, x, u, theta), after, increment


class Steps:
    """The steps of a solution, with their derivatives, for many points at once.

    Parameters
    ----------
    solution : Solution
    parameters : array-like, shape (M, p), optional
        Of the points, where the system has parameters.
    count : int
        How many points there are.
    """

    def __init__(self, solution: Solution, parameters: ArrayLike | None, count: int) -> None:
        from casadi import SX, Function, jacobian, jtimes, vertcat

        problem = solution.problem
        self.dim, self.controls, self.times = (
            problem.dynamics.dim,
            solution.controls,
            solution.times,
        )
        theta = checks.parameter_array(parameters, count, problem.dynamics.parameters, np.float64)
        self.theta = theta.T if theta.size else np.zeros((0, 1))
        inputs, after, _ = said(problem.dynamics, problem.scheme)
        *_, x, u, _ = inputs
        dx, du = SX.sym("dx", self.dim), SX.sym("du", problem.dynamics.controls)
        along = jtimes(after, vertcat(x, u), vertcat(dx, du))
        self._jacobian = Function("jacobian", inputs, [jacobian(after, x)])
        self._tangent = Function("tangent", [*inputs, dx, du], [along])

    def _at(self, k: int, x: np.ndarray) -> tuple:
        times = self.times
        return times[k], times[k + 1] - times[k], x.T, self.controls[k], self.theta

    def jacobian(self, k: int, x: np.ndarray) -> np.ndarray:
        """Return J of layer k at points x (M, d), as (M, d, d)."""
        J = self._jacobian(*self._at(k, x)).full()  # one d x d matrix beside the other
        return J.reshape(self.dim, len(x), self.dim).transpose(1, 0, 2)

    def tangent(self, k: int, x: np.ndarray, dx: np.ndarray, du: np.ndarray) -> np.ndarray:
        """Return how the state after layer k changes with x (M, d) and u (c,), as (M, d)."""
        return self._tangent(*self._at(k, x), dx.T, du).full().T


def points(
    solution: Solution, x: ArrayLike | None, parameters: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return points (M, d) in double precision and their parameters; by default the samples."""
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    problem = solution.problem
    if x is None:
        return np.asarray(problem.initial_states, np.float64), np.asarray(problem.parameters, float)
    x = checks.points(x, problem.dynamics.dim, np.float64)
    theta = checks.parameter_array(parameters, len(x), problem.dynamics.parameters, np.float64)
    return x, theta


def layer_jacobians(
    solution: Solution, x: ArrayLike | None, parameters: ArrayLike | None
) -> np.ndarray:
    """Return J of every layer along the paths of points x, (N, M, d, d)."""
    x, theta = points(solution, x, parameters)
    states = solution.states(x, theta) if len(x) else np.empty((len(solution.times), *x.shape))
    if not len(x):
        return np.empty((len(solution.controls), 0, x.shape[1], x.shape[1]))
    steps = Steps(solution, theta, len(x))
    along = np.asarray(states, np.float64)
    return np.stack([steps.jacobian(k, along[k]) for k in range(len(solution.controls))])


def flow_jacobian(
    solution: Solution, x: ArrayLike | None = None, parameters: ArrayLike | None = None
) -> np.ndarray:
    """Return the Jacobian of the flow at points, exact for the discrete flow.

    Parameters
    ----------
    solution : Solution
    x : array-like, shape (M, d), optional
        The samples without it.
    parameters : array-like, shape (M, p), optional
        Those of the points, where the system has parameters.

    Returns
    -------
    ndarray, shape (M, d, d)

    Raises
    ------
    ValueError, TypeError
        If the points do not fit.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2, "identity")
    >>> problem = pmpnet.Problem(layer, np.zeros((1, 2)), terminal_cost=losses.Squared(), steps=1)
    >>> u = layer.pack(W=[[0, 1], [2, 0]])[None]
    >>> flow_jacobian(pmpnet.solve.msa(problem, u, max_iter=0)).tolist()
    [[[1.0, 1.0], [2.0, 1.0]]]
    """
    layers = layer_jacobians(solution, x, parameters)
    J = np.broadcast_to(np.eye(layers.shape[-1]), layers.shape[1:])
    for step in layers:
        J = step @ J
    return J
