"""The seam between Python and the compiled round: arrays in, cost and gradient out.

Nothing here depends on the number of threads except who runs which chunk: block length and
chunks are functions of the problem's sizes, and the chunks' sums are added in their order.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil
from time import perf_counter
from typing import NamedTuple

import numpy as np

from . import checks
from .dynamics.base import Dynamics, even
from .losses import Loss
from .schemes import Scheme

# What a block keeps for its way back should stay in a core's second-level cache, and every layer
# of a block costs some 160 nanoseconds beside its arithmetic. Measured at d = 2, N = 50, 10,240
# samples, milliseconds for blocks of 128, 256, 512, 1024, 2048: 1.31, 1.02, 0.91, 0.88, 0.98.
TAPE_BYTES = 512 * 1024
LONGEST_BLOCK, SHORTEST_BLOCK = 1024, 128
# Chunks are what threads share. Each has sums of its own, (N, c) numbers: many chunks balance
# better, few cost less memory.
MOST_CHUNKS, FEWEST_CHUNKS, CHUNK_ENTRIES = 64, 8, 1 << 21
# Waking another thread takes some 30 to 50 microseconds; one thread does some 50 Gflop/s of this
# count: below 150 microseconds of work a second thread does not pay.
PARALLEL_FLOPS = 8.0e6

_threads: int | None = None


def set_num_threads(count: int | None) -> None:
    """Set how many threads a sweep may use; no result depends on it.

    Parameters
    ----------
    count : int or None
        At least 1; None for the default: PMPNET_NUM_THREADS, or the cores this process may use.

    Raises
    ------
    ValueError, TypeError
        If count is not a whole number of at least 1.

    Examples
    --------
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(None)
    """
    global _threads
    _threads = None if count is None else checks.integer("count", count, 1)


def get_num_threads() -> int:
    """Return how many threads a sweep may use."""
    if _threads is not None:
        return _threads
    if told := os.environ.get("PMPNET_NUM_THREADS"):
        return checks.thread_count(told)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="pmpnet")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: the child starts its own
    os.register_at_fork(after_in_child=_pool.cache_clear)


@cache
def _blas():
    import scipy.linalg.cython_blas  # noqa: F401 - only libraries already loaded are found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class Plan(NamedTuple):
    """How samples are cut: a function of sizes only."""

    block: int
    blocks_per_chunk: int
    chunks: int


@cache
def plan(samples: int, bytes_per_sample: int, control_entries: int) -> Plan:
    """Return block length and chunks.

    Examples
    --------
    >>> plan(10_000, 800, 300)
    Plan(block=640, blocks_per_chunk=1, chunks=16)
    """
    block = TAPE_BYTES // bytes_per_sample // 32 * 32
    block = min(max(block, SHORTEST_BLOCK), LONGEST_BLOCK)
    # even blocks: 1100 samples are 2 blocks of 560, not one of 1024 and one nearly empty
    block = min(block, ceil(samples / ceil(samples / block) / 16) * 16)
    blocks = ceil(samples / block)
    most = min(max(CHUNK_ENTRIES // control_entries, FEWEST_CHUNKS), MOST_CHUNKS)
    per_chunk = ceil(blocks / most)
    return Plan(block, per_chunk, ceil(blocks / per_chunk))


class Readout(NamedTuple):
    """An affine readout z = P x + c."""

    P: np.ndarray
    c: np.ndarray


class Round(NamedTuple):
    """What a round gives back.

    ``g`` (N, c) is minus the gradient of the costs with respect to the control, over h_k;
    ``readouts`` is the gradient with respect to trained readouts, plain.
    """

    terminal: float
    running: float
    g: np.ndarray | None
    readouts: tuple[Readout | None, Readout | None]
    states: np.ndarray | None
    costates: np.ndarray | None
    final: np.ndarray | None


@dataclass(frozen=True)
class Samples:
    """The measure: samples with what belongs to each, in the problem's precision."""

    x: np.ndarray
    y_terminal: np.ndarray
    y_running: np.ndarray
    theta: np.ndarray
    weights: np.ndarray

    @property
    def count(self) -> int:
        return len(self.x)

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What the kernel reads, read-only."""
        data = (self.x, self.y_terminal, self.y_running, self.theta, self.weights)
        return tuple(map(_frozen, data))

    def take(self, index: np.ndarray) -> Samples:
        """Return some of the samples, with weights that stand for all of them."""
        parts = [a[index] if len(a) else a for a in (self.x, self.y_terminal, self.y_running)]
        theta = self.theta[index] if len(self.theta) else self.theta
        # an average over a batch stands for the whole: unbiased also for unequal weights
        weights = (
            self.weights[index] * (len(self.x) / len(index)) if len(self.weights) else self.weights
        )
        return Samples(*(np.ascontiguousarray(a) for a in (*parts, theta, weights)))


class Sweeper:
    """Runs rounds of one system, scheme, grid and pair of losses over samples.

    Parameters
    ----------
    dynamics : Dynamics
    scheme : Scheme
    times : ndarray, shape (N+1,)
    terminal, running : Loss or None
    running_weight : float
    dtype : float32 or float64
    outputs : (int, int)
        How many numbers the losses read.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        scheme: Scheme,
        times: np.ndarray,
        terminal: Loss | None,
        running: Loss | None,
        running_weight: float,
        dtype: np.dtype,
        outputs: tuple[int, int],
    ) -> None:
        self.dynamics, self.scheme, self.times = dynamics, scheme, times
        self.losses, self.running_weight = (terminal, running), running_weight
        self.dtype, self.outputs = np.dtype(dtype), outputs
        self.intervals = len(times) - 1
        self._workspaces: dict[tuple, object] = {}
        self._fixed_records: list[object | None] = [None, None]
        self._lock = threading.Lock()
        self._nothing = _frozen(np.empty((0, 0), self.dtype))
        self.compile_seconds: float | None = None
        self._entry: Callable | None = None

    def run(
        self,
        samples: Samples,
        u: np.ndarray,
        readouts: tuple[Readout | None, Readout | None] = (None, None),
        *,
        backward: bool = True,
        states: bool = False,
        costates: bool = False,
        final: bool = False,
    ) -> Round:
        """Sweep forward and, if asked, backward.

        Parameters
        ----------
        samples : Samples
        u : ndarray, shape (N, c)
        readouts : pair of Readout or None
            Values of the trained readouts of the terminal and the running cost.
        backward : bool
            Whether costates and gradients are wanted.
        states, costates : bool
            Whether whole trajectories are wanted (they take N M d numbers).
        final : bool
            Whether the states at the end are wanted.
        """
        self.prepare(samples, u, readouts)
        kernel, entry_point, function, system, tableau = self._compiled
        N, M, d = self.intervals, samples.count, self.dynamics.dim
        cut = plan(M, self._bytes_per_sample, N * self.dynamics.controls)
        with self._overflow_allowed():
            u = _frozen(np.ascontiguousarray(u, self.dtype))
            records = [self._loss_record(i, readouts[i]) for i in (0, 1)]
        whole, none = (N + 1, M, d), (0, 0, 0)
        entries = even(max(self.outputs)) * (even(d) + 1)
        result = kernel.Result(
            np.zeros((cut.chunks, 2)),
            np.zeros((cut.chunks, N, u.shape[1]) if backward else (0, 0, 0)),
            np.zeros((cut.chunks, 2, entries)),
            np.empty(whole if states else none, self.dtype),
            np.empty(whole if costates else none, self.dtype),
            np.empty((M, d) if final else (0, 0), self.dtype),
        )
        x, y_terminal, y_running, theta, weights = samples.arrays
        if self.losses[0] is None:  # the blocks have no room for targets that nothing reads
            y_terminal = self._nothing
        if self.losses[1] is None:
            y_running = self._nothing
        data = kernel.Samples(x, y_terminal, y_running, theta, weights)
        alone = cut.chunks == 1 or M * self._flops_per_sample <= PARALLEL_FLOPS
        threads = 1 if alone else min(get_num_threads(), cut.chunks)

        def part(i: int) -> None:
            span = (
                cut.chunks * i // threads,
                cut.chunks * (i + 1) // threads,
                cut.blocks_per_chunk,
            )
            work = self._workspace(i, cut.block, backward)
            args = (
                system, u, self.times, tableau, *records, self.running_weight, data, backward, span,
                work, result,
            )  # fmt: skip
            # every array is made or frozen here, in one precision: types do not change
            if self._entry is None:
                self._entry = entry_point(function, args)
            self._entry(*args)

        with self._lock, self._single_threaded_blas():
            helpers = [_pool(threads - 1).submit(part, i) for i in range(1, threads)]
            try:
                part(0)
            finally:
                for helper in helpers:
                    helper.result()
        costs = _in_order(result.cost)
        return Round(
            float(costs[0]),
            float(costs[1]),
            _in_order(result.g) if backward else None,
            self._readout_gradients(records, readouts, result) if backward else (None, None),
            result.states if states else None,
            result.costates if costates else None,
            result.final if final else None,
        )

    # ------------------------------------------------------------------------- preparation

    def prepare(
        self, samples: Samples, u: np.ndarray, readouts: tuple[Readout | None, Readout | None]
    ) -> None:
        """Compile the round, or load it from disk, by running it on one sample in one thread."""
        if self.compile_seconds is None:
            self.compile_seconds = 0.0
            start = perf_counter()
            self.run(samples.take(np.arange(1)), u, readouts)
            self.compile_seconds = perf_counter() - start

    @cached_property
    def _compiled(self):
        from .kernels import jit
        from .kernels import sweep as kernel

        A, b, c = (np.array(a, self.dtype) for a in (self.scheme.A, self.scheme.b, self.scheme.c))
        family, record = _family(*self.dynamics.kernels()), self.dynamics.record(self.dtype)
        return kernel, jit.entry_point, family, record, kernel.Tableau(A, b, c)

    @cached_property
    def _bytes_per_sample(self) -> int:
        """What one sample keeps for its way back."""
        dim = even(self.dynamics.dim)
        rows = self.dynamics.tape_rows + (dim if self.losses[1] is not None else 0)
        return self.intervals * self.scheme.stages * rows * self.dtype.itemsize

    @cached_property
    def _flops_per_sample(self) -> float:
        return float(self.intervals * self.scheme.stages * self.dynamics.work)

    @cached_property
    def _uses_blas(self) -> bool:
        from .kernels.blocks import BLAS_FROM

        return max(self.dynamics.largest_product, *self.outputs) >= BLAS_FROM

    def _overflow_allowed(self):
        """What single precision cannot hold is infinite, and the cost will say so."""
        return nullcontext() if self.dtype == np.float64 else np.errstate(over="ignore")

    def _single_threaded_blas(self):
        return _blas().limit(limits=1, user_api="blas") if self._uses_blas else nullcontext()

    def _workspace(self, thread: int, block: int, backward: bool):
        key = thread, block, backward
        if key not in self._workspaces:
            self._workspaces[key] = self._new_workspace(block, self.intervals if backward else 1)
        return self._workspaces[key]

    def _new_workspace(self, block: int, kept: int):
        from .kernels import losses, memory, sweep

        d, stages, dtype = even(self.dynamics.dim), self.scheme.stages, self.dtype
        several = stages if stages > 1 else 0
        running = kept if self.losses[1] is not None else 0

        def zeros(*shape: int) -> np.ndarray:
            return memory.zeros(shape, dtype)

        q_terminal, q_running = self.outputs
        return sweep.Workspace(
            X=zeros(d, block),
            P=zeros(d, block),
            Y=zeros(d, block),
            V=zeros(d, block),
            K=zeros(several, d, block),
            Xi=zeros(several, d, block),
            tape=zeros(kept, stages, self.dynamics.tape_rows, block),
            slope=zeros(running, stages, d, block),
            w=zeros(block),
            w_stage=zeros(block),
            y_terminal=zeros(max(q_terminal, 1), block),
            y_running=zeros(max(q_running, 1), block),
            theta=zeros(self.dynamics.parameters, block),
            system=self.dynamics.scratch(block, dtype),
            terminal=losses.scratch(self.dynamics.dim, q_terminal, block, dtype),
            running=losses.scratch(self.dynamics.dim, q_running, block, dtype),
        )

    def _loss_record(self, i: int, trained: Readout | None):
        """Return what the kernel reads of a loss; made anew only where a readout is trained."""
        if self._fixed_records[i] is not None:
            return self._fixed_records[i]
        from .kernels import losses

        loss, q, d = self.losses[i], self.outputs[i], self.dynamics.dim
        P, c = np.zeros((even(q), even(d)), self.dtype), np.zeros(even(q), self.dtype)
        kind = 0
        if loss is not None and loss.readout is not None:
            kind = 2 if loss.trained else 1
            P[:q, :d] = trained.P if loss.trained else loss.readout
            if loss.trained:
                c[:q] = trained.c
        weight = np.full(1, 1.0 if loss is None else loss.weight, self.dtype)
        code = 0 if loss is None else loss.code
        record = losses.Loss(code, q, weight, kind, P, np.ascontiguousarray(P.T), c)
        if kind < 2:
            self._fixed_records[i] = record
        return record

    def _readout_gradients(self, records, readouts, result):
        found = []
        for i in (0, 1):
            if readouts[i] is None:
                found.append(None)
                continue
            q, d = records[i].P.shape
            flat = _in_order(result.readout[:, i])[: q * (d + 1)].reshape(q, d + 1)
            size, dim = self.outputs[i], self.dynamics.dim
            found.append(Readout(flat[:size, :dim].copy(), flat[:size, d].copy()))
        return tuple(found)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return a read-only view: to numba that is a type of its own, so all input is of one."""
    view = array.view()
    view.flags.writeable = False
    return view


def _in_order(sums: np.ndarray) -> np.ndarray:
    """Add the chunks' sums in the order of the chunks."""
    total = sums[0]
    for chunk in sums[1:]:
        total += chunk
    return total


@cache
def _family(name: str, field: Callable, pullback: Callable) -> Callable:
    """Return the compiled round of a family of systems; one per family and process."""
    from .kernels import losses, sweep

    value = losses.value_and_gradient
    return sweep.build(name, field, pullback, value, value)
