"""Limited memory of curvature: the two loops of L-BFGS, in the inner product of a problem.

==========  =============================================================  =========
symbol      meaning                                                        shape
==========  =============================================================  =========
``S, W``    pairs of changes of a variable and of a residual, scaled so    (size, n)
            that <s, w> = 1; a ring, in which the oldest is at ``first``
``metric``  the weights of <., .>                                          (n,)
``q``       a residual, on its way to the inverse Jacobian times it        (n,)
``a``       <s, q> of every pair, the oldest first                         (k,)
==========  =============================================================  =========

One thread adds in one order: no bit depends on how many there are.
"""

import numpy as np
from numba import njit

from .jit import BLOCK_OPTIONS, compiled

LEAST = 1e-12  # of <s, w> over <s, s>: pairs below it are not kept


@njit(**BLOCK_OPTIONS)
def inner(metric, a, b):
    """Return <a, b>."""
    total = 0.0
    for j in range(metric.size):
        total += metric[j] * a[j] * b[j]
    return total


@compiled("curvature_keep")
def keep(metric, s, w, row_s, row_w):
    """Write a scaled pair; return <w, w> / <s, w>, or 0 where its curvature is not positive."""
    curvature = inner(metric, s, w)
    if not curvature > LEAST * inner(metric, s, s):
        return 0.0
    scale = 1.0 / np.sqrt(curvature)
    for j in range(metric.size):
        row_s[j] = scale * s[j]
        row_w[j] = scale * w[j]
    return inner(metric, w, w) / curvature


@compiled("curvature_down")
def down(S, W, first, metric, q, a):
    """From the newest pair to the oldest: q -= <s, q> w."""
    for i in range(a.size - 1, -1, -1):
        row = (first + i) % S.shape[0]
        s, w = S[row], W[row]
        a[i] = inner(metric, s, q)
        for j in range(q.size):
            q[j] -= a[i] * w[j]


@compiled("curvature_up")
def up(S, W, first, metric, q, a):
    """From the oldest pair to the newest: q += (a - <w, q>) s."""
    for i in range(a.size):
        row = (first + i) % S.shape[0]
        s, w = S[row], W[row]
        b = a[i] - inner(metric, w, q)
        for j in range(q.size):
            q[j] += b * s[j]
