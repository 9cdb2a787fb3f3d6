"""What a solve gives back."""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .distributed import Partitions, by_rows, compute, heard, is_dask, said
from .losses import Loss
from .problem import ROLES, Problem, Readouts
from .sweeps import Multipliers, Readout, Samples

HISTORY = np.dtype(
    [(name, np.float64) for name in ("cost", "gap", "residual", "rho", "sweeps", "seconds")]
)

# What Solution.status says
CONVERGED, OUT_OF_ITERATIONS, STOPPED, NOT_FINITE, INTERRUPTED, STALLED, INFEASIBLE = range(7)


class Seconds(NamedTuple):
    """Wall time of a solve, compilation apart."""

    compile: float
    solve: float


class Resimulation(NamedTuple):
    """A control through an independent integrator: the cost it earns, and its parts."""

    cost: float
    terms: dict[str, float]
    states: np.ndarray


@dataclass(frozen=True, eq=False)
class Solution:
    """A control, its price, its certificate's two numbers, and how it was found.

    Attributes
    ----------
    problem : Problem
    controls : ndarray, shape (N, c)
        One row per interval.
    times : ndarray, shape (N+1,)
    cost : float
        J of these controls, priced by the sweep.
    terms : dict
        The cost's parts: terminal, running, control, readout.
    success : bool
        Whether the method's own stopping test was met.
    status : int
        0 converged; 1 out of iterations; 2 stopped by the callback; 3 a cost or gradient became
        non-finite; 4 interrupted; 5 the method could go no further; 6 constraints not met.
    message : str
        Why it stopped, as a sentence.
    nit : int
        Iterations.
    nfev, njev : int
        Forward (state) and backward (costate) sweeps over all samples.
    history : structured array
        One row per iteration, row 0 the start: cost, gap, residual, rho, sweeps, seconds.
    gap : float
        Hamiltonian gap of the controls; NaN where the Hamiltonian has no maximum.
    residual : float
        Fixed-point residual, with proximal weight 1.
    violations : dict
        Largest violation of every constraint, by its name; ``"controls"`` is that of the set U.
    multipliers : dict
        Of every constraint, by its name: J + sum <multiplier, expression> is stationary.
        (M, q) at the end and for integrals; densities in time (N, 2, M, q) on the path, at the
        start and the end of every interval. Positive where the upper bound holds back.
    horizon : float
        Length of the time interval.
    seconds : Seconds
        ``compile`` and ``solve``, in seconds.
    method : str
        The name of the method.
    readout : Readout or dict or None
        Value (P, c) of the trained readout; a dict by role where there are two.
    multistart : list of dict
        The starts that were run and their costs, where there were several.
    annotations : dict
        Anything a user wants kept with the solution; saved with it.
    """

    problem: Problem
    controls: np.ndarray
    readouts: Readouts
    terms: dict[str, float]
    success: bool
    status: int
    message: str
    nit: int
    nfev: int
    njev: int
    history: np.ndarray
    gap: float
    residual: float
    violations: dict[str, float]
    seconds: Seconds
    method: str
    stretch: float = 1.0
    lagrangian: Multipliers | None = None
    multistart: list[dict[str, Any]] = field(default_factory=list)
    annotations: dict[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> float:
        return float(sum(self.terms.values()))

    @property
    def times(self) -> np.ndarray:
        times = self.problem.times
        return times if self.stretch == 1.0 else times[0] + self.stretch * (times - times[0])

    @property
    def multipliers(self) -> dict[str, np.ndarray]:
        if self.lagrangian is None:
            return {}
        # every sample's constraint counts 1/M in the augmented Lagrangian
        count, m = self.problem.samples.count, self.lagrangian
        return self.problem.by_constraint(m.terminal / count, m.path / count)

    @property
    def horizon(self) -> float:
        return float(self.times[-1] - self.times[0])

    @property
    def readout(self) -> Readout | dict[str, Readout] | None:
        trained = self.problem.trained_readouts
        if len(trained) < 2:
            return self.readouts[trained[0][0]] if trained else None
        return {ROLES[i]: self.readouts[i] for (i,) in trained}

    # ------------------------------------------------------------------------- along time

    def control_at(self, t: ArrayLike) -> np.ndarray:
        """Return the control at times t; at a grid point, that of the interval it opens.

        Parameters
        ----------
        t : float or array-like, shape (k,)

        Returns
        -------
        ndarray, shape (c,) or (k, c)
        """
        t = checks.times_within(t, self.times)
        k = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.controls) - 1)
        return self.controls[k]

    def states(self, x: ArrayLike | None = None, parameters: ArrayLike | None = None) -> np.ndarray:
        """Return the states on the grid, (N+1, M, d), of the samples or of new points x (M, d).

        Parameters
        ----------
        x : array-like, shape (M, d), optional
        parameters : array-like, shape (M, p), optional
            Those of new points, where the system has parameters.
        """
        samples = self._samples if x is None else self._points(x, parameters)
        return self._path(samples)

    def state_at(
        self, t: float, x: ArrayLike | None = None, parameters: ArrayLike | None = None
    ) -> np.ndarray:
        """Return the states at time t, (M, d): a partial step from the grid point before it."""
        from .integrate import step

        t = float(checks.times_within(checks.real("t", t), self.times))
        k = int(
            np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.controls) - 1)
        )
        samples = self._samples if x is None else self._points(x, parameters)
        before = self._path(samples)[k]
        if t == self.times[k]:
            return before
        p = self.problem
        return step(
            p.dynamics, p.scheme, self.times[k], t - self.times[k], before, self.controls[k],
            samples.theta,
        )  # fmt: skip

    def costates(self) -> np.ndarray:
        """Return the costates on the grid, (N+1, M, d): minus the sensitivity of the cost.

        With constraints it is the sensitivity of the cost with their multipliers' terms.
        """
        done = self.problem.sweep(
            self.controls, self.readouts, self.stretch, costates=True, multipliers=self.lagrangian
        )
        return self.problem.own(done.costates)

    def resimulate(self, rtol: float = 1e-9) -> Resimulation:
        """Run the control through an independent high-order integrator (scipy's DOP853).

        Parameters
        ----------
        rtol : float, default 1e-9
            Relative tolerance of the integrator.

        Returns
        -------
        Resimulation
            ``cost``, the cost the control earns in continuous time, beside `Solution.cost`;
            ``terms``; and ``states`` (N+1, M, d) on the grid.
        """
        from .integrate import resimulate

        rtol = checks.real("rtol", rtol, above=0.0)
        terms, states = resimulate(self.problem, self.times, self.controls, self.readouts, rtol)
        return Resimulation(float(sum(terms.values())), terms, states)

    def stopping_time(self, tol: float = 0.0) -> float:
        """Return the time from which on the control vanishes; see `pmpnet.analysis.stopping_time`.

        Parameters
        ----------
        tol : float, default 0.0
            Entries up to this size count as zero; with 0 only exact zeros do.
        """
        from .analysis import stopping_time

        return stopping_time(self, tol)

    def prune(self) -> Solution:
        """Return the solution without the layers behind the last one that is not zero.

        The flow is the same map; the problem has a shorter horizon. See `pmpnet.analysis.prune`.
        """
        from .analysis import prune

        return prune(self)

    # -------------------------------------------------------------------- as a map of points

    def flow(self, x: ArrayLike, parameters: ArrayLike | None = None) -> np.ndarray:
        """Return x(T) of new points x (M, d), with their parameters (M, p) where there are any.

        Of a dask.array, here and for what is predicted, the answer is one, computed when asked for.
        """
        if is_dask(x):
            return self._by_rows("flow", x, parameters)
        samples = self._points(x, parameters)
        return self._forward(samples, final=True).final if samples.count else samples.x

    def inverse(
        self,
        z: ArrayLike,
        tol: float = 1e-12,
        max_iter: int = 1000,
        parameters: ArrayLike | None = None,
    ) -> np.ndarray:
        """Return the points whose flow is z, layer by layer backwards, by fixed-point iteration.

        Parameters
        ----------
        z : array-like, shape (M, d)
        tol : float, default 1e-12
            Largest last step of the iteration, relative to 1 + |x|.
        max_iter : int, default 1000
            Iterations per layer.
        parameters : array-like, shape (M, p), optional
            Those of the points, where the system has parameters.

        Raises
        ------
        ValueError
            If a layer's step is not invertible this way: its displacement must be a contraction.
            `pmpnet.analysis.inversion` tells more, with a bound on the error.

        References
        ----------
        J. Behrmann et al., Invertible residual networks, ICML 2019.
        """
        from .analysis import inversion

        tol = checks.real("tol", tol, above=0.0)
        found = inversion(self, z, tol, max_iter, parameters)
        failed = np.flatnonzero(~found.converged)
        checks.inverted(int(failed[-1]) if failed.size else 0, not failed.size)
        return found.points

    def outputs(self, x: ArrayLike, parameters: ArrayLike | None = None) -> np.ndarray:
        """Return z(T) = P x(T) + c of new points, (M, q): what the loss reads."""
        if is_dask(x):
            return self._by_rows("outputs", x, parameters)
        loss = self.loss
        z = self.flow(x, parameters)
        if loss.readout is None:
            return z
        if loss.trained:
            P, c = self.readouts[self.role]
            return z @ P.T + c
        return z @ loss.readout.T

    def predict(self, x: ArrayLike, parameters: ArrayLike | None = None) -> np.ndarray:
        """Return class labels, or numbers, of new points x (M, d)."""
        if is_dask(x):
            return self._by_rows("predict", x, parameters)
        return self.loss.predict(self.outputs(x, parameters), self.problem.classes)

    def predict_proba(self, x: ArrayLike, parameters: ArrayLike | None = None) -> np.ndarray:
        """Return class probabilities of new points, (M, classes), in the order of the labels."""
        if is_dask(x):
            return self._by_rows("predict_proba", x, parameters)
        return self.loss.probabilities(self.outputs(x, parameters))

    def score(self, x: ArrayLike, y: ArrayLike, parameters: ArrayLike | None = None) -> float:
        """Return the accuracy on labelled points, or the coefficient of determination R2.

        Predictions and targets of dask arrays come here; their points do not.
        """
        predicted = self.predict(x, parameters)
        if is_dask(x):
            y, predicted = compute(y, predicted)
        y = checks.scored(y, predicted, self.problem.classes is not None)
        if self.problem.classes is not None:
            return float(np.mean(predicted == y))
        spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        error = ((y - predicted) ** 2).sum(axis=0)
        constant = spread == 0
        # scikit-learn's convention: a constant target scores 1 when met exactly and 0 otherwise
        return float(
            np.where(constant, error == 0, 1 - error / np.where(constant, 1, spread)).mean()
        )

    def _by_rows(self, name: str, x: Any, parameters: Any) -> Any:
        """Return what a method of these answers for a dask.array of points."""
        problem = self.problem
        p, here = problem.dynamics.parameters, x.shape[1:]
        like = getattr(self, name)(np.empty((0, *here)), np.empty((0, p)) if p else None)
        if isinstance(problem.samples, Partitions):
            light = heard(problem.samples.message)
        else:
            light = problem.on(np.arange(1))
        alone = replace(self, problem=light, lagrangian=None, history=self.history[:0])
        return by_rows(said(alone), name, x, parameters, like)

    @property
    def role(self) -> int:
        """Which cost predicts: the terminal (0) or, where there is none, the running one (1)."""
        return 0 if self.problem.terminal_cost is not None else 1

    @property
    def loss(self) -> Loss:
        """The cost that predicts."""
        loss = (self.problem.terminal_cost, self.problem.running_cost)[self.role]
        checks.has_loss(loss)
        return loss

    @property
    def _samples(self) -> Samples:
        """The problem's samples, as `flow_on` reads them."""
        p = self.problem
        none = np.empty((0, 0), p.dtype)
        x = np.ascontiguousarray(p.initial_states)
        return Samples(x, none, none, p.parameters, np.empty(0, p.dtype))

    def _points(self, x: ArrayLike, parameters: ArrayLike | None) -> Samples:
        p = self.problem
        none = np.empty((0, 0), p.dtype)
        x = checks.points(x, p.dynamics.dim, p.dtype)
        theta = checks.parameter_array(parameters, len(x), p.dynamics.parameters, p.dtype)
        return Samples(x, none, none, theta, np.empty(0, p.dtype))

    @cached_property
    def _flow(self):
        p = self.problem
        return p.flow_sweeper if self.stretch == 1.0 else p.flow_on(self.times)

    def _path(self, samples: Samples) -> np.ndarray:
        if not samples.count:
            return np.empty((len(self.times), *samples.x.shape), samples.x.dtype)
        return self._forward(samples, states=True).states

    def _forward(self, samples: Samples, **wanted: Any):
        return self._flow.run(samples, self.controls, backward=False, **wanted)

    # -------------------------------------------------------------------------- on disk

    def save(self, path: str | Path) -> None:
        """Write the solution to an .npz file of arrays and a JSON description; never pickle.

        Parameters
        ----------
        path : str or Path
            Written next to it first and then put in its place, so it is never half a file.
        """
        from .storage import save

        save(self, path)

    # ------------------------------------------------------------------------ shown

    def _facts(self) -> list[tuple[str, str]]:
        zeros = np.mean(self.controls == 0.0)
        parts = ", ".join(f"{k} {v:.6g}" for k, v in self.terms.items() if v != 0.0)
        rows = [
            ("cost", f"{self.cost:.10g}" + (f"  ({parts})" if parts else "")),
            ("status", self.message),
            ("gap, residual", f"{self.gap:.3g}, {self.residual:.3g}"),
            ("iterations", f"{self.nit}  ({self.nfev} forward and {self.njev} backward sweeps)"),
            ("seconds", f"{self.seconds.solve:.3g}  (compilation {self.seconds.compile:.3g})"),
            (
                "controls",
                f"{len(self.controls)} x {self.controls.shape[1]}, {zeros:.0%} exactly zero",
            ),
        ]
        worst = {n: v for n, v in self.violations.items() if n != "controls"}
        if worst:
            shown = ", ".join(f"{name} {value:.2g}" for name, value in worst.items())
            rows.append(("violations", shown))
        if self.problem.free_horizon is not None:
            rows.append(("horizon", f"{self.horizon:.8g}"))
        if self.multistart:
            rows.append(
                (
                    "starts",
                    f"{len(self.multistart)}, costs "
                    + ", ".join(f"{s['cost']:.6g}" for s in self.multistart),
                )
            )
        return rows

    def __repr__(self) -> str:
        head = f"Solution by {self.method}: {'converged' if self.success else 'not converged'}"
        return "\n".join([head, *(f"  {name:<14} {value}" for name, value in self._facts())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._facts()
        )
        word = "converged" if self.success else "not converged"
        return (
            f"<table><caption>Solution by {html.escape(self.method)}: <b>{word}</b></caption>"
            f"{rows}</table>"
        )
