"""Linear-control systems x' = F_0(x) + sum_i u_i F_i(x)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from .base import Dynamics, even

if TYPE_CHECKING:
    from casadi import SX

    from .symbolic import SymbolicSystem

FAMILIES = ("constant", "polynomial", "gaussian")


def monomials(dim: int, degree: int) -> list[tuple[int, ...]]:
    """Return the monomials of degree 0 to ``degree`` as sorted tuples of variable numbers.

    Examples
    --------
    >>> monomials(2, 2)
    [(), (0,), (1,), (0, 0), (0, 1), (1, 1)]
    """
    return [m for q in range(degree + 1) for m in combinations_with_replacement(range(dim), q)]


def LinearControl(
    dim: int,
    fields: str | Sequence[Callable] = "constant",
    *,
    degree: int = 0,
    width: float = 1.0,
    drift: Callable | None = None,
    scale: float = 1.0,
) -> Dynamics:
    """A system linear in its control: f(x, u) = scale (F_0(x) + sum_i u_i F_i(x)).

    Parameters
    ----------
    dim : int
        Dimension d of the state.
    fields : {"constant", "polynomial", "gaussian"} or list of callables
        The fields F_i. ``"constant"``: e_1 .. e_d. ``"polynomial"``: every monomial of degree 0
        to ``degree`` times each e_i. ``"gaussian"``: the constants, and
        G(x) = exp(-|x|^2 / (2 width)) times every such monomial times each e_i; in dimension 2
        that is 4, 8, 14 fields for degree 0, 1, 2. Or your own list: each field takes the state,
        a vector of d symbols, and returns d expressions made of them with CasADi's functions.
    degree : int, default 0
        Largest degree of the monomials.
    width : float, default 1.0
        nu of the Gaussian.
    drift : callable, optional
        F_0, said like a field.
    scale : float, default 1.0
        Multiplies f.

    Returns
    -------
    Dynamics

    Raises
    ------
    ValueError, TypeError
        For an unknown family, a degree or width out of range, a field that does not return d
        expressions of the state.

    References
    ----------
    A. Scagliotti, Deep learning approximation of diffeomorphisms via linear-control systems,
    Mathematical Control and Related Fields, 2023.

    Examples
    --------
    >>> LinearControl(2, "gaussian", degree=1, width=2.0).controls
    8
    >>> rotation = LinearControl(2, [lambda x: [-x[1], x[0]]])
    >>> rotation.f(0.0, np.array([[1.0, 2.0]]), np.array([2.0])).tolist()
    [[-4.0, 2.0]]
    """
    dim = checks.size("dim", dim, 1)
    scale = checks.real("scale", scale)
    if isinstance(fields, str):
        family = FeatureFields(dim, fields, degree=degree, width=width, scale=scale)
        if drift is None:
            return family
        fields = family.symbolic_fields()
    from .symbolic import ListedFields

    return ListedFields(dim, fields, drift, scale)


class FeatureFields(Dynamics):
    """Fields phi_a(x) e_i from monomials, perhaps times a Gaussian: f = scale U phi(x).

    Entry ``a * d + i`` of the control multiplies phi_a e_i. Made by `LinearControl`.
    """

    def __init__(self, dim: int, family: str, *, degree: int, width: float, scale: float) -> None:
        self.dim = dim
        self.family = checks.choice("fields", family, FAMILIES, "or a list of your own fields")
        self.degree = checks.size("degree", degree, 0) if family != "constant" else 0
        self.width = checks.real("width", width, above=0.0)
        self.scale = scale
        self.monomials = monomials(dim, self.degree)
        # the first monomial is 1: the constant feature itself, unless a Gaussian multiplies it
        self.features = self.monomials if family == "gaussian" else self.monomials[1:]
        self.controls = dim * (1 + len(self.features))
        self.rows = np.arange(self.controls).reshape(-1, dim).T

    def phi(self, x: np.ndarray) -> np.ndarray:
        """Return the features (M, r) of the states (M, d)."""
        gauss = (
            np.exp(-(x * x).sum(axis=1) / (2 * self.width)) if self.family == "gaussian" else 1.0
        )
        columns = [gauss * np.prod(x[:, list(m)], axis=1) for m in self.features]
        return np.stack([np.ones(len(x)), *columns], axis=1)

    def f(self, t: float, x: np.ndarray, u: np.ndarray, theta: Any = None) -> np.ndarray:
        return self.scale * self.phi(x) @ np.reshape(u, (-1, self.dim))

    def pack(self, **parts: Any) -> np.ndarray:
        """Return the control row of ``U``, shape (d, features)."""
        checks.parts(parts, ("U",))
        shape = (self.dim, self.controls // self.dim)
        return checks.real_array("U", parts.get("U", np.zeros(shape)), shape=shape).T.ravel()

    def unpack(self, row: Any) -> dict[str, np.ndarray]:
        """Return ``{"U": (d, features)}``."""
        row = checks.real_array("row", row, shape=(self.controls,), finite=False)
        return {"U": row.reshape(-1, self.dim).T}

    def symbolic_phi(self, x: SX) -> list[SX]:
        """Return the features of a column of CasADi symbols."""
        import casadi

        gauss = casadi.exp(-casadi.dot(x, x) / (2 * self.width)) if self.family == "gaussian" else 1
        return [1.0, *(gauss * prod(x[v] for v in monomial) for monomial in self.features)]

    def symbolic_fields(self) -> list[Callable]:
        """Return the fields as callables on CasADi symbols, in the order of the control."""

        def field(a: int, i: int) -> Callable:
            return lambda x: [self.symbolic_phi(x)[a] if j == i else 0.0 for j in range(self.dim)]

        return [field(a, i) for a in range(1 + len(self.features)) for i in range(self.dim)]

    def symbolic(self) -> SymbolicSystem:
        from casadi import vertcat

        from .twins import twin

        return twin(self, lambda x, U: U @ vertcat(*self.symbolic_phi(x)))

    def kernels(self):
        from ..kernels import features

        return "monomials", features.monomials_field, features.monomials_pullback

    def record(self, dtype):
        from ..kernels import features

        d, r = self.dim, len(self.features)
        place = {m: j for j, m in enumerate(self.features)}
        parent = np.array([place.get(m[:-1], -1) if m else -1 for m in self.features], np.int64)
        variable = np.array([m[-1] if m else -1 for m in self.features], np.int64)
        width = self.width if self.family == "gaussian" else np.inf
        return features.Monomials(
            features.Layout(d, r, d, 1, d, 0, 1),
            np.full(1, self.scale, dtype),
            np.full(1, width, dtype),
            parent,
            variable,
        )

    def scratch(self, block, dtype):
        from ..kernels import features

        return features.scratch(self.dim, len(self.features), block, dtype)

    @property
    def tape_rows(self) -> int:
        return even(self.dim) + max(even(len(self.features)), 2) + 1

    @property
    def work(self) -> float:
        return 6.0 * self.dim * len(self.features) + 10.0 * len(self.features) + 40.0

    def describe(self) -> dict[str, Any]:
        return dict(
            dim=self.dim, fields=self.family, degree=self.degree, width=self.width, scale=self.scale
        )

    def __repr__(self) -> str:
        more = f", degree={self.degree}" if self.family != "constant" else ""
        more += f", width={self.width:g}" if self.family == "gaussian" else ""
        more += f", scale={self.scale:g}" if self.scale != 1.0 else ""
        return f"LinearControl({self.dim}, {self.family!r}{more})"
