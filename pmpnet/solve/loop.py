"""The loop every sweep method runs in: start, record, judge, stop, give back.

A method is a generator. It takes a reduced problem and a start, yields a `Step` per iteration and
may return a sentence when it cannot go on. It knows neither stopping rules nor histories.

A method that is given a ``last`` step goes on behind it, as if it had made it: whatever it knows
beside the point is in the step's ``state``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from .. import checks
from ..distributed import Partitions
from ..problem import Problem
from ..reduced import Point, Reduced
from ..solution import (
    CONVERGED,
    HISTORY,
    INTERRUPTED,
    NOT_FINITE,
    OUT_OF_ITERATIONS,
    STALLED,
    STOPPED,
    Seconds,
    Solution,
)
from ..sweeps import Multipliers
from .checkpoint import Journal
from .lagrangian import augmented_lagrangian
from .needles import needle_variations

START_SPREAD = 0.1  # standard deviation of random starts


@dataclass(frozen=True)
class Step:
    """An iterate.

    Attributes
    ----------
    point : Point or None
        The decision with its price; None where a method moved without pricing (minibatches).
    rho : float
        The proximal weight that led here; NaN for methods without one.
    state : dict
        What the method goes on with: numbers, arrays, points, and lists and dicts of them. Read
        before the next step is asked for; arrays may change then.
    """

    point: Point | None
    rho: float = np.nan
    state: dict[str, Any] = field(default_factory=dict)


def rounding(reduced: Reduced, cost: float) -> float:
    """How much of a cost is rounding: a decrease below it can be neither seen nor demanded."""
    return 10 * float(np.finfo(reduced.problem.dtype).eps) * abs(cost)


Steps = Generator[Step, None, str | None]
Method = Callable[..., Steps]

METHODS: dict[str, Callable[..., Solution]] = {}  # by name, for what runs any method

COMMON = """
    Parameters
    ----------
    problem : Problem
    start : array-like (N, c), Solution or None
        Where to begin; a Solution on another grid is interpolated. None is zero controls.
    max_iter : int, default 500
        Most iterations; 0 prices the start.
    tol : float, default 1e-6
        Bound on residual / max(1, residual of the start).
    progress : bool, default False
        Whether to show a progress bar (tqdm): cost, gap, sweeps per second, time left.
    callback : callable, optional
        Called with every row of the history; stops the solve by returning True.
    seed : int, default 0
        Of everything random.
    starts : int, default 1
        How many starts to run: the given one, and 0.1 N(0, 1) seeded ones. The best is kept.
    needles : int, default 0
        Candidates per layer of a global maximisation of the Hamiltonian once the method has
        converged. Layers where one beats the control are changed and the solve goes on. For few
        controls and samples, where the Hamiltonian is not concave in the control.
    checkpoint : path or Checkpoint, optional
        A file in which the solve is written down every 30 seconds, and at its end.
    resume : path, optional
        A file that ``checkpoint`` wrote, in a solve with the same arguments that was stopped or
        killed: this one goes on from there, to the same bits as if nothing had happened. Where
        both are one path and there is no file yet, the solve begins.
"""

GIVEN = "reduced", "v", "max_iter", "rng", "last", "keep"  # by the loop, to methods that ask for it


def front(name: str, convex: bool = True) -> Callable[[Method], Callable[..., Solution]]:
    """Turn a method into a function of the public face, with the common arguments.

    Parameters
    ----------
    name : str
    convex : bool
        Whether the method needs a convex control cost.
    """

    def decorate(method: Method) -> Callable[..., Solution]:
        @functools.wraps(method)
        def solve(
            problem: Problem,
            start: Any = None,
            max_iter: int = 500,
            tol: float = 1e-6,
            progress: bool = False,
            callback: Callable[[np.void], Any] | None = None,
            seed: int = 0,
            starts: int = 1,
            needles: int = 0,
            checkpoint: Any = None,
            resume: Any = None,
            **options: Any,
        ) -> Solution:
            checks.instance("problem", problem, Problem, "a pmpnet.Problem")
            known = _parameters(method)
            checks.method_options(name, options, [p for p in known if p not in GIVEN])
            penalty = problem.penalty
            checks.convex_cost(name, penalty.convex or not convex, repr(penalty))
            checks.affine_hamiltonian(penalty.convex or problem.model.affine, repr(penalty))
            said = dict(
                max_iter=checks.integer("max_iter", max_iter, 0),
                tol=checks.real("tol", tol, least=0.0),
                seed=checks.integer("seed", seed, 0),
            )
            progress, callback = checks.flag("progress", progress), checks.callback(callback)
            needles = checks.size("needles", needles, 0)
            if needles:
                checks.searchable(problem.constraints, problem.penalty)
                checks.sums_only(not isinstance(problem.samples, Partitions))
            starts = checks.integer("starts", starts, 1)
            journal = checkpoint
            if not isinstance(journal, Journal):  # that of a chain, of which this is a part
                told = dict(method=name, **said, starts=starts, needles=needles)
                journal = Journal(problem, told | options, checkpoint, resume)
            run = functools.partial(
                _solve_one, method=method, name=name, options=options, journal=journal,
                progress=progress, callback=callback, **said,
            )  # fmt: skip
            found = best_start(problem, start, starts, seed, tol, run)
            if needles and found.status in (CONVERGED, STALLED):
                again = functools.partial(run, problem, kick=False)
                found = needle_variations(problem, found, again, needles, seed)
            if journal is not checkpoint:
                journal.finish()
            return found

        solve.__signature__ = _signature(solve, method)
        solve.__doc__ = (method.__doc__ or "").replace("{common}", COMMON.strip("\n"))
        METHODS[method.__name__] = solve
        return solve

    return decorate


@functools.cache
def _parameters(method: Method) -> tuple[str, ...]:
    """Return the names of what a method takes."""
    return tuple(inspect.signature(method).parameters)


def _signature(solve: Callable, method: Method) -> inspect.Signature:
    """Signature of a public function: the common arguments, then the method's own options."""
    own = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(method).parameters.values()
        if p.name not in GIVEN
    ]
    common = [
        p
        for p in inspect.signature(solve, follow_wrapped=False).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    return inspect.Signature([*common, *own], return_annotation=Solution)


# --------------------------------------------------------------------------------- starts


def best_start(
    problem: Problem, start: Any, starts: int, seed: int, tol: float, run: Callable
) -> Solution:
    """Run every start and keep the cheapest solution, of those that meet the constraints best."""
    reduced = Reduced(problem)
    readouts = problem.initial_readouts(seed)
    if start is None:
        u = problem.penalty.project(np.zeros(problem.control_shape))
    elif isinstance(start, Solution):
        u, readouts = _from_solution(problem, start, readouts)
    else:
        u = checks.controls(start, problem.control_shape, "start")
    stretch = 1.0
    if isinstance(start, Solution) and problem.free_horizon is not None:
        stretch = float(np.clip(start.horizon, *problem.free_horizon)) / problem.length
    first = reduced.join(u, readouts, stretch)
    solutions = [run(problem, first, kick=start is None)]
    for i in range(1, starts):
        if solutions[-1].status == INTERRUPTED:
            break
        try:
            solutions.append(run(problem, _random(reduced, problem, seed, i), kick=False))
        except KeyboardInterrupt:  # before this start was priced
            break
    best = min(solutions, key=functools.partial(_rank, tol=tol))
    if starts == 1:
        return best
    listed = [
        dict(start=i, cost=s.cost, success=s.success, nit=s.nit, message=s.message)
        for i, s in enumerate(solutions)
    ]
    return replace(best, multistart=listed)


def _rank(solution: Solution, tol: float) -> tuple[float, float]:
    """Return what is small for a good solution: first what it violates by more than tol."""
    found = [v for name, v in solution.violations.items() if name != "controls"]
    worst = max(found, default=0.0)
    ranks = worst if worst > tol else 0.0, solution.cost
    return tuple(rank if np.isfinite(rank) else np.inf for rank in ranks)


def _random(reduced: Reduced, problem: Problem, seed: int, i: int) -> np.ndarray:
    u = START_SPREAD * np.random.default_rng([seed, i]).standard_normal(problem.control_shape)
    return reduced.join(problem.penalty.project(u), problem.initial_readouts(seed + i))


def _from_solution(problem: Problem, start: Solution, readouts: tuple) -> tuple[np.ndarray, tuple]:
    """Controls of a solution on this grid: averages over each interval (L2 projection)."""
    checks.same_controls(start.controls.shape[1], problem.dynamics.controls)
    u = averages(start.controls, start.times, problem.times)
    found = list(readouts)
    for i in (0, 1):
        old = start.readouts[i]
        if found[i] is not None and old is not None and old.P.shape == found[i].P.shape:
            found[i] = old
    return u, tuple(found)


def averages(u: np.ndarray, times: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the means over the intervals of another grid of a control (N, c), constant on each.

    Beyond its own grid the control stays what it was at the end.
    """
    if np.array_equal(times, new):
        return u.copy()
    # the integral of a piecewise constant function is piecewise linear
    h = np.diff(times)[:, None]
    integral = np.vstack([np.zeros((1, u.shape[1])), np.cumsum(h * u, axis=0)])
    inside = np.clip(new, times[0], times[-1])
    at = np.stack([np.interp(inside, times, column) for column in integral.T], axis=1)
    beyond = (new - inside)[:, None]
    at = at + np.where(beyond > 0, beyond * u[-1], beyond * u[0])
    return np.diff(at, axis=0) / np.diff(new)[:, None]


# ----------------------------------------------------------------------------------- a run


def _solve_one(
    problem: Problem, v: np.ndarray, *, kick: bool, tol: float, max_iter: int, **how: Any
) -> Solution:
    """Solve from one start; constraints are met by solving several times."""
    if not problem.constraints:
        return leave_stationary(problem, v, kick=kick, tol=tol, max_iter=max_iter, **how)

    def solve(v: np.ndarray, multipliers: Multipliers, first: bool, **more: Any) -> Solution:
        run = functools.partial(leave_stationary, kick=kick) if first else _iterate
        return run(problem, v, multipliers=multipliers, **more, **how)

    return augmented_lagrangian(problem, v, solve, tol, max_iter)


def leave_stationary(
    problem: Problem,
    v: np.ndarray,
    *,
    kick: bool,
    iterate: Callable[..., Solution] | None = None,
    **how: Any,
) -> Solution:
    """Solve from one start, and leave a stationary one that nobody chose.

    ``iterate(problem, v, **how)`` solves; without it a method of this loop does.
    """
    iterate = _iterate if iterate is None else iterate
    solution = iterate(problem, v, **how)
    if not (kick and solution.success and how["max_iter"] > 0):
        return solution
    if solution.nit == 0:
        where = "zero controls are stationary"
    elif _unmoved(problem, solution):
        where = "from zero controls, some entries have no slope and never move"
    else:
        return solution
    reduced = Reduced(problem, multipliers=how.get("multipliers"))
    try:
        kicked = iterate(problem, _random(reduced, problem, how["seed"], 1), **how)
    except KeyboardInterrupt:
        return solution
    better = _lowered(reduced, kicked, how["tol"]) < _lowered(reduced, solution, how["tol"])
    nfev = solution.nfev + kicked.nfev + int(reduced.nfev)
    sweeps = dict(nfev=nfev, njev=solution.njev + kicked.njev)
    if better:
        note = f"{where}, which is not optimal; left by a seeded kick. "
        return replace(kicked, message=note + kicked.message, **sweeps)
    note = f" ({where}; a solve from a seeded kick found nothing better.)"
    return replace(solution, message=solution.message + note, **sweeps)


def _lowered(reduced: Reduced, found: Solution, tol: float) -> tuple[float, float]:
    """Return what a method lowered: J, and the terms of the augmented Lagrangian."""
    if reduced.multipliers is None:
        return _rank(found, tol)
    return 0.0, reduced.cost(reduced.join(found.controls, found.readouts, found.stretch))


def _unmoved(problem: Problem, solution: Solution) -> bool:
    """Tell whether an entry of the control is 0 in all layers, and its slope as well.

    The hidden weights of a network are, where all of them begin at 0: a saddle, as a rule.
    """
    if problem.dynamics.affine or solution.controls.all():
        return False
    slopes = problem.sweep(solution.controls, solution.readouts, solution.stretch).g
    return bool(((solution.controls == 0) & (slopes == 0)).all(axis=0).any())


def _iterate(
    problem: Problem,
    v: np.ndarray,
    *,
    method: Method,
    name: str,
    max_iter: int,
    tol: float,
    progress: bool,
    callback: Callable[[np.void], Any] | None,
    seed: int,
    options: dict[str, Any],
    journal: Journal,
    multipliers: Multipliers | None = None,
    scale: float | None = None,
) -> Solution:
    """Run a method; ``scale`` stands for the residual of the start in the stopping rule."""
    reduced = Reduced(problem, multipliers=multipliers)
    problem.sweeper.prepare(problem.samples, reduced.control(v), reduced.readouts(v))
    record = _Record(reduced, tol, name, perf_counter(), scale)
    last, memory = record.resume(journal.begin(v)), options.get("curvature")
    if record.status is not None and memory is not None:
        memory.restore(record.left)
    known = _parameters(method)
    given = dict(max_iter=max_iter, last=last, keep=journal.kept)
    if "rng" in known:
        given["rng"] = np.random.default_rng(seed)
    options = options | {name: given[name] for name in known if name in given}
    with _bar(progress, max_iter, name, record) as bar:
        steps = method(reduced, v, **options)
        try:
            while record.status is None:
                try:
                    with np.errstate(all="ignore"):  # what overflows is judged, not warned of
                        step = next(steps)
                        record.add(step, max_iter)
                except StopIteration as end:
                    record.stop(STALLED, end.value or "the method ended.")
                    break
                if step.point is not None:
                    bar.advance(record)
                    if callback is not None and callback(record.rows[-1].copy()):
                        if record.status is None:
                            journal.leave(record.state(step))
                        record.stop(
                            STOPPED, f"stopped by the callback after {record.nit} iterations."
                        )
                if record.status is None:
                    journal.step(record.nit, functools.partial(record.state, step))
        except KeyboardInterrupt:
            journal.leave(None)
            record.stop(INTERRUPTED, f"interrupted after {max(record.nit, 0)} iterations.")
            if record.best is None:
                raise
        finally:
            steps.close()
    if memory is not None:
        record.left = memory.state
    journal.end(record.state())
    with np.errstate(all="ignore"):
        return record.solution(problem)


class _Record:
    """The history of a run, its best iterate, and the reason it stopped."""

    def __init__(
        self, reduced: Reduced, tol: float, name: str, begun: float, scale: float | None
    ) -> None:
        self.reduced, self.tol, self.name, self.begun = reduced, tol, name, begun
        self.scale = scale
        self.rows: list[np.void] = []
        self.nit = -1
        self.best: Point | None = None
        self.last: Point | None = None
        self.status: int | None = None
        self.message = ""
        self.left: dict[str, Any] | None = None  # the curvature that the method left, if any

    def state(self, step: Step | None = None) -> dict[str, Any]:
        """Return all of this for a file: at a step, or at the end."""
        reduced = self.reduced
        return dict(
            rows=np.array(self.rows, dtype=HISTORY), nit=self.nit, best=self.best,
            status=self.status, message=self.message, left=self.left,
            nfev=reduced.nfev, njev=reduced.njev, compiling=reduced.compiling,
            seconds=self.seconds,
            step=step and dict(point=step.point, rho=step.rho, state=step.state),
        )  # fmt: skip

    def resume(self, known: dict[str, Any] | None) -> Step | None:
        """Go on from what `state` returned; return its step."""
        if known is None:
            return None
        self.rows, self.nit, self.best = list(known["rows"]), known["nit"], known["best"]
        self.status, self.message, self.left = known["status"], known["message"], known["left"]
        reduced = self.reduced
        reduced.nfev, reduced.njev = known["nfev"], known["njev"]
        reduced.compiling += known["compiling"]
        self.begun -= known["seconds"] + known["compiling"]
        return None if known["step"] is None else Step(**known["step"])

    def stop(self, status: int, message: str) -> None:
        """Set the reason to stop, the first one given."""
        if self.status is None:
            self.status, self.message = status, message

    def add(self, step: Step, max_iter: int) -> None:
        """Take an iterate into the history and apply the stopping rules."""
        self.nit += 1
        if step.point is not None:
            self._judge(step)
        if self.nit >= max_iter:
            row = self.rows[-1]
            self.stop(
                OUT_OF_ITERATIONS,
                f"not converged after {self.nit} iterations: residual {row['residual']:.3g}, "
                f"asked for {self.bound:.3g}.",
            )

    def _judge(self, step: Step) -> None:
        reduced, point = self.reduced, step.point
        finite = point.finite
        gap = reduced.gap(point.v, point.g, point.sums) if finite else np.nan
        residual = reduced.residual(point.v, point.g) if finite else np.nan
        row = np.array(
            (point.price, gap, residual, step.rho, reduced.sweeps, self.seconds),
            dtype=HISTORY,
        )[()]
        self.rows.append(row)
        if not finite:
            when = "at the start" if self.nit == 0 else f"at iteration {self.nit}"
            kept = "" if self.best is None else "; the best control before it is returned"
            self.stop(NOT_FINITE, f"diverged: cost or gradient became non-finite {when}{kept}.")
            self.best = self.best or point
            return
        self.last = point
        if self.best is None or point.cost < self.best.cost:
            self.best = point
        if residual <= self.bound:
            self.best = point
            self.stop(
                CONVERGED,
                f"converged after {self.nit} iterations: residual {residual:.3g} <= {self.bound:.3g}.",
            )

    @property
    def seconds(self) -> float:
        """Since the solve began, without what a method had to compile."""
        return perf_counter() - self.begun - self.reduced.compiling

    @property
    def bound(self) -> float:
        """What the residual must come below."""
        first = self.rows[0]["residual"] if self.scale is None else self.scale
        return self.tol * max(1.0, first if isfinite(first) else 1.0)

    def solution(self, problem: Problem) -> Solution:
        """Give back the best iterate."""
        reduced, point = self.reduced, self.best
        finite = point.finite
        return Solution(
            problem=problem,
            controls=reduced.control(point.v).copy(),
            readouts=reduced.readouts(point.v),
            stretch=reduced.stretch(point.v),
            lagrangian=reduced.multipliers,
            terms=point.terms,
            success=self.status == CONVERGED,
            status=self.status,
            message=self.message,
            nit=max(self.nit, 0),
            nfev=int(np.ceil(reduced.nfev)),
            njev=int(np.ceil(reduced.njev)),
            history=np.array(self.rows, dtype=HISTORY),
            gap=reduced.gap(point.v, point.g, point.sums) if finite else np.nan,
            residual=reduced.residual(point.v, point.g) if finite else np.nan,
            violations={"controls": reduced.violation(point.v)},
            seconds=Seconds(
                (problem.sweeper.compile_seconds or 0.0) + reduced.compiling, self.seconds
            ),
            method=self.name,
        )


class _bar:
    """A tqdm bar, or nothing."""

    def __init__(self, shown: bool, total: int, name: str, record: _Record) -> None:
        self.tqdm = None
        if shown:
            from tqdm.auto import tqdm

            self.tqdm = tqdm(total=total, desc=name, unit="it", initial=max(record.nit, 0))

    def __enter__(self) -> _bar:
        return self

    def advance(self, record: _Record) -> None:
        """Show the last row."""
        if self.tqdm is not None:
            row = record.rows[-1]
            pace = row["sweeps"] / max(row["seconds"], 1e-9)
            shown = {
                "cost": f"{row['cost']:.6g}", "gap": f"{row['gap']:.2g}",
                "residual": f"{row['residual']:.2g}", "sweeps/s": f"{pace:.3g}",
            }  # fmt: skip
            self.tqdm.set_postfix(shown, refresh=False)  # drawn when tqdm finds it is time
            self.tqdm.update(record.nit - self.tqdm.n)

    def __exit__(self, *exc: object) -> None:
        if self.tqdm is not None:
            self.tqdm.close()
