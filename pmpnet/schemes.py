"""One-step schemes as tableaux: Euler, Heun, midpoint, RK4, or your own.

A scheme is data. One kernel takes the step of any explicit tableau, and one takes its exact
transpose, so that costates are exact for every scheme (Hager 2000; Sanz-Serna 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import checks


@dataclass(frozen=True)
class Scheme:
    """An explicit Runge-Kutta scheme given by its Butcher tableau.

    Parameters
    ----------
    name : str
        How the scheme is called in messages and files.
    A : array-like, shape (s, s)
        Stage weights, strictly lower triangular.
    b : array-like, shape (s,)
        Weights of the step, summing to 1.
    order : int
        Order of convergence on smooth problems.

    Raises
    ------
    ValueError
        If A is not strictly lower triangular, shapes disagree or b does not sum to 1.

    Examples
    --------
    >>> ralston = Scheme("ralston", [[0, 0], [2 / 3, 0]], [1 / 4, 3 / 4], order=2)
    >>> ralston.c.round(3).tolist()
    [0.0, 0.667]
    """

    name: str
    A: ArrayLike
    b: ArrayLike
    order: int

    def __post_init__(self) -> None:
        checks.text("name", self.name)
        object.__setattr__(self, "order", checks.integer("order", self.order, 1))
        # copies, so that the caller's arrays stay writable; + 0.0 turns -0.0, equal to 0.0 but of
        # another hash, into 0.0
        A = checks.real_array("A", self.A, ndim=2) + 0.0
        b = checks.real_array("b", self.b, ndim=1) + 0.0
        checks.tableau(self.name, A, b)
        A.setflags(write=False)
        b.setflags(write=False)
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "b", b)

    @property
    def stages(self) -> int:
        """Number of stages s."""
        return len(self.b)

    @property
    def c(self) -> np.ndarray:
        """Times of the stages within a step, as fractions of it."""
        return self.A.sum(axis=1)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Scheme)
            and np.array_equal(self.A, other.A)
            and np.array_equal(self.b, other.b)
        )

    def __hash__(self) -> int:
        return hash((self.A.tobytes(), self.b.tobytes()))

    def __repr__(self) -> str:
        return f"Scheme({self.name!r}, stages={self.stages}, order={self.order})"


EULER = Scheme("euler", [[0.0]], [1.0], order=1)
HEUN = Scheme("heun", [[0.0, 0.0], [1.0, 0.0]], [0.5, 0.5], order=2)
MIDPOINT = Scheme("midpoint", [[0.0, 0.0], [0.5, 0.0]], [0.0, 1.0], order=2)
RK4 = Scheme(
    "rk4",
    [[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 1, 0]],
    [1 / 6, 1 / 3, 1 / 3, 1 / 6],
    order=4,
)
NAMED = {scheme.name: scheme for scheme in (EULER, HEUN, MIDPOINT, RK4)}


def scheme(given: str | Scheme) -> Scheme:
    """Return the scheme of that name, or the scheme itself.

    Parameters
    ----------
    given : str or Scheme
        ``"euler"``, ``"heun"``, ``"midpoint"``, ``"rk4"``, or a `Scheme`.

    Returns
    -------
    Scheme

    Raises
    ------
    ValueError
        If there is no scheme of that name.

    Examples
    --------
    >>> scheme("heun").stages
    2
    """
    if isinstance(given, Scheme):
        return given
    return NAMED[checks.choice("scheme", given, NAMED, "or an object of pmpnet.schemes.Scheme")]
