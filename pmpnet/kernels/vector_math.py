"""Elementary functions without branches, so that the loops that call them vectorise.

numba's wheels carry no vector maths library: a loop over ``math.tanh`` calls the C library once
per element and costs several times everything else in a layer. The functions below are plain
arithmetic on one scalar, hence on a vector register once the caller's loop is vectorised.

========  =======================================================
symbol    meaning
========  =======================================================
``k``     nearest integer to z / ln 2
``r``     z - k ln 2, so that |r| <= ln(2) / 2
``two_k`` 2**k, built in the exponent bits
``em1``   exp(z) - 1
========  =======================================================

Sine and cosine turn by r = x - k pi/2, |r| <= pi/4, the k-th quarter of a circle; pi/2 is written
in three parts, of which the first two have few enough digits for exact products up to `REACH`.

Every result is within 4 units in the last place over the whole range (of sine and cosine as far as
`REACH`); NaN, infinities, signed
zeros and subnormal numbers come out as NumPy's do. Polynomial coefficients are minimax (Remez
exchange in 50 digits) on the reduced interval.

Outside compiled code (``NUMBA_DISABLE_JIT=1``) the names fall back to NumPy's functions.
"""

import math

import numpy as np
from numba import njit, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

# fused multiply-adds are welcome; reordering is not: adding and subtracting `magic` must survive
OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy"}

LOG2_E = 1.4426950408889634


@intrinsic
def bits_of(typingctx, x):
    """Return the bits of a float as the signed integer of the same width."""
    integer = types.int64 if x == types.float64 else types.int32

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return integer(x), codegen


@intrinsic
def float_of(typingctx, n):
    """Return the float whose bits are the given integer; inverse of `bits_of`."""
    real = types.float64 if n == types.int64 else types.float32

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return real(n), codegen


# ---------------------------------------------------------------------------------- float64

# adding 1.5 * 2**52 rounds to an integer and leaves that integer in the low bits
MAGIC64 = 6755399441055744.0
LN2_64 = 0.6931471805599453
LN2_HI64, LN2_LO64 = 0.6931471805598903, 5.497923018708371e-14
ONE64, BIAS64, WIDTH64 = np.int64(1), np.int64(1023), np.int64(52)


@njit(**OPTIONS)
def _expm1_reduced64(r):
    # pairs first (Estrin): a chain of ten multiply-adds would keep the core waiting
    r2 = r * r
    r4 = r2 * r2
    q01 = 1.6666666666666674529e-1 * r + 0.50000000000000010223
    q23 = 8.3333333333222087606e-3 * r + 4.1666666666624123852e-2
    q45 = 1.9841269886586277474e-4 * r + 1.3888888917215383774e-3
    q67 = 2.7557242342237328091e-6 * r + 2.4801521293745645704e-5
    q89 = 2.5110047746466712056e-8 * r + 2.76200893617774943e-7
    q = ((q89 * r4) + (q67 * r2 + q45)) * r4 + (q23 * r2 + q01)
    return r + r2 * q


def _exp64(x):
    # clamping keeps k in range; NaN compares false and passes through
    z = 710.0 if x > 710.0 else x
    z = -746.0 if z < -746.0 else z
    t = z * LOG2_E + MAGIC64
    k = t - MAGIC64
    r = (z - k * LN2_HI64) - k * LN2_LO64
    # 2**k in two halves: neither overflows, and a subnormal result is rounded once
    n = bits_of(t) - bits_of(MAGIC64)
    half = ((n + np.int64(2048)) >> ONE64) - np.int64(1024)
    two_half = float_of((half + BIAS64) << WIDTH64)
    two_rest = float_of(((n - half) + BIAS64) << WIDTH64)
    return ((1.0 + _expm1_reduced64(r)) * two_half) * two_rest


def _tanh64(x):
    a = abs(x)
    a = 20.0 if a > 20.0 else a  # tanh(20) rounds to 1
    t = a * (2.0 * LOG2_E) + MAGIC64
    k = t - MAGIC64
    r = 2.0 * a - k * LN2_64  # one product will do: where k is large tanh is flat
    two_k = float_of((bits_of(t) + BIAS64) << WIDTH64)
    em1 = two_k * _expm1_reduced64(r) + (two_k - 1.0)
    return math.copysign(em1 / (em1 + 2.0), x)


def _sigmoid64(x):
    e = exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


def _softplus64(x):
    # max(x, 0) + log(1 + e), with log(1 + e) = 2 atanh(s) (+ ln 2 when 1 + e > sqrt 2)
    e = exp(-abs(x))
    large = e > 0.41421356237309503
    f = 0.5 * (e - 1.0) if large else e
    s = f / (2.0 + f)
    v = s * s
    w = 0.14618325986761699712
    w = w * v + 0.15331560226146933944
    w = w * v + 0.1818289432597645367
    w = w * v + 0.22222211057608550473
    w = w * v + 0.28571428626492817882
    w = w * v + 0.3999999999989823776
    w = w * v + 0.66666666666666697363
    log1p = 2.0 * s + (s * v) * w + (0.6931471805599453 if large else 0.0)
    return (0.0 if x < 0.0 else x) + log1p


REACH = 2.0**20  # of sine and cosine: beyond, the products by k lose digits
TWO_OVER_PI = 0.6366197723675814
HALF_PI_1, HALF_PI_2, HALF_PI_3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21
TWO64, ODD_TO_SIGN64 = np.int64(2), np.int64(62)


@njit(**OPTIONS)
def _sine_and_cosine64(r):
    z = r * r
    z2 = z * z
    s01 = 8.3333333333224106748e-3 * z - 0.16666666666666632015
    s23 = 2.7557313691017196966e-6 * z - 1.9841269829805318966e-4
    s45 = 1.5896786861734101355e-10 * z - 2.5050757968749939533e-8
    c01 = -1.3888888888874119897e-3 * z + 4.1666666666666599454e-2
    c23 = -2.7557314351536131583e-7 * z + 2.4801587289479543117e-5
    c45 = -1.135964176357459578e-11 * z + 2.0875723160643715565e-9
    sine = r * (1.0 + z * ((s45 * z2 + s23) * z2 + s01))
    cosine = 1.0 + z * (z * ((c45 * z2 + c23) * z2 + c01) - 0.5)
    return sine, cosine


@njit(**OPTIONS)
def _turn64(x, quarters):
    t = x * TWO_OVER_PI + MAGIC64
    k = t - MAGIC64
    sine, cosine = _sine_and_cosine64(((x - k * HALF_PI_1) - k * HALF_PI_2) - k * HALF_PI_3)
    n = bits_of(t) + quarters
    turned = cosine if n & ONE64 else sine
    return float_of(bits_of(turned) ^ ((n & TWO64) << ODD_TO_SIGN64))


def _sin64(x):
    return _turn64(x, np.int64(0))


def _cos64(x):
    return _turn64(x, ONE64)


# ---------------------------------------------------------------------------------- float32

MAGIC32 = np.float32(12582912.0)
LN2_32 = np.float32(0.6931471805599453)
LN2_HI32, LN2_LO32 = np.float32(0.693359375), np.float32(-0.00021219444)
ONE32, BIAS32, WIDTH32 = np.int32(1), np.int32(127), np.int32(23)
F32 = np.float32


@njit(**OPTIONS)
def _expm1_reduced32(r):
    q = F32(0.0013941124)
    q = q * r + F32(0.0083631812)
    q = q * r + F32(0.0416663751)
    q = q * r + F32(0.1666657697)
    q = q * r + F32(0.5000000027)
    return r + (r * r) * q


def _exp32(x):
    z = F32(90.0) if x > F32(90.0) else x
    z = F32(-105.0) if z < F32(-105.0) else z
    t = z * F32(LOG2_E) + MAGIC32
    k = t - MAGIC32
    r = (z - k * LN2_HI32) - k * LN2_LO32
    n = np.int32(bits_of(t) - bits_of(MAGIC32))
    half = np.int32(np.int32(np.int32(n + np.int32(512)) >> ONE32) - np.int32(256))
    two_half = float_of(np.int32(np.int32(half + BIAS32) << WIDTH32))
    two_rest = float_of(np.int32(np.int32(np.int32(n - half) + BIAS32) << WIDTH32))
    return ((F32(1.0) + _expm1_reduced32(r)) * two_half) * two_rest


def _tanh32(x):
    a = abs(x)
    a = F32(10.0) if a > F32(10.0) else a
    t = a * F32(2.0 * LOG2_E) + MAGIC32
    k = t - MAGIC32
    r = F32(2.0) * a - k * LN2_32
    two_k = float_of(np.int32(np.int32(bits_of(t) + BIAS32) << WIDTH32))
    em1 = two_k * _expm1_reduced32(r) + (two_k - F32(1.0))
    return F32(math.copysign(em1 / (em1 + F32(2.0)), x))


def _sigmoid32(x):
    e = exp(-abs(x))
    return (F32(1.0) if x >= F32(0.0) else e) / (F32(1.0) + e)


def _softplus32(x):
    e = exp(-abs(x))
    large = e > F32(0.41421356)
    f = F32(0.5) * (e - F32(1.0)) if large else e
    s = f / (F32(2.0) + f)
    v = s * s
    w = F32(0.23332766344337799795)
    w = w * v + F32(0.28550722981078820045)
    w = w * v + F32(0.40000122878777823065)
    w = w * v + F32(0.6666655665286657477)
    log1p = F32(2.0) * s + (s * v) * w + (F32(0.69314718) if large else F32(0.0))
    return (F32(0.0) if x < F32(0.0) else x) + log1p


TWO32, ODD_TO_SIGN32 = np.int32(2), np.int32(30)


@njit(**OPTIONS)
def _sine_and_cosine32(r):
    z = r * r
    s = (F32(-1.9517217e-4) * z + F32(8.3321776e-3)) * z + F32(-0.16666655)
    c = (F32(2.443836e-5) * z + F32(-1.3887367e-3)) * z + F32(4.1666647e-2)
    return r * (F32(1.0) + z * s), F32(1.0) + z * (z * c - F32(0.5))


@njit(**OPTIONS)
def _turn32(x, quarters):
    # turned in double precision, where two parts are enough
    wide = np.float64(x)
    t = wide * TWO_OVER_PI + MAGIC64
    k = t - MAGIC64
    sine, cosine = _sine_and_cosine32(F32((wide - k * HALF_PI_1) - k * HALF_PI_2))
    n = np.int32(np.int32(bits_of(t)) + quarters)
    turned = cosine if n & ONE32 else sine
    return float_of(np.int32(bits_of(turned) ^ np.int32(np.int32(n & TWO32) << ODD_TO_SIGN32)))


def _sin32(x):
    return _turn32(x, np.int32(0))


def _cos32(x):
    return _turn32(x, ONE32)


# ------------------------------------------------------------- one name for both precisions


def exp(x):
    """Return e**x."""
    return np.exp(x)


def tanh(x):
    """Return the hyperbolic tangent of x."""
    return np.tanh(x)


def sigmoid(x):
    """Return 1 / (1 + e**-x), without overflow at either end."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def softplus(x):
    """Return log(1 + e**x), without overflow at either end."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def sin(x):
    """Return the sine of x, for abs(x) <= REACH."""
    return np.sin(x)


def cos(x):
    """Return the cosine of x, for abs(x) <= REACH."""
    return np.cos(x)


def _register(name, in_double, in_single):
    def choose(x):
        if x == types.float64:
            return in_double
        if x == types.float32:
            return in_single
        raise TypingError(f"pmpnet.kernels.vector_math: no such function of {x}, only of floats")

    overload(name, jit_options=OPTIONS)(choose)


for _stub, _pair in {
    exp: (_exp64, _exp32),
    tanh: (_tanh64, _tanh32),
    sigmoid: (_sigmoid64, _sigmoid32),
    softplus: (_softplus64, _softplus32),
    sin: (_sin64, _sin32),
    cos: (_cos64, _cos32),
}.items():
    _register(_stub, *_pair)
