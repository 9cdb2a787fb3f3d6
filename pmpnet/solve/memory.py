"""Limited memory of curvature: the L-BFGS two-loop recursion in the problem's inner product."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from ..reduced import Point, Reduced


class Memory:
    """The last pairs (s, w) of changes of a variable and of a residual.

    Attributes
    ----------
    gamma : float or None
        The proximal step of the residuals, where they have one.

    References
    ----------
    J. Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation,
    1980 (algorithm 7.4 of Nocedal & Wright, Numerical Optimization).
    """

    def __init__(self, reduced: Reduced, size: int) -> None:
        self.reduced = reduced
        self.pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=size)
        self.gamma: float | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def reset(self) -> None:
        """Forget everything."""
        self.pairs.clear()

    def push(self, s: np.ndarray, w: np.ndarray) -> None:
        """Keep a pair if its curvature is positive."""
        curvature = self.reduced.inner(s, w)
        if curvature > 1e-12 * self.reduced.inner(s, s):
            self.pairs.append((s, w, 1.0 / curvature))

    def onto(self, reduced: Reduced, carry: Callable[[np.ndarray], np.ndarray]) -> Memory:
        """Return the same curvature for another problem; ``carry`` takes vectors there."""
        new = Memory(reduced, self.pairs.maxlen)
        new.gamma = self.gamma
        for s, w, _ in self.pairs:
            new.push(carry(s), carry(w))
        return new

    def apply(self, residual: np.ndarray, point: Point | None = None) -> np.ndarray:
        """Return the approximate inverse Jacobian times a residual.

        It begins with the curvature that is known at a point, in the scale of the last pair.
        """
        inner = self.reduced.inner
        q = residual.copy()
        alphas = []
        for s, w, r in reversed(self.pairs):
            a = r * inner(s, q)
            alphas.append(a)
            q -= a * w
        s, w, r = self.pairs[-1]
        scaled = w
        if point is not None:
            q, scaled = (self.reduced.preconditioned(point, a) for a in (q, w))
        q *= 1.0 / (r * inner(w, scaled))
        for (s, w, r), a in zip(self.pairs, reversed(alphas), strict=True):
            q += (a - r * inner(w, q)) * s
        return q
