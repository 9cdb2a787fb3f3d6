"""The augmentation of the Hamiltonian by what states and costates lose of their equations.

For a system affine in the control, f(x, v) - f(x, u) = F (v - u) with F = df/du, and H_x changes
by G (v - u) with G = d(H_x)/du: the augmented Hamiltonian

    <g_k, v> - R(v) - rho/2 E |F (v - u)|^2 - rho/2 E |G (v - u)|^2

is quadratic in v. E is the mean over samples; costates in G are those of a single sample, not
weighted.
"""

from __future__ import annotations

import numpy as np

from .. import checks
from ..reduced import Point, Reduced

BLOCK_ENTRIES = 1 << 20  # of the matrices of a block of samples
NOTHING = 1e-12  # relative to the largest: an eigenvalue of rounding


class Augmentation:
    """The quadratic form A = E[F'F] + E[G'G] of every layer.

    Parameters
    ----------
    reduced : Reduced

    Raises
    ------
    ValueError
        If the augmented Hamiltonian is not quadratic.

    References
    ----------
    Q. Li, L. Chen, C. Tai, W. E, Maximum principle based algorithms for deep learning, JMLR 2018.
    """

    def __init__(self, reduced: Reduced) -> None:
        import casadi

        problem, penalty = reduced.problem, reduced.problem.penalty
        checks.augmentable(
            problem.model.dynamics.affine,
            penalty.quadratic,
            reduced.size == reduced.controls,
            repr(penalty),
        )
        self.reduced = reduced
        map = problem.model.dynamics.symbolic().map
        t, x, u, theta = map.inputs
        rhs, p = map.scale * map.value, casadi.SX.sym("p", map.dim)
        F = casadi.jacobian(rhs, u)
        G = casadi.jacobian(casadi.gradient(casadi.dot(p, rhs), x), u)
        both = casadi.densify(casadi.vertcat(F, G))
        self.matrices = casadi.Function("matrices", [t, x, theta, p], [both])
        samples = reduced.samples
        counted = problem.weights > 0
        self.counted = None if counted.all() else counted
        self.weights = self._of(problem.weights).astype(float)
        self.theta = self._of(samples.theta[:, : map.parameters]).astype(float)
        self.block = max(1, BLOCK_ENTRIES // (2 * map.dim * map.controls))

    def _of(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of the samples that count."""
        return rows if self.counted is None else rows[self.counted]

    def along(self, states: np.ndarray, costates: np.ndarray) -> np.ndarray:
        """Return A of every layer, (N, c, c), from states and costates (N+1, M, d)."""
        N, c = self.reduced.problem.control_shape
        times = self.reduced.problem.times
        A = np.zeros((N, c, c))
        for k in range(N):
            x, p = self._of(states[k]).astype(float), self._of(costates[k + 1]).astype(float)
            p = p / self.weights[:, None]
            for first in range(0, len(x), self.block):
                some = slice(first, first + self.block)
                A[k] += self._sum(times[k], x[some], self.theta[some], p[some], self.weights[some])
        return A

    def _sum(
        self, t: float, x: np.ndarray, theta: np.ndarray, p: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Return the weighted sum over a block of samples, (c, c)."""
        # given as many columns as there are samples, the function is mapped over them
        constants = theta.T if theta.size else np.zeros((0, 1))
        S = self.matrices(t, x.T, constants, p.T).full()
        S = S.reshape(len(S), len(x), -1)
        rows = (S * np.sqrt(weights)[:, None]).reshape(-1, S.shape[2])
        return rows.T @ rows

    def step(self, x: Point, A: np.ndarray) -> tuple[np.ndarray, float]:
        """Return how the maximiser with the quadratic form A differs from x, and the form there.

        Where several maximise, the nearest one to x.
        """
        reduced = self.reduced
        penalty, (N, c) = reduced.problem.penalty, reduced.problem.control_shape
        l2 = np.broadcast_to(penalty.l2, (N, c))
        slope = reduced.control(x.g - reduced.penalty_gradient(x.v))
        curvature = A + l2[:, :, None] * np.eye(c)
        inverse = np.linalg.pinv(curvature, rcond=NOTHING, hermitian=True)
        moved = np.einsum("kij,kj->ki", inverse, slope)
        form = np.einsum("ki,kij,kj->k", moved, A, moved)
        return moved.ravel(), float((reduced.problem.metric * form).sum())
