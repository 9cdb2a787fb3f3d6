"""exp, tanh, sigmoid, softplus, sin and cos: accuracy over the whole range, special values, vector code."""

import math
import platform
import re

import numpy as np
import pytest
from numba import njit

from pmpnet.kernels import activations, vector_math
from pmpnet.kernels.jit import BLOCK_OPTIONS

ULPS = 4
DTYPES = (np.float64, np.float32)
NAMES = ("exp", "tanh", "sigmoid", "softplus", "sin", "cos")


def exact(name, x):
    """Return the value in more digits than x has (as many as there are for float64)."""
    x = x.astype(np.longdouble if x.dtype == np.float64 else np.float64)
    decay = np.exp(-np.abs(x))
    return {
        "exp": lambda: np.exp(x),
        "tanh": lambda: np.tanh(x),
        "sigmoid": lambda: np.where(x >= 0, 1, decay) / (1 + decay),
        "softplus": lambda: np.maximum(x, 0) + np.log1p(decay),
        "sin": lambda: np.sin(x),
        "cos": lambda: np.cos(x),
    }[name]()


def distance(a, b):
    """Count the floats between two arrays of floats of one sign; infinity follows the largest."""
    integer = np.int64 if a.dtype == np.float64 else np.int32
    return np.abs(np.abs(a).view(integer).astype(np.int64) - np.abs(b).view(integer))


_loops = {}


def loop(name, fastmath=BLOCK_OPTIONS["fastmath"]):
    """Compile a loop over one of the functions, with the freedoms a sweep gives the compiler."""
    key = name, str(fastmath)
    if key not in _loops:
        function = getattr(vector_math, name)

        @njit(error_model="numpy", fastmath=fastmath)
        def over(x, out):
            for i in range(x.size):
                out[i] = function(x[i])

        _loops[key] = over
    return _loops[key]


def compute(name, x, **options):
    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    loop(name, **options)(x, out)
    return out


def inputs(dtype, name):
    """Random bit patterns, dense and sparse lines, and the edges of every range."""
    rng = np.random.default_rng(7)
    info = np.finfo(dtype)
    integer = np.int64 if dtype == np.float64 else np.int32
    bits = rng.integers(np.iinfo(integer).min, np.iinfo(integer).max, 100_000, dtype=integer)
    # where exp overflows, becomes subnormal and vanishes; where tanh and sigmoid saturate
    edges = [
        math.log(float(info.max)),
        math.log(float(info.tiny)),
        20.0,
        10.0,
        1.0,
        0.5,
        math.log(2),
    ]
    edges += [math.log(float(info.smallest_subnormal)), 0.5 * math.log(2), math.log(2**0.5 - 1)]
    edges += [float(v) for v in (info.max, info.tiny, info.smallest_subnormal, info.eps)]
    near = np.array(edges, dtype)[:, None].view(integer) + np.arange(-50, 51, dtype=integer)
    near = near.view(dtype).ravel()
    x = np.concatenate(
        [
            bits.view(dtype),
            rng.uniform(-760, 760, 50_000).astype(dtype),
            rng.uniform(-110, 110, 50_000).astype(dtype),
            rng.normal(size=50_000).astype(dtype),
            np.linspace(-1, 1, 20_001, dtype=dtype),
            # halves of the reduced interval, where exp's exponent jumps
            (np.arange(-1100, 1100) * (0.5 * math.log(2))).astype(dtype),
            near,
            -near,
            info.smallest_subnormal * np.arange(-20, 21, dtype=dtype),
        ]
    )
    if name in ("sin", "cos"):  # where one of them is nearly nothing
        quarters = np.arange(1, 600_000, dtype=np.float64) * (np.pi / 2)
        quarters = np.concatenate([quarters, rng.uniform(0, vector_math.REACH, 100_000)])
        x = np.concatenate([x, quarters.astype(dtype), -quarters.astype(dtype)])
        return x[np.abs(x) <= vector_math.REACH]
    return x[np.isfinite(x)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_accuracy_over_the_whole_range(name, dtype):
    x = inputs(dtype, name)
    with np.errstate(all="ignore"):
        true = exact(name, x).astype(dtype)
    got = compute(name, x)
    off = distance(got, true)
    worst = off.argmax()
    assert off[worst] <= ULPS, f"{name}({x[worst]!r}) = {got[worst]!r}, not {true[worst]!r}"
    assert (np.signbit(got) == np.signbit(true)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_fast_maths_of_the_caller_changes_no_result(name, dtype):
    # the caller may reorder sums; that must not reach into the range reduction
    x = inputs(dtype, name)[::7]
    free, strict = compute(name, x), compute(name, x, fastmath=False)
    assert distance(free, strict).max() <= ULPS


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype):
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    half, log2 = dtype(0.5), dtype(math.log(2))
    wanted = {
        "exp": [np.nan, np.nan, np.inf, 0, 1, 1],
        "tanh": [np.nan, np.nan, 1, -1, 0.0, -0.0],
        "sigmoid": [np.nan, np.nan, 1, 0, half, half],
        "softplus": [np.nan, np.nan, np.inf, 0, log2, log2],
    }
    for name, values in wanted.items():
        got, values = compute(name, x), np.array(values, dtype)
        np.testing.assert_array_equal(got, values, err_msg=name)
        np.testing.assert_array_equal(np.signbit(got[2:]), np.signbit(values[2:]), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sine_and_cosine_of_nothing(dtype):
    zeros = np.array([0.0, -0.0], dtype)
    assert np.signbit(compute("sin", zeros)).tolist() == [False, True]
    assert compute("cos", zeros).tolist() == [1, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_activation_takes_sines_of_any_number(dtype):
    @njit
    def activate(X, S, D):
        activations.activate(activations.SIN, X, S, D)

    X = np.random.default_rng(0).normal(size=(2, 8)).astype(dtype)
    X[1, 2:5] = 1e30, np.nan, -np.inf
    S, D = np.empty_like(X), np.empty_like(X)
    activate(X, S, D)
    with np.errstate(invalid="ignore"):
        near = dict(rtol=4 * np.finfo(dtype).eps, atol=0)
        np.testing.assert_allclose(S, np.sin(X.astype(np.float64)), **near)
        np.testing.assert_allclose(D, np.cos(X.astype(np.float64)), **near)


@pytest.mark.parametrize("dtype", DTYPES)
def test_saturation_and_underflow(dtype):
    big = dtype(np.finfo(dtype).max)
    x = np.array([big, -big], dtype)
    assert compute("exp", x).tolist() == [np.inf, 0]
    assert compute("tanh", x).tolist() == [1, -1]
    assert compute("sigmoid", x).tolist() == [1, 0]
    assert compute("softplus", x).tolist() == [big, 0]
    tiny = np.full(1, np.finfo(dtype).smallest_subnormal)
    assert compute("exp", np.log(tiny).astype(dtype))[0] > 0  # subnormals are not flushed
    assert compute("tanh", tiny)[0] == tiny[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_is_odd_bounded_and_sigmoid_in_the_unit_interval(dtype):
    x = inputs(dtype, "tanh")
    np.testing.assert_array_equal(compute("tanh", -x), -compute("tanh", x))
    assert np.abs(compute("tanh", x)).max() == 1
    s = compute("sigmoid", x)
    assert s.min() >= 0
    assert s.max() == 1
    assert compute("softplus", x).min() >= 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_without_compilation_the_names_are_numpys(name, dtype):
    x = np.linspace(-30, 30, 101, dtype=dtype)
    with np.errstate(all="ignore"):
        true = exact(name, x).astype(dtype)
    np.testing.assert_allclose(
        getattr(vector_math, name)(x), true, rtol=8 * np.finfo(dtype).eps, strict=True
    )


def test_integers_are_refused():
    with pytest.raises(Exception, match="only of floats"):
        compute("tanh", np.arange(3))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@pytest.mark.parametrize(("dtype", "suffix"), [(np.float64, "pd"), (np.float32, "ps")])
@pytest.mark.parametrize("name", NAMES)
def test_loops_vectorise(name, dtype, suffix):
    compute(name, np.zeros(8, dtype))
    (assembly,) = (
        text
        for signature, text in loop(name).inspect_asm().items()
        if signature[0].dtype.name == np.dtype(dtype).name
    )
    packed = re.findall(rf"\bv?(?:mul|fmadd\d+|div){suffix}\b", assembly)
    assert len(packed) >= 4, f"a loop over {name} holds {len(packed)} packed products"
    assert not re.search(rf"\bcall\w*\b.*\b{name}", assembly), "the C library is called"
