"""Networks with weights inside their activation: f = A s(W x + c) + b, and f = s(W x + b).

=========  =================================================================  ==========
symbol     meaning                                                            shape
=========  =================================================================  ==========
``X``      states of a block                                                  (d, B)
``Z``      what the activation acts on, W X + c                               (r, B)
``S``      s(Z)                                                               (r, B)
``D``      s'(Z), where it is not a function of s                             (r, B)
``P``      what is pulled back (a costate)                                    (d, B)
``base``   what f, or what is pulled back, is added to, ``s`` times           (d, B)
``R``      A' P, and then s'(Z) times it: pulled back to Z                    (r, B)
``u``      the control of one layer, into which all matrices are laid         (c,)
``g``      sum over samples of (df/du)' P                                     (c,)
=========  =================================================================  ==========

The tape keeps X, S and D. With f scaled by a number, (df/dx)' P = W' R, and the sums over samples
are P S' for A, those of P for b, R X' for W and those of R for c: of R and X as of P and S.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from . import features
from .activations import activate, activation_pullback
from .blocks import add_affine, affine_from, copy, fill, multiply, weighted_sum
from .features import Layout, add_control_pullback, load_matrix, load_transpose
from .jit import BLOCK_OPTIONS

# --------------------------------------------------------------------------- A s(W x + c) + b


class TwoLayer(NamedTuple):
    """The record of f = scale (A s(W x + c) + b)."""

    outer: Layout  # of A and b
    inner: Layout  # of W and c
    scale: np.ndarray  # (1,)
    activation: int


class Scratch(NamedTuple):
    """Buffers of one thread for one layer."""

    outer: features.Scratch  # its Q is R
    inner: features.Scratch  # its Q is Z


def scratch(d: int, r: int, block: int, dtype) -> Scratch:
    """Allocate the buffers of one thread."""
    return Scratch(features.scratch(d, r, block, dtype), features.scratch(r, d, block, dtype))


@njit(**BLOCK_OPTIONS)
def two_layer_field(system, t, theta, u, a, X, tape, s, base, out, w):
    """Out = s base + a f(X, u)."""
    real = X.dtype.type
    d, r = w.outer.A.shape
    S, Z = tape[d : d + r], w.inner.Q[:r]
    copy(X, tape[:d])
    load_matrix(system.inner, real(1), u, w.inner.A, w.inner.b)
    fill(Z, real(0))
    add_affine(w.inner.A, w.inner.b, X, Z)
    activate(system.activation, Z, S, tape[tape.shape[0] - r :])
    load_matrix(system.outer, a * system.scale[0], u, w.outer.A, w.outer.b)
    affine_from(w.outer.A, w.outer.b, S, s, base, out)


@njit(**BLOCK_OPTIONS)
def two_layer_pullback(system, t, theta, u, a, b, P, tape, s, base, out, g, w):
    """Out = s base + a (df/dx)' P and g += b sum (df/du)' P."""
    real = P.dtype.type
    d, r = w.outer.A.shape
    X, S = tape[:d], tape[d : d + r]
    R = w.outer.Q[:r]
    load_transpose(system.outer, system.scale[0], u, w.outer.At)
    multiply(w.outer.At, P, R)
    activation_pullback(system.activation, S, tape[tape.shape[0] - r :], real(0), S, R)
    add_control_pullback(system.outer, b * system.scale[0], P, S, g, w.outer)
    add_control_pullback(system.inner, b, R, X, g, w.inner)
    load_transpose(system.inner, a, u, w.inner.At)
    affine_from(w.inner.At, w.inner.zero, R, s, base, out)


# ------------------------------------------------------------------------------- s(W x + b)


class Outside(NamedTuple):
    """The record of f = scale s(W x + b)."""

    layout: Layout
    scale: np.ndarray  # (1,)
    activation: int


@njit(**BLOCK_OPTIONS)
def outside_field(system, t, theta, u, a, X, tape, s, base, out, w):
    """Out = s base + a f(X, u)."""
    real = X.dtype.type
    d = X.shape[0]
    S, Z = tape[d : 2 * d], w.Q[:d]
    copy(X, tape[:d])
    load_matrix(system.layout, real(1), u, w.A, w.b)
    fill(Z, real(0))
    add_affine(w.A, w.b, X, Z)
    activate(system.activation, Z, S, tape[tape.shape[0] - d :])
    weighted_sum(s, base, a * system.scale[0], S, out)


@njit(**BLOCK_OPTIONS)
def outside_pullback(system, t, theta, u, a, b, P, tape, s, base, out, g, w):
    """Out = s base + a (df/dx)' P and g += b sum (df/du)' P."""
    d = P.shape[0]
    X, S, R = tape[:d], tape[d : 2 * d], w.Q[:d]
    copy(P, R)
    activation_pullback(system.activation, S, tape[tape.shape[0] - d :], P.dtype.type(0), S, R)
    add_control_pullback(system.layout, b * system.scale[0], R, X, g, w)
    load_transpose(system.layout, a * system.scale[0], u, w.At)
    affine_from(w.At, w.zero, R, s, base, out)
