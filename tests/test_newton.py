"""Second derivatives, and Newton's method in control space."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def tangent(name):
    if name not in TANGENTS:
        TANGENTS[name] = Tangent(MADE[name]())
    return TANGENTS[name]


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


def test_products_count_four_sweeps():
    problem = moons(penalties.L2(0.01))
    found = pmpnet.solve.newton(problem, tol=1e-6)
    assert found.history["sweeps"][-1] == found.nfev + found.njev
    assert found.nfev > 2 * found.nit


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
