"""One-step schemes as tableaux: Euler, Heun, midpoint, RK4, or your own.

A scheme is data. One kernel takes the step of any explicit tableau, and one takes its exact
transpose, so that costates are exact for every scheme (Hager 2000; Sanz-Serna 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import checks

LARGEST = 16.0  # of a difference of two states: more would lose digits


class ByStates(NamedTuple):
    """A step of an explicit scheme without slopes: from X_0 to X_m, which is the next step's X_0.

    X_i = sum over j < i of A_ij X_j + b_i h f(X_at(i)). Runge and Kutta's step, say::

        X_1 = X_0 + h/2 f(X_0),  X_2 = X_0 + h/2 f(X_1),  X_3 = X_0 + h f(X_2),
        X_4 = (-X_0 + X_1 + 2 X_2 + X_3) / 3 + h/6 f(X_3)

    Every state is made in one pass over memory from what f needs anyway, and the transpose is of
    the same form: P_j = sum over i > j of A_ij P_i + b_i h f'(X_j)' P_i where at(i) = j.

    Attributes
    ----------
    A : ndarray, shape (m+1, m+1)
        Row 0 is zero.
    whole : ndarray, shape (m+1,)
        1 for a state, 0 for h times a slope by itself. A state's factors of states sum to 1.
    b : ndarray, shape (m+1,)
        Zero where f takes no part.
    stage : ndarray, shape (m+1,)
        Which stage's slope it is: -1 where f takes no part.
    at : ndarray, shape (m+1,)
        The state f is evaluated at; -1 where f takes no part.

    References
    ----------
    C.-W. Shu, S. Osher, Efficient implementation of essentially non-oscillatory shock-capturing
    schemes, Journal of Computational Physics, 1988 (such forms of a step).
    """

    A: np.ndarray
    whole: np.ndarray
    b: np.ndarray
    stage: np.ndarray
    at: np.ndarray


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

    @cached_property
    def by_states(self) -> ByStates:
        """The same step, said by its states.

        Examples
        --------
        >>> HEUN.by_states.A
        array([[0. , 0. , 0. ],
               [1. , 0. , 0. ],
               [0.5, 0.5, 0. ]])
        """
        s = self.stages
        stages = np.column_stack([np.ones(s), self.A])  # over x and the slopes h k_1 to h k_s
        step = np.append(1.0, self.b)
        most = np.maximum(np.abs(self.A).max(axis=0), np.abs(self.b))  # weight of every slope
        made, rows, b, stage, at = [stages[0]], [[]], [0.0], [-1], [-1]

        def add(target: np.ndarray, slope: int, point: int) -> None:
            """Make a state, with a slope that no state before it has."""
            rest, factors = target.copy(), np.zeros(len(made))
            weight = target[slope + 1] if slope >= 0 else 0.0
            if slope >= 0:
                rest[slope + 1] = 0.0
            for j in range(len(made) - 1, -1, -1):
                newest = stage[j] + 1  # only this one, and those after it, have that slope
                if made[j][newest] != 0 and (j == 0 or stage[j] >= 0):
                    factors[j] = rest[newest] / made[j][newest]
                    rest = rest - factors[j] * made[j]
            made.append(target)
            rows.append(factors)
            b.append(weight)
            stage.append(slope)
            at.append(point)

        point = 0
        for i in range(s):
            target = stages[i + 1] if i + 1 < s else step
            if most[i] == 0:  # it serves nobody
                add(target, -1, -1)
            elif abs(target[i + 1]) >= most[i] / LARGEST:
                add(target, i, point)
            else:  # it counts later: the slope by itself, and the next state from it
                add(np.eye(s + 1)[i + 1], i, point)
                add(target, -1, -1)
            point = len(made) - 1
        A = np.zeros((len(made), len(made)))
        for i, factors in enumerate(rows):
            A[i, : len(factors)] = factors
        whole = np.array([target[0] for target in made])
        return ByStates(A, whole, np.array(b), np.array(stage), np.array(at))

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
