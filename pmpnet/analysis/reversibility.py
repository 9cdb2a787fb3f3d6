"""Costates without stored states: the states are rebuilt backwards, by steps of length -h.

For a scheme of order p the rebuilt states are off by O(h^p), one power better where p is even:
the gradient made of them is good for deep networks with smooth weights and wrong for others. The
state that comes back at the start can be held against the samples, which nobody had to store:
that is the estimate by which a wrong gradient is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from ..integrate import step
from ..problem import Problem, Readouts
from ..solution import Solution
from .steps import said

if TYPE_CHECKING:
    from casadi import SX


@dataclass(frozen=True, eq=False)
class Reversibility:
    """What becomes of states and gradient when states are rebuilt instead of stored.

    Attributes
    ----------
    errors : ndarray, shape (N+1,)
        Largest distance of a rebuilt state from the true one, at every time; 0 at the end.
    error : float
        That at the start, relative to the largest sample: known without any stored state.
    gradient : ndarray, shape (N, c)
        Gradient of the sampled costs from rebuilt states.
    gradient_error : float
        Its distance from the exact one, relative.
    cosine : float
        Of the angle between both.
    """

    errors: np.ndarray
    error: float
    gradient: np.ndarray
    gradient_error: float
    cosine: float

    def __repr__(self) -> str:
        return (
            f"Reversibility: states rebuilt with relative error {self.error:.3g}, gradient "
            f"{self.gradient_error:.3g}, cosine {self.cosine:.6f}"
        )


def reversibility(solution: Solution) -> Reversibility:
    """Compare the gradient from rebuilt states with the exact one.

    Parameters
    ----------
    solution : Solution

    Returns
    -------
    Reversibility

    Raises
    ------
    TypeError
        For what is not a solution.

    References
    ----------
    M. Sander, P. Ablin, G. Peyre, Do residual neural networks discretize neural ordinary
    differential equations?, NeurIPS 2022, section 4.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2)
    >>> problem = pmpnet.Problem(layer, [[1.0, 0.0]], terminal_cost=losses.Squared(), scheme="heun")
    >>> u = np.tile(layer.pack(W=[[0, -1], [1, 0]]), (20, 1))
    >>> report = reversibility(pmpnet.solve.msa(problem, u, max_iter=0))
    >>> report.error < 1e-4, report.cosine > 0.999999
    (True, True)
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    problem = solution.problem
    done = problem.sweep(solution.controls, solution.readouts, solution.stretch, states=True)
    exact = -problem.steps[:, None] * done.g
    rebuilt, gradient = _backward(solution)
    off = problem.own(rebuilt - done.states)
    errors = np.linalg.norm(off, axis=2).max(axis=1)
    size, own = np.linalg.norm(exact), np.linalg.norm(gradient)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Reversibility(
            errors,
            _start_error(problem, rebuilt[0]),
            gradient,
            float(np.linalg.norm(gradient - exact) / size),
            float((gradient * exact).sum() / (size * own)),
        )


def memory_free_gradient(solution: Solution, tol: float = 0.01) -> np.ndarray:
    """Return the gradient of the sampled costs without storing any state.

    Parameters
    ----------
    solution : Solution
    tol : float, default 0.01
        Largest relative error of the samples rebuilt at the start.

    Returns
    -------
    ndarray, shape (N, c)
        dJ/du of everything but the control cost.

    Raises
    ------
    ValueError
        If the samples rebuilt at the start are off by more: the gradient would be wrong.

    References
    ----------
    M. Sander, P. Ablin, G. Peyre, Do residual neural networks discretize neural ordinary
    differential equations?, NeurIPS 2022, section 4.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2)
    >>> problem = pmpnet.Problem(layer, [[1.0, 0.0]], terminal_cost=losses.Squared(), scheme="heun")
    >>> u = np.tile(layer.pack(W=[[0, -1], [1, 0]]), (20, 1))
    >>> g = memory_free_gradient(pmpnet.solve.msa(problem, u, max_iter=0))
    >>> bool(np.abs(g - problem.gradient(u)).max() < 1e-5)
    True
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    tol = checks.real("tol", tol, above=0.0)
    rebuilt, gradient = _backward(solution)
    error = _start_error(solution.problem, rebuilt[0])
    checks.reversible(error, tol)
    return gradient


def _start_error(problem: Problem, x: np.ndarray) -> float:
    """Return how far rebuilt samples are from the true ones, relative to the largest one."""
    true = np.asarray(problem.initial_states, np.float64)
    size = np.linalg.norm(true, axis=1).max()
    off = np.linalg.norm(problem.own(x) - true, axis=1).max()
    return float(off / size) if size > 0 else float(off)


def _backward(solution: Solution) -> tuple[np.ndarray, np.ndarray]:
    """Return the states rebuilt from the last ones, and the gradient that comes of them."""
    problem, u = solution.problem, solution.controls
    system, times, steps = problem.model.dynamics, problem.times, problem.steps
    constants = np.asarray(problem.samples.theta[:, : system.parameters], np.float64)
    last, before = _pullbacks(problem, solution.readouts)
    done = problem.sweep(u, solution.readouts, solution.stretch, backward=False, final=True)
    rebuilt, gradient = [np.asarray(done.final, np.float64)], []
    p = last(rebuilt[0])
    for k in range(len(u) - 1, -1, -1):
        h = steps[k]
        x = step(system, problem.scheme, times[k + 1], -h, rebuilt[-1], u[k], constants)
        p, slope = before(times[k], h, x, u[k], p)
        rebuilt.append(x)
        gradient.append(-slope)
    return np.stack(rebuilt[::-1]), np.stack(gradient[::-1])


def _pullbacks(problem: Problem, readouts: Readouts) -> tuple[Callable, Callable]:
    """Return two functions: x -> p at the end; t, h, x, u, p -> p before a step, slope by u."""
    from casadi import DM, SX, Function, dot, gradient

    system, samples, d = problem.model.dynamics, problem.samples, problem.dynamics.dim
    w, p, z = SX.sym("w"), SX.sym("p", system.dim), SX.sym("z", system.dim)
    theta = SX.sym("theta", samples.theta.shape[1])
    y = [SX.sym("y", a.shape[1]) for a in (samples.y_terminal, samples.y_running)]

    def loss(role: int, t: Any, x: SX) -> SX:
        loss = problem.sweeper.losses[role]
        if loss is None:
            return SX(0)
        if loss.map is not None:
            return loss.map.said(t, x, SX(0, 1), theta)
        if loss.trained:
            P, c = (DM(a) for a in readouts[role])
            return loss.expression(P @ x[:d] + c, y[role])
        return loss.said(t, x[:d], None, theta, y[role])

    first, integrals = problem.model.extras.first, SX(0)
    for i, coefficient in enumerate(problem.model.extras.coefficients, first):
        integrals += coefficient * z[i]
    terminal = gradient(-w * (loss(0, SX(problem.times[-1]), z) + integrals), z)
    at_end = Function("last", [z, theta, *y, w], [terminal])

    (t, h, x, u, _), after, L = said(system, problem.scheme, partial(loss, 1), theta)
    kept = dot(p, after) - problem.running_weight * w * L
    back = [gradient(kept, x), gradient(kept, u)]
    one_step = Function("before", [t, h, x, u, p, theta, *y, w], back)

    def columns(a: np.ndarray) -> np.ndarray:
        return np.asarray(a, np.float64).T if a.size else np.zeros((0, 1))

    told = [columns(a) for a in (samples.theta, samples.y_terminal, samples.y_running)]
    told.append(np.asarray(problem.weights, np.float64)[None])

    def before(t: float, h: float, x: np.ndarray, u: np.ndarray, p: np.ndarray) -> tuple:
        costates, slopes = one_step(t, h, x.T, u, p.T, *told)
        return costates.full().T, slopes.full().sum(axis=1)

    return lambda x: at_end(x.T, *told).full().T, before
