"""Second derivatives, and Newton's method in control space."""

import casadi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

import pmpnet
import pmpnet.solve
from pmpnet import Problem, datasets, dynamics, losses, penalties
from pmpnet.reduced import Reduced
from pmpnet.tangent import Tangent

from .problems import translation, translation_cost
from .symbolic_problems import bolza, of_the_state
from .test_constraints import least_energy

RNG = np.random.default_rng(21)
X = RNG.standard_normal((9, 2))
MADE = {
    "Bolza": lambda: bolza(scheme="heun"),
    "a cost of the state": lambda: of_the_state(scheme="rk4"),
    "classes": lambda: Problem(
        dynamics.Layer(2), X, np.arange(9) % 3, scheme="midpoint", steps=4,
        terminal_cost=losses.CrossEntropy(3, readout=RNG.standard_normal((3, 2))),
    ),
    "particles": lambda: Problem(
        dynamics.Neurons(2, 2), X, X[::-1], terminal_cost=losses.Squared(0.3),
        running_cost=losses.Squared(), weights=np.arange(9.0), steps=4,
    ),
}  # fmt: skip
TANGENTS = {}


def tangent(name, hessian="exact"):
    if (name, hessian) not in TANGENTS:
        TANGENTS[name, hessian] = Tangent(MADE[name](), hessian)
    return TANGENTS[name, hessian]


@settings(deadline=None, max_examples=40)
@given(name=st.sampled_from(sorted(MADE)), seed=st.integers(0, 2**32 - 1))
def test_products_are_slopes_of_the_gradient(name, seed):
    second, rng = tangent(name), np.random.default_rng(seed)
    problem = second.problem
    u = 0.5 * rng.standard_normal(problem.control_shape)
    w, v = rng.standard_normal((2, *u.shape))
    Hw, Hv = second.product(u, w), second.product(u, v)
    reduced, e = Reduced(problem), 1e-5
    ahead, behind = (reduced.evaluate((u + s * e * w).ravel()).g for s in (1, -1))
    slope = ((behind - ahead) / (2 * e)).reshape(u.shape)
    np.testing.assert_allclose(Hw, slope, rtol=0, atol=1e-7 * abs(Hw).max() + 1e-9)
    metric = problem.metric[:, None]
    size = abs(metric * Hw * v).sum()
    assert (metric * Hw * v).sum() == pytest.approx((metric * Hv * w).sum(), abs=1e-12 * size)


# --------------------------------------------------------------------------- Gauss and Newton


def squares(problem, x):
    """Second derivatives by the states x (N+1, M, d) of a problem's costs, (N+1, M, d, d)."""
    curvature, weights = np.zeros((*x.shape, x.shape[-1])), problem.weights[:, None, None]
    if isinstance(problem.terminal_cost, losses.Squared):
        curvature[-1] = 2 * 0.3 * weights * np.eye(2)
        h = np.diff(problem.times)[:, None, None, None]
        curvature[:-1] = 2 * h * weights * np.eye(2)  # Euler's
    else:
        P = problem.terminal_cost.readout
        p = softmax(x[-1] @ P.T, axis=1)
        middle = p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None, :]
        curvature[-1] = weights * (P.T @ middle @ P)
    return curvature


@settings(deadline=None, max_examples=10)
@given(name=st.sampled_from(["classes", "particles"]), seed=st.integers(0, 2**32 - 1))
def test_gauss_newton_products_are_those_of_the_explicit_matrix(name, seed):
    second, rng = tangent(name, "gauss-newton"), np.random.default_rng(seed)
    problem, e = second.problem, 1e-5
    u = 0.5 * rng.standard_normal(problem.control_shape)
    units = np.eye(u.size).reshape(-1, *u.shape)
    J = np.array([problem.states(u + e * i) - problem.states(u - e * i) for i in units]) / (2 * e)
    G = np.einsum("akmi,kmij,bkmj->ab", J, squares(problem, problem.states(u)), J)
    w = rng.standard_normal(u.shape)
    found = problem.metric[:, None] * second.product(u, w)
    np.testing.assert_allclose(found.ravel(), G @ w.ravel(), rtol=0, atol=1e-8 * abs(found).max())


@settings(deadline=None, max_examples=40)
@given(name=st.sampled_from(sorted(MADE)), seed=st.integers(0, 2**32 - 1))
def test_gauss_newton_is_symmetric_and_for_convex_losses_never_negative(name, seed):
    second, rng = tangent(name, "gauss-newton"), np.random.default_rng(seed)
    problem = second.problem
    u, w, v = rng.standard_normal((3, *problem.control_shape))
    Gw, Gv, metric = second.product(u, w), second.product(u, v), problem.metric[:, None]
    size = abs(metric * Gw * v).sum()
    assert (metric * Gw * v).sum() == pytest.approx((metric * Gv * w).sum(), abs=1e-12 * size)
    if name != "Bolza":  # the running cost there has cosines
        assert (metric * Gw * w).sum() >= -1e-14 * abs(metric * Gw * w).sum()


def test_gauss_newton_is_exact_for_linear_dynamics_only():
    x, u = casadi.SX.sym("x", 2), casadi.SX.sym("u")
    rates = [x[1] + 0.3 * u, u - x[0]]
    cost = losses.Symbolic(x[0] ** 4 + (x[1] * u - 1) ** 2, x, u)
    linear = Problem(
        dynamics.Symbolic(x, u, rates), X, terminal_cost=losses.Huber(0.5), running_cost=cost,
        scheme="heun", steps=4,
    )  # fmt: skip
    v, w = RNG.standard_normal((2, *linear.control_shape))
    exact, gauss = (Tangent(linear, name).product(v, w) for name in ("exact", "gauss-newton"))
    np.testing.assert_allclose(gauss, exact, rtol=1e-12, atol=1e-14)
    u, w = RNG.standard_normal((2, *MADE["classes"]().control_shape))
    exact, gauss = (tangent("classes", name).product(u, w) for name in ("exact", "gauss-newton"))
    assert abs(exact - gauss).max() > 0.1 * abs(exact).max()


# ------------------------------------------------------------------------------- the method


def moons(control_cost):
    x, y = datasets.two_moons(200, seed=0)
    return Problem(
        dynamics.Layer(2), x, y, terminal_cost=losses.Logistic(readout=[[4.0, 0.0]]),
        control_cost=control_cost, steps=10,
    )  # fmt: skip


@pytest.mark.parametrize(
    "control_cost",
    [
        penalties.L2(0.01),
        penalties.ElasticNet(0.01, 0.001),
        penalties.ElasticNet(0.01, 0.001) + penalties.Box(-1.5, 1.5),
    ],
    ids=repr,
)
def test_newton_finds_what_successive_approximations_find(control_cost):
    problem = moons(control_cost)
    start = pmpnet.solve.msa(problem, tol=1e-2)
    slow = pmpnet.solve.msa(problem, start, tol=1e-9, max_iter=5000)
    gauss = pmpnet.solve.newton(problem, start, tol=1e-8, hessian="gauss-newton")
    assert gauss.success, gauss.message
    assert gauss.cost == pytest.approx(slow.cost, rel=1e-9)
    found = pmpnet.solve.newton(problem, start, tol=1e-10)
    assert found.success, found.message
    assert found.cost == pytest.approx(slow.cost, rel=1e-9)
    np.testing.assert_array_equal(found.controls == 0, slow.controls == 0)
    assert (np.diff(found.history["cost"]) <= 1e-12).all()  # it never goes up
    # at the end every iteration gains several digits
    assert (found.history["residual"][-3:] < 1e-2 * found.history["residual"][-4:-1]).any()


def test_a_quadratic_problem_takes_one_step():
    problem = translation(beta=0.5)
    found = pmpnet.solve.newton(problem, tol=1e-12)
    assert found.success
    assert found.nit <= 4
    assert found.cost == pytest.approx(translation_cost(beta=0.5), rel=1e-12)


@pytest.mark.parametrize("hessian", ["exact", "gauss-newton"])
def test_products_count_four_sweeps(hessian):
    problem = moons(penalties.L2(0.01))
    found = pmpnet.solve.newton(problem, tol=1e-6, hessian=hessian)
    assert found.history["sweeps"][-1] == found.nfev + found.njev
    assert found.nfev > 2 * found.nit


def test_a_cost_without_a_minimum_ends_with_the_negative_curvature_named():
    x = casadi.SX.sym("x", 2)
    falling = losses.Symbolic(-casadi.dot(x, x), x)
    problem = Problem(dynamics.LinearControl(2), X, terminal_cost=falling)
    found = pmpnet.solve.newton(problem, max_iter=2000)
    assert not found.success
    assert "negative curvature" in found.message
    assert 'hessian="gauss-newton"' in found.message


def test_a_hessian_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="hessian='full' is not known"):
        pmpnet.solve.newton(translation(), hessian="full")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (dict(control_cost=penalties.Ball(1.0)), "one by one"),
        (dict(control_cost=penalties.Group(0.1)), "one by one"),
        (dict(terminal_cost=losses.Squared(readout="train")), "a trained readout"),
        (dict(free_horizon=(0.5, 2.0)), "a free horizon"),
    ],
)
def test_refused(told, words):
    problem = Problem(
        dynamics.LinearControl(2), X, X, **dict(terminal_cost=losses.Squared()) | told
    )
    with pytest.raises(ValueError, match=words):
        pmpnet.solve.newton(problem)


def test_constraints_are_refused():
    with pytest.raises(ValueError, match="constraints, of which there are no second derivatives"):
        pmpnet.solve.newton(least_energy())
