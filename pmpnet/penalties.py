"""Control costs R and control sets U, with their closed-form Hamiltonian maximisers.

Every penalty answers one question exactly (mathematics: for each layer, the pointwise maximum)::

    argmax_v  <z, v> - R(v) - rho/2 |v|^2      over v in U

from which the proximal map is ``prox_gamma(y) = argmax with z = y/gamma, rho = 1/gamma``. Sums
with ``+`` are one `Penalty` as long as that maximiser stays in closed form. Groups over time are
maximised over all layers at once, in the inner product sum_k h_k <., .> of L2(0, T). The kinetic
energy needs the samples: it is a part of z here, and `pmpnet.reduced` maximises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from . import checks

_ZERO = np.zeros(())
_INF = np.full((), np.inf)


def soft(z: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Soft threshold: shrink every entry towards zero, exactly to zero below the threshold."""
    return z - np.minimum(np.maximum(z, -threshold), threshold)


@dataclass(frozen=True, eq=False)
class Groups:
    """Which entries of a control form a group, and what a group's norm costs."""

    by: str
    weight: np.ndarray
    rows: np.ndarray | None = None  # (groups, members): indices, or None for the whole row
    steps: np.ndarray | None = None  # (N, 1): h_k over time; None where all are 1

    def norms(self, v: np.ndarray) -> np.ndarray:
        """Return the norm of every group, (N, groups); over time that of L2(0, T), (1, c)."""
        if self.by == "time":
            return np.linalg.norm(np.sqrt(self._h(v)) * v, axis=0, keepdims=True)
        return np.linalg.norm(self.gather(v), axis=2)

    def scale(self, v: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Multiply every group by its factor; factors are shaped as `norms`."""
        if self.by == "time":
            return v * factors
        return self.scatter(self.gather(v) * factors[..., None], v)

    def layer_values(self, v: np.ndarray) -> np.ndarray:
        """Return the layers' shares (N,) of the weighted norms."""
        norms = self.norms(v)
        if self.by != "time":
            return (self.weight * norms).sum(axis=1)
        # |u_j| = y(T)^(1/2) where y' = u_j^2: the Hamiltonian of that system has the term
        # -u_j^2 / (2 |u_j|), whose integral is half of the norm; the other half is spread evenly,
        # so that the Hamiltonian stays constant along an optimum
        h = self._h(v)
        return (self.weight / 2 * (v * (v / _not_zero(norms)) + norms / h.sum())).sum(axis=1)

    def _h(self, v: np.ndarray) -> np.ndarray:
        return np.ones((len(v), 1)) if self.steps is None else self.steps

    def gather(self, v: np.ndarray) -> np.ndarray:
        """Return (N, groups, members)."""
        return v[:, None, :] if self.rows is None else v[:, self.rows]

    def scatter(self, parts: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Inverse of gather."""
        if self.rows is None:
            return parts[:, 0, :]
        out = np.empty_like(like)
        out[:, self.rows] = parts
        return out


@dataclass(frozen=True, eq=False)
class Penalty:
    """A control cost: l1, l2, box, group and ball terms whose maximiser is in closed form.

    Made by `L2`, `L1`, `ElasticNet`, `Box`, `Ball`, `L1Ball`, `Group`, `Kinetic`, `Zero`, by `L0`
    and `Finite`, which are not convex, and by ``+``.
    Weights and bounds are numbers, (c,) or (N, c) arrays. What a penalty answers leaves the
    kinetic energy out.
    """

    l1: np.ndarray = field(default_factory=lambda: _ZERO)
    l2: np.ndarray = field(default_factory=lambda: _ZERO)
    lower: np.ndarray = field(default_factory=lambda: -_INF)
    upper: np.ndarray = field(default_factory=lambda: _INF)
    ball: np.ndarray | None = None
    l1_ball: np.ndarray | None = None
    groups: Groups | None = None
    l0: np.ndarray = field(default_factory=lambda: _ZERO)
    values: np.ndarray | None = None  # of a finite U, the nearest to 0 first
    kinetic: np.ndarray = field(default_factory=lambda: _ZERO)
    name: str = "Zero()"

    __array_ufunc__ = None  # an array times a penalty is refused by `__rmul__`, not done by entries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Penalty) and all(
            _same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )

    def __hash__(self) -> int:
        return hash(self.name)

    # -------------------------------------------------------------------------- composing

    def __add__(self, other: Penalty) -> Penalty:
        checks.instance("the right side of +", other, Penalty, "a penalty, such as L2(0.1)")
        try:
            total = replace(
                self,
                l1=self.l1 + other.l1,
                l2=self.l2 + other.l2,
                lower=np.maximum(self.lower, other.lower),
                upper=np.minimum(self.upper, other.upper),
                ball=_smaller(self.ball, other.ball),
                l1_ball=_smaller(self.l1_ball, other.l1_ball),
                groups=self.groups or other.groups,
                l0=self.l0 + other.l0,
                values=other.values if self.values is None else self.values,
                kinetic=self.kinetic + other.kinetic,
                name=" + ".join(p.name for p in (self, other) if p.name != "Zero()") or "Zero()",
            )
        except ValueError:
            raise ValueError(
                f"{self.name} + {other.name}: weights of different shapes; give arrays of one shape."
            ) from None
        checks.bounds(total.lower, total.upper)
        checks.closed_form(total._closed_form(self, other), self.name, other.name)
        return total

    def __rmul__(self, factor: float) -> Penalty:
        factor = checks.real("the factor of a penalty", factor, above=0.0)
        groups = self.groups
        if groups is not None:
            groups = replace(groups, weight=factor * groups.weight)
        return replace(
            self,
            **{name: factor * getattr(self, name) for name in ("l0", "l1", "l2", "kinetic")},
            groups=groups,
            name=f"{factor:g} * ({self.name})",
        )

    def _closed_form(self, first: Penalty, second: Penalty) -> bool:
        if first.groups and second.groups:
            return False
        if self.kinetic > 0 and not self._only_l2:
            return False
        if self.values is not None:
            alone = first.values is None or second.values is None
            return alone and self.entrywise and not self.boxed
        if np.any(self.l0):
            return self.entrywise
        if not self.separable:
            # l1 thresholds first; then one curvature for all of an entry, tied to no other entry
            tied = self.ball is not None or self.l1_ball is not None or self.boxed
            return not tied and (self.l2.ndim < 2 or bool(np.all(self.l2 == self.l2[:1])))
        radial = [self.ball is not None, self.l1_ball is not None, self.groups is not None]
        if self.l1_ball is not None and sum(radial) > 1:
            return False
        if any(radial) and self.boxed:
            return False
        # a ball or a group commutes with the quadratic term only where that is isotropic
        return not (any(radial) and not _isotropic(self.l2))

    @cached_property
    def boxed(self) -> bool:
        """Whether some entry has a bound."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    @cached_property
    def _sparse(self) -> bool:
        """Whether an absolute value has a weight."""
        return bool(np.any(self.l1))

    @cached_property
    def _curved(self) -> bool:
        """Whether every entry has an energy."""
        return bool(np.all(self.l2 > 0))

    @cached_property
    def separable(self) -> bool:
        """Whether R is a sum over layers, so that each layer has a maximiser of its own."""
        return self.groups is None or self.groups.by != "time"

    @cached_property
    def convex(self) -> bool:
        """Whether R and U are convex: no L0, no finite set."""
        return self.values is None and not np.any(self.l0)

    @property
    def steady(self) -> bool:
        """Whether R and U are the same at all times, and tie no times together."""
        weights = [self.l0, self.l1, self.l2, self.lower, self.upper]
        weights += [] if self.groups is None else [self.groups.weight]
        radii = [r for r in (self.ball, self.l1_ball) if r is not None]
        return (
            self.separable
            and all(np.ndim(a) < 2 for a in weights)
            and all(np.ndim(r) == 0 for r in radii)
        )

    @cached_property
    def weighted(self) -> bool:
        """Whether there is more than the set U."""
        weights = [self.l0, self.l1, self.l2, self.kinetic]
        weights += [] if self.groups is None else [self.groups.weight]
        return any(bool(np.any(a)) for a in weights)

    @property
    def quadratic(self) -> bool:
        """Whether there is nothing but L2."""
        return self._only_l2 and not self.kinetic

    @property
    def _only_l2(self) -> bool:
        """Whether there is nothing but L2 and the kinetic energy."""
        return self.entrywise and self.convex and not (self.boxed or self._sparse)

    @cached_property
    def entrywise(self) -> bool:
        """Whether R and U treat every entry by itself."""
        return self.groups is None and self.ball is None and self.l1_ball is None

    @cached_property
    def coercive(self) -> bool:
        """Whether <g, v> - R(v) has a maximum for every g: superlinear growth or bounded U.

        The kinetic energy grows in all directions of the control that move a sample; in the
        others g is 0, unless a running cost reads the control.
        """
        if self.kinetic > 0:
            return True
        if self.ball is not None or self.l1_ball is not None or self.values is not None:
            return True
        bounded = np.isfinite(self.lower) & np.isfinite(self.upper)
        return bool(np.all((self.l2 > 0) | bounded))

    def bound_to(
        self, shape: tuple[int, int], rows: np.ndarray | None, steps: np.ndarray | None = None
    ) -> Penalty:
        """Return the penalty for controls of a shape, checked.

        ``rows`` are those of [W b]; ``steps`` (N,) the h_k, where the horizon is fixed.
        """
        for name in ("l0", "l1", "l2", "lower", "upper"):
            checks.penalty_shape(f"a weight or bound of {self.name}", getattr(self, name), shape)
        for name in ("ball", "l1_ball"):
            radius = getattr(self, name)
            if radius is not None:
                checks.radius_shape(self.name, radius, shape[0])
        if self.groups is None:
            return self
        if self.groups.by == "time":
            checks.fixed_horizon(steps is not None)
            checks.time_group_shape(self.groups.weight, shape[1])
            return replace(self, groups=replace(self.groups, steps=steps[:, None]))
        if self.groups.by == "row":
            checks.has_rows(rows)
        else:
            rows = None
        weight, groups = self.groups.weight, 1 if rows is None else len(rows)
        checks.group_shape(weight, shape[0], groups)
        if weight.ndim == 1 and groups == 1:  # one per layer
            weight = weight[:, None]
        return replace(self, groups=Groups(self.groups.by, weight, rows))

    def layer(self, k: int | np.ndarray) -> Penalty:
        """Return the penalty of one layer, for many controls (K, c) of it, or of some layers."""

        def one(a: np.ndarray | None, ndim: int) -> np.ndarray | None:
            return a[k] if a is not None and a.ndim == ndim and len(a) > 1 else a

        part = {name: one(getattr(self, name), 2) for name in ("l0", "l1", "l2", "lower", "upper")}
        part |= {name: one(getattr(self, name), 1) for name in ("ball", "l1_ball")}
        groups = self.groups
        if groups is not None:
            by_layer = groups.by == "layer" and groups.weight.ndim == 1
            groups = replace(groups, weight=one(groups.weight, 1 if by_layer else 2))
        return replace(self, **part, groups=groups)

    # ---------------------------------------------------------------------- what it answers

    def layer_values(self, v: np.ndarray) -> np.ndarray:
        """R(v_k) of every layer, shape (N,); bounds are not priced.

        Groups over time have no part that is one layer's alone: there only the integral
        sum_k h_k R_k is R.
        """
        value = 0.5 * np.add.reduce(self.l2 * v * v, axis=1)
        if self._sparse:
            value = value + np.add.reduce(self.l1 * np.abs(v), axis=1)
        if not self.convex and np.any(self.l0):
            value = value + (self.l0 * (v != 0)).sum(axis=1)
        if self.groups is not None:
            value = value + self.groups.layer_values(v)
        return value

    def gains(self, z: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
        """<z, .> - R of v over that of u, entry by entry: R must be `entrywise` and convex."""
        gained = (v - u) * (z - 0.5 * self.l2 * (v + u))
        return gained - self.l1 * (np.abs(v) - np.abs(u)) if self._sparse else gained

    def gradient(self, v: np.ndarray) -> np.ndarray:
        """Gradient of the differentiable part, l2 v."""
        return self.l2 * v

    @property
    def rest(self) -> Penalty:
        """The penalty without its differentiable part."""
        return replace(self, l2=_ZERO, kinetic=_ZERO)

    def subgradient(self, v: np.ndarray) -> np.ndarray:
        """Gradient of l2, and the usual element of the subdifferential of l1 and group terms."""
        g = self.l2 * v + self.l1 * np.sign(v)
        if self.groups is not None:
            g = g + self.groups.scale(v, self.groups.weight / _not_zero(self.groups.norms(v)))
        return g

    def project(self, v: np.ndarray) -> np.ndarray:
        """Return the nearest point of U."""
        if self.values is not None:
            return self.values[np.abs(v[..., None] - self.values).argmin(axis=-1)]
        if self.boxed:
            v = np.minimum(np.maximum(v, self.lower), self.upper)
        if self.ball is not None:
            v = _project_ball(v, self.ball)
        if self.l1_ball is not None:
            v = _project_l1_ball(v, self.l1_ball)
        return v

    def violation(self, v: np.ndarray) -> float:
        """Return the largest amount by which a bound is passed."""
        worst = max(0.0, float((self.lower - v).max()), float((v - self.upper).max()))
        if self.ball is not None:
            worst = max(worst, float((np.linalg.norm(v, axis=1) - self.ball).max()))
        if self.l1_ball is not None:
            worst = max(worst, float((np.abs(v).sum(axis=1) - self.l1_ball).max()))
        if self.values is not None:
            worst = max(worst, float(np.abs(v - self.project(v)).max()))
        return worst

    def argmax(self, z: np.ndarray, rho: float) -> np.ndarray:
        """Return argmax_v <z, v> - R(v) - rho/2 |v|^2 over U, layer by layer, exactly.

        With groups over time: of the integral over all layers, exactly.

        Parameters
        ----------
        z : ndarray, shape (N, c)
        rho : float
            At least 0; with 0 the penalty must be `coercive`.

        Returns
        -------
        ndarray, shape (N, c)
            Where the maximiser is not unique, the one nearest to 0.

        Notes
        -----
        A group v with weight a is maximal where z - (l2 + rho) v is in l1 d|v|_1 + a d|v|, and
        d|v| is v/|v|, over time as well in the inner product of L2(0, T). So v is the soft
        threshold s of z by l1, times (1 - a/|s|) / (l2 + rho), or 0 where |s| <= a: for any
        weights l1, and for an l2 that is one number in a group.

        References
        ----------
        N. Simon, J. Friedman, T. Hastie, R. Tibshirani, A sparse-group lasso, Journal of
        Computational and Graphical Statistics, 2013.
        """
        if self.values is not None:
            return self._among_values(z, rho)
        if not self.convex:
            return self._kept(z, rho, replace(self, l0=_ZERO).argmax(z, rho))
        shrunk = soft(z, self.l1) if self._sparse else z
        if self.groups is not None:
            norms = self.groups.norms(shrunk)
            kept = np.maximum(norms - self.groups.weight, 0.0) / _not_zero(norms)
            shrunk = self.groups.scale(shrunk, kept)
        curvature = self.l2 + rho
        if self._curved or np.all(rho > 0):
            return self.project(shrunk / curvature)
        return self._linear_argmax(shrunk, np.broadcast_to(curvature, z.shape))

    def _among_values(self, z: np.ndarray, rho: float) -> np.ndarray:
        """Maximise over a finite U: every entry tries every value."""

        def each(weight: np.ndarray) -> np.ndarray:
            return np.broadcast_to(weight, z.shape)[..., None]

        v = self.values
        cost = each(self.l1) * np.abs(v) + each(self.l0) * (v != 0)
        cost = cost + 0.5 * each(self.l2 + rho) * v * v
        return v[(z[..., None] * v - cost).argmax(axis=-1)]

    def _kept(self, z: np.ndarray, rho: float, best: np.ndarray) -> np.ndarray:
        """Keep the entries of the maximiser without L0 that gain more over 0 than L0 costs."""
        gain = z * best - self.l1 * np.abs(best) - 0.5 * (self.l2 + rho) * best * best
        free = (self.lower <= 0) & (self.upper >= 0)
        return np.where(free & (gain <= self.l0), 0.0, best)

    def _linear_argmax(self, z: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """Maximise where some entries, or whole layers next to a ball, have no curvature."""
        flat = curvature <= 0
        inner = self.project(np.where(flat, 0.0, z) / np.where(flat, 1.0, curvature))
        return np.where(flat, self._vertex(z), inner)

    def _vertex(self, z: np.ndarray) -> np.ndarray:
        """Maximise <z, v> over U: a vertex, or the point nearest to 0 where z is 0."""
        if self.ball is not None:
            norms = np.linalg.norm(z, axis=1, keepdims=True)
            return z * (_column(self.ball) / np.where(norms > 0, norms, 1.0))
        if self.l1_ball is not None:
            vertex = np.zeros_like(z)
            layers, largest = np.arange(len(z)), np.abs(z).argmax(axis=1)
            vertex[layers, largest] = np.sign(z[layers, largest]) * self.l1_ball
            return vertex
        vertex = np.where(z > 0, self.upper, np.where(z < 0, self.lower, 0.0))
        return np.clip(vertex, self.lower, self.upper)

    def prox(self, y: np.ndarray, gamma: float) -> np.ndarray:
        """Return argmin_v R(v) + |v - y|^2 / (2 gamma) over U."""
        return self.argmax(y / gamma, 1.0 / gamma)

    def __repr__(self) -> str:
        return self.name


def flat(parts: Sequence[tuple[tuple[int, int], Penalty]]) -> Penalty:
    """Return penalties of shapes, `entrywise` and convex, as one of the vector of all entries."""

    def entries(name: str) -> np.ndarray:
        told = [(getattr(p, name), shape) for shape, p in parts]
        if len(told) == 1 and told[0][0].ndim == 0:
            return told[0][0]
        return np.concatenate([np.broadcast_to(a, shape).ravel() for a, shape in told])

    return Penalty(**{name: entries(name) for name in ("l1", "l2", "lower", "upper")})


def _same(a: object, b: object) -> bool:
    """Compare numbers, arrays, names and groups; None equals only None."""
    if isinstance(a, Groups) and isinstance(b, Groups):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    numbers = np.ndarray, np.floating  # sums of arrays of no dimension are NumPy's numbers
    if isinstance(a, numbers) and isinstance(b, numbers):
        return np.array_equal(a, b)
    return type(a) is type(b) and a == b


def _not_zero(norms: np.ndarray) -> np.ndarray:
    """Return what to divide by: a group of norm 0 is 0 whatever divides it."""
    return np.where(norms > 0, norms, 1.0)


def _column(radius: np.ndarray) -> np.ndarray:
    return np.reshape(radius, (-1, 1))


def _smaller(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    if a is None or b is None:
        return b if a is None else a
    return np.minimum(a, b)


def _isotropic(l2: np.ndarray) -> bool:
    return l2.ndim == 0 or bool(np.all(l2 == l2[..., :1]))


def _project_ball(v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(v, axis=1, keepdims=True)
    return v * np.minimum(1.0, _column(radius) / np.where(norms > 0, norms, 1.0))


def _project_l1_ball(v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Soft threshold each row by the amount that brings its l1 norm to the radius.

    Sorting finds that amount exactly (Held, Wolfe & Crowder 1974; Duchi et al. 2008).
    """
    radius = _column(radius)
    size = np.abs(v)
    outside = size.sum(axis=1, keepdims=True) > radius
    if not outside.any():
        return v
    # the amount is at least largest - radius: counted from there, large entries lose no digits
    size = np.maximum(size - size.max(axis=1, keepdims=True) + radius, 0.0)
    falling = -np.sort(-size, axis=1)
    excess = np.cumsum(falling, axis=1) - radius
    counts = np.arange(1, v.shape[1] + 1)
    kept = (falling * counts > excess).sum(axis=1, keepdims=True) - 1
    size = np.maximum(size - np.take_along_axis(excess, kept, axis=1) / (kept + 1), 0.0)
    return np.where(outside, np.where(v < 0, 0.0 - size, size), v)


def _weight(name: str, value: ArrayLike) -> np.ndarray:
    return checks.penalty_weight(name, value).copy()  # not the caller's own array


def _shown(value: np.ndarray) -> str:
    return f"{value[()]:g}" if value.ndim == 0 else f"<{'x'.join(map(str, value.shape))}>"


def Zero() -> Penalty:
    """No control cost, no control set.

    Examples
    --------
    >>> Zero()
    Zero()
    """
    return Penalty()


def L2(weight: ArrayLike) -> Penalty:
    """Energy: R(v) = weight/2 |v|^2.

    Parameters
    ----------
    weight : float, (c,) or (N, c) array
        Non-negative.

    Examples
    --------
    >>> import numpy as np
    >>> L2(2.0).prox(np.array([[3.0]]), gamma=1.0).item()
    1.0
    """
    w = _weight("weight", weight)
    return Penalty(l2=w, name=f"L2({_shown(w)})")


def Kinetic(weight: float) -> Penalty:
    """Kinetic energy: R = weight/2 sum_m w_m |f(x_m, v)|^2, the samples' mean squared velocity.

    It prices the motion, not the numbers that make it: another basis of the same fields has the
    same cost and the same maximiser. Adds up with `L2`.

    Parameters
    ----------
    weight : float
        Non-negative.

    Notes
    -----
    For f = F_0(x) + F(x) v the cost is quadratic in v, with the Gram matrices
    G = sum_m w_m F' F and the vector G_0 = sum_m w_m F' F_0 at the samples' states. With g' the
    slope of all other costs the Hamiltonian is

        <g', v> - weight/2 (v' G v + 2 v' G_0) - beta/2 |v|^2 - rho/2 |v - u|^2,

    and its slope at v = u is g - beta u, g = g' - weight (G u + G_0). It is maximal where
    (weight G + (beta + rho) I) (v - u) = g - beta u. The energy is integrated by the problem's
    scheme, as one more state, so that g comes from the sweep; with Euler's scheme the maximiser
    is exact, with others G is that of the start of each interval.

    References
    ----------
    J.-D. Benamou, Y. Brenier, A computational fluid mechanics solution to the Monge-Kantorovich
    mass transfer problem, Numerische Mathematik, 2000.

    Examples
    --------
    Samples that are moved by c cost (kappa/2) / (1 + kappa/2) |c|^2, whatever the basis is:

    >>> import numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> fields = dynamics.LinearControl(2, [lambda x: [2, 0], lambda x: [5, 1]])
    >>> problem = pmpnet.Problem(fields, x, x + [0.3, 0.4], terminal_cost=losses.Squared(),
    ...                          control_cost=Kinetic(1.0))
    >>> round(pmpnet.solve.msa(problem, tol=1e-10).cost, 10)
    0.0833333333
    """
    w = np.asarray(checks.real("weight", weight, least=0.0))
    return Penalty(kinetic=w, name=f"Kinetic({_shown(w)})")


def L1(weight: ArrayLike) -> Penalty:
    """Sparsity: R(v) = weight |v|_1; its maximiser has exact zeros.

    Parameters
    ----------
    weight : float, (c,) or (N, c) array
        Non-negative.

    Examples
    --------
    >>> import numpy as np
    >>> L1(1.0).prox(np.array([[3.0, -0.5]]), gamma=1.0).tolist()
    [[2.0, 0.0]]
    """
    w = _weight("weight", weight)
    return Penalty(l1=w, name=f"L1({_shown(w)})")


def L0(weight: ArrayLike) -> Penalty:
    """Count: R(v) = weight times the number of entries that are not 0; a hard threshold.

    Parameters
    ----------
    weight : float, (c,) or (N, c) array
        Non-negative.

    Notes
    -----
    Not convex: for `pmpnet.solve.msa` with ``variant="sqh"`` or ``"basic"``, and Hamiltonians
    that are affine in the control. With L1, L2 and Box an entry of the maximiser is that without
    L0 if it gains more over 0 than the weight, and 0 otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> (L0(0.5) + L2(1.0)).argmax(np.array([[2.0, 0.9, -1.1]]), rho=0.0).tolist()
    [[2.0, 0.0, -1.1]]
    """
    w = _weight("weight", weight)
    return Penalty(l0=w, name=f"L0({_shown(w)})")


def Finite(values: ArrayLike) -> Penalty:
    """U: every entry of the control is one of these values.

    Parameters
    ----------
    values : array-like, shape (k,)

    Notes
    -----
    Not convex: for `pmpnet.solve.msa` with ``variant="sqh"`` or ``"basic"``, and Hamiltonians
    that are affine in the control, which every entry then maximises by itself. Sums with L0, L1
    and L2 are possible.

    References
    ----------
    Q. Li, S. Hao, An optimal control approach to deep learning and applications to
    discrete-weight neural networks, ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> Finite([-1, 0, 1]).argmax(np.array([[0.4, -0.6, 9.0]]), rho=1.0).tolist()
    [[0.0, -1.0, 1.0]]
    """
    v = np.unique(checks.finite_set(values))
    v = v[np.lexsort((v, np.abs(v)))]
    return Penalty(values=v, name=f"Finite([{', '.join(f'{x:g}' for x in np.sort(v))}])")


def ElasticNet(l1: ArrayLike, l2: ArrayLike) -> Penalty:
    """R(v) = l1 |v|_1 + l2/2 |v|^2.

    Parameters
    ----------
    l1, l2 : float, (c,) or (N, c) array
        Non-negative.

    Examples
    --------
    >>> ElasticNet(0.01, 0.001)
    ElasticNet(0.01, 0.001)
    """
    a, b = _weight("l1", l1), _weight("l2", l2)
    return Penalty(l1=a, l2=b, name=f"ElasticNet({_shown(a)}, {_shown(b)})")


def Box(lower: ArrayLike, upper: ArrayLike) -> Penalty:
    """U: lower <= v <= upper, entry by entry; infinite bounds are allowed.

    Parameters
    ----------
    lower, upper : float, (c,) or (N, c) array

    Raises
    ------
    ValueError
        If lower is above upper anywhere.

    Examples
    --------
    >>> import numpy as np
    >>> (Box(-1, 1) + L1(0.5)).argmax(np.array([[2.0, 0.1, -3.0]]), rho=0.0).tolist()
    [[1.0, 0.0, -1.0]]
    """
    low = checks.real_array("lower", lower, ndim=(0, 1, 2), finite=False).copy()
    high = checks.real_array("upper", upper, ndim=(0, 1, 2), finite=False).copy()
    checks.bounds(low, high)
    return Penalty(lower=low, upper=high, name=f"Box({_shown(low)}, {_shown(high)})")


def Ball(radius: ArrayLike) -> Penalty:
    """U: the Euclidean norm of each layer's control is at most radius.

    Parameters
    ----------
    radius : float or (N,) array
        Positive.

    Examples
    --------
    >>> import numpy as np
    >>> Ball(1.0).project(np.array([[3.0, 4.0]])).round(3).tolist()
    [[0.6, 0.8]]
    """
    r = checks.radius(radius).copy()
    return Penalty(ball=r, name=f"Ball({_shown(r)})")


def L1Ball(radius: ArrayLike) -> Penalty:
    """U: the l1 norm of each layer's control is at most radius.

    Parameters
    ----------
    radius : float or (N,) array
        Positive.

    Examples
    --------
    >>> import numpy as np
    >>> L1Ball(1.0).project(np.array([[2.0, 0.5]])).tolist()
    [[1.0, 0.0]]
    """
    r = checks.radius(radius).copy()
    return Penalty(l1_ball=r, name=f"L1Ball({_shown(r)})")


def Group(weight: ArrayLike, by: str = "layer") -> Penalty:
    """R(v) = weight times the sum of the norms of groups, which vanish as a whole.

    Parameters
    ----------
    weight : float or array
        Non-negative; one number, or one per layer, or one per layer and group. Over time one
        number, or one per entry, (c,).
    by : {"layer", "row", "time"}
        A group is a whole layer, one row of [W b], or one entry of the control over all layers:
        R = sum_j weight_j (int u_j(t)^2 dt)^(1/2), for which an entry is zero from 0 to T.

    Notes
    -----
    Over time the layers are maximised together, which adds up in closed form with `L1`, and with
    `L2` whose weights do not change in time; the horizon is fixed.

    References
    ----------
    M. Yuan, Y. Lin, Model selection and estimation in regression with grouped variables, Journal
    of the Royal Statistical Society B, 2006; R. Herzog, G. Stadler, G. Wachsmuth, Directional
    sparsity in optimal control of partial differential equations, SIAM J. Control and
    Optimization, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> Group(5.0).prox(np.array([[3.0, 4.0]]), gamma=0.5).tolist()
    [[1.5, 2.0]]
    >>> Group(5.0, by="time").prox(np.array([[3.0, 0.1], [4.0, 0.2]]), gamma=0.5).tolist()
    [[1.5, 0.0], [2.0, 0.0]]
    """
    w = _weight("weight", weight)
    checks.choice("by", by, ("layer", "row", "time"))
    return Penalty(groups=Groups(by, w), name=f"Group({_shown(w)}, by={by!r})")
