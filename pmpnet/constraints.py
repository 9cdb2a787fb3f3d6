"""Constraints on states and controls: at the end, along the way, of an integral.

All are said as CasADi expressions, hold for every sample, and read lower <= expression <= upper;
equal bounds make an equation, and of one bound alone the other is infinite. Bounds on the control
alone are better said as `pmpnet.penalties.Box`, which every method keeps exactly.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks

if TYPE_CHECKING:
    from .expressions import Map


class Constraint(ABC):
    """lower <= expression <= upper, for every sample.

    Attributes
    ----------
    name : str or None
        How `Solution.violations` calls it; a number is given to those without.
    lower, upper : ndarray, shape (q,)
    map : Map
        The q expressions.
    """

    kind: str
    between: tuple[float, float] = (-np.inf, 0.0)  # where no bounds are given

    def __init__(
        self,
        expression: Any,
        lower: ArrayLike | None,
        upper: ArrayLike | None,
        name: str | None,
        **roles: Any,
    ) -> None:
        from .expressions import Map, made_of, symbols

        t, x, u, theta = symbols(**roles)
        self.name = checks.constraint_name(name)
        value = made_of(
            "expression", expression, (t, x, u, theta), "the symbols given to the constraint"
        )
        if lower is None and upper is None:
            lower, upper = self.between
        self._take(
            Map(t, x, u, theta, value),
            -np.inf if lower is None else lower,
            np.inf if upper is None else upper,
        )

    def _take(self, map: Map, lower: ArrayLike, upper: ArrayLike) -> None:
        self.map = map
        self.lower, self.upper = checks.constraint_bounds(lower, upper, map.rows)

    def describe(self) -> dict[str, Any]:
        """Return what `from_instructions` takes."""
        return dict(name=self.name, lower=self.lower, upper=self.upper, **self.map.describe())

    @classmethod
    def from_instructions(cls, name: str | None, lower: Any, upper: Any, **told: Any) -> Constraint:
        """Return the constraint that `describe` described; see `pmpnet.expressions.Map`."""
        from .expressions import Map

        constraint = cls.__new__(cls)
        constraint.name = name
        constraint._take(Map.from_instructions(**told), lower, upper)
        return constraint

    def __repr__(self) -> str:
        text = str(self.map.value).strip("[]")
        text = text if len(text) <= 60 else text[:57] + "..."
        low, high = (f"{v[0]:g}" if np.all(v == v[0]) else "..." for v in (self.lower, self.upper))
        between = f"{text} = {low}" if low == high else f"{low} <= {text} <= {high}"
        return f"{type(self).__name__}({between})"


class Terminal(Constraint):
    """lower <= expression(x(T)) <= upper.

    Parameters
    ----------
    expression : casadi.SX or list of them
        q expressions of the symbols below.
    x : casadi.SX or list of them
        The d symbols of the state.
    lower, upper : float or array-like, shape (q,), optional
        Equal ones make an equation; of one alone the other is infinite. Without both, the
        expression is 0.
    name : str, optional
        How `Solution.violations` and `Solution.multipliers` call it.
    parameters : casadi.SX or list of them, optional
        Symbols of the problem's ``parameters``, all of them, in their order.

    Raises
    ------
    ValueError, TypeError
        For bounds that cross, symbols or expressions that are none.

    Examples
    --------
    >>> import casadi
    >>> x = casadi.SX.sym("x", 2)
    >>> Terminal(x, x, [1, 0], [1, 0]).map.rows
    2
    """

    kind = "terminal"
    between = (0.0, 0.0)

    def __init__(
        self,
        expression: Any,
        x: Any,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        name: str | None = None,
        *,
        parameters: Any = None,
    ) -> None:
        super().__init__(expression, lower, upper, name, t=None, x=x, u=None, parameters=parameters)


class Path(Constraint):
    """lower <= expression(t, x, u) <= upper at both ends of every interval, with its control.

    Parameters
    ----------
    expression : casadi.SX or list of them
        q expressions of the symbols below.
    x : casadi.SX or list of them
        The d symbols of the state.
    u : casadi.SX or list of them, optional
        The c symbols of the control.
    t : casadi.SX, optional
        The symbol of time.
    lower, upper : float or array-like, shape (q,), optional
        Of one alone the other is infinite. Without both, the expression is at most 0.
    name : str, optional
        How `Solution.violations` and `Solution.multipliers` call it.
    parameters : casadi.SX or list of them, optional
        Symbols of the problem's ``parameters``, all of them, in their order.

    Raises
    ------
    ValueError, TypeError
        For bounds that cross, symbols or expressions that are none.

    Examples
    --------
    >>> import casadi
    >>> height, speed = casadi.SX.sym("height"), casadi.SX.sym("speed")
    >>> Path(height, [height, speed], upper=0.5)
    Path(-inf <= height <= 0.5)
    """

    kind = "path"

    def __init__(
        self,
        expression: Any,
        x: Any,
        u: Any = None,
        t: Any = None,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        name: str | None = None,
        *,
        parameters: Any = None,
    ) -> None:
        super().__init__(expression, lower, upper, name, t=t, x=x, u=u, parameters=parameters)


class Integral(Constraint):
    """lower <= int expression(t, x, u) dt <= upper, integrated by the problem's scheme.

    Parameters
    ----------
    expression : casadi.SX or list of them
        q expressions of the symbols below.
    x : casadi.SX or list of them
        The d symbols of the state.
    u : casadi.SX or list of them, optional
        The c symbols of the control.
    t : casadi.SX, optional
        The symbol of time.
    lower, upper : float or array-like, shape (q,), optional
        Of one alone the other is infinite. Without both, the expression is at most 0.
    name : str, optional
        How `Solution.violations` and `Solution.multipliers` call it.
    parameters : casadi.SX or list of them, optional
        Symbols of the problem's ``parameters``, all of them, in their order.

    Raises
    ------
    ValueError, TypeError
        For bounds that cross, symbols or expressions that are none.

    Examples
    --------
    >>> import casadi
    >>> x, slope = casadi.SX.sym("x"), casadi.SX.sym("slope")
    >>> chain = Integral(casadi.sqrt(1 + slope**2), x, slope, lower=4, upper=4, name="length")
    >>> chain.lower.tolist()
    [4.0]
    """

    kind = "integral"

    def __init__(
        self,
        expression: Any,
        x: Any,
        u: Any = None,
        t: Any = None,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        name: str | None = None,
        *,
        parameters: Any = None,
    ) -> None:
        super().__init__(expression, lower, upper, name, t=t, x=x, u=u, parameters=parameters)


def names_of(constraints: Sequence[Constraint]) -> tuple[str, ...]:
    """Return the constraints' names; those without are numbered by kind."""
    names: list[str] = []
    for i, c in enumerate(constraints):
        number = sum(other.kind == c.kind for other in constraints[: i + 1])
        names.append(c.name or f"{c.kind} {number}")
    checks.constraint_names(names)
    return tuple(names)
