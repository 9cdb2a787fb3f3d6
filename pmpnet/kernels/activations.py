"""Activations s and their derivatives, on blocks; chosen by a run-time code once per block.

========  ==========================================================  =======
symbol    meaning                                                     shape
========  ==========================================================  =======
``X``     states                                                      (d, B)
``S``     s(X)                                                        (d, B)
``D``     s'(X), kept for the activations in `KEEPS_DERIVATIVE`;      (d, B)
          for the others s' is a function of s
``Q``     a block to be multiplied by s'                              (d, B)
``base``  another, which is added to it ``c`` times                   (d, B)
========  ==========================================================  =======
"""

import math

import numpy as np
from numba import njit
from numba.extending import register_jitable

from .jit import BLOCK_OPTIONS
from .vector_math import REACH, cos, exp, sigmoid, sin, softplus, tanh

NAMES = ("identity", "tanh", "relu", "leaky_relu", "sigmoid", "softplus", "gelu", "sin")
IDENTITY, TANH, RELU, LEAKY_RELU, SIGMOID, SOFTPLUS, GELU, SIN = range(8)
# s' is not a function of s alone (or loses digits as one): it is kept beside s
KEEPS_DERIVATIVE = (SOFTPLUS, GELU, SIN)
LEAK = 0.01  # slope of leaky relu below zero
SQRT_HALF, INV_SQRT_2PI = math.sqrt(0.5), 1.0 / math.sqrt(2.0 * math.pi)


@register_jitable
def normal_cdf(x):
    """Return the probability that a standard normal variable is below x."""
    return 0.5 * math.erfc(-SQRT_HALF * x)


@njit(**BLOCK_OPTIONS)
def within(bound, x):
    """Tell whether all entries are numbers of at most this size."""
    beyond = 0
    for m in range(x.size):
        beyond += 0 if abs(x[m]) <= bound else 1
    return beyond == 0


@njit(**BLOCK_OPTIONS)
def activate(code, X, S, D):
    """S = s(X), and D = s'(X) where it is kept."""
    real = X.dtype.type
    for i in range(X.shape[0]):
        x, s = X[i], S[i]
        if code == TANH:
            for m in range(x.size):
                s[m] = tanh(x[m])
        elif code == RELU:
            for m in range(x.size):
                s[m] = real(0) if x[m] < real(0) else x[m]
        elif code == LEAKY_RELU:
            for m in range(x.size):
                s[m] = real(LEAK) * x[m] if x[m] < real(0) else x[m]
        elif code == SIGMOID:
            for m in range(x.size):
                s[m] = sigmoid(x[m])
        elif code == SOFTPLUS:
            slope = D[i]
            for m in range(x.size):
                s[m] = softplus(x[m])
                slope[m] = sigmoid(x[m])
        elif code == GELU:
            slope = D[i]
            for m in range(x.size):
                below = real(normal_cdf(x[m]))
                s[m] = x[m] * below
                slope[m] = below + x[m] * real(INV_SQRT_2PI) * exp(-real(0.5) * x[m] * x[m])
        elif code == SIN:
            slope = D[i]
            if within(real(REACH), x):
                for m in range(x.size):
                    s[m] = sin(x[m])
                    slope[m] = cos(x[m])
            else:
                for m in range(x.size):
                    s[m] = math.sin(x[m])
                    slope[m] = math.cos(x[m])
        else:
            for m in range(x.size):
                s[m] = x[m]


@njit(**BLOCK_OPTIONS)
def activation_pullback(code, S, D, c, base, Q):
    """Q = c base + s'(X) Q, entry by entry."""
    real = Q.dtype.type
    for i in range(Q.shape[0]):
        o, s, q = base[i], S[i], Q[i]
        if code == TANH:
            for m in range(q.size):
                q[m] = c * o[m] + q[m] * (real(1) - s[m] * s[m])
        elif code == RELU:
            for m in range(q.size):
                q[m] = c * o[m] + (q[m] if s[m] > real(0) else real(0))
        elif code == LEAKY_RELU:
            for m in range(q.size):
                q[m] = c * o[m] + (q[m] if s[m] > real(0) else real(LEAK) * q[m])
        elif code == SIGMOID:
            for m in range(q.size):
                q[m] = c * o[m] + q[m] * s[m] * (real(1) - s[m])
        elif code == IDENTITY:
            for m in range(q.size):
                q[m] = c * o[m] + q[m]
        else:
            slope = D[i]
            for m in range(q.size):
                q[m] = c * o[m] + q[m] * slope[m]


def reference(code, x):
    """Return s(x) by NumPy, for whoever wants f outside a sweep."""
    from scipy.special import expit, ndtr

    return {
        IDENTITY: lambda: x,
        TANH: lambda: np.tanh(x),
        RELU: lambda: np.maximum(x, 0),
        LEAKY_RELU: lambda: np.where(x < 0, LEAK * x, x),
        SIGMOID: lambda: expit(x),
        SOFTPLUS: lambda: np.logaddexp(0, x),
        GELU: lambda: x * ndtr(x),
        SIN: lambda: np.sin(x),
    }[code]()
