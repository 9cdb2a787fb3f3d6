"""Limited memory of curvature: the L-BFGS inverse Jacobian in the problem's inner product."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np

from ..reduced import Point, Reduced

KEPT = "S", "W", "first", "count", "scale", "gamma"  # what a memory knows, for a file


class Memory:
    """The last pairs (s, w) of changes of a variable and of a residual.

    ==========  ============================================================  =========
    symbol      meaning                                                       shape
    ==========  ============================================================  =========
    ``S, W``    the pairs, scaled so that <s, w> = 1; a row each, in a ring   (size, n)
    ``first``   the row of the oldest                                         ()
    ``count``   how many there are                                            ()
    ``scale``   <w, w> of the newest                                          ()
    ==========  ============================================================  =========

    Attributes
    ----------
    gamma : float or None
        The proximal step of the residuals, where they have one.

    References
    ----------
    J. Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation,
    1980.
    """

    def __init__(self, reduced: Reduced, size: int) -> None:
        from ..kernels import curvature  # numba is not imported before it is needed

        self.reduced, self.size, self.kernels = reduced, size, curvature
        self.S, self.W = np.empty((2, 0, reduced.size))
        self.first, self.count, self.scale = 0, 0, 1.0
        self.gamma: float | None = None

    def __len__(self) -> int:
        return self.count

    def reset(self) -> None:
        """Forget everything."""
        self.first = self.count = 0

    @property
    def state(self) -> dict[str, Any]:
        """All of this for a file; `restore` takes it back."""
        return {name: getattr(self, name) for name in KEPT}

    def restore(self, state: dict[str, Any]) -> None:
        """Become what a memory was."""
        for name in KEPT:
            setattr(self, name, state[name])

    def push(self, s: np.ndarray, w: np.ndarray) -> None:
        """Keep a pair if its curvature is positive."""
        full = self.count == self.size
        row = self.first if full else self.count
        if row == len(self.S):  # grown as needed: few problems fill a long memory
            more = np.zeros((min(max(row, 4), self.size - row), self.reduced.size))
            self.S, self.W = np.concatenate([self.S, more]), np.concatenate([self.W, more])
        scale = self.kernels.keep(self.reduced.metric, s, w, self.S[row], self.W[row])
        if scale > 0:
            self.scale = scale
            if full:
                self.first = (row + 1) % self.size
            else:
                self.count += 1

    def copy(self) -> Memory:
        """Return another memory of the same."""
        new = copy(self)
        new.S, new.W = self.S.copy(), self.W.copy()
        return new

    def onto(self, reduced: Reduced, carry: Callable[[np.ndarray], np.ndarray]) -> Memory:
        """Return the same curvature for another problem; ``carry`` takes vectors there."""
        new = Memory(reduced, self.size)
        new.gamma = self.gamma
        for i in range(self.count):
            row = self._row(i)
            new.push(carry(self.S[row]), carry(self.W[row]))
        return new

    def apply(self, residual: np.ndarray, point: Point | None = None) -> np.ndarray:
        """Return the approximate inverse Jacobian times a residual.

        It begins with the curvature that is known at a point, in the scale of the last pair.
        """
        pairs = self.S, self.W, self.first, self.reduced.metric
        q, a = residual.copy(), np.empty(self.count)
        self.kernels.down(*pairs, q, a)
        scale = self.scale
        if point is not None and self.reduced.curved:
            w = self.W[self._row(self.count - 1)]
            q, scaled = (self.reduced.preconditioned(point, part) for part in (q, w))
            scale = self.reduced.inner(w, scaled)
        q /= scale
        self.kernels.up(*pairs, q, a)
        return q

    def _row(self, i: int) -> int:
        """Return the row of a pair, counted from the oldest."""
        return (self.first + i) % len(self.S)
