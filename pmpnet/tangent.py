"""Second derivatives: the slope of the cost along a direction is the cost of another problem.

=========  ====================================================================
symbol     meaning
=========  ====================================================================
``x, u``   state and control, d and c numbers
``dx, w``  how they change: dx' = (df/dx) dx + (df/du) w, dx(0) = 0
``K``      <dJ/du, w>: the mean of Phi_x dx at the end, the integral of l_x dx + l_u w
``Q``      the mean of Phi_xx(dx, dx) / 2 at the end, the integral of l's
=========  ====================================================================

Both are costs of the state (x, dx) and the control (u, w): a round of that problem gives their
gradients as exactly as every gradient here, for every scheme, because the tangent of a
Runge-Kutta step is a Runge-Kutta step of the tangent. The gradient of K by u is the Hessian of J
times w. That of Q by w is Gauss's and Newton's: dx is linear in w, and Q is quadratic in dx and
knows nothing of how the dynamics curve.
"""

from __future__ import annotations

import numpy as np

from . import checks
from .dynamics.base import Dynamics
from .losses import Symbolic
from .problem import Problem

SWEEPS = 2.0  # a sweep of the doubled state counts as two
HESSIANS = ("exact", "gauss-newton")


class Tangent:
    """Hessian-vector products of the sampled costs of a problem.

    Parameters
    ----------
    problem : Problem
        Without constraints, trained readouts and free horizon.
    hessian : {"exact", "gauss-newton"}, default "exact"
        Whether the dynamics' second derivatives, weighted by the costate, are in it. Without
        them it is positive semidefinite where the losses are convex.

    Raises
    ------
    ValueError
        If the problem has one of these.
    """

    def __init__(self, problem: Problem, hessian: str = "exact") -> None:
        from casadi import SX, dot, gradient, jtimes, vertcat

        from .dynamics.symbolic import SymbolicSystem
        from .expressions import Map

        kinetic = bool(np.any(getattr(problem.penalty, "kinetic", 0.0)))
        checks.twice_differentiable(
            problem.constraints, problem.trained_readouts, problem.free_horizon, kinetic
        )
        self.problem, states = problem, problem.initial_states
        gauss = checks.choice("hessian", hessian, HESSIANS) == "gauss-newton"
        d, c = problem.dynamics.dim, problem.dynamics.controls
        t, x, dx = SX.sym("t"), SX.sym("x", d), SX.sym("dx", d)
        u, w = SX.sym("u", c), SX.sym("w", c)
        none = problem.parameters[:, :0]
        constants = [problem.parameters, *(a if a.size else none for a in problem.encoded)]
        theta = [SX.sym(f"theta_{i}", a.shape[1]) for i, a in enumerate(constants)]
        parameters = vertcat(*theta)
        state, control = vertcat(x, dx), vertcat(u, w)
        self.wanted = slice(c, 2 * c) if gauss else slice(c)  # the gradient by w, or by u

        f = problem.dynamics.symbolic().map.said(t, x, u, theta[0])
        rate = vertcat(f, jtimes(f, vertcat(x, u), vertcat(dx, w)))
        system: Dynamics = SymbolicSystem(Map(t, state, control, parameters, rate))
        costs = []
        for i, loss in enumerate((problem.terminal_cost, problem.sampled_running_cost)):
            if loss is None:
                costs.append(None)
                continue
            value = loss.said(t, x, u, theta[0], theta[1 + i])
            slope = gradient(value, vertcat(x, u))
            along = dot(slope, vertcat(dx, w))
            if gauss:
                along = dot(jtimes(slope, vertcat(x, u), vertcat(dx, w)), vertcat(dx, w)) / 2
            costs.append(Symbolic.of_map(Map(t, state, control, parameters, along)))
        self.doubled = Problem(
            system,
            np.concatenate([states, np.zeros_like(states)], axis=1),
            terminal_cost=costs[0],
            running_cost=costs[1],
            running_weight=problem.running_weight,
            parameters=np.concatenate(constants, axis=1) if parameters.numel() else None,
            weights=problem.weights,
            times=problem.times,
            scheme=problem.scheme,
            dtype=problem.dtype,
        )

    def prepare(self) -> float:
        """Compile the doubled round; return the seconds that took."""
        doubled = self.doubled
        u = np.zeros(doubled.control_shape)
        doubled.sweeper.prepare(doubled.samples, u, (None, None))
        return doubled.sweeper.compile_seconds

    def product(self, u: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Return the Hessian of the sampled costs at u times w, in the inner product of L2(0, T).

        Parameters
        ----------
        u, w : ndarray, shape (N, c)

        Returns
        -------
        ndarray, shape (N, c)
        """
        done = self.doubled.sweep(np.concatenate([u, w], axis=1), (None, None))
        return -done.g[:, self.wanted] / self.problem.dynamics.share
