"""Many methods on one problem: one start, one sweep that prices them, one table, one figure."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .problem import Problem
from .reduced import Reduced
from .solution import INTERRUPTED, STOPPED, Solution
from .solve.loop import START_SPREAD, rounding

NUMBERS = (
    "cost", "above", "gap", "residual", "violation", "sweeps", "seconds", "zeros", "score",
)  # fmt: skip
CLOCKS = ("sweeps", "seconds")
# How each is shown, under which heading
SHOWN = {
    "cost": ("cost", "{:.8g}"),
    "above": ("above best", "{:.1e}"),
    "gap": ("gap", "{:.1e}"),
    "residual": ("residual", "{:.1e}"),
    "violation": ("violation", "{:.1e}"),
    "sweeps": ("sweeps", "{:.0f}"),
    "seconds": ("seconds", "{:.3g}"),
    "zeros": ("zeros", "{:.0%}"),
    "score": ("test score", "{:.4f}"),
}


@dataclass(frozen=True, eq=False)
class Comparison(Mapping[str, Solution]):
    """Solutions of one problem by name, from the same start.

    Attributes
    ----------
    solutions : dict of Solution
        By the names of the methods, in their order.
    table : structured array
        One row per method: name, success (whether its own stopping test was met), cost, above (the
        best cost of them; 0 where that is rounding), gap, residual, violation (the largest),
        sweeps, seconds (without compilation), zeros (the part of the controls that is exactly 0)
        and score (on the test points; NaN without any).
    best : str or None
        The name of the method with the lowest cost, the one with the fewest sweeps of those whose
        costs differ by rounding; of methods that meet the constraints, where any does.
    failures : dict of Exception
        By name, what was raised by methods that have no solution; their rows are NaN, but for the
        sweeps and seconds that they spent.
    """

    solutions: dict[str, Solution]
    table: np.ndarray
    best: str | None
    failures: dict[str, Exception] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Solution:
        return self.solutions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.solutions)

    def __len__(self) -> int:
        return len(self.solutions)

    def plot(self, ax: Any = None) -> Any:
        """Draw cost above the best against sweeps and against seconds: `pmpnet.plot.compare`."""
        from .plot import compare as draw

        return draw(self, ax=ax)

    def _cells(self) -> list[list[str]]:
        """Return the table as text, headings first; without columns that say nothing."""
        silent = {"violation"} if not np.nansum(self.table["violation"]) else set()
        silent |= {"score"} if np.isnan(self.table["score"]).all() else set()
        columns = [
            ["", *self.table["name"].tolist()],
            ["converged", *("yes" if met else "no" for met in self.table["success"])],
        ]
        for number, (heading, form) in SHOWN.items():
            if number not in silent:
                told = ["-" if np.isnan(x) else form.format(x) for x in self.table[number]]
                columns.append([heading, *told])
        return [list(row) for row in zip(*columns, strict=True)]

    @property
    def _head(self) -> str:
        count = f"{len(self.table)} method{'s' * (len(self.table) != 1)}"
        return count if self.best is None else f"{count}, the lowest cost by {self.best}"

    @property
    def _failed(self) -> list[str]:
        return [f"{name} failed: {type(e).__name__}: {e}" for name, e in self.failures.items()]

    def __repr__(self) -> str:
        rows = self._cells()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"Comparison of {self._head}"]
        for name, *numbers in rows:
            right = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
            lines.append("  ".join(["", name.ljust(widths[0]), *right]))
        return "\n".join([*lines, *(f"  {sentence}" for sentence in self._failed)])

    def _repr_html_(self) -> str:
        head, *rows = [[html.escape(text) for text in row] for row in self._cells()]
        top = "".join(f"<th style='text-align:right'>{text}</th>" for text in head)
        body = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            + "".join(f"<td style='text-align:right'>{text}</td>" for text in numbers)
            + "</tr>"
            for name, *numbers in rows
        )
        caption = "<br>".join(html.escape(line) for line in [self._head, *self._failed])
        return f"<table><caption>{caption}</caption><tr>{top}</tr>{body}</table>"


def compare(
    problem: Problem,
    methods: Sequence[Any] | Mapping[str, Any],
    *,
    start: ArrayLike | Solution | None = None,
    max_iter: int = 500,
    tol: float = 1e-6,
    budget: float | Mapping[str, float] | None = None,
    seed: int = 0,
    test: tuple | Callable[[Solution], float] | None = None,
    names: Sequence[str] | None = None,
    progress: bool = False,
) -> Comparison:
    """Solve one problem by several methods, from the same start and at the same price.

    Parameters
    ----------
    problem : Problem
    methods : sequence or dict
        Functions of `pmpnet.solve`, or pairs of one and a dict of its options, such as
        ``(solve.msa, {"variant": "basic"})``; a dict gives them names. Options of a method come
        before what all are given. A function of your own is called as ``method(problem, start)``,
        with those of ``max_iter``, ``tol``, ``seed``, ``callback`` and ``progress`` that it takes,
        and returns a Solution of the problem.
    start : array-like (N, c), Solution or None
        Where all begin. None is zero controls or, where these are stationary, 0.1 N(0, 1).
    max_iter : int, default 500
        Most iterations of each.
    tol : float, default 1e-6
        Bound on residual / max(1, residual of the start).
    budget : float or dict, optional
        Most sweeps, or ``{"sweeps": ..., "seconds": ...}``: a method that takes ``callback`` ends
        with the row of its history that spends it.
    seed : int, default 0
        Of everything random.
    test : (x, y) or callable, optional
        Points and their targets that each solution is scored on, (x, y, parameters) where the
        system has some; or a function that scores a Solution.
    names : sequence of str, optional
        Of the methods; those of the functions without it.
    progress : bool, default False
        Whether to show a progress bar (tqdm) for each.

    Returns
    -------
    Comparison
        Shows itself as a table; ``plot()`` draws it.

    Raises
    ------
    ValueError, TypeError
        For bad input, of a method's options and problem as well, before any method runs to its
        end. What a method raises later is in ``failures``; where all fail, the first is raised.
    KeyboardInterrupt
        Where a method is interrupted: half a comparison is none.

    Notes
    -----
    Every method that takes ``max_iter`` and ``callback`` first makes one iteration that is thrown
    away, so that no clock shows what is compiled or loaded at the first use. All are priced by the
    same sweep: one pass over all samples, forward or backward, is one.

    Examples
    --------
    >>> import numpy as np, pmpnet
    >>> from pmpnet import dynamics, losses, penalties, solve
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> comparison = pmpnet.compare(
    ...     problem, [solve.msa, (solve.adam, {"learning_rate": 0.05})], max_iter=100)
    >>> comparison.best
    'msa'
    >>> comparison.table["sweeps"].tolist()
    [8.0, 202.0]
    """
    checks.instance("problem", problem, Problem, "a pmpnet.Problem")
    given = checks.methods(methods, names)
    tol, seed = checks.real("tol", tol, least=0.0), checks.integer("seed", seed, 0)
    limits, score = checks.budget(budget), _scorer(test)
    if start is None:
        start = _start(problem, seed, tol)
    elif not isinstance(start, Solution):
        start = checks.controls(start, problem.control_shape, "start")
    told = dict(
        max_iter=checks.integer("max_iter", max_iter, 0), tol=tol, seed=seed, callback=None,
        progress=checks.flag("progress", progress),
    )  # fmt: skip
    runs = [
        _Run(name, partial(method, problem, start), problem, _known(method, told) | own, limits)
        for name, (method, own) in given.items()
    ]
    tried = [run.warm_up() for run in runs]
    for found in filter(None, tried[:1]):
        score(found)  # what is wrong with the points is said before the work
    for run in runs:
        run()
    solutions = {run.name: run.found for run in runs if run.found is not None}
    failures = {run.name: run.error for run in runs if run.error is not None}
    if not solutions:
        raise next(iter(failures.values()))
    table, best = _ranked(problem, _table(runs, score), tol)
    return Comparison(solutions, table, best, failures)


def _start(problem: Problem, seed: int, tol: float) -> np.ndarray:
    """Return zero controls, or seeded ones where some entries of zero controls would never move."""
    reduced = Reduced(problem)
    u = problem.penalty.project(np.zeros(problem.control_shape))
    point = reduced.evaluate(reduced.join(u, problem.initial_readouts(seed)))
    still = ((u == 0) & (reduced.control(point.g) == 0)).all(axis=0).any()
    if reduced.residual(point.v, point.g) > tol and (problem.dynamics.affine or not still):
        return u
    kick = np.random.default_rng(seed).standard_normal(u.shape)
    return problem.penalty.project(START_SPREAD * kick)


def _known(method: Callable, told: dict[str, Any]) -> dict[str, Any]:
    """Return those of the arguments that a method takes."""
    parameters = inspect.signature(method).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return told
    return {name: value for name, value in told.items() if name in parameters}


class _Run:
    """A method on the problem: what it is told, what it spends, what it finds.

    Attributes
    ----------
    found : Solution or None
    error : Exception or None
        What it raised instead.
    spent : dict
        Sweeps and seconds, of all the solves that it is made of.
    """

    def __init__(
        self,
        name: str,
        solve: Callable[..., Any],
        problem: Problem,
        told: dict[str, Any],
        limits: dict[str, float],
    ) -> None:
        self.name, self.solve, self.problem, self.told = name, solve, problem, told
        self.limits = limits
        self.found: Solution | None = None
        self.error: Exception | None = None
        self.spent = dict.fromkeys(CLOCKS, 0.0)
        self._before, self._last = self.spent, self.spent

    def warm_up(self) -> Solution | None:
        """Make one iteration, for whatever is compiled, loaded or refused at the first use."""
        if not {"max_iter", "callback"} <= self.told.keys() or self.told["max_iter"] == 0:
            return None
        rows = count(1)
        short = dict(max_iter=1, callback=lambda row: next(rows) > 1)
        try:
            return self._checked(self.solve(**self.told | short))
        except (ValueError, TypeError, ImportError) as error:
            raise type(error)(f"{self.name}: {error}") from error  # whose sentence it is

    def __call__(self) -> None:
        """Solve; keep what is found, or raised."""
        watched = {"callback": self._watch} if "callback" in self.told else {}
        begun = perf_counter()
        try:
            found = self._checked(self.solve(**self.told | watched))
        except Exception as error:
            self.error, self.spent = error, {**self.spent, "seconds": perf_counter() - begun}
            return
        if found.status == STOPPED and self._over:
            budget = " and ".join(f"{most:g} {clock}" for clock, most in self.limits.items())
            message = f"stopped after {found.nit} iterations, its budget of {budget} spent."
            found = replace(found, message=message)
        self.found = found

    def _checked(self, found: Any) -> Solution:
        checks.instance(f"what {self.name} returns", found, Solution, "a method that returns one")
        checks.same_problem(self.name, found.problem is self.problem)
        if found.status == INTERRUPTED:  # half a comparison is none
            raise KeyboardInterrupt
        return found

    @property
    def row(self) -> tuple:
        """Its row of the table, but for the name and how far it is above the best."""
        s = self.found
        if s is None:
            spent = [self.spent[clock] for clock in CLOCKS]
            return (False, np.nan, np.nan, np.nan, np.nan, np.nan, *spent, np.nan)
        return (
            s.success, s.cost, np.nan, s.gap, s.residual, max(s.violations.values()),
            s.nfev + s.njev, s.seconds.solve, np.mean(s.controls == 0.0),
        )  # fmt: skip

    @property
    def _over(self) -> bool:
        return any(self.spent[clock] >= most for clock, most in self.limits.items())

    def _watch(self, row: np.void) -> bool:
        """Add up what is spent; tell whether to stop."""
        if row["sweeps"] <= self._last["sweeps"]:  # another solve begins, with clocks of its own
            self._before = self.spent
        self._last = {clock: float(row[clock]) for clock in CLOCKS}
        self.spent = {clock: self._before[clock] + self._last[clock] for clock in CLOCKS}
        theirs = self.told["callback"]
        return (theirs is not None and bool(theirs(row))) or self._over


def _scorer(test: tuple | Callable[[Solution], float] | None) -> Callable[[Solution], float]:
    """Return what scores a solution."""
    if callable(test):
        return partial(checks.score_by, test)
    test = checks.held_out("test", test)
    return lambda solution: np.nan if test is None else solution.score(*test)


def _table(runs: Sequence[_Run], score: Callable[[Solution], float]) -> np.ndarray:
    """Return the rows of all methods."""
    scores = [np.nan if run.found is None else score(run.found) for run in runs]
    kinds = [("name", f"U{max(len(run.name) for run in runs)}"), ("success", bool)]
    return np.array(
        [(run.name, *run.row, score) for run, score in zip(runs, scores, strict=True)],
        [*kinds, *((number, float) for number in NUMBERS)],
    )


def _ranked(problem: Problem, table: np.ndarray, tol: float) -> tuple[np.ndarray, str | None]:
    """Return the table with what every cost is above the best, and the name of the best method."""
    finite = np.isfinite(table["cost"])
    if not finite.any():
        return table, None
    violation = np.where(table["violation"] > tol, table["violation"], 0.0)
    able = finite & (violation == violation[finite].min())
    lowest = table["cost"][able].min()
    above = table["cost"] - lowest
    same = np.abs(above) <= rounding(Reduced(problem), lowest)
    table["above"] = np.where(same, 0.0, above)
    return table, str(table["name"][np.where(able & same, table["sweeps"], np.inf).argmin()])
