"""What papers claim, and what is measured: diffeomorphisms, sparsity, mean-field control.

What other files test already is not tested again: J on the diffeomorphism with 8 fields by every
method, the translation's exact cost and basic iterations that diverge in `test_successive` and
`test_descent`; the kinetic energy's exact cost, two clouds, and basic iterations that cycle on one
cloud in `test_kinetic`. The numbers are those of an independent program in NumPy.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path

import casadi
import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, datasets, dynamics, losses, penalties
from pmpnet.analysis import prune, sample_convergence, sparsity

from .problems import diffeomorphism

DATA = Path(__file__).parent / "data"


def table(name):
    return np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1)


# ------------------------------------------------------------- diffeomorphisms, Scagliotti 2023


def test_errors_that_500_iterations_leave_with_four_fields():
    problem = diffeomorphism(4, 1e-4)
    flow = pmpnet.solve.gradient_flow(problem, max_iter=500, tol=1e-8)
    principle = pmpnet.solve.msa(problem, variant="synchronous", max_iter=500, tol=1e-8)
    assert flow.nit == principle.nit == 500
    assert flow.terms["terminal"] == pytest.approx(0.0614, abs=5e-4)
    assert principle.terms["terminal"] == pytest.approx(0.0408, abs=2e-4)
    # neither is near the optimum
    best = pmpnet.solve.msa(problem)
    assert best.nfev + best.njev < principle.nfev + principle.njev
    assert best.terms["terminal"] < 0.1 * principle.terms["terminal"]


def test_depth_hardly_matters_and_the_family_of_fields_does():
    x = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    y = datasets.diffeomorphism(x)
    cost, unseen = {}, {}
    for fields in (4, 8):
        for steps in (8, 32):
            problem = diffeomorphism(fields, 1e-4).replace(times=np.linspace(0, 1, steps + 1))
            found = pmpnet.solve.msa(problem, max_iter=1000)
            cost[fields, steps] = found.cost
            unseen[fields, steps] = ((found.flow(x) - y) ** 2).sum(axis=1).mean()
        assert cost[fields, 32] == pytest.approx(cost[fields, 8], rel=0.05)
    for steps in (8, 32):
        assert cost[8, steps] < cost[4, steps] / 4
        assert unseen[8, steps] < unseen[4, steps] / 3


# --------------------------------------------- successive approximations, Krylov & Chernousko


@pytest.mark.parametrize("horizon", [1.0, 1.4, 1.7, 2.5])
def test_basic_iterations_converge_on_short_horizons_only(horizon):
    # x' = u, int x^2 / 2 + u^2 / 2: the error in u is mapped by -A'A, A the integration from 0,
    # whose largest eigenvalue is (2 T / pi)^2; a proximal weight of 1 maps it by (1 - A'A) / 2
    problem = Problem(
        dynamics.LinearControl(1), [[1.0]], [[0.0]], running_cost=losses.Squared(0.5),
        control_cost=penalties.L2(1.0), horizon=horizon, steps=200,
    )  # fmt: skip
    largest = (2 * horizon / np.pi) ** 2
    basic = pmpnet.solve.msa(problem, variant="basic", max_iter=25, tol=0.0)
    first = basic.history["residual"][:12]  # fewer where it diverges
    ratio = np.sqrt(first[-1] / first[-3])
    assert ratio == pytest.approx(largest, rel=0.02)
    proximal = pmpnet.solve.msa(problem, variant="damped", damping=0.5, tol=1e-10)
    assert proximal.success
    assert proximal.cost == pytest.approx(np.tanh(horizon) / 2, rel=0.02)  # Euler's steps


# ------------------------------------ sparsity and the stopping time, Esteve-Yague & Geshkovski


@cache
def working(power, horizon=5.0, layers=100, starts=3):
    """Two moons, wrong at a price for all of [0, T], |u|_1 at most ``power``."""
    rows = table("two_moons")
    x, y = casadi.SX.sym("x", 2), casadi.SX.sym("y")
    problem = Problem(
        dynamics.Layer(2), rows[:, :2], rows[:, 2],
        running_cost=losses.Symbolic((casadi.tanh(x[0]) - y) ** 2, x, y=y),
        control_cost=penalties.L1(0.02) + penalties.L1Ball(power), horizon=horizon, steps=layers,
    )  # fmt: skip
    return pmpnet.solve.msa(problem, starts=starts, max_iter=3000)


def risk(solution):
    y = solution.problem.targets.ravel()
    return ((np.tanh(solution.states()[:, :, 0]) - y) ** 2).mean(axis=1)


@pytest.mark.parametrize(
    ("power", "cost", "norm", "counts"),
    [(5.0, 0.5855, 7.10, (26, 6, 68)), (10.0, 0.3911, 7.22, (11, 10, 79))],
)
def test_full_power_and_then_exactly_nothing(power, cost, norm, counts):
    found = working(power)
    seen = sparsity(found)
    assert found.cost == pytest.approx(cost, abs=2e-4)
    assert seen.l1_norm == pytest.approx(norm, abs=0.02)
    assert np.abs(np.subtract(seen.counts, counts)).max() <= 1
    # saturated, then the tail, then zeros: each in one piece
    assert seen.ordered
    assert seen.saturated[: seen.counts[0]].all()
    assert seen.stopping_time - seen.l1_norm / power < 8 * found.problem.steps[0]
    # from then on the risk stands still, and the layers can be cut off
    stop = np.searchsorted(found.times, seen.stopping_time)
    np.testing.assert_array_equal(risk(found)[stop:], risk(found)[stop])
    x = found.problem.initial_states
    np.testing.assert_array_equal(prune(found).flow(x), found.flow(x))


def test_twice_the_power_works_half_as_long():
    norms = {power: sparsity(working(power)).l1_norm for power in (2.5, 5.0, 10.0, 20.0)}
    assert 6.5 < min(norms.values()) < max(norms.values()) < 7.8
    stops = [working(power).stopping_time() for power in norms]
    assert (np.diff(stops) < 0).all()


@pytest.mark.slow
def test_the_stopping_time_hardly_depends_on_the_horizon():
    found = [working(5.0, T, int(20 * T)) for T in (2.5, 5.0, 10.0)]
    ends = [risk(s)[-1] for s in found]
    np.testing.assert_allclose(ends, [0.030, 0.0028, 0.0008], rtol=0.08)
    stops, work = zip(*((s.stopping_time(), sparsity(s).l1_norm) for s in found), strict=True)
    assert stops[2] - stops[1] <= 0.3  # of 5 more
    assert work[2] < 1.1 * work[1]


def test_the_tail_between_full_power_and_nothing_shrinks_with_the_step():
    tails = []
    for layers in (50, 100, 200):
        seen = sparsity(working(5.0, 5.0, layers, starts=1))
        tails.append(seen.stopping_time - seen.l1_norm / 5)
    assert (np.diff(np.log2(tails)) < -0.6).all()


# ---------------------------------------------- minimisers of mean-field problems, Isobe & Okumura


def test_controls_converge_where_the_system_is_affine_and_the_cost_convex():
    x, y = table("one_cloud").T
    found = [
        pmpnet.solve.msa(
            Problem(
                dynamics.Layer(1, bias=False), x[:, None], y[:, None], steps=steps,
                terminal_cost=losses.Squared(), control_cost=penalties.L2(0.1),
            ),
            np.ones((steps, 1)),
            tol=1e-10,
        )
        for steps in (10, 20, 40, 80)
    ]  # fmt: skip
    assert all(s.success for s in found)
    costs = np.diff([s.cost for s in found])
    controls = [
        np.abs(np.repeat(a.controls, 2, axis=0) - b.controls).max() for a, b in pairwise(found)
    ]
    for differences in (costs, controls):  # as much again as is left: first order
        ratios = [a / b for a, b in pairwise(differences)]
        np.testing.assert_allclose(ratios, 2.0, atol=0.35)


def bolza(steps, wells=True):
    """int x^2 + (u^2 - 1)^2 dt from x = 0, or with the convex hull of the wells."""
    x, u = casadi.SX.sym("x"), casadi.SX.sym("u")
    wall = (u**2 - 1) ** 2 if wells else casadi.fmax(u**2 - 1, 0) ** 2
    return Problem(
        dynamics.Symbolic(x, u, u), [[0.0]], running_cost=losses.Symbolic(x**2 + wall, x, u),
        steps=steps,
    )  # fmt: skip


def variation(solution):
    return np.abs(np.diff(solution.controls[:, 0])).sum()


def test_controls_chatter_where_no_minimiser_exists():
    grids = np.array([10, 20, 40, 80])
    started = [(-1.0) ** np.arange(n)[:, None] for n in grids]
    switched = [
        pmpnet.solve.msa(bolza(n), u, tol=1e-8) for n, u in zip(grids, started, strict=True)
    ]
    costs = np.array([s.cost for s in switched])
    # +1, -1, ... costs h^2 / 2; what is found from there falls as fast, and is never 0
    assert (costs < 0.5 / grids**2).all()
    np.testing.assert_allclose(costs * grids**2, costs[0] * grids[0] ** 2, rtol=0.02)
    np.testing.assert_allclose([variation(s) for s in switched], 2 * (grids - 1), rtol=0.02)
    # nobody said where to switch: as many times, up to a factor
    found = [pmpnet.solve.msa(bolza(n), starts=30, max_iter=300) for n in grids]
    assert (np.diff([s.cost for s in found]) < 0).all()
    rate = np.polyfit(np.log(grids), np.log([variation(s) for s in found]), 1)[0]
    assert 0.6 < rate < 1.2


def test_the_convex_hull_of_the_wells_has_a_minimiser():
    for steps in (10, 80):
        found = pmpnet.solve.msa(bolza(steps, wells=False), np.full((steps, 1), 0.5), tol=1e-8)
        assert found.cost < 1e-12
        # the last step is free, and those before it nearly
        np.testing.assert_allclose(found.controls[:-1], 0.0, atol=1e-3)


def test_the_cost_of_a_sample_comes_to_that_of_the_measure():
    y = np.repeat([-2.0, 2.0], 5000)
    x = y / 2 + 0.12 * np.random.default_rng(0).standard_normal(10000)
    problem = Problem(
        dynamics.Outside(1, bias=False), x[:, None], y[:, None], terminal_cost=losses.Squared(),
        control_cost=penalties.L2(0.2), horizon=0.9, steps=9,
    )  # fmt: skip
    found = sample_convergence(problem, pmpnet.solve.msa, [25, 100, 400, 1600], resamples=60)
    best = pmpnet.solve.msa(problem).cost
    assert found.rate == pytest.approx(-0.5, abs=0.06)
    assert np.abs(found.costs[-1] - best).max() < 0.05 * best
    # what a sample's control costs everyone, above the best: the error squared
    excess = (found.held_out - best).mean(axis=1)
    assert (excess > 0).all()
    slope = np.polyfit(np.log(found.sizes), np.log(excess), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.15)
