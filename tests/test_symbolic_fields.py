"""Fields written by hand: what the generated kernels compute, and what is refused."""

import json
import pickle
import subprocess
import sys
from functools import cache

import casadi
import numpy as np
import pytest
from casadi import SX
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit, types

from pmpnet import expressions, losses, schemes, sweeps
from pmpnet.dynamics import LinearControl
from pmpnet.dynamics.symbolic import ListedFields, SymbolicSystem
from pmpnet.expressions import Map
from pmpnet.kernels import generated, jit

B = 16


def symbols(dim, controls, parameters):
    return (
        SX.sym("t"),
        SX.sym("x", dim),
        SX.sym("u", controls),
        SX.sym("theta", parameters),
    )


def every_operation():
    """A system of 3 states, 2 controls, 2 parameters that uses every operation, and is smooth
    where its random arguments are."""
    t, x, u, theta = symbols(3, 2, 2)
    y, z, r = casadi.vertsplit(x)
    positive, small = 1 + y * y, 0.9 * casadi.sin(z)
    unary = [
        casadi.exp(y), casadi.expm1(z), casadi.log(positive), casadi.log1p(z * z),
        casadi.erf(r), casadi.cos(y), casadi.tan(small), casadi.asin(small), casadi.acos(small),
        casadi.atan(r), casadi.sinh(y), casadi.cosh(z), casadi.tanh(r), casadi.asinh(y),
        casadi.acosh(positive + 0.5), casadi.atanh(small), casadi.sqrt(positive), 1 / positive,
        y + y, -z, casadi.fabs(r), casadi.sign(y), casadi.floor(z), casadi.ceil(r),
        casadi.logic_not(y), positive**1.7,
    ]  # fmt: skip
    binary = [
        y - z, z / positive, positive**r, casadi.atan2(y, positive), casadi.hypot(positive, z),
        casadi.fmin(y, z), casadi.fmax(z, r), casadi.fmod(y, theta[0]),
        casadi.remainder(z, theta[1]), casadi.copysign(y, z), y < z, z <= r, casadi.eq(y, r),
        casadi.ne(y, r), casadi.logic_and(y, z), casadi.logic_or(z, r), casadi.if_else(y > 0, z, r),
    ]  # fmt: skip
    values = unary + binary
    factors = [u[0], u[1] ** 2, casadi.sin(u[0] * t), theta[0], casadi.exp(-t), SX(0.5)]
    terms = [value * factors[i % len(factors)] for i, value in enumerate(values)]
    rhs = casadi.vertcat(*(sum(terms[i::3]) for i in range(3)))
    return (t, x, u, theta), rhs


@cache
def compiled_every_operation():
    inputs, rhs = every_operation()
    system = SymbolicSystem(Map(*inputs, rhs, scale=0.7))
    return system, reference(inputs, rhs), driver(system)


def reference(inputs, rhs):
    """The value and both pullbacks, by CasADi, as one function of t, x, u, theta, P."""
    P = SX.sym("P", rhs.numel())
    pulled = [casadi.jtimes(rhs, inputs[i], P, True) for i in (1, 2)]
    return casadi.Function("reference", [*inputs, P], [rhs, *pulled])


def driver(system):
    """One state forward and back as the sweep runs it."""
    _, field, pullback = system.kernels()

    @njit(**{**jit.CALL_OPTIONS, "no_cpython_wrapper": False})
    def run(record, t, theta, u, a, X, tape, base, out, P, back, g, w):
        one = X.dtype.type(1)
        field(record, t, theta, u, a, X, tape, one, base, out, w)
        pullback(record, t, theta, u, a, one, P, tape, one, P, back, g, w)

    return run


def run_driver(system, run, t, x, u, theta, P, dtype, aliased=False):
    rows = system.tape_rows

    def block(values):
        padded = np.zeros((rows, B), dtype)
        padded[: len(values)] = values
        return padded

    X, P, ones, nan = (
        block(x),
        block(P),
        block(np.ones((system.dim, B))),
        np.full((rows, B), np.nan),
    )
    g, back = np.ones(system.controls), nan.astype(dtype)
    base, out = (X, X) if aliased else (ones, nan.astype(dtype))
    run(
        system.record(dtype), t, np.ascontiguousarray(theta, dtype), np.asarray(u, dtype),
        dtype(0.25), X, np.zeros((rows, B), dtype), base, out, P, back, g,
        system.scratch(B, dtype),
    )  # fmt: skip
    return out[: system.dim], back[: system.dim], g


def expected(system, values, t, x, u, theta, P):
    value, dx, du = (part.full() for part in values(t, x, u, theta, P))
    return (
        0.25 * system.scale * value,
        0.25 * system.scale * dx,
        system.scale * du.sum(axis=1),
        system.scale * np.abs(du).sum(axis=1),
    )


NUMBERS = st.floats(-2.0, 2.0, allow_subnormal=False)
POSITIVE = st.floats(0.5, 2.0)


@settings(deadline=None, max_examples=60)
@given(
    t=POSITIVE,
    x=arrays(float, (3, B), elements=NUMBERS),
    u=arrays(float, 2, elements=NUMBERS),
    theta=arrays(float, (2, B), elements=POSITIVE),
    P=arrays(float, (3, B), elements=NUMBERS),
    aliased=st.booleans(),
)
def test_compiled_kernels_compute_what_casadi_computes(t, x, u, theta, P, aliased):
    system, values, run = compiled_every_operation()
    out, back, g = run_driver(system, run, t, x, u, theta, P, np.float64, aliased)
    value, dx, du, size = expected(system, values, t, x, u, theta, P)
    close = dict(rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(out, (x if aliased else 1.0) + value, **close)
    np.testing.assert_allclose(back, P + dx, rtol=1e-12, atol=1e-12 * (1 + np.abs(dx).max()))
    assert (np.abs(g - 1.0 - du) <= 1e-12 * (1 + size)).all()
    np.testing.assert_allclose(
        system.f(t, x.T, u, theta.T), system.scale * values(t, x, u, theta, P)[0].full().T, **close
    )


def test_the_system_above_uses_every_operation():
    system, _, _ = compiled_every_operation()
    used = {*system.map.field.operations, *system.map.pullback.operations}
    # CasADi before 3.7.1 writes y + y as a product
    assert set(expressions.FORMULAS) - used <= {"TWICE"}
    assert not system.affine


def test_single_precision_stays_single():
    system, values, run = compiled_every_operation()
    rng = np.random.default_rng(3)
    x, P = rng.normal(size=(2, 3, B)).astype(np.float32)
    theta = rng.uniform(0.5, 2.0, (2, B)).astype(np.float32)
    u, t = np.array([0.5, -1.25]), 0.75
    out, back, g = run_driver(system, run, t, x, u, theta, P, np.float32)
    value, dx, du, size = expected(system, values, t, x, u, theta, P)
    assert out.dtype == back.dtype == np.float32
    np.testing.assert_allclose(out, 1.0 + value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back, P + dx, rtol=1e-4, atol=1e-4 * np.abs(dx).max())
    assert (np.abs(g - 1.0 - du) <= 1e-5 * (1 + size)).all()
    for kernel in system.kernels()[1:]:
        for signature, result in kernel.overloads.items():
            if types.Array(types.float32, 2, "C") in signature:
                kinds = result.type_annotation.typemap
                found = {
                    str(kinds[name]) for name in kinds if name[0] == "w" and name[1:].isdigit()
                }
                assert found == {"float32"}


def test_more_rows_than_a_loop_can_check():
    # the loop is vectorised on the promise that its rows do not overlap
    d = 14
    inputs = symbols(d, 3, 0)
    _, x, u, _ = inputs
    turned = [casadi.vertcat(x[k:], x[:k]) for k in (1, 2, 3)]
    rhs = sum(u[k] * casadi.tanh(turned[k] - x) for k in range(3)) - x
    system, values = SymbolicSystem(Map(*inputs, rhs)), reference(inputs, rhs)
    assert system.affine
    run = driver(system)
    rng = np.random.default_rng(8)
    x, P = rng.normal(size=(2, d, B))
    u, theta = rng.normal(size=3), np.zeros((0, B))
    for aliased in (False, True):
        out, back, g = run_driver(system, run, 0.0, x, u, theta, P, np.float64, aliased)
        value, dx, du, _ = expected(system, values, 0.0, x, u, np.zeros((0, 1)), P)
        np.testing.assert_allclose(out, (x if aliased else 1.0) + value, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(back, P + dx, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(g, 1.0 + du, rtol=1e-12, atol=1e-11)


# ------------------------------------------- random expressions, on the text before it is compiled

UNARY = [
    casadi.sin, casadi.cos, casadi.tanh, casadi.atan, casadi.erf, casadi.fabs, casadi.sign,
    casadi.floor, casadi.ceil, casadi.exp, casadi.expm1, casadi.sinh, casadi.asinh,
    lambda a: casadi.log(1.5 + casadi.sin(a)), lambda a: casadi.sqrt(1 + a * a),
    lambda a: 1 / (2 + casadi.cos(a)), lambda a: -a, lambda a: a**3, lambda a: (1 + a * a) ** 0.3,
    lambda a: casadi.asin(0.9 * casadi.sin(a)), casadi.logic_not,
]  # fmt: skip
BINARY = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (1 + b * b),
    casadi.fmin, casadi.fmax, lambda a, b: casadi.atan2(a, 1 + b * b), lambda a, b: a < b,
    lambda a, b: a <= b, casadi.logic_and, casadi.logic_or, casadi.copysign,
    lambda a, b: casadi.if_else(a < b, a * b, casadi.cos(b)),
    lambda a, b: casadi.hypot(1 + a * a, b), lambda a, b: (1 + a * a) ** b,
]  # fmt: skip
INPUTS = symbols(2, 2, 1)
LEAVES = st.sampled_from([entry for column in INPUTS for entry in casadi.vertsplit(column)])
EXPRESSIONS = st.recursive(
    LEAVES | st.builds(SX, st.floats(-2.0, 2.0)),
    lambda inner: (
        st.builds(lambda f, a: casadi.atan(f(a)), st.sampled_from(UNARY), inner)
        | st.builds(lambda f, a, b: casadi.atan(f(a, b)), st.sampled_from(BINARY), inner, inner)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=80)
@given(st.tuples(EXPRESSIONS, EXPRESSIONS), st.integers(0, 2**32 - 1))
def test_the_text_of_random_expressions(entries, seed):
    rhs = casadi.vertcat(*entries)
    system = SymbolicSystem(Map(*INPUTS, rhs))
    rng = np.random.default_rng(seed)
    t, u = rng.uniform(0, 2), rng.normal(size=2)
    x, P = rng.uniform(-2, 2, (2, 2, B))
    theta = rng.uniform(-2, 2, (1, B))

    def write(block, i, m, value):
        block[i, m] = value

    names = {**generated.NAMES, "read": lambda block, i, m: block[i, m], "write": write}
    names["copy"] = lambda source, target: np.copyto(target, source)
    exec(system.map.text, names)
    tape, zero, (out, back), g = (
        np.zeros((2, B)),
        np.zeros((2, B)),
        np.full((2, 2, B), np.nan),
        np.zeros(2),
    )
    record, w = system.record(float), system.scratch(B, float)
    names["field"](record, t, theta, u, 0.25, x, tape, 1.0, zero, out, w)
    names["pullback"](record, t, theta, u, 0.25, 1.0, P, tape, 1.0, P, back, g, w)
    value, dx, du, size = expected(system, reference(INPUTS, rhs), t, x, u, theta, P)
    np.testing.assert_allclose(out, value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back, P + dx, rtol=1e-12, atol=1e-12 * (1 + np.abs(dx).max()))
    assert (np.abs(g - du) <= 1e-12 * (1 + size)).all()

    again = SymbolicSystem.from_instructions(**system.describe())
    np.testing.assert_allclose(
        again.f(t, x.T, u, theta.T), system.f(t, x.T, u, theta.T), rtol=1e-13, atol=1e-13
    )


# ------------------------------------------------------------------------------- in a sweep


def sweeper(dynamics, scheme, samples=37, steps=4):
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=(2, samples, dynamics.dim))
    none = np.empty((0, 0))
    data = sweeps.Samples(x, y, none, none, np.empty(0))
    times = np.array([0.0, *np.cumsum(rng.uniform(0.1, 0.3, steps))])
    cost = losses.Squared()
    run = sweeps.Sweeper(
        dynamics, schemes.scheme(scheme), times, cost, None, 1.0, float, (dynamics.dim, 0)
    )
    return run, data, 0.3 * rng.normal(size=(steps, dynamics.controls))


@pytest.mark.parametrize(
    ("family", "scheme"),
    [
        (LinearControl(2, "gaussian", degree=1, width=2.0, scale=0.8), "euler"),
        (LinearControl(3, "polynomial", degree=2), "rk4"),
    ],
)
def test_listed_fields_are_the_family_they_list(family, scheme):
    listed = ListedFields(family.dim, family.symbolic_fields(), scale=family.scale)
    assert listed.affine
    ours, data, u = sweeper(listed, scheme)
    theirs, _, _ = sweeper(family, scheme)
    ours, theirs = ours.run(data, u), theirs.run(data, u)
    assert ours.terminal == pytest.approx(theirs.terminal, rel=1e-12)
    np.testing.assert_allclose(ours.g, theirs.g, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        listed.f(0.0, data.x, u[0]), family.f(0.0, data.x, u[0]), rtol=1e-12, atol=1e-12
    )


def rotating(x):
    return [-x[1], x[0], 0]


def pulling(x):
    return casadi.vertcat(casadi.tanh(x[2]), 0, x[0] * casadi.exp(-(x[1] ** 2)))


def drifting(x):
    return np.array([casadi.sin(x[1]), -0.5, x[0] * x[2]])


def test_gradient_is_the_slope_of_the_cost():
    system = LinearControl(3, [rotating, pulling], drift=drifting, scale=0.7)
    run, data, u = sweeper(system, "rk4")
    v = np.random.default_rng(5).normal(size=u.shape)
    step = 1e-5
    costs = [run.run(data, u + sign * step * v, backward=False).terminal for sign in (1, -1)]
    slope = (costs[0] - costs[1]) / (2 * step)
    h = np.diff(run.times)[:, None]
    assert -(h * run.run(data, u).g * v).sum() == pytest.approx(slope, rel=1e-7)


def test_values_of_listed_fields():
    system = LinearControl(3, [rotating, pulling], drift=drifting, scale=0.7)
    x = np.random.default_rng(1).normal(size=(5, 3))
    u = np.array([0.5, -2.0])
    y, z, r = x.T
    zero = np.zeros(5)
    fields = [np.array([-z, y, zero]), np.array([np.tanh(r), zero, y * np.exp(-(z**2))])]
    drift = np.array([np.sin(z), zero - 0.5, y * r])
    by_hand = 0.7 * (drift + 0.5 * fields[0] - 2.0 * fields[1]).T
    np.testing.assert_allclose(system.f(0.0, x, u), by_hand, rtol=1e-14, atol=1e-14)
    assert (system.dim, system.controls, system.parameters) == (3, 2, 0)
    np.testing.assert_array_equal(system.unpack(system.pack(u=u))["u"], u)


def test_a_family_with_a_drift():
    family = LinearControl(2, "polynomial", degree=1)
    system = LinearControl(2, "polynomial", degree=1, drift=lambda x: -x)
    x = np.random.default_rng(2).normal(size=(4, 2))
    u = np.arange(6.0)
    np.testing.assert_allclose(system.f(0.0, x, u), family.f(0.0, x, u) - x, atol=1e-14)


@pytest.mark.parametrize(("dim", "samples"), [(1, 1), (1, 4), (2, 1), (2, 2), (3, 1)])
def test_values_of_any_number_of_samples(dim, samples):
    system = ListedFields(dim, [lambda x: x * x, lambda x: x])
    x = np.arange(1.0, 1 + dim * samples, dtype=np.float32).reshape(samples, dim)
    np.testing.assert_array_equal(system.f(0.0, x, [1, -2]), x * x - 2 * x)


def test_constants_that_are_not_finite():
    system = ListedFields(1, [lambda x: [casadi.if_else(x[0] > 0, x[0], np.inf)]])
    assert "real(inf)" in system.map.text
    assert system.f(0.0, np.array([[2.0], [-1.0]]), np.ones(1)).tolist() == [[2.0], [np.inf]]


@pytest.mark.parametrize(
    ("dim", "field", "value"),
    [
        (1, lambda x: -x, [[-3.0]]),
        (1, lambda x: 2.0, [[2.0]]),
        (2, lambda x: (1, 0), [[1.0, 0.0]]),
        (2, lambda x: np.array([[1.0], [2.0]]), [[1.0, 2.0]]),
        (2, lambda x: casadi.DM([1, 2]), [[1.0, 2.0]]),
        (2, lambda x: x.T, [[3.0, 4.0]]),
        (2, lambda x: [0, 0], [[0.0, 0.0]]),
    ],
)
def test_what_a_field_may_return(dim, field, value):
    system = ListedFields(dim, [field])
    x = np.array([[3.0, 4.0]])[:, :dim]
    np.testing.assert_array_equal(system.f(0.0, x, np.ones(1)), value)


def test_kernels_of_one_text_are_one_pair():
    first, again = (ListedFields(3, [rotating, pulling], drifting, s) for s in (1.0, 2.0))
    assert first.kernels() == again.kernels()
    assert first.kernels()[0] != ListedFields(3, [rotating, rotating]).kernels()[0]


# ------------------------------------------------------------------------ without user code


def test_a_system_is_rebuilt_from_its_instructions(tmp_path):
    system = LinearControl(3, [rotating, pulling], drift=drifting, scale=0.7)
    np.savez(tmp_path / "system.npz", **system.describe())
    with np.load(tmp_path / "system.npz", allow_pickle=False) as file:
        loaded = ListedFields.from_instructions(**{k: file[k][()] for k in file.files})
    plain = {k: np.asarray(v).tolist() for k, v in system.describe().items()}
    told = ListedFields.from_instructions(**json.loads(json.dumps(plain)))
    pickled = pickle.loads(pickle.dumps(system))
    x, u = np.random.default_rng(4).normal(size=(6, 3)), np.array([0.3, -1.0])
    for copy in (loaded, told, pickled):
        assert isinstance(copy, ListedFields)
        assert copy.kernels() == system.kernels()  # the same text: nothing is compiled again
        assert repr(copy) == repr(system) == "LinearControl(3, [2 fields], scale=0.7)"
        np.testing.assert_array_equal(copy.f(0.0, x, u), system.f(0.0, x, u))


@pytest.mark.parametrize("rows", [2**31 - 1, 10**30, -1, 2.0])
def test_a_description_of_more_rows_than_fit_is_refused(rows):
    told = LinearControl(3, [rotating]).describe() | dict(rows=rows)
    with pytest.raises((TypeError, ValueError), match="rows="):
        ListedFields.from_instructions(**told)


def test_every_operation_is_rebuilt():
    system, _, _ = compiled_every_operation()
    again = SymbolicSystem.from_instructions(**system.describe())
    assert set(again.map.field.operations) == set(system.map.field.operations)
    rng = np.random.default_rng(6)
    x, u, theta = rng.normal(size=(5, 3)), rng.normal(size=2), rng.uniform(0.5, 2, (5, 2))
    np.testing.assert_allclose(again.f(0.3, x, u, theta), system.f(0.3, x, u, theta), rtol=1e-14)


def test_plain_families_do_not_need_casadi():
    code = (
        "import sys, pmpnet.dynamics as d; d.LinearControl(2); assert 'casadi' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------- bad input

ELSEWHERE = SX.sym("elsewhere")
CALLED = casadi.Function("called", [ELSEWHERE], [casadi.sin(ELSEWHERE)], {"never_inline": True})


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ([], ValueError, "empty list"),
        (None, TypeError, "fields=None is not a list"),
        (rotating, TypeError, r"write a list of functions, such as \[field\]"),
        (["polynomial"], TypeError, r"fields\[0\]='polynomial' is not a function"),
        ([rotating, lambda x: [x[0]]], ValueError, r"fields\[1\] has 1 .* the state has 3"),
        ([lambda x: 1.0], ValueError, "has 1 expression"),
        ([lambda x: None], TypeError, "None as entry 0"),
        ([lambda x: "abc"], TypeError, "'abc' as entry 0"),
        ([lambda x: ["a", "b", "c"]], TypeError, r"'a' as entry 0"),
        ([lambda x: [0, casadi.MX.sym("y"), 0]], TypeError, r"casadi\.MX"),
        ([lambda x: [0, 1j, 0]], TypeError, "as entry 1"),
        ([lambda x: [0, 0, x]], TypeError, "as entry 2"),
        ([lambda x: [ELSEWHERE, 0, x[0]]], ValueError, "contains elsewhere"),
        ([lambda x: [x[3], 0, 0]], ValueError, r"RuntimeError: .*x\[0\] to x\[2\]"),
        ([lambda x: [x[0] if x[0] > 0 else 0, 0, 0]], ValueError, "casadi.if_else"),
        ([lambda x: [casadi.erfinv(x[0]), 0, 0]], ValueError, "CasADi's erfinv"),
        ([lambda x: [CALLED(x[0]), 0, 0]], ValueError, "CasADi's call"),
    ],
)
def test_refused_fields(fields, kind, words):
    with pytest.raises(kind, match=words):
        LinearControl(3, fields)


def test_refused_drift():
    with pytest.raises(TypeError, match="drift=3 is not a function"):
        LinearControl(3, [rotating], drift=3)
    with pytest.raises(ValueError, match="drift has 2"):
        LinearControl(3, [rotating], drift=lambda x: [0, 0])


def test_refused_parts():
    with pytest.raises(TypeError, match="the parts of this control are u"):
        LinearControl(3, [rotating]).pack(W=1)
    with pytest.raises(ValueError, match=r"u has shape \(2,\)"):
        LinearControl(3, [rotating]).pack(u=[1, 2])
