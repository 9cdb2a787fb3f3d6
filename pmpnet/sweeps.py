"""The seam between Python and the compiled round: arrays in, cost and gradient out.

Nothing here depends on the number of threads except who runs which chunk: block length and
chunks are functions of the problem's sizes, and the chunks' sums are added in their order.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import checks
from .dynamics.base import Dynamics, even
from .losses import Loss
from .schemes import Scheme
from .team import LOOKS, team, wait_for

if TYPE_CHECKING:
    from .expressions import Map, Sums

# Every layer of a block costs some 60 nanoseconds beside its arithmetic (d = 2; 300 at d = 8), so blocks
# are long: as long as their states stay in a core's first cache. Measured in nanoseconds per sample and
# layer, 20 layers: d = 2, blocks of 512, 1008: 1.74, 1.62; d = 4, of 256, 512, 720, 1008: 3.9, 3.6, 3.6,
# 3.9; d = 8, of 128, 256, 384, 720: 10.7, 9.6, 9.9, 10.4; d = 16, of 128, 256, 384: 31, 32, 32. Heun at
# d = 2, of 256, 512, 720, 1008: 4.0, 3.5, 3.5, 3.8. What they keep for the way back may leave the last
# cache: d = 2, 10,000 layers, of 256, 512, 1024: 3.1, 2.5, 2.3; only memory bounds it.
STATE_BYTES, TAPE_BYTES = 16 * 1024, 256 * 1024 * 1024
LONGEST_BLOCK, SHORTEST_BLOCK = 1024, 256
# Chunks are what threads share. Each has sums of its own, (N, c) numbers: many chunks balance
# better, few cost less memory.
MOST_CHUNKS, FEWEST_CHUNKS, CHUNK_ENTRIES = 64, 8, 1 << 21
# A second thread comes some 7 microseconds late (more where it sleeps); one thread does some 70
# Gflop/s of this count: below 20 microseconds of work a second one does not pay. Measured in
# microseconds, one thread and two: d = 2, 20 layers, 512 samples, 1.1e6: 30, 27; 1000, 2.1e6: 44, 35;
# d = 8, 10 layers, 512, 3.6e6: 66, 46; 1000, 7e6: 122, 75.
PARALLEL_FLOPS = 1.5e6

ALLOWED = nullcontext()  # of overflow: double precision has none to allow
OURS = "loss"  # begins the text of one of our own losses, then its code, then "readout"

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


class Plan(NamedTuple):
    """How samples are cut: a function of sizes only."""

    block: int
    blocks_per_chunk: int
    chunks: int


@cache
def plan(samples: int, state_bytes: int, tape_bytes: int, control_entries: int) -> Plan:
    """Return block length and chunks, of the bytes of a sample's state and of what it keeps.

    Examples
    --------
    >>> plan(10_000, 16, 800, 300)
    Plan(block=1008, blocks_per_chunk=1, chunks=10)
    """
    block = min(STATE_BYTES // state_bytes, TAPE_BYTES // tape_bytes) // 32 * 32
    block = min(max(block, SHORTEST_BLOCK), LONGEST_BLOCK)
    # blocks of one length: 1100 samples are 2 of 560, not one of 1024 and one nearly empty; and an
    # even number of them, for two threads
    blocks = ceil(samples / block)
    blocks += blocks % 2 if samples >= 2 * SHORTEST_BLOCK else 0
    block = min(block, ceil(samples / blocks / 16) * 16)
    blocks = ceil(samples / block)
    most = min(max(CHUNK_ENTRIES // control_entries, FEWEST_CHUNKS), MOST_CHUNKS)
    per_chunk = ceil(blocks / most)
    return Plan(block, per_chunk, ceil(blocks / per_chunk))


class Readout(NamedTuple):
    """An affine readout z = P x + c."""

    P: np.ndarray
    c: np.ndarray


class Bounded(NamedTuple):
    """Constraints lower <= map(t, x, u) <= upper, one row each."""

    map: Map
    lower: np.ndarray
    upper: np.ndarray


class Extras(NamedTuple):
    """What a problem has beside costs of the state; all of it may be absent.

    From row ``first`` on, the states are integrals: the weighted mean of each, times its
    coefficient, is part of the cost. ``sums`` are taken over the samples at the start of every
    interval.
    """

    first: int = 0
    coefficients: tuple[float, ...] = ()
    terminal: Bounded | None = None
    path: Bounded | None = None
    sums: Sums | None = None


@dataclass(frozen=True)
class Multipliers:
    """Multipliers and penalty weights of the augmented Lagrangian of a problem's constraints.

    Attributes
    ----------
    terminal : ndarray, shape (M, q)
    path : ndarray, shape (N, 2, M, q)
        At the start and at the end of every interval.
    terminal_sigma, path_sigma : ndarray, shape (q,)
    """

    terminal: np.ndarray
    path: np.ndarray
    terminal_sigma: np.ndarray
    path_sigma: np.ndarray

    def take(self, index: np.ndarray) -> Multipliers:
        """Return those of some of the samples."""
        return replace(self, terminal=self.terminal[index], path=self.path[:, :, index])

    def layer(self, k: int) -> Multipliers:
        """Return those of one interval."""
        return replace(self, terminal=self.terminal[:, :0], path=self.path[k : k + 1])


class Round(NamedTuple):
    """What a round gives back.

    ``g`` (N, c) is minus the gradient of the costs with respect to the control, over h_k;
    ``readouts`` is the gradient with respect to trained readouts, plain; ``integrals`` (E,) the
    weighted means of the integrals; ``initial`` (M, d) the costates at the start; ``sums`` (N, q)
    those over the samples at the start of every interval.
    """

    terminal: float
    running: float
    constraints: float
    integrals: np.ndarray
    g: np.ndarray | None
    readouts: tuple[Readout | None, Readout | None]
    states: np.ndarray | None
    costates: np.ndarray | None
    final: np.ndarray | None
    initial: np.ndarray | None
    sums: np.ndarray | None


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

    def with_last_state(self, value: float) -> Samples:
        """Return the samples with another value of the last state, the same for all."""
        x = self.x.copy()
        x[:, -1] = value
        return replace(self, x=x)

    def take(self, index: np.ndarray) -> Samples:
        """Return some of the samples, with weights that stand for all of them."""
        parts = [
            a.take(index, axis=0) if len(a) else a
            for a in (self.x, self.y_terminal, self.y_running, self.theta)
        ]
        # an average over a batch stands for the whole: unbiased also for unequal weights
        weights = (
            self.weights[index] * (len(self.x) / len(index)) if len(self.weights) else self.weights
        )
        return Samples(*(np.ascontiguousarray(a) for a in (*parts, weights)))


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
    extras : Extras, optional
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
        extras: Extras = Extras(),  # noqa: B008 - a tuple of nothing
    ) -> None:
        self.dynamics, self.scheme = dynamics, scheme
        self.times = _frozen(np.ascontiguousarray(times, np.float64))
        self.extras = extras
        self.losses, self.running_weight = (terminal, running), running_weight
        self.dtype, self.outputs = np.dtype(dtype), outputs
        self.intervals = len(times) - 1
        self._workspaces: dict[tuple, object] = {}
        self._fixed_records: list[object | None] = [None, None]
        self._last_extras: tuple[Multipliers | None, object | None] = None, None
        self._last_samples: tuple[Samples | None, tuple | None] = None, None
        self._lock = threading.Lock()
        self._nothing = _frozen(np.empty((0, 0), self.dtype))
        self._no_rows, self._no_trajectory = (np.empty((0,) * n, self.dtype) for n in (2, 3))
        self._no_sums, self._no_calls = np.empty((0, 0, 0)), np.empty(0, np.int64)
        self.compile_seconds: float | None = None
        self._entry: Callable | None = None

    def __reduce__(self):
        # what it was made of: compiled code and workspaces are made anew where it is unpickled
        return Sweeper, (
            self.dynamics, self.scheme, self.times, *self.losses, self.running_weight, self.dtype,
            self.outputs, self.extras,
        )  # fmt: skip

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
        initial: bool = False,
        sums: bool = False,
        multipliers: Multipliers | None = None,
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
        final, initial : bool
            Whether the states at the end, the costates at the start are wanted.
        sums : bool
            Whether the sums over samples are wanted, of a problem that has them.
        multipliers : Multipliers, optional
            Of the problem's constraints; without them, none counts.
        """
        self.prepare(samples, u, readouts)
        kernel, entry_point, function, system, steps = self._compiled
        N, M, d = self.intervals, samples.count, self.dynamics.dim
        data, cut, several = self._samples_record(samples)
        with self._overflow_allowed:
            u = _frozen(np.ascontiguousarray(u, self.dtype))
            records = [self._loss_record(i, readouts[i]) for i in (0, 1)]
        whole = N + 1, M, d
        result = kernel.Result(
            np.zeros((cut.chunks, 3)),
            np.zeros((cut.chunks, len(self.extras.coefficients))),
            np.zeros((cut.chunks, N, u.shape[1])) if backward else self._no_sums,
            np.zeros((cut.chunks, 2, self._readout_entries)),
            np.empty(whole, self.dtype) if states else self._no_trajectory,
            np.empty(whole, self.dtype) if costates else self._no_trajectory,
            np.empty((M, d), self.dtype) if final else self._no_rows,
            np.empty((M, d), self.dtype) if initial else self._no_rows,
            np.zeros((cut.chunks, N, self.extras.sums.count)) if sums else self._no_sums,
        )
        extras = self._extras_record(multipliers)
        threads = min(get_num_threads(), cut.chunks) if several else 1
        helpers = team(threads - 1) if threads > 1 else None
        counts = np.zeros(2, np.int64)

        def arguments(i: int) -> tuple:
            calls = own = self._no_calls
            after = 0
            if helpers and i == 0:
                calls = helpers.calls
            elif helpers:
                own = helpers.calls[i - 1 : i]
                after = int(own[0]) + 2  # this round's call is the next one
            share = kernel.Share(
                counts, cut.chunks, cut.blocks_per_chunk, calls, own, after, LOOKS
            )  # fmt: skip
            work = self._workspace(i, cut.block, backward)
            return (
                system, u, self.times, steps, *records, self.running_weight, extras, data, backward,
                share, work, result,
            )  # fmt: skip

        with self._lock:
            each = [arguments(i) for i in range(threads)]
            # every array is made or frozen here, in one precision: types do not change
            if self._entry is None:
                self._entry = entry_point(function, each[0])
            if helpers:
                helpers.post(lambda i: self._entry(*each[i]))
            self._entry(*each[0])
            if helpers:
                wait_for(counts, cut.chunks)
        return Round(
            *_in_order(result.cost).tolist(),
            _in_order(result.integrals),
            _in_order(result.g) if backward else None,
            self._readout_gradients(records, readouts, result) if backward else (None, None),
            result.states if states else None,
            result.costates if costates else None,
            result.final if final else None,
            result.initial if initial else None,
            _in_order(result.sums) if sums else None,
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

        A, whole, b, stage, at = self.scheme.by_states
        turn = slice(None, None, -1 if len(b) > 2 else 1)  # every other step lies backwards
        of = np.full(len(b), -1)
        of[at[stage >= 0]] = np.flatnonzero(stage >= 0)
        time, weight = (np.append(a, 0.0)[stage] for a in (self.scheme.c, self.scheme.b))
        given = [A, A[:, turn]], [A.T, A.T[:, ::-1]], [whole, whole[turn]], np.zeros(len(b)), b
        real = (np.array(a, self.dtype) for a in given)
        steps = kernel.Steps(*real, at, of, *(np.array(a, self.dtype) for a in (time, weight)))
        name, field, pullback = self.dynamics.kernels()
        texts = [self._cost_text(cost, name) for cost in self.losses]
        texts += [b and b.map.text for b in (self.extras.terminal, self.extras.path)]
        texts.append(self.extras.sums and self.extras.sums.text)
        family, record = _family(name, field, pullback, *texts), self.dynamics.record(self.dtype)
        return kernel, jit.entry_point, family, record, steps

    @staticmethod
    def _cost_text(cost: Loss | None, family: str) -> str | None:
        """Return the text of a cost written as an expression, or which of ours is needed.

        A family of our own systems is compiled once, with all our losses in both roles (None);
        one made of expressions serves few problems, and is compiled for the loss they have.
        """
        if cost is not None and cost.map is not None:
            return cost.map.text
        if cost is None:
            return f"{OURS} 0"
        if not family.startswith("symbolic"):
            return None
        return f"{OURS} {cost.code}" + (" readout" if cost.readout is not None else "")

    @cached_property
    def _bytes_per_sample(self) -> tuple[int, int]:
        """What one sample's states take, those of a stage too, and what it keeps for its way back."""
        dim, stages = even(self.dynamics.dim), self.scheme.stages
        rows = self.dynamics.tape_rows + (dim if self.losses[1] is not None else 0)
        kept = self.intervals * stages * rows
        if self.extras.path is not None:
            kept += (self.intervals + 1) * dim
        return min(stages, 2) * dim * self.dtype.itemsize, kept * self.dtype.itemsize

    @cached_property
    def parameters(self) -> int:
        """How many constants of each sample are read."""
        maps = [self.dynamics, *(cost and cost.map for cost in self.losses)]
        maps += [b and b.map for b in (self.extras.terminal, self.extras.path)]
        return max(m.parameters for m in maps if m is not None)

    @cached_property
    def _flops_per_sample(self) -> float:
        return float(self.intervals * self.scheme.stages * self.dynamics.work)

    @property
    def _overflow_allowed(self):
        """What single precision cannot hold is infinite, and the cost will say so."""
        return ALLOWED if self.dtype == np.float64 else np.errstate(over="ignore")

    @cached_property
    def _readout_entries(self) -> int:
        """How many numbers the gradient of a trained readout takes, at most."""
        return even(max(self.outputs)) * (even(self.dynamics.dim) + 1)

    def _workspace(self, thread: int, block: int, backward: bool):
        key = thread, block, backward
        if key not in self._workspaces:
            self._workspaces[key] = self._new_workspace(block, self.intervals if backward else 1)
        return self._workspaces[key]

    def _new_workspace(self, block: int, kept: int):
        from .kernels import generated, memory, sweep

        d, dtype = even(self.dynamics.dim), self.dtype
        states = len(self.scheme.by_states.b) - 1
        running = kept if self.losses[1] is not None else 0
        nodes = self.intervals + 1 if self.extras.path is not None else 0

        def zeros(*shape: int) -> np.ndarray:
            return memory.zeros(shape, dtype)

        q_terminal, q_running = self.outputs
        return sweep.Workspace(
            X=zeros(states + 1, d, block),
            base=zeros(d, block),
            tape=zeros(kept, states, self.dynamics.tape_rows, block),
            slope=zeros(running, states, d, block),
            w=zeros(block),
            w_stage=zeros(block),
            y_terminal=zeros(max(q_terminal, 1), block),
            y_running=zeros(max(q_running, 1), block),
            theta=zeros(self.parameters, block),
            system=self.dynamics.scratch(block, dtype),
            terminal=self._loss_scratch(0, block),
            running=self._loss_scratch(1, block),
            at_end=self._terms_scratch(self.extras.terminal, block),
            on_path=self._terms_scratch(self.extras.path, block),
            sums=generated.sums_scratch(block if self.extras.sums else 0, dtype),
            nodes=zeros(nodes, d, block),
            no_g=zeros(self.dynamics.controls),
        )

    def _loss_scratch(self, i: int, block: int):
        from .kernels import generated, losses

        if self.losses[i] is not None and self.losses[i].map is not None:
            return generated.cost_scratch(self.dynamics.dim, block, self.dtype)
        return losses.scratch(self.dynamics.dim, self.outputs[i], block, self.dtype)

    def _terms_scratch(self, bounded: Bounded | None, block: int):
        from .kernels import constraints

        rows = 0 if bounded is None else bounded.map.rows
        return constraints.scratch(self.dynamics.dim, rows, block, self.dtype)

    def _samples_record(self, samples: Samples) -> tuple:
        """Return what the kernel reads of samples, how they are cut, and if threads share them.

        Made anew with other samples.
        """
        known, record = self._last_samples
        if known is samples:
            return record
        from .kernels import sweep

        x, y_terminal, y_running, theta, weights = samples.arrays
        if self.losses[0] is None:  # the blocks have no room for targets that nothing reads
            y_terminal = self._nothing
        if self.losses[1] is None:
            y_running = self._nothing
        if theta.shape[1] != self.parameters:  # the first ones are the system's
            theta = _frozen(np.ascontiguousarray(theta[:, : self.parameters]))
        data = sweep.Samples(x, y_terminal, y_running, theta, weights)
        M, entries = samples.count, self.intervals * self.dynamics.controls
        cut = plan(M, *self._bytes_per_sample, entries)
        work = M * self._flops_per_sample * self.dtype.itemsize / 8  # floats take half as long
        several = cut.chunks > 1 and work > PARALLEL_FLOPS
        record = data, cut, several
        self._last_samples = samples, record
        return record

    def _extras_record(self, multipliers: Multipliers | None):
        """Return what the kernel reads of integrals and constraints; made anew with multipliers."""
        known, record = self._last_extras
        if record is not None and known is multipliers:
            return record
        from .kernels import constraints, generated, sweep

        def terms(bounded: Bounded | None, sigma: np.ndarray | None):
            off = bounded is None or multipliers is None
            told = (np.empty(0),) * 3 if off else (bounded.lower, bounded.upper, sigma)
            scale = generated.Generated(np.ones(1, self.dtype))
            arrays = (np.ascontiguousarray(a, self.dtype) for a in told)
            return constraints.Terms(0 if off else bounded.map.rows, scale, *arrays)

        def rows(values: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
            values = np.empty(shape) if values is None else values
            return _frozen(np.ascontiguousarray(values, self.dtype))

        m = multipliers
        record = sweep.Extras(
            self.extras.first,
            np.array(self.extras.coefficients, self.dtype),
            terms(self.extras.terminal, m and m.terminal_sigma),
            terms(self.extras.path, m and m.path_sigma),
            rows(m and m.terminal, (0, 0)),
            rows(m and m.path, (0, 0, 0, 0)),
            generated.Generated(np.ones(1, self.dtype)),
        )
        self._last_extras = multipliers, record
        return record

    def _loss_record(self, i: int, trained: Readout | None):
        """Return what the kernel reads of a loss; made anew only where a readout is trained."""
        if self._fixed_records[i] is not None:
            return self._fixed_records[i]
        from .kernels import generated, losses

        loss, q, d = self.losses[i], self.outputs[i], self.dynamics.dim
        if loss is not None and loss.map is not None:
            record = generated.Cost(1, loss.map.record(self.dtype), np.empty(0, self.dtype))
            self._fixed_records[i] = record
            return record
        P, c = np.zeros((even(q), even(d)), self.dtype), np.zeros(even(q), self.dtype)
        kind = 0
        if loss is not None and loss.readout is not None:
            kind = 2 if loss.trained else 1
            given = trained.P if loss.trained else loss.readout
            P[:q, : given.shape[1]] = given  # integrals, the last states, are not read
            if loss.trained:
                c[:q] = trained.c
        weight = np.full(1, 1.0 if loss is None else loss.weight, self.dtype)
        code = 0 if loss is None else loss.code
        record = losses.Loss(code, q, weight, kind, P, np.ascontiguousarray(P.T), c)
        if kind < 2:
            self._fixed_records[i] = record
        return record

    def _readout_gradients(self, records, readouts, result):
        if readouts == (None, None):
            return readouts
        found = []
        for i in (0, 1):
            if readouts[i] is None:
                found.append(None)
                continue
            q, d = records[i].P.shape
            flat = _in_order(result.readout[:, i])[: q * (d + 1)].reshape(q, d + 1)
            size, dim = readouts[i].P.shape
            found.append(Readout(flat[:size, :dim].copy(), flat[:size, d].copy()))
        return tuple(found)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return a read-only view: to numba that is a type of its own, so all input is of one."""
    view = array.view()
    view.flags.writeable = False
    return view


def _in_order(sums: np.ndarray) -> np.ndarray:
    """Add the chunks' sums in the order of the chunks."""
    return sums[0] if len(sums) == 1 else np.add.reduce(sums, axis=0)


@cache
def _family(name: str, field: Callable, pullback: Callable, *texts: str | None) -> Callable:
    """Return the compiled round of a family of systems; one per family and process.

    ``texts`` are those of the terminal and the running cost, of the constraints at the end and
    on the path, and of sums over samples, where they are expressions.
    """
    from .kernels import constraints, generated, losses, sweep

    def cost(text: str | None) -> Callable:
        if text is None:
            return losses.value_and_gradient
        if text.startswith(OURS):
            code, *readout = text.removeprefix(OURS).split()
            return losses.only(int(code), bool(readout))
        return generated.define_cost(text)

    *terms, sums = texts[2:]
    terms = [constraints.define_terms(t) if t else constraints.no_terms for t in terms]
    sums = generated.define_sums(sums) if sums else generated.no_sums
    # a file name holds 255 characters, and numba writes this one twice
    digest = hashlib.sha256(repr(texts).encode()).hexdigest()[:32]
    whole = f"{name}_{digest}" if any(texts) else name
    return sweep.build(whole, field, pullback, *map(cost, texts[:2]), *terms, sums)
