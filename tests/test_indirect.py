"""The boundary value problem of the principle: textbook answers, msa's optima, clear refusals."""

import casadi
import numpy as np
import pytest
from casadi import SX

import pmpnet
import pmpnet.solve
from pmpnet import Problem, constraints, dynamics, losses, penalties

from .problems import translation, translation_cost
from .symbolic_problems import AT_END, COMMON, MIXED, SYSTEM, X

METHODS = ("bvp", "shooting")


def regulator(steps=20, **how):
    """x' = u from 1 with running cost (x^2 + u^2) / 2 to T = 1: J = tanh(1) / 2."""
    told = dict(running_cost=losses.Squared(0.5), control_cost=penalties.L2(1.0)) | how
    return Problem(dynamics.LinearControl(1), [[1.0]], steps=steps, scheme="rk4", **told)


def cart(control_cost, horizon, steps=40, **how):
    """A cart goes from rest at 0 to rest at 1."""
    q, v, force = (SX.sym(name) for name in ("q", "v", "force"))
    arrive = constraints.Terminal([q, v], [q, v], [1, 0], [1, 0], name="arrive")
    return Problem(
        dynamics.Symbolic([q, v], force, [v, force]),
        [[0.0, 0.0]],
        control_cost=control_cost,
        constraints=[arrive],
        horizon=horizon,
        steps=steps,
        scheme="rk4",
        **how,
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_regulator_has_its_exact_control(method):
    problem = regulator()
    solution = pmpnet.solve.indirect(problem, method=method, tol=1e-9)
    assert solution.success, solution.message
    # u(t) = -sinh(1 - t) / cosh(1), averaged over the intervals
    primitive = np.cosh(1 - problem.times) / np.cosh(1)
    exact = np.diff(primitive) / np.diff(problem.times)
    np.testing.assert_allclose(solution.controls[:, 0], exact, rtol=1e-7)
    assert solution.method == f"indirect ({method})"
    # the mean of the control over intervals costs O(h^2) more than the control itself
    errors = [
        pmpnet.solve.indirect(regulator(steps), method=method).cost - 0.5 * np.tanh(1)
        for steps in (10, 20, 40)
    ]
    assert 0 < errors[-1] < 1e-4
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2, atol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_a_translation_has_its_exact_cost(method):
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2))
    problem = Problem(
        dynamics.LinearControl(2), x, x + np.array([0.3, 0.4]), weights=[1, 2, 0, 1, 1, 3],
        terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0),
    )  # fmt: skip
    solution = pmpnet.solve.indirect(problem, method=method, tol=1e-8)
    assert solution.success
    assert solution.cost == pytest.approx(translation_cost(), abs=1e-10)
    assert solution.residual < 1e-8


COSTS = [
    penalties.L2(0.5),
    penalties.L2(0.5) + penalties.Box(-0.3, 1.0),
    penalties.ElasticNet(0.1, 0.5),
    penalties.Group(0.2) + penalties.L2(0.5),
]


def nonlinear(control_cost, steps=40):
    """Pendulums with a torque, all with the same one, and a field of the state."""
    angle, speed, u = SX.sym("angle"), SX.sym("speed"), SX.sym("u", 2)
    t, y, length = SX.sym("t"), SX.sym("y"), SX.sym("length")
    system = dynamics.Symbolic(
        [angle, speed], u, [speed + u[1] * angle, u[0] - length * casadi.sin(angle)],
        parameters=length,
    )  # fmt: skip
    state = casadi.vertcat(angle, speed)
    running = (1 + t) * speed**2 + 0.2 * angle * u[0] + 0.05 * length * u[0] ** 2
    return Problem(
        system,
        [[1.0, 0.0], [0.5, 0.5], [-0.2, 1.0]],
        [0.1, 0.0, -0.1],
        terminal_cost=losses.Symbolic((angle - y) ** 2 + length * speed**2, state, y=y, parameters=length),
        running_cost=losses.Symbolic(running - 0.05 * length * u[0] ** 2, state, u, t, parameters=length),
        control_cost=control_cost,
        weights=[1.0, 2.0, 0.5],
        parameters=[[1.0], [1.5], [0.7]],
        steps=steps,
        horizon=1.5,
        scheme="rk4",
    )  # fmt: skip


@pytest.mark.parametrize("penalty", COSTS, ids=repr)
@pytest.mark.parametrize("method", METHODS)
def test_it_reaches_the_optimum_of_msa(penalty, method):
    problem = nonlinear(penalty)
    best = pmpnet.solve.msa(problem, tol=1e-8, max_iter=2000)
    found = pmpnet.solve.indirect(problem, best, tol=1e-6, method=method)
    assert found.success, found.message
    assert found.cost == pytest.approx(best.cost, rel=2e-6)
    # msa's is the best of all piecewise constant controls
    assert found.cost >= best.cost - 1e-9
    # an interval in which a bound or a zero begins has a mean of both
    difference = abs(found.controls - best.controls)
    assert difference.max() < 2e-2
    assert (difference > 2e-3).sum() <= 3
    assert found.violations["controls"] <= 1e-9


def test_a_mean_of_points_of_a_ball_costs_less_on_a_finer_grid():
    # the control turns on the sphere, and its means are inside
    errors = []
    for steps in (20, 40):
        problem = nonlinear(penalties.L2(0.5) + penalties.Ball(0.4), steps)
        best = pmpnet.solve.msa(problem, tol=1e-8, max_iter=2000)
        found = pmpnet.solve.indirect(problem, best)
        assert found.success
        errors.append(found.cost / best.cost - 1)
    assert 0 < errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_prescribed_ends_with_energy(method):
    # rest to rest in T = 2 over 1 with least energy: u = 6 (1 - t) / 4, J = 6 / T^3
    problem = cart(penalties.L2(1.0), 2.0)
    found = pmpnet.solve.indirect(problem, method=method, tol=1e-8)
    assert found.success
    middle = 0.5 * (problem.times[1:] + problem.times[:-1])
    np.testing.assert_allclose(found.controls[:, 0], 1.5 * (1 - middle), atol=1e-7)
    assert found.violations["arrive"] < 1e-3
    # J(q) = 6 q^2 / T^3, J(v) from the other end's speed: minus the costates at the end
    np.testing.assert_allclose(found.multipliers["arrive"], [[-1.5, 1.5]], atol=1e-6)
    by_msa = pmpnet.solve.msa(problem, tol=1e-6)
    np.testing.assert_allclose(found.multipliers["arrive"], by_msa.multipliers["arrive"], atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_costates_are_those_of_riccati(method):
    # V = tanh(1 - t) x^2 / 2, p = -V_x, and x = cosh(1 - t) / cosh(1)
    problem = regulator(steps=200)
    found = pmpnet.solve.indirect(problem, method=method, tol=1e-9)
    left = 1 - problem.times
    exact = -np.tanh(left) * np.cosh(left) / np.cosh(1)
    np.testing.assert_allclose(found.costates()[:, 0, 0], exact, atol=1e-5)


# ------------------------------------------------------ Hamiltonians not affine in the control


def curved(control_cost):
    """tanh(u t) in the field, and t x^2 cos(u) in the cost."""
    told = COMMON | dict(times=np.linspace(0.3, 1.5, 33))
    return Problem(
        SYSTEM, X, [0.5, -1.0, 0.3, 1.2, -0.4], terminal_cost=AT_END, running_cost=MIXED,
        control_cost=control_cost, scheme="rk4", **told,
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_affine_in_the_control_reaches_the_optimum_of_msa(method):
    problem = curved(penalties.L2(3.0))
    best = pmpnet.solve.msa(problem, tol=1e-9, max_iter=2000)
    found = pmpnet.solve.indirect(problem, tol=1e-6, method=method)
    assert found.success, found.message
    assert -1e-9 < found.cost / best.cost - 1 < 1e-6
    np.testing.assert_allclose(found.controls, best.controls, atol=1e-4)


@pytest.mark.parametrize(
    "cost",
    [penalties.ElasticNet(0.4, 3.0), penalties.L2(3.0) + penalties.Box(-0.1, 0.1)],
    ids=repr,
)
def test_l1_and_boxes_beside_what_is_not_affine(cost):
    problem = curved(cost)
    best = pmpnet.solve.msa(problem, tol=1e-9, max_iter=5000)
    found = pmpnet.solve.indirect(problem, best, smoothing=0.0, tol=1e-5)
    assert found.success, found.message
    assert -1e-9 < found.cost / best.cost - 1 < 1e-6
    assert found.violations["controls"] <= 1e-12
    fixed = (best.controls == 0) | (abs(best.controls) == 0.1)
    assert fixed.sum() >= 5
    # an interval in which a bound or a zero begins has a mean of both
    assert (found.controls != best.controls)[fixed].sum() <= 4


def test_a_kinetic_cost_of_constant_fields_is_an_energy():
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2))
    problem = Problem(
        dynamics.LinearControl(2), x, x + np.array([0.3, 0.4]),
        terminal_cost=losses.Squared(), control_cost=penalties.Kinetic(1.0),
    )  # fmt: skip
    found = pmpnet.solve.indirect(problem)
    assert found.success
    assert found.cost == pytest.approx(translation_cost(), abs=1e-10)


def test_a_kinetic_cost_reaches_the_optimum_of_msa():
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2))
    problem = Problem(
        dynamics.LinearControl(2, "polynomial", degree=1), x, np.tanh(2 * x), steps=40,
        scheme="rk4", terminal_cost=losses.Squared(3.0), control_cost=penalties.Kinetic(1.0),
    )  # fmt: skip
    best = pmpnet.solve.msa(problem, tol=1e-9)
    found = pmpnet.solve.indirect(problem)
    assert found.success, found.message
    assert found.cost == pytest.approx(best.cost, rel=1e-5)
    np.testing.assert_allclose(found.controls, best.controls, atol=2e-3)


def test_a_maximiser_without_curvature_is_not_accepted():
    # u^4 is flat at its minimum, which is where it stays
    x, u = SX.sym("x"), SX.sym("u")
    problem = Problem(
        dynamics.Symbolic(x, u, u), [[1.0]], running_cost=losses.Symbolic(u**4, x, u), steps=10
    )
    found = pmpnet.solve.indirect(problem)
    assert not found.success
    assert "not strictly concave in the control at its maximiser" in found.message


# ------------------------------------------------------------------------ what is to be found


@pytest.mark.parametrize("method", METHODS)
def test_an_end_on_a_circle(method):
    # x' = u from r (cos, sin) to the unit circle: J = (1 - r)^2 / 2, and dJ/de at |x|^2 = e
    r = 0.4
    problem = Problem(
        dynamics.LinearControl(2), [[r * np.cos(0.7), r * np.sin(0.7)]], steps=8,
        control_cost=penalties.L2(1.0),
        constraints=[constraints.Terminal(casadi.dot(x2, x2), x2, 1, 1, name="circle")],
    )  # fmt: skip
    found = pmpnet.solve.indirect(problem, np.full((8, 2), 0.5), method=method, tol=1e-9)
    assert found.success, found.message
    assert found.cost == pytest.approx(0.5 * (1 - r) ** 2, abs=1e-9)
    np.testing.assert_allclose(found.multipliers["circle"], -(1 - r) / 2, atol=1e-8)
    # J plus the multiplier times the constraint is stationary
    np.testing.assert_allclose(
        found.costates()[-1], -2 * found.multipliers["circle"] * found.states()[-1], atol=1e-8
    )


def waiting(range=(0.2, 5.0)):
    """A cart to rest at 1 by an energy, in a time that costs more and more."""
    q, v, force, t = (SX.sym(name) for name in ("q", "v", "force", "t"))
    arrive = constraints.Terminal([q, v], [q, v], [1, 0], [1, 0], name="arrive")
    return Problem(
        dynamics.Symbolic([q, v], force, [v, force]), [[0.0, 0.0]],
        running_cost=losses.Symbolic(2 * t, [q, v], t=t), control_cost=penalties.L2(1.0),
        constraints=[arrive], free_horizon=range, steps=50, scheme="rk4",
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_free_horizon(method):
    # J = T^2 + 6 / T^3 is least where 2 T = 18 / T^4
    problem, T = waiting(), 9 ** (1 / 5)
    found = pmpnet.solve.indirect(problem, method=method, tol=1e-9)
    assert found.success, found.message
    assert found.horizon == pytest.approx(T, rel=1e-8)
    assert found.cost == pytest.approx(T**2 + 6 / T**3, rel=1e-3)
    np.testing.assert_allclose(found.multipliers["arrive"], [[-12 / T**3, 6 / T**2]], rtol=1e-7)
    # from a solution with a horizon of its own, on another grid
    coarse = pmpnet.solve.msa(waiting().replace(steps=20))
    again = pmpnet.solve.indirect(problem, coarse, method=method, tol=1e-9)
    assert again.horizon == pytest.approx(T, rel=1e-8)
    assert pmpnet.verify(problem, again).residual < 1e-2


def test_a_horizon_outside_its_range_is_not_accepted():
    found = pmpnet.solve.indirect(waiting((0.2, 1.2)))
    assert not found.success
    assert "its horizon 1.55185 is not between 0.2 and 1.2" in found.message


def test_least_fuel_has_its_two_thrusts():
    # full ahead for s, then coasting, then full back for s: s (T - s) = 1, and the fuel is 2 s
    T = 3.0
    s = (T - np.sqrt(T**2 - 4)) / 2
    problem = cart(penalties.L1(1.0) + penalties.Box(-1, 1), T, steps=60)
    found = pmpnet.solve.indirect(problem, tol=1e-6)
    assert found.success, found.message
    assert "smoothing of 0.001" in found.message
    assert found.cost == pytest.approx(2 * s, abs=2e-3)
    u = found.controls[:, 0]
    assert (u[problem.times[1:] < s - 0.05] == 1.0).all()
    assert (u[problem.times[:-1] > T - s + 0.05] == -1.0).all()
    coasting = (problem.times[:-1] > s + 0.05) & (problem.times[1:] < T - s - 0.05)
    assert (u[coasting] == 0.0).all()
    smoothings = found.history["rho"][1:]
    assert (smoothings[0], smoothings[-1]) == (1.0, 0.001)
    assert (np.diff(smoothings) < 0).all()
    # less smoothing is less fuel
    assert (np.diff(found.history["cost"][1:]) < 1e-6).all()


def test_a_start_may_come_from_another_grid_or_be_a_control():
    problem = regulator()
    exact = pmpnet.solve.indirect(problem, tol=1e-8)
    coarse = pmpnet.solve.msa(regulator(steps=7))
    for start in (coarse, np.full((20, 1), -0.3), exact):
        again = pmpnet.solve.indirect(problem, start, tol=1e-8)
        np.testing.assert_allclose(again.controls, exact.controls, atol=1e-8)
        assert again.history["cost"][0] != again.cost or start is exact
    with pytest.raises(ValueError, match=r"start has 1 samples.*same samples and horizon"):
        pmpnet.solve.indirect(regulator(horizon=2.0), coarse)


def test_what_fails_gives_back_the_last_solve_and_says_so():
    # nothing gets from rest to rest over 1 within T = 1 at this force
    problem = cart(penalties.L2(0.1) + penalties.Box(-1, 1), 1.0)
    found = pmpnet.solve.indirect(problem, smoothing=[0.1, 0.0], max_nodes=200)
    assert not found.success
    assert "is not solved" in found.message
    assert np.isfinite(found.cost)


def test_a_solution_is_stored_with_its_multipliers(tmp_path):
    found = pmpnet.solve.indirect(cart(penalties.L2(1.0), 2.0))
    found.save(tmp_path / "kept.npz")
    again = pmpnet.load(tmp_path / "kept.npz")
    np.testing.assert_array_equal(again.multipliers["arrive"], found.multipliers["arrive"])
    assert pmpnet.verify(again.problem, again).residual == pytest.approx(found.residual)


def test_a_solution_of_the_principle_passes_its_certificate():
    problem = nonlinear(penalties.L2(0.5))
    certificate = pmpnet.verify(problem, pmpnet.solve.indirect(problem))
    assert certificate.gap < 1e-4
    assert certificate.taylor_slope == pytest.approx(2, abs=0.05)


x2 = SX.sym("x", 2)


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (lambda: translation(), r"50 samples of dimension 2.*40 at most"),
        (
            lambda: curved(penalties.Group(0.1) + penalties.L2(1.0)),
            "entry by entry",
        ),
        (
            lambda: Problem(
                dynamics.Layer(2), [[0.0, 1.0]], [1], control_cost=penalties.L2(1.0),
                terminal_cost=losses.Squared(readout="train"),
            ),
            "control and the horizon only",
        ),
        (lambda: regulator(control_cost=penalties.L2(np.ones((20, 1)))), "same at all times"),
        (lambda: regulator(control_cost=penalties.Finite([0, 1])), "convex control cost"),
        (
            lambda: regulator(control_cost=penalties.Group(1.0, by="time") + penalties.L2(1.0)),
            "same at all times",
        ),
        (
            lambda: Problem(
                dynamics.LinearControl(2), [[0.0, 1.0]], control_cost=penalties.L2(1.0),
                constraints=[constraints.Terminal(x2[0], x2, 1, 2)],
            ),
            r"neither inequalities nor Path: use pmpnet\.solve\.direct",
        ),
        (
            lambda: Problem(
                dynamics.LinearControl(2), [[0.0, 1.0]], control_cost=penalties.L2(1.0),
                constraints=[constraints.Path(x2[0], x2, upper=2)],
            ),
            r"neither inequalities nor Path: use pmpnet\.solve\.direct",
        ),
    ],
)  # fmt: skip
def test_other_problems_are_refused(problem, sentence):
    with pytest.raises(ValueError, match=sentence):
        pmpnet.solve.indirect(problem())


def test_options_are_checked():
    problem = regulator()
    for options, sentence in (
        (dict(method="simple"), "method='simple' is not known"),
        (dict(smoothing=[0.1, 0.2]), "several that fall"),
        (dict(tol=0.0), "tol=0.0 is too small"),
        (dict(segments=0), "segments=0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            pmpnet.solve.indirect(problem, **options)
    with pytest.raises(ValueError, match="where a control without L2 jumps"):
        pmpnet.solve.indirect(regulator(control_cost=penalties.Box(-1, 1)), smoothing=0.0)
