"""Networks and particles: kernels beside CasADi, systems said as expressions, what is refused."""

import subprocess
import sys
from functools import cache

import casadi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

import pmpnet
import pmpnet.solve
from pmpnet import Problem, losses, penalties
from pmpnet.dynamics import Layer, LinearControl, Neurons, Outside, TwoLayer
from pmpnet.dynamics.layer import ACTIVATIONS
from pmpnet.dynamics.twins import activation
from pmpnet.kernels import jit
from pmpnet.losses import Squared
from pmpnet.penalties import Group

from . import reference
from .strategies import NEURONS, SEEDS, SYSTEMS, system

B = 16
DIMS = st.integers(1, 4)


# ------------------------------------------------------------------------ beside CasADi


@cache
def example(name, dim):
    """A system, and by CasADi its value, both pullbacks, and its derivative along (dx, du)."""
    dynamics = system(name, dim, scale=-0.7, width=1.3)
    twin = dynamics.symbolic()
    _, x, u, _ = twin.map.inputs
    rhs = twin.scale * twin.map.value
    P, dx, du = casadi.SX.sym("P", dim), casadi.SX.sym("dx", dim), casadi.SX.sym("du", u.numel())
    pulled = [casadi.jtimes(rhs, v, P, True) for v in (x, u)]
    along = casadi.jtimes(rhs, x, dx) + casadi.jtimes(rhs, u, du)
    return (
        dynamics,
        casadi.Function("exact", [x, u, P], [rhs, *pulled]),
        casadi.Function("along", [x, u, dx, du], [along]),
    )


@cache
def driver(family, field, pullback):
    """One state forward and back as the sweep runs it."""

    @njit(**{**jit.CALL_OPTIONS, "no_cpython_wrapper": False})
    def run(record, t, theta, u, a, b, X, tape, s, base, out, P, back, g, w):
        field(record, t, theta, u, a, X, tape, s, base, out, w)
        pullback(record, t, theta, u, a, b, P, tape, s, P, back, g, w)

    return run


def run_kernels(dynamics, x, u, P, a, aliased, dtype=np.float64, s=1.0, b=1.0):
    """Return x or s + a f, s P + a (df/dx)' P and 1 + b sum (df/du)' P, by the kernels."""
    d = dynamics.dim

    def block(values):
        padded = np.zeros((d + d % 2, B), dtype)
        padded[:d] = values
        return padded

    X, P, ones, back = block(x), block(P), block(np.ones((d, B))), block(np.full((d, B), np.nan))
    base, out = (X, X) if aliased else (ones, block(np.full((d, B), np.nan)))
    g, tape = np.ones(dynamics.controls), np.zeros((dynamics.tape_rows, B), dtype)
    driver(*dynamics.kernels())(
        dynamics.record(dtype), 0.0, np.zeros((0, B), dtype), np.asarray(u, dtype), dtype(a),
        dtype(b), X, tape, dtype(s), base, out, P, back, g, dynamics.scratch(B, dtype),
    )  # fmt: skip
    return out[:d], back[:d], g


def drawn(dynamics, seed):
    rng = np.random.default_rng(seed)
    x, P = rng.standard_normal((2, dynamics.dim, B))
    return x, rng.standard_normal(dynamics.controls), P, rng.uniform(0.1, 2.0)


@pytest.mark.parametrize("name", SYSTEMS + NEURONS)
@settings(max_examples=15)
@given(dim=DIMS, seed=SEEDS, aliased=st.booleans())
def test_kernels_compute_what_casadi_computes(name, dim, seed, aliased):
    dynamics, exact, _ = example(name, dim)
    x, u, P, a = drawn(dynamics, seed)
    value, dx, du = (part.full() for part in exact(x, u, P))
    s, b = 1.0 if aliased else -0.6, 1.7
    out, back, g = run_kernels(dynamics, x, u, P, a, aliased, s=s, b=b)
    np.testing.assert_allclose(out, (x if aliased else s) + a * value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back, s * P + a * dx, rtol=1e-12, atol=1e-12)
    size = 1 + abs(du).sum(axis=1)
    assert (abs(g - 1.0 - b * du.sum(axis=1)) <= b * 1e-12 * size).all()


@pytest.mark.parametrize("name", SYSTEMS + NEURONS)
@settings(max_examples=15)
@given(dim=DIMS, seed=SEEDS)
def test_a_pullback_is_the_transpose_of_the_derivative(name, dim, seed):
    # <P, f_x dx + f_u du> = <f_x' P, dx> + <f_u' P, du>
    dynamics, _, along = example(name, dim)
    x, u, P, _ = drawn(dynamics, seed)
    rng = np.random.default_rng(seed + 1)
    dx, du = rng.standard_normal((dim, B)), rng.standard_normal(dynamics.controls)
    _, back, g = run_kernels(dynamics, x, u, P, 1.0, False)
    terms = np.concatenate([((back - P) * dx).ravel(), (g - 1.0) * du])
    assert (P * along(x, u, dx, du).full()).sum() == pytest.approx(
        terms.sum(), rel=0, abs=1e-12 * abs(terms).sum()
    )


@pytest.mark.parametrize("name", SYSTEMS + NEURONS)
def test_single_precision_stays_near(name):
    dynamics, exact, _ = example(name, 3)
    x, u, P, a = drawn(dynamics, 5)
    value, dx, du = (part.full() for part in exact(x, u, P))
    out, back, g = run_kernels(dynamics, x, u, P, a, False, np.float32)
    assert out.dtype == back.dtype == np.float32
    np.testing.assert_allclose(out, 1.0 + a * value, rtol=1e-5, atol=1e-5 * abs(value).max())
    np.testing.assert_allclose(back, P + a * dx, rtol=1e-5, atol=1e-5 * (1 + abs(dx).max()))
    assert (abs(g - 1.0 - du.sum(axis=1)) <= 1e-5 * (1 + abs(du).sum(axis=1))).all()


@given(st.sampled_from(SYSTEMS + NEURONS), DIMS, SEEDS)
def test_a_twin_is_the_same_system(name, dim, seed):
    dynamics, _, _ = example(name, dim)
    twin = dynamics.symbolic()
    x, u, _, _ = drawn(dynamics, seed)
    np.testing.assert_allclose(twin.f(0.0, x.T, u), dynamics.f(0.0, x.T, u), rtol=1e-12, atol=1e-12)
    assert (twin.dim, twin.controls, twin.scale) == (dim, dynamics.controls, dynamics.scale)
    assert twin.share == dynamics.share
    np.testing.assert_array_equal(twin.rows, dynamics.rows)
    assert twin.symbolic() is twin
    # identity networks of two layers are still products of their weights
    assert twin.affine == dynamics.affine


@pytest.mark.parametrize(
    "dynamics",
    [
        Layer(2, "gelu", scale=0.8),
        LinearControl(2, "gaussian", degree=1, scale=0.8),
        TwoLayer(2, 3, "softplus", scale=0.8),
        Outside(2, "sigmoid", scale=0.8),
        Neurons(2, 2, "sin", scale=0.8),
    ],
    ids=lambda dynamics: type(dynamics).__name__,
)
def test_kernels_compute_what_their_twins_kernels_compute(dynamics):
    x, u, P, a = drawn(dynamics, 3)
    for aliased in (False, True):
        ours = run_kernels(dynamics, x, u, P, a, aliased)
        for found, wanted in zip(
            ours, run_kernels(dynamics.symbolic(), x, u, P, a, aliased), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * abs(wanted).max())


# -------------------------------------------------------------- activations as expressions


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_as_expressions(name):
    z = casadi.SX.sym("z")
    s = activation(name, z)
    ds = casadi.gradient(s, z)
    values = casadi.Function("values", [z], [s, ds, casadi.gradient(ds, z)])
    at = np.r_[-1e4, -800.0, np.linspace(-60, 60, 241), 1e-20, 800.0, 1e4]
    value, slope, curvature = (part.full()[0] for part in values(at[None]))
    s, ds = reference.ACTIVATIONS[name]
    np.testing.assert_allclose(value, s(at), rtol=1e-15, atol=1e-15)
    smooth = at != 0 if name in reference.KINKS else np.isfinite(at)
    np.testing.assert_allclose(slope[smooth], ds(at)[smooth], rtol=1e-13, atol=1e-15)
    # also the second derivative, at zero too, where a control of zeros puts a network
    e = 1e-5
    wanted = (ds(at + e) - ds(at - e)) / (2 * e)
    smooth = abs(at) > e if name in reference.KINKS else abs(at - 36) > e
    smooth &= abs(at) < 100
    np.testing.assert_allclose(curvature[smooth], wanted[smooth], rtol=0, atol=1e-8)
    assert np.isfinite(curvature).all()


def test_networks_do_without_casadi():
    code = """
import sys, numpy as np, pmpnet
from pmpnet import losses
from pmpnet.dynamics import Neurons, Outside, TwoLayer
for dynamics in (TwoLayer(2, 3), Outside(2), Neurons(2, 3)):
    p = pmpnet.Problem(dynamics, np.ones((3, 2)), terminal_cost=losses.Squared(), steps=2)
    p.gradient(np.ones(p.control_shape))
print('casadi' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]


# ---------------------------------------------------------------------------- definitions


@pytest.mark.parametrize("scheme", ["euler", "heun"])
@pytest.mark.parametrize("hidden", [3, 65, 67])
def test_the_round_holds_in_wide_layers(hidden, scheme):
    d = 66
    rng = np.random.default_rng(hidden)
    x, y = rng.standard_normal((2, 21, d))
    systems = [TwoLayer(d, hidden, "gelu")] + [Outside(d)] * (hidden == 65)
    for dynamics in systems:
        p = Problem(dynamics, x, y, terminal_cost=Squared(), steps=2, scheme=scheme)
        u = rng.standard_normal(p.control_shape) / np.sqrt(d)
        exact = reference.Reference(p).round(u)
        done = p.sweep(u, (None, None), costates=True)
        assert done.terminal == pytest.approx(exact.terminal, rel=1e-12)
        for got, wanted in ((done.costates, exact.costates), (done.g, exact.g)):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-11 * abs(wanted).max())


@given(st.sampled_from(ACTIVATIONS), DIMS, st.integers(1, 5), SEEDS)
def test_copies_of_a_particle_are_the_particle(name, dim, copies, seed):
    one, many = Neurons(dim, 2, name), Neurons(dim, 2 * copies, name)
    assert many.share == one.share / copies
    rng = np.random.default_rng(seed)
    x, u = rng.standard_normal((5, dim)), rng.standard_normal(one.controls)
    repeated = np.repeat(u[one.rows], copies, axis=0).ravel()
    np.testing.assert_allclose(many.f(0.0, x, repeated), one.f(0.0, x, u), rtol=1e-13, atol=1e-14)


@given(st.sampled_from(ACTIVATIONS), DIMS, SEEDS)
def test_the_order_of_particles_does_not_matter(name, dim, seed):
    law = Neurons(dim, 4, name)
    rng = np.random.default_rng(seed)
    x, u = rng.standard_normal((5, dim)), rng.standard_normal(law.controls)
    shuffled = u[rng.permutation(law.rows)].ravel()
    np.testing.assert_allclose(law.f(0.0, x, shuffled), law.f(0.0, x, u), rtol=0, atol=1e-13)


@given(DIMS, SEEDS)
def test_a_layer_is_a_network_whose_weights_are_known(dim, seed):
    # A s(I x + 0) + b is a layer; s(W x + b) is two layers, the outer one the identity
    rng = np.random.default_rng(seed)
    x, W, b = rng.standard_normal((5, dim)), rng.standard_normal((dim, dim)), rng.normal(size=dim)
    two, eye = TwoLayer(dim, dim, "gelu"), np.eye(dim)
    layer, outside = Layer(dim, "gelu"), Outside(dim, "gelu")
    for other, u in (
        (layer, two.pack(A=W, W=eye, b=b)),
        (outside, two.pack(A=eye, W=W, c=b)),
    ):
        wanted = other.f(0.0, x, other.pack(W=W, b=b))
        np.testing.assert_allclose(two.f(0.0, x, u), wanted, rtol=0, atol=1e-13)


def test_parts():
    two = TwoLayer(2, 1, "identity", scale=10.0)
    u = two.pack(A=[[1], [2]], W=[[3, 4]], c=[5], b=[6, 7])
    assert u.tolist() == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(two.f(0.0, np.array([[1.0, -1.0]]), u), [[100.0, 150.0]])
    assert list(TwoLayer(2, 1, bias=False).unpack(np.ones(4))) == ["A", "W"]
    assert Outside(2).pack(W=[[1, 2], [3, 4]], b=[5, 6]).tolist() == [1, 2, 3, 4, 5, 6]
    assert list(Outside(2, bias=False).unpack(np.ones(4))) == ["W"]
    law = Neurons(2, 2)
    u = law.pack(a=[[1, 2], [6, 7]], w=[[3, 4], [8, 9]], c=[5, 10])
    assert u.tolist() == list(range(1, 11))
    assert [u[row].tolist() for row in law.rows] == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert law.share == 0.5
    assert {dynamics.share for dynamics in (two, Outside(2), Layer(2), LinearControl(2))} == {1.0}
    assert not any(dynamics.affine for dynamics in (two, Outside(2), law))


def test_how_networks_are_shown():
    assert repr(TwoLayer(3, 8)) == "TwoLayer(3, 8, 'tanh')"
    assert repr(TwoLayer(3, 8, "relu", bias=False)) == "TwoLayer(3, 8, 'relu', bias=False)"
    assert repr(Outside(2, "sin", scale=0.5)) == "Outside(2, 'sin', scale=0.5)"
    assert repr(Outside(2, bias=False)) == "Outside(2, 'tanh', bias=False)"
    assert repr(Neurons(2, 16, scale=2)) == "Neurons(2, 16, 'tanh', scale=2)"


# -------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: TwoLayer(0, 3), ValueError, "dim=0 is too small"),
        (lambda: TwoLayer(2, 0), ValueError, "hidden=0 is too small: write an int of at least 1"),
        (lambda: TwoLayer(2, 3.0), TypeError, r"hidden=3\.0 is not a whole number"),
        (lambda: TwoLayer(2, "tanh"), TypeError, "hidden='tanh' is not a whole number"),
        (lambda: TwoLayer(2, 3, "swish"), ValueError, "activation='swish' is not known.*'tanh'"),
        (lambda: TwoLayer(2, 3, bias=1), TypeError, "bias=1 is neither True nor False"),
        (lambda: TwoLayer(2, 3, scale=np.nan), ValueError, "scale=nan is not finite"),
        (lambda: TwoLayer(2, 3).pack(B=1), TypeError, r"pack\(\) got B=.*are A, W, c, b"),
        (lambda: TwoLayer(2, 3, bias=False).pack(b=[1, 2]), TypeError, "got b=.*are A, W"),
        (lambda: TwoLayer(2, 3).pack(A=np.eye(2)), ValueError, r"A has shape \(2, 2\).*\(2, 3\)"),
        (lambda: TwoLayer(2, 3).pack(c=[np.inf, 0, 0]), ValueError, "c has a value.*not finite"),
        (lambda: TwoLayer(2, 3).unpack(np.zeros(5)), ValueError, r"row has shape.*\(17,\)"),
        (lambda: Outside(-1), ValueError, "dim=-1 is too small"),
        (lambda: Outside(2, "swish"), ValueError, "activation='swish' is not known"),
        (lambda: Outside(2, bias=None), TypeError, "bias=None is neither True nor False"),
        (lambda: Outside(2, scale="1"), TypeError, "scale='1' is not a real number"),
        (lambda: Outside(2).pack(A=1), TypeError, r"pack\(\) got A=.*are W, b"),
        (lambda: Outside(2).pack(b=[1.0]), ValueError, r"b has shape \(1,\).*\(2,\)"),
        (lambda: Outside(2).unpack(np.zeros(4)), ValueError, r"row has shape.*\(6,\)"),
        (lambda: Neurons(2.5, 3), TypeError, r"dim=2\.5 is not a whole number"),
        (lambda: Neurons(2, 0), ValueError, "particles=0 is too small"),
        (lambda: Neurons(2, True), TypeError, "particles=True is not a whole number"),
        (lambda: Neurons(2, 3, None), ValueError, "activation=None is not known"),
        (lambda: Neurons(2, 3, scale=1j), TypeError, "scale=1j is not a real number"),
        (lambda: Neurons(2, 3).pack(A=1), TypeError, r"pack\(\) got A=.*are a, w, c"),
        (lambda: Neurons(2, 3).pack(a=np.eye(2)), ValueError, r"a has shape.*\(3, 2\)"),
        (lambda: Neurons(2, 3).unpack(np.zeros(5)), ValueError, r"row has shape.*\(15,\)"),
    ],
)
def test_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_rows_of_two_layers_are_of_two_lengths():
    with pytest.raises(ValueError, match="write by='layer' for these dynamics"):
        Problem(TwoLayer(2, 3), [[0.0, 0.0]], control_cost=Group(0.1, by="row"))
    Problem(Neurons(2, 3), [[0.0, 0.0]], control_cost=Group(0.1, by="row"))


def particles(copies, **how):
    """Two moons moved by particles; every one of 4 stands ``copies`` times."""
    x, y = pmpnet.datasets.two_moons(200, seed=3)
    problem = pmpnet.Problem(
        Neurons(2, 4 * copies), x, y, terminal_cost=losses.Logistic(readout=[[1.0, 1.0]]),
        control_cost=penalties.L2(0.01), steps=10, **how,
    )  # fmt: skip
    four = np.random.default_rng(1).standard_normal((10, 4, 5))
    return problem, 0.3 * np.repeat(four, copies, axis=1).reshape(problem.control_shape)


def iterations(solution):
    cost = solution.history["cost"]
    return np.argmax(cost - solution.cost <= 1e-6 * (cost[0] - solution.cost))


def test_neither_cost_nor_iterations_depend_on_the_number_of_particles():
    found = []
    for copies in (1, 2, 8):
        problem, start = particles(copies)
        found.append(pmpnet.solve.msa(problem, start))
        assert found[-1].success
        assert pmpnet.verify(problem, found[-1]).taylor_slope == pytest.approx(2.0, abs=0.05)
    one, *more = found
    for other in more:
        assert other.history["cost"][:20] == pytest.approx(one.history["cost"][:20], rel=1e-9)
        assert other.cost == pytest.approx(one.cost, rel=1e-9)
        # rounding differs, and after some sixty iterations it is seen
        assert iterations(other) == pytest.approx(iterations(one), rel=0.05)
    problem, start = particles(2)
    e = 1e-6 * np.random.default_rng(2).standard_normal(start.shape)
    slope = (problem.cost(start + e) - problem.cost(start - e)) / 2
    assert (problem.gradient(start) * e).sum() == pytest.approx(slope, rel=1e-7)


def test_hidden_weights_that_zero_controls_never_move():
    x, y = pmpnet.datasets.two_moons(200, seed=3)
    problem = pmpnet.Problem(
        TwoLayer(2, 3), x, y, terminal_cost=losses.Logistic(readout=[[1.0, 1.0]]),
        control_cost=penalties.L2(0.01), steps=10,
    )  # fmt: skip
    chosen = pmpnet.solve.msa(problem, np.zeros(problem.control_shape))
    found = pmpnet.solve.msa(problem)
    assert chosen.success  # whoever chose the saddle keeps it
    assert found.cost < 0.5 * chosen.cost
    assert "left by a seeded kick" in found.message
