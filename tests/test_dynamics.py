"""Layers and linear-control systems: f by its formula, parts of a control, what is refused."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmpnet import Problem
from pmpnet.dynamics import Dynamics, Layer, LinearControl
from pmpnet.dynamics.layer import ACTIVATIONS, KEEPS_DERIVATIVE
from pmpnet.dynamics.linear_control import monomials
from pmpnet.kernels import activations
from pmpnet.losses import Squared

from .reference import System, reference
from .strategies import AFFINE, LINEAR, NEURONS, SEEDS, SYSTEMS, system

DIMS = (1, 2, 3, 5)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", SYSTEMS + NEURONS)
def test_f_is_its_formula(name, dim):
    rng = np.random.default_rng(dim)
    dynamics = system(name, dim, scale=-1.7, width=0.8)
    x, u = rng.standard_normal((6, dim)), rng.standard_normal(dynamics.controls)
    exact = reference(dynamics).value(x, u)
    np.testing.assert_allclose(dynamics.f(0.3, x, u), exact, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", SYSTEMS + NEURONS)
def test_one_euler_step_of_the_sweep_is_x_plus_h_f(name, dim):
    rng = np.random.default_rng(dim)
    dynamics = system(name, dim, scale=0.7, width=1.3)
    x, u = rng.standard_normal((6, dim)), rng.standard_normal(dynamics.controls)
    p = Problem(dynamics, x, terminal_cost=Squared(), times=[2.0, 2.25])
    exact = x + 0.25 * dynamics.f(2.0, x, u)
    np.testing.assert_allclose(p.states(u[None])[1], exact, rtol=1e-13, atol=1e-14)


@given(st.sampled_from(AFFINE), st.sampled_from(DIMS), SEEDS)
def test_f_is_linear_in_the_control(name, dim, seed):
    rng = np.random.default_rng(seed)
    dynamics = system(name, dim)
    assert dynamics.affine
    x = rng.standard_normal((4, dim))
    u, v = rng.standard_normal((2, dynamics.controls))
    whole = dynamics.f(0.0, x, 2.0 * u - v)
    parts = 2.0 * dynamics.f(0.0, x, u) - dynamics.f(0.0, x, v)
    np.testing.assert_allclose(whole, parts, rtol=0, atol=1e-12 * (1 + abs(parts).max()))


@given(st.sampled_from(SYSTEMS + NEURONS), st.sampled_from(DIMS), SEEDS)
def test_pack_and_unpack_are_inverse(name, dim, seed):
    rng = np.random.default_rng(seed)
    dynamics = system(name, dim)
    row = rng.standard_normal(dynamics.controls)
    parts = dynamics.unpack(row)
    np.testing.assert_array_equal(dynamics.pack(**parts), row)
    for key, part in dynamics.unpack(dynamics.pack(**parts)).items():
        np.testing.assert_array_equal(part, parts[key])
    # what is left out is zero
    np.testing.assert_array_equal(dynamics.pack(), np.zeros(dynamics.controls))


def test_parts_of_a_layer_are_w_and_b():
    layer = Layer(2, "identity", scale=10.0)
    u = layer.pack(W=[[1, 2], [3, 4]], b=[5, 6])
    assert u.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(layer.f(0.0, np.array([[1.0, -1.0]]), u), [[40.0, 50.0]])
    assert layer.pack(b=[5, 6]).tolist() == [0, 0, 0, 0, 5, 6]
    bare = Layer(2, bias=False)
    assert bare.pack(W=[[1, 2], [3, 4]]).tolist() == [1, 2, 3, 4]
    assert list(bare.unpack(np.ones(4))) == ["W"]


def test_the_packed_row_is_a_copy():
    W = np.eye(2)
    row = Layer(2, bias=False).pack(W=W)
    row[:] = 7.0
    np.testing.assert_array_equal(W, np.eye(2))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", AFFINE)
def test_rows_are_the_rows_of_the_matrix(name, dim):
    dynamics = system(name, dim)
    u = np.arange(dynamics.controls, dtype=float)
    matrix = System(dynamics).matrix(u)
    np.testing.assert_array_equal(u[dynamics.rows], matrix)
    assert sorted(dynamics.rows.ravel()) == list(range(dynamics.controls))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", SYSTEMS + NEURONS)
def test_description_makes_the_same_system_again(name, dim):
    first = system(name, dim, scale=0.3, width=2.5)
    told = first.describe()
    again = (LinearControl if name in LINEAR else type(first))(**told)
    assert isinstance(again, Dynamics)
    assert repr(again) == repr(first)
    assert again.describe() == told
    assert again.controls == first.controls


def test_how_systems_are_shown():
    assert repr(Layer(3)) == "Layer(3, 'tanh')"
    assert repr(Layer(3, "gelu", bias=False)) == "Layer(3, 'gelu', bias=False)"
    assert repr(Layer(3, scale=0.5)) == "Layer(3, 'tanh', scale=0.5)"
    assert repr(LinearControl(2)) == "LinearControl(2, 'constant')"
    assert repr(LinearControl(2, "polynomial", degree=2)) == (
        "LinearControl(2, 'polynomial', degree=2)"
    )
    assert repr(LinearControl(2, "gaussian", width=2.0, scale=3.0)) == (
        "LinearControl(2, 'gaussian', degree=0, width=2, scale=3)"
    )


# --------------------------------------------------------------------------- families


def test_monomials_are_all_of_them_once():
    for dim, degree in product((1, 2, 3), (0, 1, 2, 3)):
        found = monomials(dim, degree)
        powers = [tuple(m.count(i) for i in range(dim)) for m in found]
        wanted = [p for p in product(range(degree + 1), repeat=dim) if sum(p) <= degree]
        assert sorted(powers) == sorted(wanted)


def test_numbers_of_fields():
    assert [LinearControl(2, "gaussian", degree=q).controls for q in (0, 1, 2)] == [4, 8, 14]
    assert [LinearControl(2, "polynomial", degree=q).controls for q in (0, 1, 2)] == [2, 6, 12]
    assert LinearControl(7).controls == 7
    assert [Layer(3, bias=bias).controls for bias in (True, False)] == [12, 9]


def test_a_control_entry_multiplies_its_field():
    # gaussian fields of degree 1 in the plane: e_i, then G e_i, G x_1 e_i, G x_2 e_i
    dynamics = LinearControl(2, "gaussian", degree=1, width=2.0)
    x = np.array([[0.5, -1.0]])
    G = np.exp(-1.25 / 4.0)
    features = [1.0, G, 0.5 * G, -1.0 * G]
    for entry in range(8):
        field = dynamics.f(0.0, x, np.eye(8)[entry])[0]
        wanted = np.zeros(2)
        wanted[entry % 2] = features[entry // 2]
        np.testing.assert_allclose(field, wanted, rtol=1e-15)


def test_constant_fields_forget_degree_and_width():
    dynamics = LinearControl(3, degree=4)
    assert dynamics.controls == 3
    np.testing.assert_array_equal(
        dynamics.f(0.0, np.ones((2, 3)), np.array([1.0, 2.0, 3.0])), [[1, 2, 3], [1, 2, 3]]
    )


# ------------------------------------------------------------------------- activations


def test_activations_have_one_list():
    assert activations.NAMES == ACTIVATIONS
    kept = tuple(activations.NAMES[code] for code in activations.KEEPS_DERIVATIVE)
    assert kept == KEEPS_DERIVATIVE
    assert len(ACTIVATIONS) == 8


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_far_out_and_at_zero(name, dtype):
    # one step of x' = s(x) from x, and the costate through it: s and s' at the ends of the range
    x = np.array([-1e4, -50.0, -1e-20, 0.0, 1e-20, 50.0, 1e4])[:, None]
    p = Problem(Layer(1, name, bias=False), x, terminal_cost=Squared(), steps=1, dtype=dtype)
    u = np.ones((1, 1))
    s = System(p.dynamics)
    phi, slope = s.features(x)
    states, costates = p.states(u), p.costates(u)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(states[1], x + phi, rtol=8 * eps, atol=1e-30)
    np.testing.assert_allclose(
        costates[0], (1 + slope[:, :, 0]) * costates[1], rtol=8 * eps, atol=1e-30
    )


def test_slopes_at_a_kink():
    # relu and leaky relu at exactly zero take the slope from below
    for name, slope in (("relu", 0.0), ("leaky_relu", 0.01)):
        p = Problem(Layer(1, name), [[0.0]], terminal_cost=Squared(), steps=1)
        costates = p.costates([[1.0, 1.0]])[:, 0, 0]
        assert costates[0] == pytest.approx((1 + slope) * costates[1], rel=1e-15)


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Layer(0), ValueError, "dim=0 is too small"),
        (lambda: Layer(-3), ValueError, "dim=-3 is too small"),
        (lambda: Layer(2.0), TypeError, r"dim=2\.0 is not a whole number"),
        (lambda: Layer("2"), TypeError, "dim='2' is not a whole number"),
        (lambda: Layer(True), TypeError, "dim=True is not a whole number"),
        (lambda: Layer(2, "swish"), ValueError, "activation='swish' is not known.*'tanh'"),
        (lambda: Layer(2, None), ValueError, "activation=None is not known"),
        (lambda: Layer(2, bias=1), TypeError, "bias=1 is neither True nor False"),
        (lambda: Layer(2, scale=np.inf), ValueError, "scale=inf is not finite"),
        (lambda: Layer(2, scale="1"), TypeError, "scale='1' is not a real number"),
        (lambda: Layer(2, scale=1j), TypeError, "scale=1j is not a real number"),
        (lambda: LinearControl(0), ValueError, "dim=0 is too small"),
        (lambda: LinearControl(2, "splines"), ValueError, "fields='splines' is not known"),
        (lambda: LinearControl(2, "polynomial", degree=-1), ValueError, "degree=-1 is too small"),
        (lambda: LinearControl(2, "gaussian", degree=1.5), TypeError, "degree=1.5 is not a whole"),
        (lambda: LinearControl(2, "gaussian", width=0), ValueError, "width=0.0 is too small"),
        (lambda: LinearControl(2, "gaussian", width=-1), ValueError, "width=-1.0 is too small"),
        (lambda: LinearControl(2, "gaussian", width=np.nan), ValueError, "width=nan is not finite"),
        (lambda: LinearControl(2, scale=np.nan), ValueError, "scale=nan is not finite"),
        (lambda: Layer(2).pack(V=np.eye(2)), TypeError, r"pack\(\) got V=.*W, b"),
        (lambda: Layer(2, bias=False).pack(b=[1, 2]), TypeError, r"pack\(\) got b=.*are W"),
        (lambda: Layer(2).pack(W=np.eye(3)), ValueError, r"W has shape \(3, 3\).*\(2, 2\)"),
        (lambda: Layer(2).pack(b=[1.0]), ValueError, r"b has shape \(1,\).*\(2,\)"),
        (lambda: Layer(2).pack(W=[[np.nan, 0], [0, 0]]), ValueError, "W has a value.*not finite"),
        (lambda: Layer(2).unpack(np.zeros(5)), ValueError, r"row has shape \(5,\).*\(6,\)"),
        (lambda: LinearControl(2).pack(W=1), TypeError, r"pack\(\) got W=.*are U"),
        (lambda: LinearControl(2).pack(U=[1, 2]), ValueError, r"U has shape \(2,\).*\(2, 1\)"),
        (lambda: LinearControl(2).unpack([1]), ValueError, r"row has shape \(1,\).*\(2,\)"),
    ],
)
def test_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
