"""Continuation: a chain of problems, each solved from where the one before it ended.

The last of the chain is the problem itself; those before it are cheaper or easier: fewer samples,
fewer layers, a stronger penalty, a shorter horizon. What they cost is counted in sweeps of the
last.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain as joined
from typing import Any

import numpy as np

from .. import checks
from ..problem import Problem
from ..reduced import Reduced
from ..solution import CONVERGED, INTERRUPTED, STOPPED, Seconds, Solution
from .checkpoint import Journal
from .loop import METHODS, averages
from .memory import Memory

PAIRS = 20  # of curvature that go from one level to the next


@dataclass(frozen=True)
class Level:
    """A problem of a chain.

    Attributes
    ----------
    problem : Problem
    share : float
        What one sweep counts, in sweeps of the chain's last problem.
    told : dict
        What tells it from the others: {"samples": 250}, say.
    """

    problem: Problem
    share: float
    told: dict[str, Any]


def follow(
    before: Iterable[Level],
    last: Level,
    method: str | Callable[..., Solution],
    start: Any,
    max_iter: int,
    tol: float,
    progress: bool,
    callback: Callable[[np.void], Any] | None,
    seed: int,
    *,
    name: str,
    level_iter: int,
    level_tol: float,
    carry: bool = False,
    starts: int = 1,
    held_out: tuple | None = None,
    told: dict[str, Any] | None = None,
    checkpoint: Any = None,
    resume: Any = None,
) -> Solution:
    """Solve a chain of problems, each from the solution of the one before.

    Parameters
    ----------
    before : iterable of Level
        Each is asked for when its turn comes, so that a generator makes none too early.
    last : Level
        The problem itself.
    method : str or callable
        A method of `pmpnet.solve`, or its name.
    start, max_iter, tol, progress, callback, seed
        As of every method; ``tol`` is of the last level, ``max_iter`` of every one.
    name : str
        How the whole is called.
    level_iter, level_tol : int, float
        What bounds the iterations of the levels before the last.
    carry : bool
        Whether curvature goes from level to level, where the method takes it.
    starts : int
        Of the first level.
    held_out : tuple, optional
        Arguments of `Solution.score`, for every level.
    told : dict, optional
        What else makes the chain this one.
    checkpoint, resume
        As of every method.

    Returns
    -------
    Solution
        Of the last problem. The first row of its history is the start, the others are those of the
        last level; ``annotations["path"]`` tells of every level.
    """
    solve = METHODS[method] if isinstance(method, str) else method
    max_iter = checks.integer("max_iter", max_iter, 0)
    said = dict(max_iter=max_iter, tol=tol, seed=checks.integer("seed", seed, 0), starts=starts)
    said |= dict(level_iter=level_iter, level_tol=level_tol, carry=carry, **(told or {}))
    said |= dict(method=name, solver=getattr(solve, "__name__", type(solve).__name__))
    journal = Journal(last.problem, said, checkpoint, resume)
    checks.resumable(not journal.used or "checkpoint" in inspect.signature(solve).parameters)
    chain = _Chain(last, callback, journal)
    whole = last.problem
    priced = chain.run(last, solve, start, max_iter=0, tol=tol, seed=seed)
    if held_out is not None:
        priced.score(*held_out)  # what is wrong with it is said now
    if max_iter == 0 or (start is not None and priced.success):
        journal.finish()
        return replace(priced, method=name)
    bound = tol * max(1.0, priced.residual if np.isfinite(priced.residual) else 1.0)
    carry = carry and "curvature" in inspect.signature(solve).parameters
    found, memory = None if start is None else priced, None
    try:
        for level in joined(before, [last]):
            more = dict(progress=progress, seed=seed)
            if starts > 1 and not chain.path:
                more["starts"] = starts
            elif carry:
                more["curvature"] = memory = _onto(level.problem, memory)
            if level is last:
                more |= dict(max_iter=max_iter, tol=bound)
            else:
                more |= dict(max_iter=min(level_iter, max_iter), tol=level_tol)
            solved = chain.run(level, solve, found, **more)
            chain.tell(level, solved, held_out)
            if np.isfinite(solved.cost):
                found = solved
            if chain.ended:
                break
    except KeyboardInterrupt:  # while a level was made, or its start was priced
        chain.ended = replace(priced, status=INTERRUPTED, message="interrupted.")
    found = priced if found is None else found  # no level had a finite cost
    if found.problem is not whole:  # stopped on the way
        found = chain.run(last, solve, found, max_iter=0, tol=tol, seed=seed)
    elif found.success and found.residual > bound:  # its start was worse than that of the chain
        rest = bound / max(1.0, found.residual)
        found = chain.run(last, solve, found, max_iter=max_iter, tol=rest, seed=seed)
    if not found.success and not whole.constraints and priced.cost < found.cost:
        # what is best for a part need not be good for the whole
        found = replace(priced, success=False, status=found.status, message=found.message)
    journal.finish()
    return chain.solution(found, name)


def _onto(problem: Problem, memory: Memory | None) -> Memory:
    """Return a memory with the curvature that another level has left."""
    if memory is None:
        return Memory(Reduced(problem), PAIRS)
    before = memory.reduced
    if np.array_equal(before.problem.times, problem.times):  # other samples, the same vectors
        return memory.copy()

    def carry(a: np.ndarray) -> np.ndarray:
        u = averages(before.control(a), before.problem.times, problem.times)
        return np.concatenate([u.ravel(), a[before.controls :]])

    return memory.onto(Reduced(problem), carry)


class _Chain:
    """What a chain of solves has cost, and what it tells."""

    def __init__(
        self, last: Level, callback: Callable[[np.void], Any] | None, journal: Journal
    ) -> None:
        self.last, self.callback, self.journal = last, checks.callback(callback), journal
        self.nfev = self.njev = 0.0
        self.nit, self.seconds = 0, 0.0
        self.compiled: dict[int, float] = {}  # seconds, by sweeper: levels may share one
        self.history: list[np.ndarray] = []
        self.path: list[dict[str, Any]] = []
        self.multistart: list[dict[str, Any]] = []
        self.ended: Solution | None = None  # the level on which the user ended it

    def run(self, level: Level, solve: Callable, start: Any, **how: Any) -> Solution:
        """Solve a level and count what it costs."""
        sweeps, seconds = self.nfev + self.njev, self.seconds

        def counted(rows: np.ndarray | np.void) -> np.ndarray | np.void:
            rows = rows.copy()
            rows["sweeps"] = sweeps + level.share * rows["sweeps"]
            rows["seconds"] += seconds
            return rows

        if self.callback is not None:
            how["callback"] = lambda row: self.callback(counted(row))
        if self.journal.used:
            how["checkpoint"] = self.journal
        found = solve(level.problem, start, **how)
        if level is self.last:
            self.history.append(counted(found.history))
        if found.status in (STOPPED, INTERRUPTED):
            self.ended = found
        self.nfev += level.share * found.nfev
        self.njev += level.share * found.njev
        self.nit += found.nit
        self.seconds += found.seconds.solve
        self.compiled[id(level.problem.sweeper)] = found.seconds.compile
        self.multistart = self.multistart or found.multistart
        return found

    def tell(self, level: Level, found: Solution, held_out: tuple | None) -> None:
        """Write down how a level ended."""
        row = dict(
            level.told,
            cost=found.cost,
            residual=found.residual,
            zeros=float(np.count_nonzero(found.controls == 0.0) / found.controls.size),
            success=found.success,
            nit=found.nit,
            sweeps=level.share * (found.nfev + found.njev),
            controls=found.controls,
        )
        if found.readout is not None:
            row["readout"] = found.readout
        if held_out is not None:
            row["score"] = found.score(*held_out)
        self.path.append(row)

    def solution(self, found: Solution, name: str) -> Solution:
        """Return the solution of the last level with what the whole chain has cost."""
        levels = f"{len(self.path)} level{'s' * (len(self.path) != 1)}"
        message = f"{found.message.rstrip('.')}; {self.nit} iterations on {levels}."
        status = found.status
        if self.ended is not None:
            status = self.ended.status
            message = f"{self.ended.message.rstrip('.')}; on level {len(self.path)} of the chain."
        return replace(
            found,
            status=status,
            success=status == CONVERGED,
            message=message,
            nit=self.nit,
            nfev=int(np.ceil(self.nfev)),
            njev=int(np.ceil(self.njev)),
            history=np.concatenate([self.history[0][:1], *self.history[1:]]),
            seconds=Seconds(sum(self.compiled.values()), self.seconds),
            method=name,
            multistart=self.multistart,
            annotations={"path": self.path},
        )
