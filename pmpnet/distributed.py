"""Samples on many machines: the rows of a dask.array, each partition where it lives.

A round sends the control out and brings sums back. In place of `Samples` and `Sweeper` a problem has
`Partitions` and a `PartitionedSweeper`, and no method knows the difference.

=============  ==============================================================================
what           where it is
=============  ==============================================================================
``rows``       the dask arrays as they were given: how a partition is made, and made again
               where a worker is lost
``said``       the problem without samples, pickled: some kilobytes, read once by every process
``part``       a partition's samples, as the sweep reads them: made on a worker and kept there
``sums``       cost and gradient of a partition: added in the order of the partitions
=============  ==============================================================================

Which worker has which partition, and how many there are, has no part in any result.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from . import checks
from .sweeps import CHUNK_ENTRIES, FEWEST_CHUNKS, MOST_CHUNKS, Readout, Round

# A larger control travels from worker to worker; a smaller one with every task, a trip less.
LARGE = 1 << 16  # bytes
PROCESSES_KEEP = 8  # problems that a process keeps compiled


def is_dask(value: Any) -> bool:
    """Tell whether something is a dask.array; dask is imported already where it is."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(value, module.Array)


# --------------------------------------------------------------------------- what is given


class Rows(NamedTuple):
    """Samples and what belongs to each, as dask arrays cut between the same rows."""

    initial_states: Any
    targets: Any
    weights: Any
    parameters: Any

    @classmethod
    def of(cls, *given: Any) -> Rows | None:
        """Return what was given, or None where no part of it is a dask.array.

        Raises
        ------
        TypeError, ValueError
            If the states are not a dask.array, sizes are not known or do not fit.
        """
        checks.no_frames(given)
        if not any(map(is_dask, given)):
            return None
        x = checks.dask_states(given[0], is_dask(given[0]))
        cut = x.chunks[0]
        rows = [x.rechunk({i: -1 for i in range(1, x.ndim)})]
        for name, value in zip(cls._fields[1:], given[1:], strict=True):
            rows.append(None if value is None else _cut(name, value, cut))
        return cls(*rows)

    def stand_ins(self, labels: bool) -> tuple[np.ndarray | None, ...]:
        """Return a few rows of the same types and, where targets are labels, all labels there are."""
        targets, count = self.targets, 1
        if targets is not None:
            targets = np.zeros((1, *targets.shape[1:]), targets.dtype)
            if labels:
                targets = self._labels()
                count = len(targets)
        x, theta = (
            None if a is None else np.zeros((count, *a.shape[1:]), a.dtype)
            for a in (self.initial_states, self.parameters)
        )
        return x, targets, None, theta

    def _labels(self) -> np.ndarray:
        from dask import delayed

        found = compute(
            *(
                delayed(_labels)(block, dask_key_name=_key("labels", i))
                for i, block in enumerate(self.targets.to_delayed().ravel())
            )
        )
        return checks.class_targets(np.concatenate(found), sum(map(len, found)), "the cost")[0]


def _cut(name: str, value: Any, cut: tuple[int, ...]) -> Any:
    import dask.array as da

    if not is_dask(value):
        value = da.from_array(checks.rectangular(name, value), chunks=-1)
    checks.dask_rows(name, value.shape, sum(cut))
    return value.rechunk((cut, *(-1 for _ in value.shape[1:])))


def _labels(block: np.ndarray) -> np.ndarray:
    return checks.class_targets(block, len(block), "the cost")[0]


def _largest(block: np.ndarray) -> float:
    return float(checks.nonnegative("weights", block).max(initial=0.0))


def _total(block: np.ndarray, largest: float) -> float:
    return float((np.asarray(block, float) / largest).sum())


# ------------------------------------------------------------------------------ on a worker

_reading = threading.Lock()


def said(thing: Any) -> bytes:
    """Return a problem without samples, or what has one, for `heard` on another machine."""
    import cloudpickle  # which dask needs itself: systems of your own classes travel as well

    return cloudpickle.dumps(thing)


@lru_cache(PROCESSES_KEEP)
def _heard(message: bytes) -> Any:
    return pickle.loads(message)


def heard(message: bytes) -> Any:
    """Return what was said: one object per process, so that its round is compiled once."""
    with _reading:
        return _heard(message)


class Part:
    """The samples of a partition, where they live; moved or spilled, they are read again.

    Attributes
    ----------
    problem : Problem
        On these samples; what is compiled is shared by all parts of the process.
    """

    def __init__(self, message: bytes, *rows: np.ndarray | None) -> None:
        self.message = message
        self.problem = heard(message).with_rows(*rows)

    def __reduce__(self):
        return Part, (self.message, *self.problem.rows)

    def __sizeof__(self) -> int:  # dask asks before a worker runs out of memory
        problem, samples = self.problem, self.problem.samples
        own = [samples.x, samples.y_terminal, samples.y_running, samples.theta, samples.weights]
        own += [problem.parameters, *problem.encoded]
        if problem.targets is not None:
            own.append(problem.targets)
        return sum({id(a): a.nbytes for a in own}.values())


def _place(
    message: bytes, where: tuple[int, int], scale: tuple[float, float], x, targets, weights, theta
) -> Part:
    """Make a part of blocks of the arrays: rows from ``where[0]`` to ``where[1]``.

    ``scale`` is the largest of the weights and the sum of all over it; 1 and their number without.
    """
    _claim_threads()
    dtype, (largest, total) = heard(message).dtype, scale
    try:
        checks.same_rows(len(x), where[1] - where[0])
        if weights is None:
            weights = np.full(len(x), largest / total, dtype)
        else:
            weights = (np.asarray(weights, float) / largest / total).astype(dtype)
        return Part(message, x, targets, weights, theta)
    except (TypeError, ValueError) as error:
        raise checks.in_rows(error, *where) from None


def _claim_threads() -> None:
    """Let a worker's process sweep with as many threads as it was given."""
    try:
        worker = sys.modules["distributed"].get_worker()
    except (KeyError, ValueError):  # dask's schedulers within this process
        return
    if worker.nanny:  # it has a process of its own
        os.environ.setdefault("PMPNET_NUM_THREADS", str(worker.state.nthreads))


def _on(part: Part, function: Callable, *args: Any) -> Any:
    return function(part.problem, *args)


def add(*sums: Any) -> Any:
    """Add numbers, arrays, or tuples of them, in order; None stays None."""
    first = sums[0]
    if isinstance(first, tuple):
        parts = [add(*each) for each in zip(*sums, strict=True)]
        return type(first)(*parts) if isinstance(first, (Round, Readout)) else tuple(parts)
    if first is None:
        return None
    total = first
    for other in sums[1:]:
        total = total + other
    return total


# ---------------------------------------------------------------------------- from the head


def compute(*lazy: Any) -> tuple:
    """Compute by whatever scheduler dask uses: a cluster's where there is a client."""
    import dask

    try:
        return dask.compute(*lazy)
    except Exception as error:
        lost = checks.lost(error)
        if lost is None:
            raise
        raise lost from error


def _key(name: str, *more: Any) -> str:
    """Return the name of a task; dask's dashboard shows what stands before its token."""
    return "-".join(map(str, (f"pmpnet-{name}", uuid4().hex, *more)))


@dataclass(frozen=True, eq=False)
class Partitions:
    """Samples on many machines: what `Samples` is where they are on one.

    Attributes
    ----------
    rows : Rows
    message : bytes
        The problem on stand-ins, as `heard` reads it.
    parts : tuple of Delayed
        One `Part` each, kept by their workers.
    count : int
        M, the samples of all of them.
    fan : int
        How many sums are added in one place.
    stretch : float
        Of a free horizon.
    """

    rows: Rows
    message: bytes = field(repr=False)
    parts: tuple = field(repr=False)
    count: int
    fan: int
    stretch: float = 1.0

    @classmethod
    def of(cls, rows: Rows, problem: Any) -> Partitions:
        """Send a problem to the samples, and wait until they are in place.

        Parameters
        ----------
        rows : Rows
        problem : Problem
            On stand-ins.
        """
        import dask

        rows = Rows(*_in_one_graph(rows))
        message, cut = said(problem), rows.initial_states.chunks[0]
        ends = np.cumsum([0, *cut]).tolist()
        blocks = [
            [None] * len(cut) if a is None else a.to_delayed(optimize_graph=False).ravel()
            for a in rows
        ]
        scale = _scale(blocks[2], ends[-1])
        place = dask.delayed(_place, pure=False)
        parts = [
            place(message, where, scale, *block, dask_key_name=_key("place", i))
            for i, (*where, block) in enumerate(
                zip(ends, ends[1:], zip(*blocks, strict=True), strict=False)
            )
            if cut[i]
        ]
        # as many sums as a sweep has chunks: of few partitions, all are added one after the other
        fan = min(max(CHUNK_ENTRIES // np.prod(problem.control_shape), FEWEST_CHUNKS), MOST_CHUNKS)
        found = cls(rows, message, dask.persist(*parts), ends[-1], int(fan))
        found.sum(_count)  # and what is wrong with them is said now
        return found

    def sum(self, function: Callable, *args: Any) -> Any:
        """Return the sum over the partitions of ``function(problem, *args)``, in their order.

        Up to ``fan`` sums are added here; of more, groups are added by the workers first.
        """
        from dask import delayed

        name = function.__name__.strip("_")
        large = [isinstance(a, np.ndarray) and a.nbytes > LARGE for a in args]
        args = [delayed(a) if big else a for a, big in zip(args, large, strict=True)]
        run, add_up = delayed(_on, pure=False), delayed(add, pure=False)
        key = _key(name)
        sums = [
            run(part, function, *args, dask_key_name=f"{key}-{i}")
            for i, part in enumerate(self.parts)
        ]
        while len(sums) > self.fan:
            key = _key("add")
            sums = [
                add_up(*sums[i : i + self.fan], dask_key_name=f"{key}-{i}")
                for i in range(0, len(sums), self.fan)
            ]
        return add(*compute(*sums))

    def with_last_state(self, value: float) -> Partitions:
        """Return the samples with another value of the last state, the same for all."""
        return replace(self, stretch=value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise checks.in_one_place()


def _in_one_graph(rows: Rows) -> list[Any]:
    """Return the arrays with what they are made of together made once."""
    import dask

    given = [a for a in rows if a is not None]
    found = iter(dask.optimize(*given))
    return [None if a is None else next(found) for a in rows]


def _scale(weights: list[Any], count: int) -> tuple[float, float]:
    """Return the largest weight and the sum of all over it."""
    if weights[0] is None:
        return 1.0, float(count)
    from dask import delayed

    blocks = list(enumerate(weights))
    each = compute(*(delayed(_largest)(b, dask_key_name=_key("largest", i)) for i, b in blocks))
    largest = checks.some_weight(max(each))
    sums = [delayed(_total)(b, largest, dask_key_name=_key("total", i)) for i, b in blocks]
    return largest, add(*compute(*sums))


def _count(problem: Any) -> int:
    return problem.samples.count


def _sweep(
    problem: Any, u: np.ndarray, readouts: tuple, stretch: float, wanted: dict[str, Any]
) -> Round:
    done = problem.sweep(u, readouts, stretch, **wanted)
    if done.initial is None:
        return done
    # of the costates at the start nobody asks more than the sum
    return done._replace(initial=done.initial.sum(axis=0, keepdims=True, dtype=np.float64))


def _prepare(problem: Any, u: np.ndarray, readouts: tuple) -> None:
    problem.sweeper.prepare(problem.samples, u, readouts)


class PartitionedSweeper:
    """Runs rounds over `Partitions`: what `Sweeper` does where samples are in one place."""

    def __init__(self) -> None:
        self.compile_seconds: float | None = None

    def prepare(self, samples: Partitions, u: np.ndarray, readouts: tuple) -> None:
        """Let every process compile the round, or load it from its disk."""
        if self.compile_seconds is None:
            start = perf_counter()
            samples.sum(_prepare, u, readouts)
            self.compile_seconds = perf_counter() - start

    def run(
        self, samples: Partitions, u: np.ndarray, readouts: tuple = (None, None), **wanted: Any
    ) -> Round:
        """Sweep every partition and add; see `pmpnet.sweeps.Sweeper.run`.

        ``initial`` is one row, the sum over all samples. Trajectories stay where they are.
        """
        checks.sums_only(not any(wanted.get(n) for n in ("states", "costates", "final")))
        return samples.sum(_sweep, u, readouts, samples.stretch, wanted)


# ------------------------------------------------------------------------------ predictions


def by_rows(message: bytes, name: str, x: Any, parameters: Any, like: np.ndarray) -> Any:
    """Return what a method of something said answers for the rows of a dask.array, lazily.

    Parameters
    ----------
    message : bytes
        As `said` returned it.
    name : str
        Of the method, which takes points and parameters.
    x, parameters : dask.array, or None
    like : ndarray, shape (0, ...)
        What it answers for no rows.
    """
    import dask.array as da

    arrays = [x.rechunk({1: -1})]
    if parameters is not None:
        arrays.append(_cut("parameters", parameters, x.chunks[0]))
    more = dict(drop_axis=1) if like.ndim == 1 else dict(chunks=(x.chunks[0], like.shape[1:]))
    return da.map_blocks(
        _answer, *arrays, message=message, method=name, name=f"pmpnet-{name}-{uuid4().hex}",
        meta=like, dtype=like.dtype, **more,
    )  # fmt: skip


def _answer(*arrays: np.ndarray, message: bytes, method: str) -> np.ndarray:
    return getattr(heard(message), method)(*arrays)
