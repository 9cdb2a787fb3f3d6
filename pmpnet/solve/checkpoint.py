"""Long solves: how far they are is written down now and then, and another process goes on from it.

A solve is a sequence of runs of a method: from every start, after a kick, for every choice of
multipliers, on every level of a chain. Each begins where the ones before lead. When a solve is
resumed, runs that have ended are answered from the file, the one that was under way goes on after
its last step there, and those behind it run as they would have: to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from .. import checks
from ..problem import Problem
from ..storage import file_for, fingerprint, read, with_suffix, write

KIND = "pmpnet checkpoint"  # the entry that makes an .npz one of these


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a solve is written down; a plain path stands for every 30 seconds.

    Parameters
    ----------
    path : str or Path
        ``.npz`` is appended where it is missing. Whoever reads sees the old file or the new one,
        never half of it.
    seconds : float, default 30.0
        Between two writes, at least.
    iterations : int, optional
        Also after so many.

    Raises
    ------
    ValueError, TypeError
        For bad input; when a solve begins, if the folder does not exist.

    Examples
    --------
    >>> import tempfile, numpy as np, pmpnet, pmpnet.solve
    >>> from pmpnet import dynamics, losses, penalties
    >>> x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    >>> problem = pmpnet.Problem(dynamics.LinearControl(2), x, x + [0.3, 0.4],
    ...                          terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0))
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = f"{folder.name}/long.npz"
    >>> killed = pmpnet.solve.adam(problem, checkpoint=path, callback=lambda row: row["sweeps"] > 40)
    >>> resumed = pmpnet.solve.adam(problem, resume=path)
    >>> np.array_equal(resumed.controls, pmpnet.solve.adam(problem).controls)
    True
    >>> folder.cleanup()
    """

    path: str | Path
    seconds: float = 30.0
    iterations: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", with_suffix(self.path))
        object.__setattr__(self, "seconds", checks.real("seconds", self.seconds, least=0.0))
        if self.iterations is not None:
            checks.integer("iterations", self.iterations, 1)


def _plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str, list)) or value is None


class Journal:
    """The runs of one solve: those known from a file, and those to be written down.

    Parameters
    ----------
    problem : Problem
    told : dict
        What makes the solve this one: method, options, seed.
    checkpoint : path, Checkpoint or None
    resume : path or None
        May be missing where it is what ``checkpoint`` writes: the solve then begins.
    """

    def __init__(
        self, problem: Problem, told: dict[str, Any], checkpoint: Any = None, resume: Any = None
    ) -> None:
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checks.path(checkpoint, "checkpoint"))
        self.checkpoint: Checkpoint | None = checkpoint
        if checkpoint is not None:
            file_for(checkpoint.path)
        self.known: list[dict[str, Any]] = []  # runs of the file, those not yet asked for
        self.ended: list[dict[str, Any]] = []
        self.told, self.start = told, np.empty(0)
        self.written, self.nit = perf_counter(), 0
        if checkpoint is None and resume is None:
            return
        self.told = {n: t if _plain(t) else repr(t) for n, t in told.items()}
        self.told["problem"] = fingerprint(problem)
        if resume is not None:
            path = with_suffix(checks.path(resume, "resume"))
            if path.exists() or checkpoint is None or path != checkpoint.path:
                self._resume(path)

    def _resume(self, path: Path) -> None:
        found = read(path, KIND)
        try:
            told, self.known = found["told"], list(found["runs"])
        except Exception as error:
            raise checks.damaged(path, error) from error
        names = told.keys() | self.told.keys()
        checks.same_solve(path, {n: (told.get(n), self.told.get(n)) for n in sorted(names)})

    @property
    def used(self) -> bool:
        """Whether anything is written down, or was."""
        return self.kept or "problem" in self.told

    @property
    def kept(self) -> bool:
        """Whether anything is written down."""
        return self.checkpoint is not None

    def begin(self, v: np.ndarray) -> dict[str, Any] | None:
        """Return what is known of the next run, which begins at v; None where nothing is."""
        self.start, self.nit = v, 0
        if not self.known:
            return None
        run = self.known.pop(0)
        checks.same_start(np.array_equal(run["start"], v))
        return run

    def step(self, nit: int, run: Callable[[], dict[str, Any]]) -> None:
        """Write the run that is under way down if it is time, after so many iterations."""
        if self.checkpoint is None:
            return
        due = perf_counter() - self.written >= self.checkpoint.seconds
        every = self.checkpoint.iterations
        if due or (every is not None and nit - self.nit >= every):
            self.nit = nit
            self._write(run())

    def end(self, run: dict[str, Any]) -> None:
        """Take a run that has ended."""
        if self.checkpoint is not None:
            self.ended.append({"start": self.start, **run})

    def leave(self, run: dict[str, Any] | None) -> None:
        """Write nothing any more; first the run under way, if it is at one of its steps."""
        if self.checkpoint is not None and run is not None:
            self._write(run)
        self.checkpoint = None

    def finish(self) -> None:
        """Write all runs down."""
        if self.checkpoint is not None:
            self._write()

    def _write(self, under_way: dict[str, Any] | None = None) -> None:
        runs = self.ended
        if under_way is not None:
            runs = [*runs, {"start": self.start, **under_way}]
        path = self.checkpoint.path
        # one name: what a killed process leaves unfinished, the next one writes over
        write(path, KIND, {"told": self.told, "runs": runs}, f".{path.name}.tmp")
        self.written = perf_counter()
