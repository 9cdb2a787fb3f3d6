"""What is to be solved: samples steered by one control, said once and checked once."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import checks
from .dynamics.base import Dynamics
from .losses import Loss
from .penalties import Penalty, Zero
from .schemes import Scheme
from .schemes import scheme as scheme_of
from .sweeps import Readout, Round, Samples, Sweeper

Readouts = tuple[Readout | None, Readout | None]
ROLES = ("terminal", "running")


class Problem:
    """A mean-field optimal control problem, discretised.

    Samples x_1..x_M with targets y_m and weights w_m share one control u, constant on each
    interval of the grid::

        minimise  sum_m w_m [ Phi(x_m(T), y_m) + alpha int l(x_m(t), y_m) dt ] + int R(u(t)) dt
        subject to  x_m' = f(x_m, u),  x_m(0) given,  u(t) in U

    Parameters
    ----------
    dynamics : Dynamics
        The system f, from `pmpnet.dynamics`.
    initial_states : array-like, shape (M, d)
        The samples. Not copied when already of the problem's precision.
    targets : array-like, shape (M,) or (M, q), optional
        Class labels or numbers, whatever the costs read.
    terminal_cost, running_cost : Loss, optional
        Phi and l, from `pmpnet.losses`.
    running_weight : float, default 1.0
        alpha.
    control_cost : Penalty, optional
        R and U, from `pmpnet.penalties`. At least one of the three costs is required.
    weights : array-like, shape (M,), optional
        Sample weights, non-negative; scaled to sum 1. Equal without them.
    horizon : float, default 1.0
        T, in the units of time.
    steps : int, default 20
        N, the number of equal intervals (layers).
    times : array-like, shape (N+1,), optional
        An increasing grid instead of ``horizon`` and ``steps``.
    scheme : str or Scheme, default "euler"
        "euler" (a residual network), "heun", "midpoint", "rk4", or your own tableau. The running
        cost is integrated by the scheme itself.
    dtype : dtype, optional
        float64, unless the samples are float32.

    Raises
    ------
    ValueError, TypeError
        For anything that could fail later: the sentence says what was given and what is needed.

    References
    ----------
    W. E, J. Han, Q. Li, A mean-field optimal control formulation of deep learning, Research in
    the Mathematical Sciences, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from pmpnet import Problem, dynamics, losses, penalties
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> problem = Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                   terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0), steps=4)
    >>> problem.control_shape
    (4, 2)
    >>> round(problem.cost(np.zeros((4, 2))), 12)
    0.25
    """

    def __init__(
        self,
        dynamics: Dynamics,
        initial_states: ArrayLike,
        targets: ArrayLike | None = None,
        *,
        terminal_cost: Loss | None = None,
        running_cost: Loss | None = None,
        running_weight: float = 1.0,
        control_cost: Penalty | None = None,
        weights: ArrayLike | None = None,
        horizon: float = 1.0,
        steps: int = 20,
        times: ArrayLike | None = None,
        scheme: str | Scheme = "euler",
        dtype: DTypeLike | None = None,
    ) -> None:
        self.dynamics = checks.instance(
            "dynamics", dynamics, Dynamics, "an object of pmpnet.dynamics, such as Layer(2)"
        )
        self.dtype = checks.precision(dtype, initial_states)
        self.times = checks.grid(horizon, steps, times)
        self.times.setflags(write=False)
        self.scheme = scheme_of(scheme)
        for name, cost in (("terminal_cost", terminal_cost), ("running_cost", running_cost)):
            if cost is not None:
                checks.instance(name, cost, Loss, "an object of pmpnet.losses, such as Squared()")
        if control_cost is not None:
            checks.instance(
                "control_cost", control_cost, Penalty, "one of pmpnet.penalties, such as L2(0.01)"
            )
        checks.some_cost(terminal_cost, running_cost, control_cost)
        self.running_weight = checks.real("running_weight", running_weight, least=0.0)
        self.terminal_cost, self.running_cost = terminal_cost, running_cost
        self.control_cost = Zero() if control_cost is None else control_cost
        self.penalty = self.control_cost.bound_to(self.control_shape, self.dynamics.rows)

        x = checks.samples(initial_states, self.dynamics.dim, self.dtype)
        self.targets = None if targets is None else checks.rectangular("targets", targets)
        outputs, encoded, classes = self._read_targets(self.targets, len(x))
        self.outputs, self.classes = outputs, classes
        self.samples = Samples(
            x, *encoded, np.empty((0, 0), self.dtype), checks.weights(weights, len(x), self.dtype)
        )
        self.sweeper = Sweeper(
            self.dynamics,
            self.scheme,
            self.times,
            terminal_cost,
            running_cost,
            self.running_weight,
            self.dtype,
            outputs,
        )

    def _read_targets(self, targets: Any, count: int):
        outputs, encoded, classes, read = [], [], None, False
        for loss in (self.terminal_cost, self.running_cost):
            if loss is None:
                outputs.append(0)
                encoded.append(np.empty((0, 0), self.dtype))
                continue
            q = loss.outputs(self.dynamics.dim, targets)
            if loss.readout is None:
                checks.outputs_match(repr(loss), q, self.dynamics.dim)
            elif not loss.trained:
                checks.readout_columns(loss.readout, self.dynamics.dim)
            y, found = loss.encode(targets, count, q, self.dtype)
            outputs.append(q)
            encoded.append(np.ascontiguousarray(y))
            classes = classes if read else found  # predictions are the first loss's
            read = True
        checks.targets_used(read, targets)
        return tuple(outputs), encoded, classes

    @cached_property
    def flow_sweeper(self) -> Sweeper:
        """The sweep without costs: for points that have no targets."""
        return Sweeper(self.dynamics, self.scheme, self.times, None, None, 0.0, self.dtype, (0, 0))

    # --------------------------------------------------------------------------- its sizes

    @property
    def intervals(self) -> int:
        """N, the number of intervals (layers)."""
        return len(self.times) - 1

    @property
    def control_shape(self) -> tuple[int, int]:
        """(N, c): one control row per interval."""
        return self.intervals, self.dynamics.controls

    @property
    def initial_states(self) -> np.ndarray:
        """The samples, (M, d)."""
        return self.samples.x

    @property
    def weights(self) -> np.ndarray:
        """Sample weights, summing to 1, (M,)."""
        w = self.samples.weights
        return w if len(w) else np.full(self.samples.count, 1.0 / self.samples.count, self.dtype)

    @cached_property
    def trained_readouts(self) -> tuple[tuple[int, ...], ...]:
        """Which roles (0 terminal, 1 running) share which trained readout."""
        roles = [
            i
            for i, c in enumerate((self.terminal_cost, self.running_cost))
            if c is not None and c.trained
        ]
        if len(roles) == 2 and self.terminal_cost is self.running_cost:
            return ((0, 1),)
        return tuple((i,) for i in roles)

    def initial_readouts(self, seed: int = 0) -> Readouts:
        """Return seeded nonzero readouts: with P = 0 no control would move the cost."""
        rng = np.random.default_rng(seed)
        found: list[Readout | None] = [None, None]
        for roles in self.trained_readouts:
            q, d = self.outputs[roles[0]], self.dynamics.dim
            readout = Readout(rng.standard_normal((q, d)) / np.sqrt(d), np.zeros(q))
            for i in roles:
                found[i] = readout
        return found[0], found[1]

    def as_readouts(self, given: Any) -> Readouts:
        """Return readouts by role from what a user gives: a pair (P, c), or a dict by role."""
        if given is None:
            return self.initial_readouts()
        if not self.trained_readouts:
            raise checks.no_readout()
        if not isinstance(given, dict):
            given = {ROLES[i]: given for i in self.trained_readouts[0]}
        found: list[Readout | None] = [None, None]
        for roles in self.trained_readouts:
            for i in roles:
                found[i] = Readout(
                    *checks.readout_pair(given, ROLES[i], (self.outputs[i], self.dynamics.dim))
                )
        return found[0], found[1]

    # ------------------------------------------------------------------- what it answers

    def sweep(self, u: np.ndarray, readouts: Readouts, **wanted: Any) -> Round:
        """Run one round of the compiled sweep; see `pmpnet.sweeps.Sweeper.run`."""
        return self.sweeper.run(self.samples, u, readouts, **wanted)

    def terms(self, u: ArrayLike, readout: Any = None) -> dict[str, float]:
        """Return the cost's parts: terminal, running, control and readout.

        Parameters
        ----------
        u : array-like, shape (N, c)
        readout : (P, c) pair, or dict of them by role, optional
            Value of a trained readout; the seeded start without it.
        """
        u = checks.controls(u, self.control_shape)
        readouts = self.as_readouts(readout)
        return self.terms_of(self.sweep(u, readouts, backward=False), u, readouts)

    def terms_of(self, done: Round, u: np.ndarray, readouts: Readouts) -> dict[str, float]:
        """Return the cost's parts, given a round."""
        with np.errstate(over="ignore", invalid="ignore"):  # as the sweep: inf or NaN, no warning
            control = float((self.steps * self.penalty.layer_values(u)).sum())
        terms = {"terminal": done.terminal, "running": done.running, "control": control}
        if self.trained_readouts:
            terms["readout"] = sum(
                float(self.readout_penalty(roles).layer_values(matrix(readouts[roles[0]])).sum())
                for roles in self.trained_readouts
            )
        return terms

    def readout_penalty(self, roles: tuple[int, ...]) -> Penalty:
        """Return the penalty on a trained readout, for the matrix [P c] of shape (q, d + 1)."""
        loss = (self.terminal_cost, self.running_cost)[roles[0]]
        shape = self.outputs[roles[0]], self.dynamics.dim + 1
        return loss.readout_cost.bound_to(shape, None)

    @property
    def steps(self) -> np.ndarray:
        """h_k, the lengths of the intervals, (N,)."""
        return np.diff(self.times)

    def cost(self, u: ArrayLike, readout: Any = None) -> float:
        """Return J(u).

        Parameters
        ----------
        u : array-like, shape (N, c)
        readout : (P, c) pair, or dict of them by role, optional
            Value of a trained readout; the seeded start without it.
        """
        return float(sum(self.terms(u, readout).values()))

    def gradient(self, u: ArrayLike, readout: Any = None) -> np.ndarray:
        """Return dJ/du of every differentiable term, exact for the discrete problem.

        Parameters
        ----------
        u : array-like, shape (N, c)
        readout : (P, c) pair, or dict of them by role, optional

        Returns
        -------
        ndarray, shape (N, c)
            Not divided by h. L1, Group and the indicators of sets have no part in it.
        """
        u = checks.controls(u, self.control_shape)
        g = self.sweep(u, self.as_readouts(readout)).g
        return -self.steps[:, None] * (g - self.penalty.gradient(u))

    def states(self, u: ArrayLike) -> np.ndarray:
        """Return the states x_k of every sample, (N+1, M, d)."""
        u = checks.controls(u, self.control_shape)
        return self.sweep(u, self.initial_readouts(), backward=False, states=True).states

    def costates(self, u: ArrayLike, readout: Any = None) -> np.ndarray:
        """Return the costates p_k, minus the sensitivity of J to x_k, (N+1, M, d).

        They are the transpose of the very steps taken, with the sample weights folded in.
        """
        u = checks.controls(u, self.control_shape)
        return self.sweep(u, self.as_readouts(readout), costates=True).costates

    def __repr__(self) -> str:
        M, d = self.samples.x.shape
        lines = [
            f"Problem: {M} sample{'s' * (M != 1)} in dimension {d}, {self.intervals} intervals on "
            f"[{self.times[0]:g}, {self.times[-1]:g}], {self.scheme.name}, {self.dtype.name}",
            f"  dynamics       {self.dynamics!r}",
        ]
        if self.terminal_cost is not None:
            lines.append(f"  terminal cost  {self.terminal_cost!r}")
        if self.running_cost is not None:
            lines.append(f"  running cost   {self.running_weight:g} * {self.running_cost!r}")
        lines.append(f"  control cost   {self.control_cost!r}")
        return "\n".join(lines)


def matrix(readout: Readout) -> np.ndarray:
    """Return a readout as one matrix [P c]."""
    return np.c_[readout.P, readout.c]
