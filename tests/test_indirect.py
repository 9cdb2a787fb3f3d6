"""The boundary value problem of the principle: textbook answers, msa's optima, clear refusals."""

import casadi
import numpy as np
import pytest
from casadi import SX

import pmpnet
import pmpnet.solve
from pmpnet import Problem, constraints, dynamics, losses, penalties

from .problems import translation, translation_cost

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
            lambda: Problem(dynamics.TwoLayer(2, 3), [[0.0, 1.0]], control_cost=penalties.L2(1.0)),
            "affine in u",
        ),
        (lambda: regulator(control_cost=penalties.Kinetic(1.0)), "no Kinetic"),
        (lambda: regulator(free_horizon=(0.5, 2.0)), "decides the control only"),
        (lambda: regulator(control_cost=penalties.L2(np.ones((20, 1)))), "same at all times"),
        (lambda: regulator(control_cost=penalties.Finite([0, 1])), "convex control cost"),
        (
            lambda: regulator(control_cost=penalties.Group(1.0, by="time") + penalties.L2(1.0)),
            "same at all times",
        ),
        (
            lambda: Problem(
                dynamics.LinearControl(2), [[0.0, 1.0]], control_cost=penalties.L2(1.0),
                constraints=[constraints.Terminal(x2[0] ** 2, x2, 1, 1)],
            ),
            "entries of the final state only",
        ),
        (
            lambda: Problem(
                dynamics.LinearControl(2), [[0.0, 1.0]], control_cost=penalties.L2(1.0),
                constraints=[constraints.Terminal(x2[0], x2, 1, 2)],
            ),
            "entries of the final state only",
        ),
        (
            lambda: Problem(
                dynamics.LinearControl(2), [[0.0, 1.0]], control_cost=penalties.L2(1.0),
                constraints=[constraints.Path(x2[0], x2, upper=2)],
            ),
            "entries of the final state only",
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
