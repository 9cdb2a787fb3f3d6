"""Curvature of the cost: the largest eigenvalue of its Hessian, by exact products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..problem import Problem
from ..solution import Solution
from ..tangent import Tangent

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


class Hessian:
    """The Hessian of J by the control, in plain coordinates: that of `Problem.gradient`.

    Parameters
    ----------
    problem : Problem
        Without constraints, trained readouts, free horizon and kinetic energy. Of the control
        cost only L2 is curved; L1, groups and bounds have no part in it.

    Raises
    ------
    ValueError, TypeError
        If the problem has one of these, or is no problem.

    Examples
    --------
    >>> import numpy as np, pmpnet
    >>> from pmpnet import dynamics, losses
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), np.zeros((1, 2)), steps=2,
    ...                          terminal_cost=losses.Squared())
    >>> u = np.zeros((2, 2))
    >>> Hessian(problem).product(u, [[1, 0], [0, 0]]).round(12).tolist()
    [[0.5, 0.0], [0.5, 0.0]]
    """

    def __init__(self, problem: Problem) -> None:
        checks.instance("problem", problem, Problem, "a pmpnet.Problem")
        self.problem, self.tangent = problem, Tangent(problem)

    def product(self, u: ArrayLike, w: ArrayLike) -> np.ndarray:
        """Return the Hessian at u times w, all of shape (N, c)."""
        problem = self.problem
        u = checks.controls(u, problem.control_shape)
        w = checks.controls(w, problem.control_shape, "w")
        return self._product(u, w)

    def _product(self, u: np.ndarray, w: np.ndarray) -> np.ndarray:
        metric = self.problem.metric[:, None]
        return metric * (self.tangent.product(u, w) + self.problem.penalty.l2 * w)

    def operator(self, u: ArrayLike) -> LinearOperator:
        """Return the Hessian at u as scipy's LinearOperator of size (N c, N c)."""
        from scipy.sparse.linalg import LinearOperator

        shape = self.problem.control_shape
        u, n = checks.controls(u, shape), shape[0] * shape[1]

        def product(w: np.ndarray) -> np.ndarray:
            return self._product(u, w.reshape(shape)).ravel()

        return LinearOperator((n, n), matvec=product, dtype=np.float64)

    def largest(self, u: ArrayLike, tol: float = 1e-8, seed: int = 0) -> tuple[float, np.ndarray]:
        """Return the largest eigenvalue at u and its eigenvector (N, c), by Lanczos' method."""
        from scipy.sparse.linalg import eigsh

        A = self.operator(u)
        n = A.shape[0]
        if n < 3:  # too few for Lanczos
            values, vectors = np.linalg.eigh(A @ np.eye(n))
        else:
            start = np.random.default_rng(seed).standard_normal(n)
            values, vectors = eigsh(A, 1, which="LA", v0=start, tol=tol)
        return float(values[-1]), vectors[:, -1].reshape(self.problem.control_shape)


def sharpness(solution: Solution, tol: float = 1e-8, seed: int = 0) -> float:
    """Return the sharpness of a solution: the largest eigenvalue of the Hessian of J.

    Gradient descent u - step dJ/du on a quadratic model is stable up to sharpness 2 / step, and
    on networks hovers there (edge of stability). Scipy's Lanczos method on exact products of the
    tangent problem; `Hessian` serves many controls of one problem.

    Parameters
    ----------
    solution : Solution
    tol : float, default 1e-8
        Relative accuracy.
    seed : int, default 0
        Of the first vector.

    Returns
    -------
    float
        Of the Hessian in plain coordinates, as `Problem.gradient` is the gradient; in those of
        L2(0, T), divide by h.

    Raises
    ------
    ValueError, TypeError
        For problems without second derivatives here; see `Hessian`.

    References
    ----------
    J. Cohen et al., Gradient descent on neural networks typically occurs at the edge of stability,
    ICLR 2021; S. Arora, Z. Li, A. Panigrahi, Understanding gradient descent on the edge of
    stability in deep learning, ICML 2022.

    Examples
    --------
    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), np.zeros((1, 2)), steps=4,
    ...                          terminal_cost=losses.Squared())
    >>> round(sharpness(pmpnet.solve.msa(problem, max_iter=0)), 10)  # of |h sum_k u_k|^2
    0.5
    """
    checks.instance("solution", solution, Solution, checks.A_SOLUTION)
    tol, seed = checks.real("tol", tol, least=0.0), checks.integer("seed", seed, 0)
    return Hessian(solution.problem).largest(solution.controls, tol, seed)[0]
