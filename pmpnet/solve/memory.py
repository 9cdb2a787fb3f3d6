"""Limited memory of curvature: the L-BFGS inverse Jacobian in the problem's inner product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..reduced import Point, Reduced


class Memory:
    """The last pairs (s, w) of changes of a variable and of a residual.

    ==========  ============================================================  =========
    symbol      meaning                                                       shape
    ==========  ============================================================  =========
    ``S, W``    the pairs, scaled so that <s, w> = 1; a row each, in a ring   (size, n)
    ``order``   the rows from the oldest to the newest                        (k,)
    ``R``       <s_i, w_j> for i <= j, the upper triangle, oldest first       (k, k)
    ==========  ============================================================  =========

    Attributes
    ----------
    gamma : float or None
        The proximal step of the residuals, where they have one.

    References
    ----------
    R. Byrd, J. Nocedal, R. Schnabel, Representations of quasi-Newton matrices and their use in
    limited memory methods, Mathematical Programming, 1994 (section 2): what the two-loop
    recursion computes pair by pair, by four products with a matrix and two triangular solves.
    """

    def __init__(self, reduced: Reduced, size: int) -> None:
        self.reduced, self.size = reduced, size
        self.S, self.W = np.empty((2, 0, reduced.size))
        self.R = np.zeros((size, size), order="F")
        self.order: list[int] = []
        self.gamma: float | None = None

    def __len__(self) -> int:
        return len(self.order)

    def reset(self) -> None:
        """Forget everything."""
        self.order.clear()

    @property
    def state(self) -> dict[str, Any]:
        """All of this for a file; `restore` takes it back."""
        return dict(S=self.S, W=self.W, R=self.R, order=list(self.order), gamma=self.gamma)

    def restore(self, state: dict[str, Any]) -> None:
        """Become what a memory was."""
        self.S, self.W, self.gamma = state["S"], state["W"], state["gamma"]
        self.R, self.order = np.asfortranarray(state["R"]), list(state["order"])

    def push(self, s: np.ndarray, w: np.ndarray) -> None:
        """Keep a pair if its curvature is positive."""
        curvature = self.reduced.inner(s, w)
        if not curvature > 1e-12 * self.reduced.inner(s, s):
            return
        if len(self.order) == self.size:
            row = self.order.pop(0)
            self.R[:-1, :-1] = self.R[1:, 1:].copy()
        else:
            row = len(self.order)
            if row == len(self.S):  # grown as needed: few problems fill a long memory
                more = np.zeros((min(max(row, 4), self.size - row), self.reduced.size))
                self.S, self.W = np.concatenate([self.S, more]), np.concatenate([self.W, more])
        scale = 1.0 / np.sqrt(curvature)
        np.multiply(s, scale, out=self.S[row])
        np.multiply(w, scale, out=self.W[row])
        self.order.append(row)
        k = len(self.order)
        self.R[:k, k - 1] = self._products(self.S, self.W[row])

    def onto(self, reduced: Reduced, carry: Callable[[np.ndarray], np.ndarray]) -> Memory:
        """Return the same curvature for another problem; ``carry`` takes vectors there."""
        new = Memory(reduced, self.size)
        new.gamma = self.gamma
        for row in self.order:
            new.push(carry(self.S[row]), carry(self.W[row]))
        return new

    def apply(self, residual: np.ndarray, point: Point | None = None) -> np.ndarray:
        """Return the approximate inverse Jacobian times a residual.

        It begins with the curvature that is known at a point, in the scale of the last pair.
        """
        from scipy.linalg.blas import dtrsv

        k = len(self.order)
        R = self.R[:k, :k]
        a = dtrsv(R, self._products(self.S, residual))
        q = residual - self._sum(self.W, a)
        w = scaled = self.W[self.order[-1]]
        if point is not None:
            q, scaled = (self.reduced.preconditioned(point, part) for part in (q, w))
        q /= self.reduced.inner(w, scaled)
        b = dtrsv(R, R.diagonal() * a - self._products(self.W, q), trans=1)
        return q + self._sum(self.S, b)

    # einsum and not BLAS: one order of additions, whatever the threads

    def _products(self, rows: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the inner products of v with the rows, the oldest first."""
        return np.einsum("ij,j->i", rows, self.reduced.metric * v)[self.order]

    def _sum(self, rows: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Return the sum of the rows, the oldest first, times their factors."""
        placed = np.zeros(len(rows))
        placed[self.order] = factors
        return np.einsum("i,ij->j", placed, rows)
