"""The round: a block of samples forward through all layers, and back, inside one core's cache.

==============  ==========================================================  ===============
symbol          meaning                                                     shape
==============  ==========================================================  ===============
``u``           control, one row per interval                               (N, c)
``t``, ``h``    grid and its steps                                          (N+1,), (N,)
``A, b, c``     the scheme's tableau                                        (s, s), (s,), (s,)
``X``           states of the block at the current time                     (d, B)
``Y``           a stage's states                                            (d, B)
``K``           a stage's slopes f(Y, u)                                    (s, d, B)
``P``           costates: minus the sensitivity of the weighted cost        (d, B)
``V``           b P + sum of a_ji Xi_j: a stage's costates over h           (d, B)
``Xi``          h (df/dx)' V, a stage's share of the step's transpose       (s, d, B)
``tape``        what a stage keeps for its transpose                        (N, s, rows, B)
``slope``       the running cost's gradient at a stage, weighted            (N, s, d, B)
``w``           weights of the block's samples; 0 on padding                (B,)
``nodes``       states at the grid points, where path constraints read them (N+1, d, B)
``g``           sum over samples of (dPsi/du)' P / h                        (N, c)
==============  ==========================================================  ===============

Samples last in memory: every inner loop runs over the B samples of a block. d is padded to an
even number of rows, a short last block with copies of its last sample, of weight 0.

A chunk is a run of consecutive blocks. Every chunk has its own sums, added later in the order of
the chunks, so that no bit of a result depends on how many threads shared the chunks.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .blocks import add_combination, add_scaled, combine, copy, fill
from .jit import BLOCK_OPTIONS, CALL_OPTIONS, compiled
from .sharing import Share, add_one, stand_by  # noqa: F401 - the seam takes Share from here


class Tableau(NamedTuple):
    """An explicit Runge-Kutta scheme."""

    A: np.ndarray
    b: np.ndarray
    c: np.ndarray
    ones: np.ndarray  # (s,)


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
    P: np.ndarray
    Y: np.ndarray
    V: np.ndarray
    K: np.ndarray
    Xi: np.ndarray
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
def load_samples(samples, start, stop, work):
    """Bring a block of samples, their targets, parameters and weights into the cache."""
    load(samples.x, start, stop, work.X)
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


def build(
    name, field, pullback, terminal_loss, running_loss, terminal_terms, path_terms, add_sums
):  # fmt: skip
    """Compile the round of a family of systems, of losses and of constraints.

    ``field(system, t, theta, u, a, X, tape, out, w)`` adds a f(X, u) to out and keeps on the tape
    what ``pullback(system, t, theta, u, a, P, tape, out, g, w)`` needs to add a (df/dx)' P to out
    and the sum of (df/du)' P to g. Activation, loss and tableau are run-time values.
    """

    @njit(**BLOCK_OPTIONS, inline="always")
    def forward(system, t, u, tableau, running, alpha, k, backward, work):
        """Take step k: X becomes Psi_k(X, u_k). Return the running cost's increment."""
        real = work.X.dtype.type
        stages = tableau.b.size
        h = real(t[k + 1] - t[k])
        kept = k if backward else 0
        cost = 0.0
        last = stages - 1
        for i in range(stages):
            tape = work.tape[kept, i]
            stage = work.X if i == 0 else work.Y
            if i > 0:
                combine(real(1), work.X, h, tableau.A[i], work.K, 0, i, work.Y)
            time = t[k] + tableau.c[i] * (t[k + 1] - t[k])
            if running.code != 0:
                for m in range(work.w.size):
                    work.w_stage[m] = real(alpha) * h * tableau.b[i] * work.w[m]
                cost += running_loss(
                    running, time, work.theta, stage, work.y_running, work.w_stage, backward,
                    work.running,
                )  # fmt: skip
                if backward:
                    copy(work.running.DX, work.slope[k, i])
            if i == last:  # its slope is part of the step only, and goes to the state at once
                a, out = h * tableau.b[i], work.X
                add_combination(h, tableau.b, work.K, 0, i, out)
            else:
                a, out = real(1), work.K[i]
                fill(out, real(0))
            field(system, time, work.theta, u[k], a, stage, tape, out, work.system)
        return cost

    @njit(**BLOCK_OPTIONS, inline="always")
    def transpose(system, t, u, tableau, running, k, g, work):
        """Take step k back: P becomes (dPsi_k/dx)' P - dL_k/dx, and g_k gains its share."""
        real = work.P.dtype.type
        stages = tableau.b.size
        h = real(t[k + 1] - t[k])
        for i in range(stages - 1, -1, -1):
            # with a single stage V is P itself
            V = work.P if stages == 1 else work.V
            if stages > 1:
                combine(tableau.b[i], work.P, real(1), tableau.A[:, i], work.Xi, i + 1, stages, V)
            if i == 0:  # its share is needed by P only, and goes there at once
                out = work.P
                add_combination(real(1), tableau.ones, work.Xi, 1, stages, out)
            else:
                out = work.Xi[i]
                fill(out, real(0))
            time = t[k] + tableau.c[i] * (t[k + 1] - t[k])
            tape = work.tape[k, i]
            pullback(system, time, work.theta, u[k], h, V, tape, out, g, work.system)
            if running.code != 0:
                add_scaled(real(-1), work.slope[k, i], out)

    @njit(**BLOCK_OPTIONS, inline="always")
    def add_path(extras, t, u, k, side, start, stop, backward, X, g, work):
        """Add the path constraints at one side (0 start, 1 end) of interval k; return the cost."""
        h = work.X.dtype.type(t[k + 1] - t[k])
        half = work.X.dtype.type(0.5)
        rows = extras.path_multipliers[k, side]
        return h * path_terms(
            extras.path, t[k + side], h, half, work.theta, u[k], X, rows, start, stop, backward,
            work.P, g, work.on_path,
        )  # fmt: skip

    @compiled(name)
    def sweep(
        system, u, t, tableau, terminal, running, alpha, extras, samples, backward, share, work,
        result,
    ):  # fmt: skip
        """Run chunks until all are begun, forward and perhaps back."""
        M, N, B = samples.x.shape[0], u.shape[0], work.w.size
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
                load_samples(samples, start, stop, work)
                for k in range(N):
                    if result.states.shape[0] > 0:
                        store(work.X, start, stop, result.states[k])
                    if result.sums.shape[0] > 0:
                        sums = result.sums[chunk, k]
                        add_sums(extras.sums, t[k], work.theta, work.X, work.w, sums, work.sums)
                    if on_path:
                        copy(work.X, work.nodes[k])
                        cost[2] += add_path(
                            extras, t, u, k, 0, start, stop, False, work.X, work.no_g, work
                        )
                    cost[1] += forward(system, t, u, tableau, running, alpha, k, backward, work)
                    if on_path:
                        cost[2] += add_path(
                            extras, t, u, k, 1, start, stop, False, work.X, work.no_g, work
                        )
                if result.states.shape[0] > 0:
                    store(work.X, start, stop, result.states[N])
                if result.final.shape[0] > 0:
                    store(work.X, start, stop, result.final)
                if terminal.code != 0:
                    cost[0] += terminal_loss(
                        terminal, t[N], work.theta, work.X, work.y_terminal, work.w, backward,
                        work.terminal,
                    )  # fmt: skip
                add_integrals(extras, work.X, work.w, result.integrals[chunk])
                if backward:
                    begin_costates(extras, work.terminal.DX, work.w, work.P)
                if extras.terminal.count > 0:
                    one = work.X.dtype.type(1)
                    cost[2] += terminal_terms(
                        extras.terminal, t[N], one, one, work.theta, u[N - 1], work.X,
                        extras.terminal_multipliers, start, stop, backward, work.P, work.no_g,
                        work.at_end,
                    )  # fmt: skip
                if not backward:
                    continue
                if on_path:
                    copy(work.X, work.nodes[N])
                for k in range(N - 1, -1, -1):
                    if result.costates.shape[0] > 0:
                        store(work.P, start, stop, result.costates[k + 1])
                    g = result.g[chunk, k]
                    if on_path:
                        add_path(extras, t, u, k, 1, start, stop, True, work.nodes[k + 1], g, work)
                    transpose(system, t, u, tableau, running, k, g, work)
                    if on_path:
                        add_path(extras, t, u, k, 0, start, stop, True, work.nodes[k], g, work)
                if result.costates.shape[0] > 0:
                    store(work.P, start, stop, result.costates[0])
                if result.initial.shape[0] > 0:
                    store(work.P, start, stop, result.initial)
                add_readout(work.terminal, result.readout[chunk, 0])
                add_readout(work.running, result.readout[chunk, 1])
            add_one(share.counts, 1)
        stand_by(share)

    return sweep
