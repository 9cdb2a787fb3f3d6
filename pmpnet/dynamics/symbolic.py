"""Systems given by CasADi expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import casadi
import numpy as np
from casadi import SX

from .. import checks
from ..expressions import Map, evaluated, made_of, symbols
from .base import Dynamics, even


class SymbolicSystem(Dynamics):
    """The system x' = F(t, x, u, theta) of a map with as many rows as there are states."""

    def __init__(self, map: Map) -> None:
        self.map = map
        self.dim, self.controls, self.parameters = map.dim, map.controls, map.parameters
        self.scale, self.affine = map.scale, map.affine

    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        return self.map(t, x, u, theta)

    def symbolic(self) -> SymbolicSystem:
        return self

    def pack(self, **parts: Any) -> np.ndarray:
        """Return the control row of ``u``, shape (c,)."""
        checks.parts(parts, ("u",))
        row = parts.get("u", np.zeros(self.controls))
        return checks.real_array("u", row, shape=(self.controls,)).copy()

    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return ``{"u": (c,)}``."""
        return {"u": checks.real_array("row", row, shape=(self.controls,), finite=False)}

    def kernels(self):
        return self.map.kernels()

    def record(self, dtype):
        return self.map.record(dtype)

    def scratch(self, block, dtype):
        return self.map.scratch(block, dtype)

    @property
    def tape_rows(self) -> int:
        return even(self.dim)

    @property
    def work(self) -> float:
        return self.map.work

    def describe(self) -> dict[str, Any]:
        return self.map.describe()

    @classmethod
    def from_instructions(cls, **told: Any) -> SymbolicSystem:
        """Return the system that `describe` described; see `Map.from_instructions`."""
        system = cls.__new__(cls)
        SymbolicSystem.__init__(system, Map.from_instructions(**told))
        return system

    def __reduce__(self):
        return partial(type(self).from_instructions, **self.describe()), ()


class Symbolic(SymbolicSystem):
    """Your own system, said in CasADi: x' = scale rhs(t, x, u, theta).

    CasADi differentiates the expression; value and pullbacks are compiled once, and kept on disk
    under a digest of what they compute. Whether it is affine in u is found from the expression.

    Parameters
    ----------
    x : casadi.SX or list of them
        The d symbols of the state.
    u : casadi.SX or list of them
        The c symbols of the control.
    rhs : casadi.SX or list of them
        d expressions of these symbols.
    t : casadi.SX, optional
        The symbol of time, if rhs depends on it.
    parameters : casadi.SX or list of them, optional
        Symbols of constants that differ from sample to sample; their values are the argument
        ``parameters`` of `Problem`, shape (M, p).
    scale : float, default 1.0
        Multiplies rhs.

    Raises
    ------
    ValueError, TypeError
        For anything that is not an SX symbol where one is needed, a symbol used twice, a free
        symbol in rhs, a number of expressions other than d, an operation that cannot be compiled.

    Examples
    --------
    A pendulum with a torque:

    >>> import casadi
    >>> angle, speed, torque = (casadi.SX.sym(name) for name in ("angle", "speed", "torque"))
    >>> pendulum = Symbolic([angle, speed], torque, [speed, torque - casadi.sin(angle)])
    >>> pendulum.affine
    True
    >>> pendulum.f(0.0, np.array([[0.0, 1.0]]), np.array([0.5])).tolist()
    [[1.0, 0.5]]
    """

    def __init__(
        self,
        x: Any,
        u: Any,
        rhs: Any,
        t: Any = None,
        parameters: Any = None,
        *,
        scale: float = 1.0,
    ) -> None:
        inputs = t, x, u, theta = symbols(t=t, x=x, u=u, parameters=parameters)
        rhs = made_of("rhs", rhs, inputs, "the symbols of t, x, u and parameters")
        checks.expression_count("rhs", rhs.numel(), x.numel(), "the state has")
        super().__init__(Map(t, x, u, theta, rhs, checks.real("scale", scale)))

    def __repr__(self) -> str:
        kind = "affine" if self.affine else "not affine"
        more = f", {self.parameters} parameters" if self.parameters else ""
        return f"Symbolic({self.dim} states, {self.controls} controls{more}, {kind} in u)"


def from_function(
    f: Callable, states: int, controls: int, parameters: int = 0, *, scale: float = 1.0
) -> Symbolic:
    """Return the system of a function f(t, x, u), or f(t, x, u, theta) with parameters.

    Parameters
    ----------
    f : callable
        Takes columns of CasADi symbols and returns ``states`` expressions made of them with
        CasADi's functions (casadi.sin, casadi.if_else, arithmetic).
    states, controls : int
        d and c, at least 1.
    parameters : int, default 0
        p, how many constants differ from sample to sample.
    scale : float, default 1.0
        Multiplies f.

    Returns
    -------
    Symbolic

    Raises
    ------
    ValueError, TypeError
        As `Symbolic`, and if f fails on symbols.

    Examples
    --------
    >>> decay = from_function(lambda t, x, u: [u[0] - x[0]], states=1, controls=1)
    >>> decay.f(0.0, np.array([[3.0]]), np.array([1.0])).item()
    -2.0
    """
    x = SX.sym("x", checks.size("states", states, 1))
    u = SX.sym("u", checks.size("controls", controls, 1))
    theta = SX.sym("theta", checks.size("parameters", parameters, 0))
    t = SX.sym("t")
    inputs = [t, x, u, theta] if parameters else [t, x, u]
    value = evaluated("f", f, inputs, "as f(t, x, u), or f(t, x, u, theta) with parameters,")
    return Symbolic(x, u, value, t, theta if parameters else None, scale=scale)


class ListedFields(SymbolicSystem):
    """Your own fields: f(x, u) = scale (F_0(x) + sum_i u_i F_i(x)). Made by `LinearControl`.

    Parameters
    ----------
    dim : int
        Dimension d of the state.
    fields : list of callables
        Each takes the state, a column of d CasADi symbols, and returns d expressions.
    drift : callable, optional
        F_0, said like a field.
    scale : float, default 1.0
        Multiplies f.

    Raises
    ------
    ValueError, TypeError
        For an empty list, a field that is not a function, that fails on symbols, or that does
        not return d expressions of the state.
    """

    def __init__(
        self,
        dim: int,
        fields: Sequence[Callable],
        drift: Callable | None = None,
        scale: float = 1.0,
    ) -> None:
        fields = checks.field_list(fields)
        x, u = SX.sym("x", dim), SX.sym("u", len(fields))
        columns = [_field(f"fields[{i}]", field, x) for i, field in enumerate(fields)]
        rhs = casadi.mtimes(casadi.horzcat(*columns), u)
        if drift is not None:
            rhs += _field("drift", drift, x)
        super().__init__(Map(SX.sym("t"), x, u, SX.sym("theta", 0), rhs, scale))

    def __repr__(self) -> str:
        more = f", scale={self.scale:g}" if self.scale != 1.0 else ""
        return f"LinearControl({self.dim}, [{self.controls} fields]{more})"


def _field(name: str, field: Callable, x: SX) -> SX:
    """Return what a field gives back on symbols, as a column of expressions of them."""
    d = x.numel()
    value = evaluated(name, field, [x], f"with entries x[0] to x[{d - 1}]")
    checks.expression_count(name, value.numel(), d, "the state has")
    return made_of(name, value, [x], "the vector it is given")
