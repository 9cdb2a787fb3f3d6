"""Is the flow invertible? Lipschitz constants of layers, and the inverse with its error bound.

A step x -> x + g(x) whose displacement g has Lipschitz constant c < 1 is invertible: the iteration
z_{n+1} = y - g(z_n) converges to the point whose image is y, and
|z_n - z| <= c / (1 - c) |z_n - z_{n-1}| <= c^n / (1 - c) |z_1 - z_0|.

For f with Lipschitz constant L the stages X_i = x + h sum_j a_ij f(X_j) of a scheme have constants
l_i <= 1 + h L sum_j |a_ij| l_j, and g = h sum_i b_i f(X_i) has c <= h L sum_i |b_i| l_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..dynamics import Dynamics, Layer, Neurons, Outside, TwoLayer
from ..integrate import step
from ..schemes import Scheme
from ..solution import Solution
from .steps import layer_jacobians, points

# Largest slope of each activation; that of gelu is at sqrt(2)
STEEPEST = dict.fromkeys(("identity", "tanh", "relu", "leaky_relu", "softplus", "sin"), 1.0)
STEEPEST |= {"sigmoid": 0.25, "gelu": 1.128904145}


@dataclass(frozen=True, eq=False)
class Lipschitz:
    """Lipschitz constants, in Euclid's norm.

    Attributes
    ----------
    layers : ndarray, shape (N,)
        c_k, of the displacements x -> Psi_k(x) - x.
    flow : float
        prod_k (1 + c_k), a bound on that of the flow.
    inverse : float
        prod_k 1 / (1 - c_k), a bound on that of its inverse; infinite if a c_k is not below 1.
    proven : bool
        Whether the c_k hold for all points (layers and networks, by the norms of their matrices)
        or are the largest ones seen along the paths of the points.
    """

    layers: np.ndarray
    flow: float
    inverse: float
    proven: bool

    def __float__(self) -> float:
        return self.flow

    @property
    def invertible(self) -> bool:
        """Whether every displacement is a contraction."""
        return bool((self.layers < 1).all())


def lipschitz(
    solution: Solution, x: ArrayLike | None = None, parameters: ArrayLike | None = None
) -> Lipschitz:
    """Return the Lipschitz constants of every layer, of the flow and of its inverse.

    Parameters
    ----------
    solution : Solution
    x : array-like, shape (M, d), optional
        Points along whose paths the constants are measured, where none is proven; the samples
        without them.
    parameters : array-like, shape (M, p), optional
        Those of the points, where the system has parameters.

    Returns
    -------
    Lipschitz

    Raises
    ------
    ValueError, TypeError
        If the points do not fit.

    References
    ----------
    J. Behrmann et al., Invertible residual networks, ICML 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2)
    >>> problem = pmpnet.Problem(layer, [[1.0, 0.0]], terminal_cost=losses.Squared(), steps=2)
    >>> u = np.tile(layer.pack(W=[[0, -1], [1, 0]]), (2, 1))
    >>> found = lipschitz(pmpnet.solve.msa(problem, u, max_iter=0))
    >>> found.layers.tolist(), found.flow, found.inverse, found.proven
    ([0.5, 0.5], 2.25, 4.0, True)
    """
    x, theta = points(solution, x, parameters)
    problem, u = solution.problem, solution.controls
    if _steepness(problem.dynamics, u[0]) is None:
        J = layer_jacobians(solution, x, theta)
        D = J - np.eye(J.shape[-1])
        c, proven = np.linalg.norm(D, 2, axis=(2, 3)).max(axis=1, initial=0.0), False
    else:
        L = np.array([_steepness(problem.dynamics, row) for row in u])
        c, proven = _displacement(problem.scheme, np.diff(solution.times), L), True
    inverse = float(np.prod(1 / (1 - c))) if (c < 1).all() else float("inf")
    return Lipschitz(c, float(np.prod(1 + c)), inverse, proven)


def _steepness(dynamics: Dynamics, row: np.ndarray) -> float | None:
    """Return a Lipschitz constant of x -> f(x, u) for all x; None where no formula is known."""
    if isinstance(dynamics, (Layer, Outside)):
        product = _norm(dynamics.unpack(row)["W"])
    elif isinstance(dynamics, TwoLayer):
        parts = dynamics.unpack(row)
        product = _norm(parts["A"]) * _norm(parts["W"])
    elif isinstance(dynamics, Neurons):
        parts = dynamics.unpack(row)
        product = dynamics.share * _norm(parts["a"]) * _norm(parts["w"])
    else:
        return None
    return abs(dynamics.scale) * STEEPEST[dynamics.activation] * product


def _norm(matrix: np.ndarray) -> float:
    return float(np.linalg.norm(matrix, 2))


def _displacement(scheme: Scheme, h: np.ndarray, L: np.ndarray) -> np.ndarray:
    """Return the constants of the steps' displacements, of those of f."""
    stages: list[np.ndarray] = []
    for row in np.abs(scheme.A):
        inner = sum((a * own for a, own in zip(row, stages, strict=False)), np.zeros_like(L))
        stages.append(1 + h * L * inner)
    return h * L * sum(abs(b) * own for b, own in zip(scheme.b, stages, strict=True))


@dataclass(frozen=True, eq=False)
class Inversion:
    """Points whose flow was given, and how sure they are.

    Attributes
    ----------
    points : ndarray, shape (M, d)
    iterations : ndarray of int, shape (N,)
        Of the fixed-point iteration of every layer.
    converged : ndarray of bool, shape (N,)
    bound : float
        Bound on the distance of a point from the true one, in exact arithmetic; infinite where a
        layer's displacement is not known to be a contraction.
    proven : bool
        Whether the constants that the bound is made of hold for all points.
    """

    points: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    bound: float
    proven: bool


def inversion(
    solution: Solution,
    z: ArrayLike,
    tol: float = 1e-12,
    max_iter: int = 1000,
    parameters: ArrayLike | None = None,
) -> Inversion:
    """Return the points whose flow is z, layer by layer backwards, with an error bound.

    Parameters
    ----------
    solution : Solution
    z : array-like, shape (M, d)
    tol : float, default 1e-12
        Largest last step of the iteration, relative to 1 + |x|; with 0 every layer takes
        ``max_iter`` iterations.
    max_iter : int, default 1000
        Iterations per layer.
    parameters : array-like, shape (M, p), optional
        Those of the points, where the system has parameters.

    Returns
    -------
    Inversion

    Raises
    ------
    ValueError, TypeError
        If the points do not fit.

    References
    ----------
    J. Behrmann et al., Invertible residual networks, ICML 2019.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> layer = dynamics.Layer(2)
    >>> problem = pmpnet.Problem(layer, [[1.0, 0.0]], terminal_cost=losses.Squared(), steps=4)
    >>> u = np.tile(layer.pack(W=[[0, -1], [1, 0]]), (4, 1))
    >>> solution = pmpnet.solve.msa(problem, u, max_iter=0)
    >>> found = inversion(solution, solution.flow([[0.3, 0.2]]), tol=1e-6)
    >>> bool(np.abs(found.points - [0.3, 0.2]).max() <= found.bound < 1e-5)
    True
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    tol, max_iter = checks.real("tol", tol, least=0.0), checks.integer("max_iter", max_iter, 1)
    p, u = solution.problem, solution.controls
    x = checks.points(z, p.dynamics.dim, np.float64)
    theta = checks.parameter_array(parameters, len(x), p.dynamics.parameters, np.float64)
    found = fixed_points(solution, x, theta, tol, max_iter)
    x = found.x
    known = lipschitz(solution, x, parameters) if np.isfinite(x).all() and len(x) else None
    bound = 0.0
    for k in range(len(u) - 1, -1, -1) if known else ():
        c = known.layers[k]
        # the error of the target, carried over by the inverse step, and that of the iteration
        bound = (bound + c * found.last[k]) / (1 - c) if c < 1 else float("inf")
        if not c < 1:
            break
    if known is None and len(x):
        bound = float("inf")
    proven = known is not None and known.proven
    return Inversion(x, found.iterations, found.converged, float(bound), proven)


class FixedPoints(NamedTuple):
    """Points (M, d), and of every layer iterations, whether they converged, their last step."""

    x: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    last: np.ndarray


def fixed_points(
    solution: Solution, x: np.ndarray, theta: np.ndarray, tol: float, max_iter: int
) -> FixedPoints:
    """Return the points whose flow is x, by the iteration z <- y - g(z) of every layer."""
    p, times, u = solution.problem, solution.times, solution.controls
    iterations, converged = np.zeros(len(u), int), np.zeros(len(u), bool)
    last = np.zeros(len(u))
    for k in range(len(u) - 1, -1, -1):
        target, t, h = x, times[k], times[k + 1] - times[k]
        for iterations[k] in range(1, max_iter + 1):
            with np.errstate(over="ignore", invalid="ignore"):
                after = step(p.dynamics, p.scheme, t, h, x, u[k], theta)
                change = target - after
                x = x + change
            largest = np.abs(change).max(initial=0.0)
            converged[k] = largest <= tol * (1.0 + np.abs(x).max(initial=0.0))
            if (converged[k] and tol > 0) or not np.isfinite(largest):
                break
        last[k] = np.linalg.norm(change, axis=1).max(initial=0.0)
    return FixedPoints(x, iterations, converged, last)
