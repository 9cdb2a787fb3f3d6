"""Losses on a block: value and gradient at once, chosen by a run-time code.

=========  =========================================================  =========
symbol     meaning                                                    shape
=========  =========================================================  =========
``X``      states                                                     (d, B)
``Z``      what the loss reads: X itself, or P X + c                  (q, B)
``Y``      targets                                                    (q, B)
``w``      sample weights times the term's coefficient                (B,)
``DX``     sum-free gradient: w dphi/dx                               (d, B)
``dP``     sum over samples of w dphi/dz x'                           (q, d)
``dc``     sum over samples of w dphi/dz                              (q,)
=========  =========================================================  =========
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from .blocks import add_affine, add_outer, add_row_sums, copy, fill, multiply
from .jit import BLOCK_OPTIONS
from .memory import zeros
from .vector_math import exp, sigmoid, softplus

NONE, LINEAR, SQUARED, LOGISTIC, CROSS_ENTROPY, HUBER = range(6)


class Loss(NamedTuple):
    """The record of a loss."""

    code: int
    outputs: int  # q
    weight: np.ndarray  # (1,): of Squared; Huber's delta
    readout: int  # 0: Z = X
    P: np.ndarray  # (q, d), padded
    Pt: np.ndarray  # (d, q), padded
    c: np.ndarray  # (q,), padded


class Scratch(NamedTuple):
    """Buffers of one thread."""

    Z: np.ndarray  # (q, B)
    DZ: np.ndarray  # (q, B)
    DX: np.ndarray  # (d, B)
    rows: np.ndarray  # (2, B)
    dP: np.ndarray  # (q, d)
    dc: np.ndarray  # (q,)


def scratch(d: int, q: int, block: int, dtype) -> Scratch:
    """Allocate the buffers of one thread."""
    d, q = d + d % 2, q + q % 2
    shapes = ((q, block), (q, block), (d, block), (2, block), (q, d), (q,))
    return Scratch(*(zeros(shape, dtype) for shape in shapes))


# Each returns sum w phi(Z, Y) and writes w dphi/dZ into DZ


@njit(**BLOCK_OPTIONS)
def none(loss, Z, Y, w, DZ, rows):
    """Stand where a problem has no such cost."""
    return Z.dtype.type(0)


@njit(**BLOCK_OPTIONS)
def linear(loss, Z, Y, w, DZ, rows):
    """Hand a given costate y to the sweep, weights folded in: phi = -<y, z>."""
    real = Z.dtype.type
    total = real(0)
    for j in range(loss.outputs):
        z, y, dz = Z[j], Y[j], DZ[j]
        for m in range(w.size):
            p = y[m] if w[m] > real(0) else real(0)  # padding has no costate
            total -= p * z[m]
            dz[m] = -p
    return total


@njit(**BLOCK_OPTIONS)
def squared(loss, Z, Y, w, DZ, rows):
    """Squared distance, phi = weight |z - y|^2."""
    real = Z.dtype.type
    total, weight = real(0), loss.weight[0]
    for j in range(loss.outputs):
        z, y, dz = Z[j], Y[j], DZ[j]
        for m in range(w.size):
            e = z[m] - y[m]
            total += w[m] * weight * e * e
            dz[m] = real(2) * w[m] * weight * e
    return total


@njit(**BLOCK_OPTIONS)
def huber(loss, Z, Y, w, DZ, rows):
    """Huber: the sum of e^2/2, or delta (|e| - delta/2) where |e| > delta; e = z - y."""
    real = Z.dtype.type
    total, delta = real(0), loss.weight[0]
    for j in range(loss.outputs):
        z, y, dz = Z[j], Y[j], DZ[j]
        for m in range(w.size):
            e = z[m] - y[m]
            slope = delta if e > delta else -delta if e < -delta else e  # NaN wins
            total += w[m] * slope * (e - real(0.5) * slope)
            dz[m] = w[m] * slope
    return total


@njit(**BLOCK_OPTIONS)
def logistic(loss, Z, Y, w, DZ, rows):
    """Logistic, phi = log(1 + exp(-y z))."""
    total = Z.dtype.type(0)
    z, y, dz = Z[0], Y[0], DZ[0]
    for m in range(w.size):
        total += w[m] * softplus(-y[m] * z[m])
        dz[m] = -w[m] * y[m] * sigmoid(-y[m] * z[m])
    return total


@njit(**BLOCK_OPTIONS)
def cross_entropy(loss, Z, Y, w, DZ, rows):
    """Cross entropy, log(sum_j exp z_j) - z_y; rows hold the largest z and the sum."""
    real = Z.dtype.type
    B = w.size
    total = real(0)
    top, norm = rows[0], rows[1]
    copy(Z[:1], rows[:1])
    for j in range(1, loss.outputs):
        z = Z[j]
        for m in range(B):
            top[m] = z[m] if not (z[m] <= top[m]) else top[m]  # NaN wins
    for m in range(B):
        norm[m] = real(0)
    for j in range(loss.outputs):
        z, dz = Z[j], DZ[j]
        for m in range(B):
            dz[m] = exp(z[m] - top[m])
            norm[m] += dz[m]
    for m in range(B):
        total += w[m] * (top[m] + real(math.log(norm[m])))
        norm[m] = w[m] / norm[m]
    for j in range(loss.outputs):
        dz = DZ[j]
        for m in range(B):
            dz[m] *= norm[m]
    for m in range(B):
        label = int(Y[0, m])
        total -= w[m] * Z[label, m]
        DZ[label, m] -= w[m]
    return total


@njit(**BLOCK_OPTIONS)
def any_loss(loss, Z, Y, w, DZ, rows):
    """Return the loss that the code says."""
    if loss.code == SQUARED:
        return squared(loss, Z, Y, w, DZ, rows)
    if loss.code == HUBER:
        return huber(loss, Z, Y, w, DZ, rows)
    if loss.code == LINEAR:
        return linear(loss, Z, Y, w, DZ, rows)
    if loss.code == LOGISTIC:
        return logistic(loss, Z, Y, w, DZ, rows)
    if loss.code == CROSS_ENTROPY:
        return cross_entropy(loss, Z, Y, w, DZ, rows)
    return none(loss, Z, Y, w, DZ, rows)


def through_readout(on_outputs):
    """Return value and gradient of a loss of outputs, as a loss of states."""

    @njit(**BLOCK_OPTIONS)
    def value_and_gradient(loss, t, theta, X, Y, w, backward, s):
        """Return sum w phi(X, Y); fill s.DX (and add to s.dP, s.dc) when ``backward``.

        ``t`` and ``theta`` are what losses written as expressions may read.
        """
        Z, DZ = (X, s.DX) if loss.readout == 0 else (s.Z, s.DZ)
        if loss.readout != 0:
            fill(s.Z, X.dtype.type(0))
            add_affine(loss.P, loss.c, X, s.Z)
        total = on_outputs(loss, Z, Y, w, DZ, s.rows)
        if backward and loss.readout != 0:
            multiply(loss.Pt, s.DZ, s.DX)
            if loss.readout == 2:
                add_outer(s.DZ, X, s.dP)
                add_row_sums(s.DZ, s.dc)
        return total

    return value_and_gradient


value_and_gradient = through_readout(any_loss)
BY_CODE = {
    NONE: none,
    LINEAR: linear,
    SQUARED: squared,
    LOGISTIC: logistic,
    CROSS_ENTROPY: cross_entropy,
    HUBER: huber,
}


def of_states(on_outputs):
    """Return value and gradient of a loss that reads the states themselves."""

    @njit(**BLOCK_OPTIONS)
    def value_and_gradient(loss, t, theta, X, Y, w, backward, s):
        return on_outputs(loss, X, Y, w, s.DX, s.rows)

    return value_and_gradient


@cache
def only(code, readout):
    """Return value and gradient of the losses of one code, which compile sooner than all."""
    return through_readout(BY_CODE[code]) if readout else of_states(BY_CODE[code])
