"""Systems of the form f(x, u) = scale U phi(x): a small matrix times features of the state.

=========  =================================================================  ==========
symbol     meaning                                                            shape
=========  =================================================================  ==========
``X``      states of a block                                                  (d, B)
``S``      features phi(x), without the constant feature                      (r, B)
``A``      a U: the columns of U that multiply S, times a number a            (d, r)
``b``      a times the column of U that multiplies the constant feature       (d,)
``P``      what is pulled back (a costate)                                    (d, B)
``base``   what f, or what is pulled back, is added to, ``s`` times           (d, B)
``u``      the control of one layer, into which U is laid by strides          (c,)
``g``      sum over samples of (df/du)' P                                     (c,)
=========  =================================================================  ==========

d and r are padded to even numbers. Entry (i, j) of U is ``u[start + i*row + j*column]``; entry
i of its bias is ``u[bias + i*step]``, and there is none where ``bias < 0``.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .activations import activate, activation_pullback
from .blocks import add_outer, add_row_sums, affine_from, copy, copy_scaled, fill, multiply
from .jit import BLOCK_OPTIONS
from .memory import zeros
from .vector_math import exp


class Layout(NamedTuple):
    """Where the entries of U lie in a control row."""

    dim: int
    features: int
    start: int
    row: int
    column: int
    bias: int
    step: int


class Scratch(NamedTuple):
    """Buffers of one thread for one layer."""

    A: np.ndarray  # (d, r)
    At: np.ndarray  # (r, d)
    b: np.ndarray  # (d,)
    zero: np.ndarray  # (r,)
    Q: np.ndarray  # (max(d, r), B)
    q: np.ndarray  # (B,)
    G: np.ndarray  # (d, r)


def scratch(d: int, r: int, block: int, dtype) -> Scratch:
    """Allocate the buffers of one thread."""
    d, r = d + d % 2, max(r + r % 2, 2)
    shapes = ((d, r), (r, d), (d,), (r,), (max(d, r), block), (block,), (d, r))
    return Scratch(*(zeros(shape, dtype) for shape in shapes))


@njit(**BLOCK_OPTIONS)
def load_matrix(layout, a, u, A, b):
    """Write a U into A and b."""
    for i in range(layout.dim):
        for j in range(layout.features):
            A[i, j] = a * u[layout.start + i * layout.row + j * layout.column]
        if layout.bias >= 0:
            b[i] = a * u[layout.bias + i * layout.step]


@njit(**BLOCK_OPTIONS)
def load_transpose(layout, a, u, At):
    """Write a U' into At."""
    for i in range(layout.dim):
        for j in range(layout.features):
            At[j, i] = a * u[layout.start + i * layout.row + j * layout.column]


@njit(**BLOCK_OPTIONS)
def add_control_pullback(layout, scale, P, S, g, w):
    """G += scale (sum over samples of P S'), laid out as the control is."""
    fill(w.G, w.G.dtype.type(0))
    add_outer(P, S, w.G)
    for i in range(layout.dim):
        for j in range(layout.features):
            g[layout.start + i * layout.row + j * layout.column] += scale * w.G[i, j]
    if layout.bias >= 0:
        w.b[:] = 0
        add_row_sums(P, w.b)
        for i in range(layout.dim):
            g[layout.bias + i * layout.step] += scale * w.b[i]


# ------------------------------------------------------------------------------- W s(x) + b


class Layer(NamedTuple):
    """The record of a layer: f = scale (W s(x) + b)."""

    layout: Layout
    scale: np.ndarray  # (1,)
    activation: int


@njit(**BLOCK_OPTIONS)
def layer_field(system, t, theta, u, a, X, tape, s, base, out, w):
    """Out = s base + a f(X, u); the tape keeps s(X), and s'(X) where that is not a function of s."""
    d = X.shape[0]
    S = tape[:d]
    activate(system.activation, X, S, tape[tape.shape[0] - d :])
    load_matrix(system.layout, a * system.scale[0], u, w.A, w.b)
    affine_from(w.A, w.b, S, s, base, out)


@njit(**BLOCK_OPTIONS)
def layer_pullback(system, t, theta, u, a, b, P, tape, s, base, out, g, w):
    """Out = s base + a (df/dx)' P and g += b sum (df/du)' P."""
    d = P.shape[0]
    S = tape[:d]
    load_transpose(system.layout, a * system.scale[0], u, w.At)
    multiply(w.At, P, out)
    add_control_pullback(system.layout, b * system.scale[0], P, S, g, w)
    activation_pullback(system.activation, S, tape[tape.shape[0] - d :], s, base, out)


# ---------------------------------------------------------------- monomials, times a Gaussian


class Monomials(NamedTuple):
    """The record of phi = (1, m_1, m_2, ...), each m_j an earlier one (or G) times a variable.

    G = exp(-|x|^2 / (2 nu)), or 1 where nu is infinite.
    """

    layout: Layout
    scale: np.ndarray  # (1,)
    width: np.ndarray  # (1,): nu
    parent: np.ndarray  # (r,): the earlier feature, -1 for G
    variable: np.ndarray  # (r,): the variable that multiplies it, -1 for none


@njit(**BLOCK_OPTIONS)
def monomials_field(system, t, theta, u, a, X, tape, s, base, out, w):
    """Out = s base + a f(X, u); the tape keeps X, the features and G."""
    d = X.shape[0]
    features, gauss = tape[d : tape.shape[0] - 1], tape[tape.shape[0] - 1]
    real = X.dtype.type
    copy(X, tape[:d])
    if system.width[0] == np.inf:
        for m in range(gauss.size):
            gauss[m] = real(1)
    else:
        decay = real(0.5) / system.width[0]
        for m in range(gauss.size):
            gauss[m] = real(0)
        for i in range(system.layout.dim):
            x = X[i]
            for m in range(gauss.size):
                gauss[m] -= decay * x[m] * x[m]
        for m in range(gauss.size):
            gauss[m] = exp(gauss[m])
    for j in range(system.parent.size):
        before = gauss if system.parent[j] < 0 else features[system.parent[j]]
        phi = features[j]
        if system.variable[j] < 0:
            for m in range(gauss.size):
                phi[m] = before[m]
        else:
            x = X[system.variable[j]]
            for m in range(gauss.size):
                phi[m] = before[m] * x[m]
    load_matrix(system.layout, a * system.scale[0], u, w.A, w.b)
    affine_from(w.A, w.b, features, s, base, out)


@njit(**BLOCK_OPTIONS)
def monomials_pullback(system, t, theta, u, a, b, P, tape, s, base, out, g, w):
    """Out = s base + a (df/dx)' P and g += b sum (df/du)' P."""
    d = P.shape[0]
    features, gauss = tape[d : tape.shape[0] - 1], tape[tape.shape[0] - 1]
    real = P.dtype.type
    load_transpose(system.layout, a * system.scale[0], u, w.At)
    Q, q_gauss = w.Q[: features.shape[0]], w.q
    multiply(w.At, P, Q)
    add_control_pullback(system.layout, b * system.scale[0], P, features, g, w)
    copy_scaled(s, base, out)
    for m in range(q_gauss.size):
        q_gauss[m] = real(0)
    # back through the recurrence, the last feature first
    for j in range(system.parent.size - 1, -1, -1):
        parent, q = system.parent[j], Q[j]
        q_before = q_gauss if parent < 0 else Q[parent]
        if system.variable[j] < 0:
            for m in range(q.size):
                q_before[m] += q[m]
        else:
            before = gauss if parent < 0 else features[parent]
            x, p = tape[system.variable[j]], out[system.variable[j]]
            for m in range(q.size):
                p[m] += q[m] * before[m]
                q_before[m] += q[m] * x[m]
    if system.width[0] != np.inf:
        decay = real(1) / system.width[0]
        for i in range(system.layout.dim):
            x, p = tape[i], out[i]
            for m in range(q_gauss.size):
                p[m] -= decay * q_gauss[m] * gauss[m] * x[m]
