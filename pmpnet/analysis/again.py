"""A solution with other controls, priced and judged again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..certificate import violations
from ..problem import Problem
from ..reduced import Reduced
from ..solution import Solution


def priced_again(solution: Solution, problem: Problem, u: np.ndarray, **changes: Any) -> Solution:
    """Return the solution with other controls, those of a problem like its own."""
    found = replace(solution, problem=problem, controls=u, **changes)
    reduced = Reduced(problem, multipliers=found.lagrangian)
    v = reduced.join(u, found.readouts, found.stretch)
    point = reduced.evaluate(v)
    return replace(
        found,
        terms=point.terms,
        gap=reduced.gap(v, point.g, point.sums),
        residual=reduced.residual(v, point.g),
        violations={"controls": reduced.violation(v)}
        | violations(problem, u, found.readouts, found.stretch),
    )


def moved(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much states differ, relative to 1 + their size."""
    return float(np.abs(after - before).max(initial=0.0) / (1 + np.abs(before).max(initial=0.0)))
