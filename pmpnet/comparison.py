"""Many methods on one problem: one start, one sweep that prices them, one table, one figure."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import checks
from .problem import Problem
from .reduced import Reduced
from .solution import Solution
from .solve.loop import START_SPREAD

NUMBERS = (
    "cost", "above", "gap", "residual", "violation", "sweeps", "seconds", "zeros", "score",
)  # fmt: skip
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
        One row per method: name, cost, above (the best cost of them), gap, residual, violation
        (the largest), sweeps, seconds (without compilation), zeros (the part of the controls that
        is exactly 0) and score (on the test points; NaN without any).
    best : str
        The name of the method with the lowest cost.
    """

    solutions: dict[str, Solution]
    table: np.ndarray

    @property
    def best(self) -> str:
        return str(self.table["name"][np.nanargmin(self.table["cost"])])

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
        silent = {"violation"} if not self.table["violation"].any() else set()
        silent |= {"score"} if np.isnan(self.table["score"]).all() else set()
        columns = [["", *self.table["name"].tolist()]]
        for number, (heading, form) in SHOWN.items():
            if number not in silent:
                told = ["-" if np.isnan(x) else form.format(x) for x in self.table[number]]
                columns.append([heading, *told])
        return [list(row) for row in zip(*columns, strict=True)]

    def __repr__(self) -> str:
        rows = self._cells()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"Comparison of {len(self)} methods, the lowest cost by {self.best}"]
        for name, *numbers in rows:
            right = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
            lines.append("  ".join(["", name.ljust(widths[0]), *right]))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *rows = [[html.escape(text) for text in row] for row in self._cells()]
        top = "".join(f"<th style='text-align:right'>{text}</th>" for text in head)
        body = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            + "".join(f"<td style='text-align:right'>{text}</td>" for text in numbers)
            + "</tr>"
            for name, *numbers in rows
        )
        caption = f"{len(self)} methods, the lowest cost by <b>{html.escape(self.best)}</b>"
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
    test: tuple | None = None,
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
        before what all are given.
    start : array-like (N, c), Solution or None
        Where all begin. None is zero controls or, where these are stationary, 0.1 N(0, 1).
    max_iter : int, default 500
        Most iterations of each.
    tol : float, default 1e-6
        Bound on residual / max(1, residual of the start).
    budget : float or dict, optional
        Most sweeps, or ``{"sweeps": ..., "seconds": ...}``: a method ends with the row of its
        history that spends it.
    seed : int, default 0
        Of everything random.
    test : (x, y), optional
        Points and their targets that each solution is scored on; (x, y, parameters) where the
        system has some.
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
        For bad input, of a method's options as well before any method runs to its end.

    Notes
    -----
    Every method first makes one iteration that is thrown away, so that no clock shows what is
    compiled or loaded at the first use. All are priced by the same sweep: one pass over all
    samples, forward or backward, is one.

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
    limits, test = checks.budget(budget), checks.held_out("test", test)
    if start is None:
        start = _start(problem, seed, tol)
    elif not isinstance(start, Solution):
        start = checks.controls(start, problem.control_shape, "start")
    told = dict(
        max_iter=checks.integer("max_iter", max_iter, 0), tol=tol, seed=seed,
        callback=partial(_spent, limits), progress=checks.flag("progress", progress),
    )  # fmt: skip
    runs = {
        name: partial(method, problem, start, **{**_known(method, told), **options})
        for name, (method, options) in given.items()
    }
    for run in runs.values():
        _warm_up(run)
    solutions = {
        name: checks.instance(f"what {name} returns", run(), Solution, "a Solution")
        for name, run in runs.items()
    }
    return Comparison(solutions, _table(solutions, test))


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


def _spent(limits: dict[str, float], row: np.void) -> bool:
    return any(row[clock] >= most for clock, most in limits.items())


def _warm_up(run: partial) -> None:
    """Make one iteration, for whatever is compiled, loaded or refused at the first use."""
    rows = []

    def after_one(row: np.void) -> bool:
        rows.append(row)
        return len(rows) > 1

    short = dict(max_iter=1, callback=after_one, progress=False)
    if short.keys() <= run.keywords.keys() and run.keywords["max_iter"] > 0:
        run(**short)


def _table(solutions: dict[str, Solution], test: tuple | None) -> np.ndarray:
    best = np.nanmin([s.cost for s in solutions.values()])
    width = max(map(len, solutions))
    rows = [
        (
            name, s.cost, s.cost - best, s.gap, s.residual, max(s.violations.values()),
            s.nfev + s.njev, s.seconds.solve, np.mean(s.controls == 0.0),
            np.nan if test is None else s.score(*test),
        )
        for name, s in solutions.items()
    ]  # fmt: skip
    return np.array(rows, [("name", f"U{width}"), *((number, float) for number in NUMBERS)])
