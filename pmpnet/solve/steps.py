"""Proximal steps: what several methods take, and fall back on."""

from __future__ import annotations

import numpy as np

from ..reduced import Point, Reduced

DECREASE = 1e-4  # c: the part of the predicted decrease that a step must reach
SMALLEST_STEP = 1e-16  # relative to the first step: below it, only rounding is left
STALLED = "no step lowers the cost any further: the limit of rounding is reached."


def proximal_step(
    reduced: Reduced, x: Point, gamma: float, reference: float, smallest: float
) -> tuple[Point | None, float]:
    """Maximise the augmented Hamiltonian, with gamma halved until the cost falls enough."""
    while gamma >= smallest:
        new = reduced.evaluate(reduced.maximise(x, gamma))
        s = new.v - x.v
        if new.finite and new.cost <= reference - DECREASE / (2 * gamma) * reduced.inner(s, s):
            return new, gamma
        gamma *= 0.5
    return None, gamma


def first_step(reduced: Reduced, x: Point) -> float:
    """Return a proximal step from one probe along g: 0.9 over the curvature found there."""
    size = reduced.norm(x.g)
    if not size > 0:
        return 1.0
    d = x.g * (1e-3 / size)
    change = reduced.norm(reduced.evaluate(x.v + d).g - x.g)
    if not (np.isfinite(change) and change > 0):
        return 1.0
    return float(np.clip(0.9e-3 / change, 1e-10, 1e6))


def barzilai_borwein(reduced: Reduced, old: Point, new: Point, known: float = 0.0) -> float:
    """|s|^2 / <s, change of gradient>, or 0 where the curvature is not positive.

    ``known`` is a part of <s, change of gradient> that is counted elsewhere.
    """
    s = new.v - old.v
    curvature = reduced.inner(s, old.g - new.g) - known
    return reduced.inner(s, s) / curvature if curvature > 0 else 0.0
