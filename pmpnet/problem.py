"""What is to be solved: samples steered by one control, said once and checked once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import checks
from .constraints import Constraint, names_of
from .distributed import PartitionedSweeper, Partitions, Rows
from .dynamics.base import Dynamics
from .losses import Loss
from .model import build
from .penalties import L2, Penalty, Zero, flat
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
        The samples. Not copied when already of the problem's precision. A dask.array stays on the
        machines that compute it; targets, weights and parameters then are cut as it is.
    targets : array-like, shape (M,) or (M, q), optional
        Class labels or numbers, whatever the costs read.
    terminal_cost, running_cost : Loss, optional
        Phi and l, from `pmpnet.losses`.
    running_weight : float, default 1.0
        alpha.
    control_cost : Penalty, optional
        R and U, from `pmpnet.penalties`. At least one of the three costs or a constraint is
        required.
    constraints : sequence of Constraint, optional
        From `pmpnet.constraints`; they hold for every sample.
    weights : array-like, shape (M,), optional
        Sample weights, non-negative; scaled to sum 1. Equal without them.
    parameters : array-like, shape (M, p), optional
        Constants that differ from sample to sample, for systems, costs and constraints written
        as expressions: a control that must do for all of them (robust and ensemble control).
    horizon : float, default 1.0
        T, in the units of time; where to begin when it is free.
    steps : int, default 20
        N, the number of equal intervals (layers).
    times : array-like, shape (N+1,), optional
        An increasing grid instead of ``horizon`` and ``steps``.
    free_horizon : (float, float), optional
        The horizon is decided too, between these bounds: the whole grid is stretched.
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
        constraints: Sequence[Constraint] = (),
        weights: ArrayLike | None = None,
        parameters: ArrayLike | None = None,
        horizon: float = 1.0,
        steps: int = 20,
        times: ArrayLike | None = None,
        free_horizon: tuple[float, float] | None = None,
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
        self.constraints = checks.as_constraints(constraints, Constraint)
        self.constraint_names = names_of(self.constraints)
        checks.some_cost(terminal_cost, running_cost, control_cost, *self.constraints)
        self.running_weight = checks.real("running_weight", running_weight, least=0.0)
        self.terminal_cost, self.running_cost = terminal_cost, running_cost
        self.control_cost = Zero() if control_cost is None else control_cost
        self.free_horizon = None
        if free_horizon is not None:
            self.free_horizon = checks.horizon_range(free_horizon)
            self.times = checks.stretched(self.times, *self.free_horizon)

        rows = Rows.of(initial_states, targets, weights, parameters)
        if rows is not None:  # what is not the samples' own is found on stand-ins
            checks.no_multipliers(self.constraints)
            labels = any(c is not None and c.labels for c in (terminal_cost, running_cost))
            initial_states, targets, weights, parameters = rows.stand_ins(labels)
        x = checks.samples(initial_states, self.dynamics.dim, self.dtype)
        self.parameters = checks.parameter_array(
            parameters, len(x), self.dynamics.parameters, self.dtype
        )
        self._check_symbols()
        self.targets = None if targets is None else checks.rectangular("targets", targets)
        outputs, encoded, classes = self._read_targets(self.targets, len(x))
        self.classes = classes
        self.encoded = encoded
        running = self.sampled_running_cost = self._without_energy()
        theta, read = self._constants(encoded)
        p = self.parameters.shape[1]
        bound = [c and c.bound_to(p) for c in (terminal_cost, running)]
        self.model = build(
            self.dynamics, bound[1], self.running_weight, read, self.constraints, p,
            float(self.times[0]), self.free_horizon is not None, float(self.penalty.kinetic),
        )  # fmt: skip
        if self.model.running is None:  # there is none, or it is an integral among the states
            outputs = outputs[0], 0
        self.outputs = outputs
        self.samples = self._measure(x, theta, checks.weights(weights, len(x), self.dtype))
        self.sweeper = Sweeper(
            self.model.dynamics,
            self.scheme,
            self.times,
            bound[0],
            self.model.running,
            self.running_weight,
            self.dtype,
            outputs,
            self.model.extras,
        )
        if rows is not None:
            self.samples, self.sweeper = Partitions.of(rows, self), PartitionedSweeper()
            self.targets, self.parameters = rows.targets, self.samples.rows.parameters

    def _measure(self, x: np.ndarray, theta: np.ndarray, weights: np.ndarray) -> Samples:
        """Return the samples as the sweep reads them."""
        none = np.empty((0, 0), self.dtype)
        # costs written as expressions find their targets behind the parameters
        encoded = [
            e if c is not None and c.written is None else none
            for e, c in zip(self.encoded, (self.terminal_cost, self.model.running), strict=True)
        ]
        return Samples(self._with_integrals(x), *encoded, theta, weights)

    def _check_symbols(self) -> None:
        """Check that expressions have the symbols of this problem."""
        needed = self.dynamics.dim, self.dynamics.controls, self.parameters.shape[1]
        for loss in (self.terminal_cost, self.running_cost):
            if loss is not None and loss.written is not None:
                given = loss.written.dim, loss.written.controls, loss.parameters
                checks.symbol_counts(repr(loss), given, needed)
        if self.terminal_cost is not None:
            checks.cost_of_state(self.terminal_cost.mixed)
        for constraint in self.constraints:
            m = constraint.map
            checks.symbol_counts(repr(constraint), (m.dim, m.controls, m.parameters), needed)

    def _without_energy(self) -> Loss | None:
        """Return the running cost without its energy, whose maximiser is in closed form.

        The energy joins the control cost in ``penalty``; it still is a part of the running cost
        when the cost's parts are told.
        """
        running, energy, whole = self.running_cost, Zero(), self.control_cost
        if running is not None and running.mixed and self.dynamics.share == 1.0:
            rest, weights = running.without_energy()
            try:
                energy = L2(self.running_weight * weights)
                whole, running = self.control_cost + energy, rest
            except ValueError:  # together they have no closed form: it stays where it was
                energy = Zero()
        self.energy = energy
        steps = self.steps if self.free_horizon is None else None
        checks.kinetic_affine(not whole.kinetic or self.dynamics.affine, repr(self.dynamics))
        self.penalty = whole.bound_to(self.control_shape, self.dynamics.rows, steps)
        return running

    def _constants(self, encoded: list[np.ndarray]) -> tuple[np.ndarray, tuple[int, int]]:
        """Return what expressions read of each sample, and how many numbers of its target."""
        roles = self.terminal_cost, self.running_cost
        numbers = [
            encoded[i] for i in (0, 1) if roles[i] is not None and roles[i].written is not None
        ]
        numbers = [a for a in numbers if a.size]
        checks.same_numbers([a.shape[1] for a in numbers])
        read, running = self.parameters[:, :0], self.parameters[:, :0]
        if numbers:
            read = numbers[0]
        if self.free_horizon is not None and roles[1] is not None and roles[1].written is None:
            running = encoded[1]
        theta = np.concatenate([self.parameters, read, running], axis=1)
        return np.ascontiguousarray(theta), (read.shape[1], running.shape[1])

    def _with_integrals(self, x: np.ndarray) -> np.ndarray:
        """Return the states with those behind the user's: integrals at 0, the stretch at 1."""
        more = self.model.dynamics.dim - self.dynamics.dim
        if not more:
            return x
        added = np.zeros((len(x), more), self.dtype)
        if self.model.free:
            added[:, -1] = 1.0
        return np.concatenate([x, added], axis=1)

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
        return self.flow_on(self.times)

    def flow_on(self, times: np.ndarray) -> Sweeper:
        """Return the sweep without costs on another grid."""
        return Sweeper(self.dynamics, self.scheme, times, None, None, 0.0, self.dtype, (0, 0))

    # --------------------------------------------------------------------------- others like it

    @property
    def arguments(self) -> dict[str, Any]:
        """What the constructor takes to make this problem."""
        own = self.rows._asdict()
        names = (
            "dynamics", "initial_states", "targets", "terminal_cost", "running_cost",
            "running_weight", "control_cost", "constraints", "times", "free_horizon", "scheme",
            "dtype", "weights", "parameters",
        )  # fmt: skip
        return {name: own[name] if name in own else getattr(self, name) for name in names}

    @property
    def rows(self) -> Rows:
        """The samples and what belongs to each, as they are given to the constructor."""
        if isinstance(self.samples, Partitions):
            return self.samples.rows
        weights, theta = self.samples.weights, self.parameters
        return Rows(
            self.initial_states,
            self.targets,
            weights if len(weights) else None,
            theta if theta.size else None,
        )

    def replace(self, **changes: Any) -> Problem:
        """Return the problem with other arguments of the constructor, all else as here.

        Another ``horizon`` or another number of ``steps`` means equal intervals.

        Examples
        --------
        >>> import numpy as np
        >>> from pmpnet import Problem, dynamics, penalties
        >>> problem = Problem(dynamics.LinearControl(2), np.zeros((5, 2)), horizon=2.0,
        ...                   control_cost=penalties.L2(1.0))
        >>> problem.replace(steps=4).times.tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0]
        """
        if not {"horizon", "steps"}.isdisjoint(changes):
            length = changes.pop("horizon", self.length)
            grid = checks.grid(length, changes.pop("steps", self.intervals), None)
            changes.setdefault("times", self.times[0] + grid)
        return Problem(**{**self.arguments, **changes})

    def on(self, index: np.ndarray) -> Problem:
        """Return the problem on some of its samples, by number or mask; what is compiled is shared."""
        index = checks.sample_index(index, self.samples.count)
        return self._on(index, self.samples.take(index))

    def _on(self, index: np.ndarray, samples: Samples) -> Problem:
        part = copy(self)
        part.samples, part.parameters = samples, self.parameters[index]
        part.targets = None if self.targets is None else self.targets[index]
        part.encoded = [y.take(index, axis=0) if len(y) else y for y in self.encoded]
        return part

    def pieces(self, most: int) -> Iterator[Problem]:
        """Give the problem piece by piece, at most so many samples each, with their own weights.

        Where a cost is a sum over samples, theirs add up to it.
        """
        for first in range(0, self.samples.count, most):
            index = np.arange(first, min(first + most, self.samples.count))
            samples = self.samples.take(index)
            yield self._on(index, replace(samples, weights=self.weights[index]))

    def with_rows(
        self,
        x: ArrayLike,
        targets: ArrayLike | None,
        weights: np.ndarray,
        parameters: ArrayLike | None,
    ) -> Problem:
        """Return the problem on other samples, whose labels are known; what is compiled is shared.

        Parameters
        ----------
        x : array-like, shape (M, d)
        targets : array-like, shape (M,) or (M, q), or None
        weights : ndarray, shape (M,)
            Taken as they are: these may be some of the samples of a measure.
        parameters : array-like, shape (M, p), or None
        """
        part = copy(self)
        x = checks.samples(x, self.dynamics.dim, self.dtype)
        M, p = len(x), self.dynamics.parameters
        part.parameters = checks.parameter_array(parameters, M, p, self.dtype)
        known = 0
        if self.classes is not None:  # so that labels get the numbers they have here
            known = len(self.targets)
            targets = np.concatenate([self.targets, np.ravel(targets)])
        _, encoded, _ = part._read_targets(targets, known + M)
        part.targets = None if targets is None else targets[known:]
        part.encoded = [y[known:] if len(y) else y for y in encoded]
        theta, _ = part._constants(part.encoded)
        part.samples = part._measure(x, theta, weights)
        return part

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
        x = self.samples.x
        return x if x.shape[1] == self.dynamics.dim else x[:, : self.dynamics.dim]

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

    @cached_property
    def flat_penalties(self) -> tuple[Penalty | None, Penalty | None]:
        """R of all that is decided and of the control, as if every entry were a layer's only one.

        That is what they are where R and U treat every entry by itself; None elsewhere. Trained
        readouts are behind the control, row by row of [P c].
        """
        parts = [(self.control_shape, self.penalty)]
        for roles in self.trained_readouts:
            shape = self.outputs[roles[0]], self.dynamics.dim + 1
            parts.append((shape, self.readout_penalty(roles)))
        if self.free_horizon is not None or not all(p.entrywise and p.convex for _, p in parts):
            return None, None
        return flat(parts), flat(parts[:1])

    def initial_readouts(self, seed: int = 0) -> Readouts:
        """Return seeded nonzero readouts: with P = 0 no control would move the cost."""
        if not self.trained_readouts:
            return None, None
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

    def sweep(
        self,
        u: np.ndarray,
        readouts: Readouts,
        stretch: float = 1.0,
        samples: Samples | None = None,
        **wanted: Any,
    ) -> Round:
        """Run one round of the compiled sweep; see `pmpnet.sweeps.Sweeper.run`.

        Parameters
        ----------
        u : ndarray, shape (N, c)
        readouts : pair of Readout or None
        stretch : float
            Of a free horizon, over the one the grid has.
        samples : Samples, optional
            Some of the problem's, in place of all.
        """
        samples = self.samples if samples is None else samples
        if self.model.free:
            samples = samples.with_last_state(stretch)
        return self.sweeper.run(samples, u, readouts, **wanted)

    def terms(
        self, u: ArrayLike, readout: Any = None, horizon: float | None = None
    ) -> dict[str, float]:
        """Return the cost's parts: terminal, running, control and readout.

        Parameters
        ----------
        u : array-like, shape (N, c)
        readout : (P, c) pair, or dict of them by role, optional
            Value of a trained readout; the seeded start without it.
        horizon : float, optional
            Where it is free; the grid's own without it.
        """
        u = checks.controls(u, self.control_shape)
        readouts, stretch = self.as_readouts(readout), self.as_stretch(horizon)
        done = self.sweep(u, readouts, stretch, backward=False)
        return self.terms_of(done, u, readouts, stretch)

    def terms_of(
        self, done: Round, u: np.ndarray, readouts: Readouts, stretch: float = 1.0
    ) -> dict[str, float]:
        """Return the cost's parts, given a round."""
        with np.errstate(over="ignore", invalid="ignore"):  # as the sweep: inf or NaN, no warning
            control = stretch * self.integral(self.penalty, u)
            energy = stretch * self.integral(self.energy, u) if self.energy.weighted else 0.0
        terms = {
            "terminal": done.terminal,
            "running": done.running + energy,
            "control": control - energy,
        }
        for name, c, value in zip(
            self.model.terms, self.model.extras.coefficients, done.integrals, strict=True
        ):
            if name:
                terms[name] += c * float(value)
        if self.trained_readouts:
            terms["readout"] = sum(
                float(self.readout_penalty(roles).layer_values(matrix(readouts[roles[0]])).sum())
                for roles in self.trained_readouts
            )
        return terms

    def integral(self, penalty: Penalty, u: np.ndarray) -> float:
        """Return sum_k h_k R(u_k) over the grid's own horizon."""
        return float(np.add.reduce(self.metric * penalty.layer_values(u)))

    def as_stretch(self, horizon: float | None) -> float:
        """Return the stretch of the grid that a horizon is."""
        if horizon is None:
            return 1.0
        checks.horizon_free(self.free_horizon)
        T = checks.real("horizon", horizon, above=0.0)
        return T / self.length

    def readout_penalty(self, roles: tuple[int, ...]) -> Penalty:
        """Return the penalty on a trained readout, for the matrix [P c] of shape (q, d + 1)."""
        loss = (self.terminal_cost, self.running_cost)[roles[0]]
        shape = self.outputs[roles[0]], self.dynamics.dim + 1
        return loss.readout_cost.bound_to(shape, None)

    @cached_property
    def steps(self) -> np.ndarray:
        """h_k, the lengths of the intervals, (N,)."""
        return np.diff(self.times)

    def control_values(self, u: np.ndarray, layer: int | None = None) -> np.ndarray:
        """Return R(u_k) of every layer, (N,), without the running cost's energy.

        The kinetic energy is that of states: see `kinetic_energy`.
        With ``layer``, u are many controls (K, c) of that one layer.
        """
        penalty, energy = self.penalty, self.energy
        if layer is not None:
            penalty = penalty.layer(layer)
        return penalty.layer_values(u) - energy.layer_values(u)

    @property
    def length(self) -> float:
        """T, the length of the grid."""
        return float(self.times[-1] - self.times[0])

    @cached_property
    def metric(self) -> np.ndarray:
        """What a control entry weighs in inner products and in the control cost, (N,).

        h_k; for K particles of a measure h_k / K.
        """
        return self.steps * self.dynamics.share

    def cost(self, u: ArrayLike, readout: Any = None, horizon: float | None = None) -> float:
        """Return J(u); violations of constraints have no part in it.

        Parameters
        ----------
        u : array-like, shape (N, c)
        readout : (P, c) pair, or dict of them by role, optional
            Value of a trained readout; the seeded start without it.
        horizon : float, optional
            Where it is free; the grid's own without it.
        """
        return float(sum(self.terms(u, readout, horizon).values()))

    def gradient(
        self, u: ArrayLike, readout: Any = None, horizon: float | None = None
    ) -> np.ndarray:
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
        stretch = self.as_stretch(horizon)
        g = self.sweep(u, self.as_readouts(readout), stretch).g
        R = stretch * self.metric[:, None] * self.penalty.gradient(u)
        return R - self.steps[:, None] * g

    def states(self, u: ArrayLike, horizon: float | None = None) -> np.ndarray:
        """Return the states x_k of every sample, (N+1, M, d)."""
        u = checks.controls(u, self.control_shape)
        done = self.sweep(
            u, self.initial_readouts(), self.as_stretch(horizon), backward=False, states=True
        )
        return self.own(done.states)

    def costates(
        self, u: ArrayLike, readout: Any = None, horizon: float | None = None
    ) -> np.ndarray:
        """Return the costates p_k, minus the sensitivity of J to x_k, (N+1, M, d).

        They are the transpose of the very steps taken, with the sample weights folded in.
        """
        u = checks.controls(u, self.control_shape)
        done = self.sweep(u, self.as_readouts(readout), self.as_stretch(horizon), costates=True)
        return self.own(done.costates)

    def constraint_values(
        self, u: np.ndarray, readouts: Readouts, stretch: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of the constraints.

        Returns
        -------
        terminal : ndarray, shape (M, q)
            Those at the end, and behind them those of integrals.
        path : ndarray, shape (N, 2, M, q)
            Those along the way, at the start and the end of every interval.
        """
        x = self.sweep(u, readouts, stretch, backward=False, states=True).states.astype(float)
        M, terminal, path = x.shape[1], self.model.extras.terminal, self.model.extras.path
        at_end, on_path = np.zeros((M, 0)), np.zeros((self.intervals, 2, M, 0))
        constants = self.parameters.astype(float)
        if terminal is not None:
            at_end = terminal.map(self.times[-1], x[-1], u[-1, :0], constants)
        if path is not None:
            on_path = np.stack(
                [
                    [path.map(self.times[k + i], x[k + i], u[k], constants) for i in (0, 1)]
                    for k in range(self.intervals)
                ]
            )
        return at_end, on_path

    def by_constraint(self, at_end: np.ndarray, on_path: np.ndarray) -> dict[str, np.ndarray]:
        """Return each constraint's part of values or multipliers, by its name."""
        found, used = {}, {"terminal": 0, "path": 0}
        kinds = ("terminal", "integral", "path")
        order = sorted(
            range(len(self.constraints)), key=lambda i: kinds.index(self.constraints[i].kind)
        )
        for i in order:
            constraint = self.constraints[i]
            place, values = ("path", on_path) if constraint.kind == "path" else ("terminal", at_end)
            first = used[place]
            used[place] = first + constraint.map.rows
            found[self.constraint_names[i]] = values[..., first : used[place]]
        return {name: found[name] for name in self.constraint_names}

    def cost_of(self, u: np.ndarray, readouts: Readouts, stretch: float = 1.0) -> float:
        """Return J, as `cost` does, of parts that are checked already."""
        done = self.sweep(u, readouts, stretch, backward=False)
        return float(sum(self.terms_of(done, u, readouts, stretch).values()))

    def mean_loss(
        self, role: int, t: float, x: np.ndarray, u: np.ndarray, readouts: Readouts
    ) -> float:
        """Return the weighted mean of the terminal (0) or running (1) loss at states, in NumPy."""
        loss = (self.terminal_cost, self.running_cost)[role]
        if loss is None:
            return 0.0
        values = loss.along(t, x, u, self.parameters, self.encoded[role], readouts[role])
        return float(np.asarray(self.weights, np.float64) @ values)

    def kinetic_energy(self, rate: np.ndarray) -> float:
        """Return the control cost's kinetic part, given the velocities (M, d) of all samples."""
        kappa = float(self.penalty.kinetic)
        if kappa == 0:
            return 0.0
        squares = np.add.reduce(np.asarray(rate, np.float64) ** 2, axis=1)
        return 0.5 * kappa * float(np.asarray(self.weights, np.float64) @ squares)

    def own(self, trajectory: np.ndarray) -> np.ndarray:
        """Return the user's part of states or costates, without integrals."""
        return trajectory[..., : self.dynamics.dim]

    def __repr__(self) -> str:
        M, d, parts = self.samples.count, self.dynamics.dim, ""
        if isinstance(self.samples, Partitions):
            parts = f", {len(self.samples.parts)} partitions"
        lines = [
            f"Problem: {M} sample{'s' * (M != 1)} in dimension {d}{parts}, {self.intervals} intervals on "
            f"[{self.times[0]:g}, {self.times[-1]:g}], {self.scheme.name}, {self.dtype.name}",
            f"  dynamics       {self.dynamics!r}",
        ]
        if self.terminal_cost is not None:
            lines.append(f"  terminal cost  {self.terminal_cost!r}")
        if self.running_cost is not None:
            lines.append(f"  running cost   {self.running_weight:g} * {self.running_cost!r}")
        lines.append(f"  control cost   {self.control_cost!r}")
        if self.free_horizon is not None:
            low, high = self.free_horizon
            lines.append(f"  horizon        free between {low:g} and {high:g}")
        for name, constraint in zip(self.constraint_names, self.constraints, strict=True):
            lines.append(f"  constraint     {name}: {constraint!r}")
        return "\n".join(lines)


def matrix(readout: Readout) -> np.ndarray:
    """Return a readout as one matrix [P c]."""
    return np.c_[readout.P, readout.c]
