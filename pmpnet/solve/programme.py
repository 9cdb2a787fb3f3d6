"""Unknowns and constraints of a nonlinear programme, and the smooth form of penalties.

An interior-point method wants smooth costs and simple bounds:

- abs(v) = v+ + v-, at the best of all v+ - v- = v that are at least 0;
- the norm of a group is the least value of (|v|^2 / s + s) / 2 over s > 0, which is convex in
  both.

References
----------
C. Micchelli, J. Morales, M. Pontil, Regularizers for structured sparsity, Advances in
Computational Mathematics, 2013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..penalties import Penalty

if TYPE_CHECKING:
    from casadi import MX

SMALLEST_NORM = 1e-8  # of a group: below it the norm is a parabola


class Stack:
    """Named matrices with bounds, one below the other in one vector, each by its columns."""

    def __init__(self) -> None:
        self.expressions: list[MX] = []
        self.bounds: list[tuple[np.ndarray, np.ndarray]] = []
        self.places: dict[str, tuple[slice, tuple[int, int]]] = {}
        self.size = 0

    def add(self, name: str, expression: MX, lower: Any = 0.0, upper: Any = 0.0) -> MX:
        """Append a matrix, and return it."""
        shape, end = expression.shape, self.size + expression.numel()
        self.places[name] = slice(self.size, end), shape
        self.size = end
        self.expressions.append(expression.reshape((-1, 1)))
        low, high = (np.broadcast_to(b, shape).ravel(order="F") for b in (lower, upper))
        self.bounds.append((low, high))
        return expression

    def unknown(
        self, name: str, shape: tuple[int, int], lower: Any = -np.inf, upper: Any = np.inf
    ) -> MX:
        """Append a matrix of symbols, and return it."""
        from casadi import MX

        return self.add(name, MX.sym(name, *shape), lower, upper)

    def read(self, vector: np.ndarray, name: str) -> np.ndarray:
        """Return one of the matrices in a vector."""
        place, shape = self.places[name]
        return vector[place].reshape(shape, order="F")

    def pack(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """Return the vector of these matrices."""
        vector = np.empty(self.size)
        for name, (place, shape) in self.places.items():
            vector[place] = np.broadcast_to(values[name], shape).ravel(order="F")
        return vector

    @property
    def column(self) -> MX:
        """The vector."""
        from casadi import MX, vertcat

        return vertcat(MX(0, 1), *self.expressions)

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of the vector."""
        lower, upper = zip(*self.bounds, strict=True) if self.bounds else ((), ())
        return np.concatenate([*lower, []]), np.concatenate([*upper, []])


class Priced:
    """A matrix of unknowns v with its penalty R(v).

    Parameters
    ----------
    name : str
    penalty : Penalty
    metric : ndarray, shape (N,)
        What R of every row counts.
    shape : (int, int)
    unknowns, rows : Stack
        Where symbols and constraints are added.
    """

    def __init__(
        self,
        name: str,
        penalty: Penalty,
        metric: np.ndarray,
        shape: tuple[int, int],
        unknowns: Stack,
        rows: Stack,
    ) -> None:
        from casadi import DM, dot, sum1, sum2

        self.name, self.penalty, self.unknowns = name, penalty, unknowns
        l1, l2, low, high = (
            np.broadcast_to(a, shape)
            for a in (penalty.l1, penalty.l2, penalty.lower, penalty.upper)
        )
        split = self.split = (l1 > 0) | (penalty.l1_ball is not None)
        if split.any():
            bounds = [(low, high), (-high, -low)]
            parts = [[np.where(split, np.maximum(b, 0), b) for b in pair] for pair in bounds]
            parts[1] = [np.where(split, b, 0.0) for b in parts[1]]
            plus, minus = (
                unknowns.unknown(name + sign, shape, *pair)
                for sign, pair in zip("+-", parts, strict=True)
            )
            self.value, size = plus - minus, plus + minus
        else:
            self.value = unknowns.unknown(name, shape, low, high)
            size = self.value
        squares = self.value**2
        weight = metric[:, None]
        self.cost = 0.5 * dot(DM(weight * l2), squares)
        if l1.any():
            self.cost += dot(DM(weight * l1), size)
        for radius, norm in ((penalty.ball, squares), (penalty.l1_ball, size)):
            if radius is not None:
                most = radius**2 if norm is squares else radius
                rows.add(f"{name} in its ball", sum2(norm), -np.inf, np.reshape(most, (-1, 1)))
        groups = penalty.groups
        if groups is None:
            return
        if groups.by == "time":
            squares = sum1(DM(np.broadcast_to(groups.steps, shape)) * squares)
            weight = metric.sum() / groups.steps.sum()
        else:
            squares = _gathered(squares, groups.rows)
        weight = np.broadcast_to(weight * groups.weight, squares.shape)
        counts = weight > 0
        bounds = np.where(counts, SMALLEST_NORM, 1.0), np.where(counts, np.inf, 1.0)
        norms = unknowns.unknown(f"norms of {name}", squares.shape, *bounds)
        self.cost += 0.5 * dot(DM(weight), squares / norms + norms)

    def guess(self, v: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values of the unknowns for a matrix v."""
        groups, name = self.penalty.groups, self.name
        found = {name: v}
        if self.split.any():
            found = {name + "+": np.where(self.split, np.maximum(v, 0), v)}
            found[name + "-"] = np.where(self.split, np.maximum(-v, 0), 0)
        if groups is not None:
            found[f"norms of {name}"] = np.maximum(groups.norms(v), SMALLEST_NORM)
        return found

    def read(self, vector: np.ndarray) -> np.ndarray:
        """Return v, put into its set where rounding left it outside."""
        read, name = self.unknowns.read, self.name
        if self.split.any():
            return self.penalty.project(read(vector, name + "+") - read(vector, name + "-"))
        return self.penalty.project(read(vector, name))


def _gathered(squares: MX, rows: np.ndarray | None) -> MX:
    """Return the sums over the members of every group, (N, groups)."""
    from casadi import horzcat, sum2

    if rows is None:
        return sum2(squares)
    return horzcat(*[sum2(squares[:, members.tolist()]) for members in rows])
