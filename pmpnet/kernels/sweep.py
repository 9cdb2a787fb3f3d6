"""The round: a block of samples forward through all layers, and back, inside one core's cache.

==============  ==========================================================  ===============
symbol          meaning                                                     shape
==============  ==========================================================  ===============
``u``           control, one row per interval                               (N, c)
``t``, ``h``    grid and its steps                                          (N+1,), (N,)
``X``           the states of a step, from X_0 to X_m, which is the next    (m+1, d, B)
                step's X_0:
                X_i = sum over j < i of a_ij X_j + b_i h f(X_at(i), u)
``P``           their costates, from P_m to P_0:                            (m+1, d, B)
                P_j = sum over i > j of a_ij P_i + b_i h (df/dx)' P_i
                with the i of which at(i) is j
``base``        a sum over several of them                                  (d, B)
``tape``        what f keeps of X_at(i) for its transpose                   (N, m, rows, B)
``slope``       the running cost's gradient there, weighted                 (N, m, d, B)
``w``           weights of the block's samples; 0 on padding                (B,)
``nodes``       states at the grid points, where path constraints read them (N+1, d, B)
``g``           sum over samples of (dPsi/du)' P / h                        (N, c)
==============  ==========================================================  ===============

Samples last in memory: every inner loop runs over the B samples of a block. d is padded to an
even number of rows, a short last block with copies of its last sample, of weight 0.

A step writes no block that it reads, but for the one of a step with m = 1, which is taken in place.
Where its last states lie the next step's first ones are, so that every other step lies backwards.
Costates lie where states did, and begin at the other end.

A chunk is a run of consecutive blocks. Every chunk has its own sums, added later in the order of
the chunks, so that no bit of a result depends on how many threads shared the chunks.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .blocks import add_scaled, combine, copy, following
from .jit import BLOCK_OPTIONS, CALL_OPTIONS, compiled
from .sharing import Share, add_one, stand_by  # noqa: F401 - the seam takes Share from here


class Steps(NamedTuple):
    """An explicit Runge-Kutta scheme, said by its states: `pmpnet.schemes.ByStates`."""

    A: np.ndarray  # (2, m+1, m+1): a_ij, and in odd steps; j is where the states lie
    At: np.ndarray  # (2, m+1, m+1): the same of a_ji
    whole: np.ndarray  # (2, m+1): 1 where a state lies, 0 where a slope by itself
    none: np.ndarray  # (m+1,): zeros, for sums of costates
    b: np.ndarray  # (m+1,)
    at: np.ndarray  # (m+1,): where f is evaluated for X_i; -1 where it is not
    of: np.ndarray  # (m+1,): the i of which at(i) is j; -1 where there is none
    time: np.ndarray  # (m+1,): when that is, as a fraction of the step
    weight: np.ndarray  # (m+1,): of the running cost there


class Samples(NamedTuple):
    """What differs from sample to sample; samples first, as users hold them."""

    x: np.ndarray  # (M, d)
    y_terminal: np.ndarray  # (M, q), or (0, 0)
    y_running: np.ndarray  # (M, q), or (0, 0)
    theta: np.ndarray  # (M, p) parameters, or (0, 0)
    weights: np.ndarray  # (M,), or (0,) for 1/M each


class Extras(NamedTuple):
    """What some problems have beside costs of the state.

    The last states of a system may be integrals: the weighted mean of the j-th of them, times
    ``coefficients[j]``, is part of the cost.
    """

    first: int  # the row of the first integral
    coefficients: np.ndarray  # (E,)
    terminal: tuple  # the constraints at the end: pmpnet.kernels.constraints
    path: tuple  # those along the way
    terminal_multipliers: np.ndarray  # (M, q)
    path_multipliers: np.ndarray  # (N, 2, M, q): at the start and the end of each interval
    sums: tuple  # the weighted sums at the start of each interval: pmpnet.kernels.generated


class Workspace(NamedTuple):
    """Everything one thread writes on; nothing is allocated inside a sweep."""

    X: np.ndarray
    base: np.ndarray
    tape: np.ndarray
    slope: np.ndarray
    w: np.ndarray
    w_stage: np.ndarray
    y_terminal: np.ndarray
    y_running: np.ndarray
    theta: np.ndarray
    system: tuple
    terminal: tuple
    running: tuple
    at_end: tuple
    on_path: tuple
    sums: tuple
    nodes: np.ndarray
    no_g: np.ndarray


class Result(NamedTuple):
    """One row per chunk, summed afterwards; trajectories where they are asked for."""

    cost: np.ndarray  # (chunks, 3): terminal, running, constraints
    integrals: np.ndarray  # (chunks, E): weighted means of the integrals
    g: np.ndarray  # (chunks, N, c)
    readout: np.ndarray  # (chunks, 2, q (d + 1)): dP and dc, terminal and running
    states: np.ndarray  # (N+1, M, d), or (0, 0, 0)
    costates: np.ndarray  # (N+1, M, d), or (0, 0, 0)
    final: np.ndarray  # (M, d): the states at the end, or (0, 0)
    initial: np.ndarray  # (M, d): the costates at the start, or (0, 0)
    sums: np.ndarray  # (chunks, N, q): weighted sums at each interval's start, or (0, 0, 0)


@njit(**CALL_OPTIONS)
def load(rows, start, stop, block):
    """Block = rows[start:stop] transposed; the last of them fills the padding."""
    last = stop - start - 1
    for i in range(rows.shape[1]):
        for m in range(block.shape[1]):
            block[i, m] = rows[start + min(m, last), i]


@njit(**CALL_OPTIONS)
def store(block, start, stop, rows):
    """Write a block's samples back to rows[start:stop]."""
    for i in range(rows.shape[1]):
        for m in range(stop - start):
            rows[start + m, i] = block[i, m]


@njit(**CALL_OPTIONS)
def add_readout(s, target):
    """Add a block's dP and dc to the chunk's, and clear them."""
    q, d = s.dP.shape
    for i in range(q):
        for j in range(d):
            target[i * (d + 1) + j] += s.dP[i, j]
            s.dP[i, j] = 0
        target[i * (d + 1) + d] += s.dc[i]
        s.dc[i] = 0


@njit(**CALL_OPTIONS)
def add_integrals(extras, X, w, totals):
    """Totals += the weighted sum of every integral."""
    for j in range(extras.coefficients.size):
        row, total = X[extras.first + j], w.dtype.type(0)
        for m in range(w.size):
            total += w[m] * row[m]
        totals[j] += total


@njit(**CALL_OPTIONS)
def begin_costates(extras, backward_loss, w, P):
    """P = minus the gradient of the costs at the end."""
    for i in range(P.shape[0]):
        for m in range(w.size):
            P[i, m] = -backward_loss[i, m]
    for j in range(extras.coefficients.size):
        for m in range(w.size):
            P[extras.first + j, m] -= extras.coefficients[j] * w[m]


@njit(**BLOCK_OPTIONS)
def place(i, turn, m):
    """Return where the i-th states (costates) of a step lie: in every other step, backwards."""
    return i if turn % 2 == 0 else m - i


@njit(**BLOCK_OPTIONS)
def states_at(i, left, m):
    """Return where the i-th states of a step lie, of which so many are left: at last X_0 at 0."""
    return 0 if m == 1 else place(i, left, m)


@njit(**CALL_OPTIONS)
def load_samples(samples, N, start, stop, work):
    """Bring a block of samples, their targets, parameters and weights into the cache."""
    load(samples.x, start, stop, work.X[states_at(0, N, work.X.shape[0] - 1)])
    if samples.y_terminal.shape[0] > 0:
        load(samples.y_terminal, start, stop, work.y_terminal)
    if samples.y_running.shape[0] > 0:
        load(samples.y_running, start, stop, work.y_running)
    if samples.theta.shape[0] > 0:
        load(samples.theta, start, stop, work.theta)
    real = work.w.dtype.type
    for m in range(work.w.size):
        if m >= stop - start:
            work.w[m] = real(0)
        elif samples.weights.size > 0:
            work.w[m] = samples.weights[start + m]
        else:
            work.w[m] = real(1.0 / samples.x.shape[0])


@njit(**BLOCK_OPTIONS)
def base_of(factors, whole, blocks, room):
    """Return s and a block whose product is the sum of factors[j] blocks[j]; it may need room."""
    j = following(factors, -1, 0)
    if j < factors.size and following(factors, j, 0) == factors.size:
        return factors[j], blocks[j]
    combine(factors, whole, blocks, room)
    return factors.dtype.type(1), room


def build(
    name, field, pullback, terminal_loss, running_loss, terminal_terms, path_terms, add_sums
):  # fmt: skip
    """Compile the round of a family of systems, of losses and of constraints.

    ``field(system, t, theta, u, a, X, tape, s, base, out, w)`` sets out to s base + a f(X, u) and
    keeps on the tape what ``pullback(system, t, theta, u, a, b, P, tape, s, base, out, g, w)``
    needs to set out to s base + a (df/dx)' P and to add b times the sum of (df/du)' P to g.
    Activation, loss and scheme are run-time values.
    """

    @njit(**BLOCK_OPTIONS, inline="always")
    def forward(system, t, u, steps, running, alpha, k, backward, work):
        """Take step k: from X_0 to X_m. Return the running cost's increment."""
        real = work.w.dtype.type
        m, left = work.X.shape[0] - 1, u.shape[0] - k
        h = real(t[k + 1] - t[k])
        kept = k if backward else 0
        cost = 0.0
        for i in range(1, m + 1):
            factors, out = steps.A[left % 2, i], work.X[states_at(i, left, m)]
            if steps.at[i] < 0:
                combine(factors, steps.whole[left % 2], work.X, out)
                continue
            s, base = base_of(factors, steps.whole[left % 2], work.X, work.base)
            X = work.X[states_at(steps.at[i], left, m)]
            time = t[k] + steps.time[i] * (t[k + 1] - t[k])
            if running.code != 0:
                for n in range(work.w.size):
                    work.w_stage[n] = real(alpha) * h * steps.weight[i] * work.w[n]
                cost += running_loss(
                    running, time, work.theta, X, work.y_running, work.w_stage, backward,
                    work.running,
                )  # fmt: skip
                if backward:
                    copy(work.running.DX, work.slope[k, i - 1])
            tape = work.tape[kept, i - 1]
            field(
                system, time, work.theta, u[k], h * steps.b[i], X, tape, s, base, out, work.system
            )
        return cost

    @njit(**BLOCK_OPTIONS, inline="always")
    def transpose(system, t, u, steps, running, k, g, work):
        """Take step k back: from P_m to P_0, less dL_k/dx, and g_k gains its share."""
        real = work.w.dtype.type
        m, turn = work.X.shape[0] - 1, u.shape[0] - 1 - k
        h = real(t[k + 1] - t[k])
        for j in range(m - 1, -1, -1):
            i, factors, out = steps.of[j], steps.At[turn % 2, j], work.X[place(j, turn, m)]
            if i < 0:
                combine(factors, steps.none, work.X, out)
                continue
            s, base = base_of(factors, steps.none, work.X, work.base)
            time = t[k] + steps.time[i] * (t[k + 1] - t[k])
            pullback(
                system, time, work.theta, u[k], h * steps.b[i], steps.b[i],
                work.X[place(i, turn, m)], work.tape[k, i - 1], s, base, out, g, work.system,
            )  # fmt: skip
            if running.code != 0:
                add_scaled(real(-1), work.slope[k, i - 1], out)

    @njit(**BLOCK_OPTIONS, inline="always")
    def add_path(extras, t, u, k, side, start, stop, backward, X, P, g, work):
        """Add the path constraints at one side (0 start, 1 end) of interval k; return the cost."""
        h = work.w.dtype.type(t[k + 1] - t[k])
        half = work.w.dtype.type(0.5)
        rows = extras.path_multipliers[k, side]
        return h * path_terms(
            extras.path, t[k + side], h, half, work.theta, u[k], X, rows, start, stop, backward,
            P, g, work.on_path,
        )  # fmt: skip

    @compiled(name)
    def sweep(
        system, u, t, steps, terminal, running, alpha, extras, samples, backward, share, work,
        result,
    ):  # fmt: skip
        """Run chunks until all are begun, forward and perhaps back."""
        M, N, B, m = samples.x.shape[0], u.shape[0], work.w.size, work.X.shape[0] - 1
        length = share.blocks * B
        on_path = extras.path.count > 0
        for helper in range(share.calls.size):
            add_one(share.calls, helper)
        while True:
            chunk = add_one(share.counts, 0)
            if chunk >= share.chunks:
                break
            for start in range(chunk * length, min((chunk + 1) * length, M), B):
                stop = min(start + B, M)
                cost = result.cost[chunk]
                load_samples(samples, N, start, stop, work)
                for k in range(N):
                    X = work.X[states_at(0, N - k, m)]
                    if result.states.shape[0] > 0:
                        store(X, start, stop, result.states[k])
                    if result.sums.shape[0] > 0:
                        sums = result.sums[chunk, k]
                        add_sums(extras.sums, t[k], work.theta, X, work.w, sums, work.sums)
                    if on_path:
                        copy(X, work.nodes[k])
                        cost[2] += add_path(
                            extras, t, u, k, 0, start, stop, False, X, X, work.no_g, work
                        )
                    cost[1] += forward(system, t, u, steps, running, alpha, k, backward, work)
                    if on_path:
                        X = work.X[states_at(0, N - k - 1, m)]
                        cost[2] += add_path(
                            extras, t, u, k, 1, start, stop, False, X, X, work.no_g, work
                        )
                X, P = work.X[0], work.X[m]
                if result.states.shape[0] > 0:
                    store(X, start, stop, result.states[N])
                if result.final.shape[0] > 0:
                    store(X, start, stop, result.final)
                if terminal.code != 0:
                    cost[0] += terminal_loss(
                        terminal, t[N], work.theta, X, work.y_terminal, work.w, backward,
                        work.terminal,
                    )  # fmt: skip
                add_integrals(extras, X, work.w, result.integrals[chunk])
                if backward:
                    begin_costates(extras, work.terminal.DX, work.w, P)
                if extras.terminal.count > 0:
                    one = work.w.dtype.type(1)
                    cost[2] += terminal_terms(
                        extras.terminal, t[N], one, one, work.theta, u[N - 1], X,
                        extras.terminal_multipliers, start, stop, backward, P, work.no_g,
                        work.at_end,
                    )  # fmt: skip
                if not backward:
                    continue
                if on_path:
                    copy(X, work.nodes[N])
                for k in range(N - 1, -1, -1):
                    P = work.X[place(m, N - 1 - k, m)]
                    if result.costates.shape[0] > 0:
                        store(P, start, stop, result.costates[k + 1])
                    g = result.g[chunk, k]
                    if on_path:
                        X = work.nodes[k + 1]
                        add_path(extras, t, u, k, 1, start, stop, True, X, P, g, work)
                    transpose(system, t, u, steps, running, k, g, work)
                    if on_path:
                        X, P = work.nodes[k], work.X[place(0, N - 1 - k, m)]
                        add_path(extras, t, u, k, 0, start, stop, True, X, P, g, work)
                P = work.X[place(0, N - 1, m)]
                if result.costates.shape[0] > 0:
                    store(P, start, stop, result.costates[0])
                if result.initial.shape[0] > 0:
                    store(P, start, stop, result.initial)
                add_readout(work.terminal, result.readout[chunk, 0])
                add_readout(work.running, result.readout[chunk, 1])
            add_one(share.counts, 1)
        stand_by(share)

    return sweep
