"""Constraints lower <= c(t, x, u) <= upper on a block, by their augmented Lagrangian.

==============  ====================================================  =======
symbol          meaning                                               shape
==============  ====================================================  =======
``C``           values c(t, X, u)                                     (q, B)
``L``           a sample's multiplier                                 -
``sigma``       penalty weights                                       (q,)
``E``           distance of C + L / sigma to [lower, upper], signed   -
``MU``          minus the derivative of the terms by C, weighted      (q, B)
==============  ====================================================  =======

A sample's term is sigma/2 E^2 - L^2 / (2 sigma), whose derivative sigma E by C is the next
multiplier (Powell, Hestenes, Rockafellar). Every sample counts 1/M, whatever its weight.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from .blocks import add_scaled
from .generated import Generated, Scratch, define
from .generated import scratch as map_scratch
from .jit import BLOCK_OPTIONS, CALL_OPTIONS
from .memory import zeros


class Terms(NamedTuple):
    """The record of constraints."""

    count: int  # q
    map: Generated
    lower: np.ndarray  # (q,)
    upper: np.ndarray  # (q,)
    sigma: np.ndarray  # (q,)


class TermsScratch(NamedTuple):
    """Buffers of one thread."""

    C: np.ndarray  # (q, B)
    MU: np.ndarray  # (q, B)
    tape: np.ndarray  # (d, B)
    DX: np.ndarray  # (d, B)
    zero: np.ndarray  # (d, B)
    map: Scratch


def scratch(d: int, q: int, block: int, dtype) -> TermsScratch:
    """Allocate the buffers of one thread."""
    d, q = d + d % 2, q + q % 2
    blocks = (zeros((rows, block), dtype) for rows in (q, q, d, d, d))
    return TermsScratch(*blocks, map_scratch(q, block, dtype))


@njit(**BLOCK_OPTIONS)
def no_terms(
    terms, t, a, b, theta, u, X, multipliers, start, stop, backward, P, g, s
):  # fmt: skip
    """Stand where a problem has no constraints."""
    return X.dtype.type(0)


@cache
def define_terms(text: str) -> Callable:
    """Return the terms of the constraints that a text defines."""
    field, pullback = define(text)

    @njit(**CALL_OPTIONS)
    def terms(terms, t, a, b, theta, u, X, multipliers, start, stop, backward, P, g, s):
        """Return b times the mean of the terms; add minus a b times its gradient to P, b to g."""
        real = X.dtype.type
        B = X.shape[1]
        weight = b * real(1.0 / multipliers.shape[0])
        one = real(1)
        field(terms.map, t, theta, u, one, X, s.tape, one, s.map.zero, s.C, s.map)
        total = real(0)
        for j in range(terms.count):
            sigma, lower, upper = terms.sigma[j], terms.lower[j], terms.upper[j]
            for m in range(B):
                L = real(0)
                w = real(0)
                if m < stop - start:
                    L = multipliers[start + m, j]
                    w = weight
                c = s.C[j, m] + L / sigma
                e = c - min(max(c, lower), upper)
                total += w * real(0.5) * (sigma * e * e - L * L / sigma)
                s.MU[j, m] = -w * sigma * e
        if backward:
            pullback(terms.map, t, theta, u, a, one, s.MU, s.tape, one, s.zero, s.DX, g, s.map)
            add_scaled(one, s.DX, P)
        return total

    return terms
