"""Successive approximations: known answers, monotone costs, honest failure."""

import ast
import inspect
import re
from itertools import islice, pairwise

import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, losses, penalties
from pmpnet.reduced import Reduced
from pmpnet.solve import successive

from .problems import (
    DIFFEOMORPHISM,
    VARIANTS,
    diffeomorphism,
    moons,
    random_start,
    sweeps_to,
    translation,
    translation_cost,
)


@pytest.mark.parametrize(
    ("variant", "beta"),
    [("accelerated", 1.0), ("accelerated", 0.01), ("proximal", 1.0), ("proximal", 0.01),
     ("synchronous", 1.0)],
)  # fmt: skip
def test_translation_has_its_exact_cost(variant, beta):
    solution = pmpnet.solve.msa(translation(beta=beta), tol=1e-8, variant=variant)
    assert solution.success
    assert solution.cost == pytest.approx(translation_cost(beta=beta), abs=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("fields", "beta"), DIFFEOMORPHISM)
def test_diffeomorphism_has_its_known_cost(variant, fields, beta):
    solution = pmpnet.solve.msa(diffeomorphism(fields, beta), variant=variant)
    assert solution.success
    assert solution.cost == pytest.approx(DIFFEOMORPHISM[fields, beta], abs=5e-7)


@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_basic_successive_approximations_diverge_and_say_so(beta):
    problem = diffeomorphism(8, beta)
    solution = pmpnet.solve.msa(problem, variant="basic")
    assert not solution.success
    assert "diverged" in solution.message
    # nothing is lost: the best control seen comes back
    assert solution.cost <= problem.cost(np.zeros(problem.control_shape))
    assert np.isfinite(solution.controls).all()


def test_basic_successive_approximations_converge_when_the_penalty_is_strong():
    problem = diffeomorphism(8, 10.0)
    basic = pmpnet.solve.msa(problem, variant="basic")
    damped = pmpnet.solve.msa(problem, variant="damped", damping=0.5)
    assert basic.success
    assert damped.success
    assert basic.cost == pytest.approx(0.5663, abs=5e-5)
    assert damped.cost == pytest.approx(basic.cost, rel=1e-9)


def test_basic_needs_a_hamiltonian_with_a_maximum():
    for variant in ("basic", "damped"):
        with pytest.raises(ValueError, match="has no maximum"):
            pmpnet.solve.msa(translation(control_cost=penalties.L1(0.1)), variant=variant)


@pytest.mark.parametrize("seed", range(3))
def test_moons_need_few_sweeps_and_no_tuning(seed):
    problem = moons(seed)
    solution = pmpnet.solve.msa(problem, random_start(problem, seed), tol=1e-9)
    assert solution.success
    assert sweeps_to(solution, solution.cost, 1e-3) <= 100
    assert sweeps_to(solution, solution.cost, 1e-6) <= 160


@pytest.mark.parametrize("seed", range(3))
def test_elastic_net_gives_exact_zeros_in_few_sweeps(seed):
    problem = moons(seed, dim=4, steps=40, control_cost=penalties.ElasticNet(1e-2, 1e-3))
    solution = pmpnet.solve.msa(problem, random_start(problem, seed), tol=1e-7)
    assert (solution.controls == 0.0).mean() >= 0.8
    assert sweeps_to(solution, solution.cost, 1e-3) <= 200


PENALTIES = [
    penalties.L2(1e-2),
    penalties.ElasticNet(1e-2, 1e-3),
    penalties.L1(1e-2) + penalties.Box(-2, 2),
    penalties.Group(2e-2) + penalties.L2(1e-3),
    penalties.Group(1e-2, by="row") + penalties.L2(1e-3),
    penalties.Group(1e-2, by="time") + penalties.ElasticNet(1e-3, 1e-3),
    penalties.L2(1e-3) + penalties.Ball(3.0),
    penalties.L1(1e-3) + penalties.L1Ball(4.0),
]


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
@pytest.mark.parametrize("variant", ["accelerated", "proximal"])
def test_every_penalty_is_solved_to_the_principle(penalty, variant):
    problem = moons(control_cost=penalty)
    solution = pmpnet.solve.msa(
        problem, random_start(problem), variant=variant, max_iter=2000, tol=1e-4
    )
    assert solution.success, solution.message
    certificate = pmpnet.verify(problem, solution)
    assert certificate.residual <= 1e-4 * max(1, solution.history["residual"][0])
    assert certificate.violation <= 1e-12
    if problem.penalty.coercive:
        assert certificate.gap <= 1e-3


@pytest.mark.parametrize("variant", ["accelerated", "proximal"])
def test_translation_with_groups_over_time_has_its_exact_control(variant):
    # constant controls u of horizon T: |c - T u|^2 + w sqrt(T) |u| + beta/2 T u^2 by entry
    w, beta, times = 1.1, 0.5, np.array([0.0, 0.1, 0.7, 0.9, 1.8, 2.0])
    penalty = penalties.Group(w, by="time") + penalties.L2(beta)
    problem = translation(c=(0.3, -0.8), times=times, control_cost=penalty)
    solution = pmpnet.solve.msa(problem, random_start(problem), variant=variant, tol=1e-12)
    exact = -(2 * 0.8 - w / np.sqrt(2)) / (2 * 2 + beta)
    assert solution.success
    assert (solution.controls[:, 0] == 0.0).all()
    np.testing.assert_allclose(solution.controls[:, 1], exact, rtol=1e-9)


def test_whole_entries_of_a_network_vanish():
    w, l2 = 2e-2, 1e-3
    problem = moons(dim=3, control_cost=penalties.Group(w, by="time") + penalties.L2(l2))
    solution = pmpnet.solve.msa(problem, random_start(problem), tol=1e-8)
    assert solution.success, solution.message
    assert pmpnet.verify(problem, solution).residual <= 1e-8
    u, h = solution.controls, np.diff(problem.times)
    gone = (u == 0.0).all(axis=0)
    assert 0 < gone.sum() < gone.size
    assert (u[:, ~gone] != 0.0).all()
    # the principle: minus the smooth gradient is w u_j / |u_j|, and no longer than w at zero
    g = -problem.gradient(u) / h[:, None]
    assert (np.sqrt(h @ g[:, gone] ** 2) <= w).all()
    unit = u[:, ~gone] / np.sqrt(h @ u[:, ~gone] ** 2)
    np.testing.assert_allclose(g[:, ~gone], w * unit, atol=1e-7)


def test_layers_that_are_tied_cannot_be_maximised_one_by_one():
    problem = translation(control_cost=penalties.Group(0.1, by="time"))
    with pytest.raises(ValueError, match=r"synchronous.*ties all layers.*default variant"):
        pmpnet.solve.msa(problem, variant="synchronous", max_iter=0)


def test_accepted_steps_keep_their_safeguard():
    # Zhang and Hager's reference never lets the cost rise above the start
    problem = moons(control_cost=penalties.ElasticNet(1e-2, 1e-3))
    history = pmpnet.solve.msa(problem, random_start(problem), max_iter=100, tol=0.0).history
    assert (history["cost"] <= history["cost"][0]).all()
    # synchronous and gradient flow are monotone
    for solution in (
        pmpnet.solve.msa(problem, random_start(problem), variant="synchronous", max_iter=20),
        pmpnet.solve.gradient_flow(problem, random_start(problem), max_iter=50),
    ):
        assert (np.diff(solution.history["cost"]) <= 1e-14).all()


def test_synchronous_counts_what_it_runs():
    problem = translation()
    solution = pmpnet.solve.msa(problem, variant="synchronous", max_iter=3, tol=0.0)
    history = solution.history
    assert solution.nfev + solution.njev == history["sweeps"][-1]
    assert (np.diff(history["sweeps"]) >= 7).all()


def test_trained_readouts_are_decided_with_the_control():
    x, y = pmpnet.datasets.two_moons(300, seed=1)
    problem = Problem(
        dynamics.Layer(2),
        x,
        y,
        terminal_cost=losses.Logistic(readout="train", readout_cost=penalties.L2(1e-2)),
        control_cost=penalties.L2(1e-2),
    )
    found = [
        pmpnet.solve.msa(problem, variant=variant, max_iter=3000, tol=1e-5)
        for variant in ("accelerated", "proximal")
    ]
    assert [s.success for s in found] == [True, True]
    assert found[0].cost == pytest.approx(found[1].cost, rel=1e-6)
    assert found[0].score(x, y) >= 0.99
    assert found[0].readout.P.shape == (1, 2)
    assert found[0].terms["readout"] > 0
    assert sum(found[0].terms.values()) == pytest.approx(
        problem.cost(found[0].controls, found[0].readout), rel=1e-14
    )


def test_heun_and_running_cost_reach_the_same_point_by_every_method():
    x, y = pmpnet.datasets.two_moons(200, seed=2)
    problem = Problem(
        dynamics.Layer(2, "softplus"),
        x,
        y,
        running_cost=losses.Logistic(readout=[[1.0, 0.0]]),
        control_cost=penalties.L2(0.1),
        scheme="heun",
        steps=8,
        horizon=2.0,
    )
    costs = [pmpnet.solve.msa(problem, variant=v, tol=1e-6).cost for v in VARIANTS]
    costs.append(pmpnet.solve.gradient_flow(problem, tol=1e-6, max_iter=2000).cost)
    np.testing.assert_allclose(costs, costs[0], rtol=1e-9)


@pytest.mark.parametrize("threads", [2, 3])
def test_a_solve_is_bitwise_the_same_for_any_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(pmpnet.sweeps, "PARALLEL_FLOPS", 0.0)
    x, y = pmpnet.datasets.two_moons(5000, seed=0)
    problem = Problem(
        dynamics.Layer(2),
        x,
        y,
        terminal_cost=losses.Logistic(readout=[[1.0, 0.0]]),
        control_cost=penalties.L2(1e-2),
    )
    found = []
    for count in (1, threads):
        pmpnet.set_num_threads(count)
        try:
            found.append(pmpnet.solve.msa(problem, max_iter=30))
        finally:
            pmpnet.set_num_threads(None)
    assert found[0].cost == found[1].cost
    assert np.array_equal(found[0].controls, found[1].controls)
    for name in ("cost", "gap", "residual", "rho"):
        assert np.array_equal(found[0].history[name], found[1].history[name], equal_nan=True)


def test_single_precision_solves_too():
    x, y = pmpnet.datasets.two_moons(500, seed=0)
    problem = Problem(
        dynamics.Layer(2),
        x.astype(np.float32),
        y,
        terminal_cost=losses.Logistic(readout=[[1.0, 0.0]]),
        control_cost=penalties.L2(1e-2),
    )
    assert problem.dtype == np.float32
    single = pmpnet.solve.msa(problem, tol=1e-4)
    assert single.success
    double = pmpnet.solve.msa(
        Problem(
            dynamics.Layer(2),
            x,
            y,
            terminal_cost=losses.Logistic(readout=[[1.0, 0.0]]),
            control_cost=penalties.L2(1e-2),
        )
    )
    assert single.cost == pytest.approx(double.cost, rel=1e-4)


def test_a_stationary_start_is_noticed_and_left():
    # u = 0 on x' = u_1 x: the gradient of (x(T)^2 - 1)^2-like costs vanishes at x = 0 only;
    # with L1 the zero control is a point of the principle although a large control is cheaper
    x = np.array([[-1.0], [1.0]])
    readout = [[1.0]]
    system = dynamics.Layer(1, "tanh")
    problem = Problem(
        system, x, [0, 1], terminal_cost=losses.Logistic(readout=readout), horizon=1.0,
        control_cost=penalties.L1(10.0),
    )  # fmt: skip
    solution = pmpnet.solve.msa(problem)
    assert solution.success
    assert "stationary" in solution.message
    assert not solution.controls.any()


def test_a_cost_that_explodes_ends_with_the_last_good_control():
    x = np.full((4, 1), 1e3)
    problem = Problem(
        dynamics.LinearControl(1, "polynomial", degree=3),
        x,
        np.zeros((4, 1)),
        terminal_cost=losses.Squared(),
        control_cost=penalties.L2(1e-3),
    )
    solution = pmpnet.solve.sgd(problem, learning_rate=10.0, max_iter=50)
    assert not solution.success
    assert "non-finite" in solution.message
    assert np.isfinite(solution.controls).all()
    assert np.isfinite(solution.cost)


def test_unknown_options_and_variants_are_named():
    problem = translation()
    with pytest.raises(ValueError, match="variant='fast' is not known"):
        pmpnet.solve.msa(problem, variant="fast")
    with pytest.raises(TypeError, match="no option 'momentum'"):
        pmpnet.solve.msa(problem, momentum=0.9)
    with pytest.raises(TypeError, match=r"problem is .*write a pmpnet\.Problem"):
        pmpnet.solve.msa(np.zeros(3))


@pytest.mark.parametrize("told", [dict(damping=0.3), {}])
def test_damped_goes_a_part_of_the_way_and_basic_all_of_it(told):
    p = translation(control_cost=penalties.L2(3.0) + penalties.L1(0.5))
    reduced, start = Reduced(p), 0.1 * np.ones(p.control_shape)
    best = reduced.maximise(reduced.evaluate(start.ravel())).reshape(start.shape)
    assert 0 < (best == 0).sum() < best.size  # exact zeros
    found = pmpnet.solve.msa(p, start, variant="damped", max_iter=1, **told)
    part = told.get("damping", 0.1)
    np.testing.assert_allclose(found.controls, start + part * (best - start), rtol=1e-14)
    found = pmpnet.solve.msa(p, start, variant="basic", max_iter=1)
    np.testing.assert_array_equal(found.controls, best)
    assert found.history["rho"][1] == 0.0  # nothing holds it back


@pytest.mark.parametrize("epsilon", [1.0, 5.0])
def test_sqh_s_first_step_is_the_maximiser_of_its_hamiltonian(epsilon):
    p = translation(beta=1.0)
    start = np.zeros(p.control_shape)
    g = Reduced(p).evaluate(start.ravel()).g.reshape(start.shape)
    found = pmpnet.solve.msa(p, start, variant="sqh", epsilon=epsilon, max_iter=1)
    # of <g, v> - |v|^2 / 2 - epsilon |v|^2
    np.testing.assert_allclose(found.controls, g / (1 + 2 * epsilon), rtol=1e-13)


# ------------------------------------------------------------------- what is said is what is done


def steps(variant, problem, start, count, **options):
    """Return the problem that a variant's steps are taken on, and its first steps."""
    reduced = Reduced(problem)
    method = inspect.unwrap(successive.VARIANTS[variant])
    return reduced, islice(method(reduced, start.ravel(), **options), count)


def test_defaults_are_those_that_the_page_tells():
    page = inspect.getdoc(pmpnet.solve.msa)
    told = dict(re.findall(r"^(\w+) : .*, default ([^\s,]+)$", page, re.MULTILINE))
    options = dict(re.findall(r"``(\w+)``\s+\(([^)]+)\)", page))
    taken = {
        name: option
        for method in (*successive.VARIANTS.values(), pmpnet.solve.msa)
        for name, option in inspect.signature(method).parameters.items()
    }
    assert {"max_iter", "tol", "progress"} <= set(told)
    assert {"trials", "damping", "epsilon", "rho", "shrink"} <= set(options)
    for name, text in (told | options).items():
        assert taken[name].default == ast.literal_eval(text), name


@pytest.mark.parametrize("variant", ["accelerated", "proximal"])
def test_the_reference_cost_is_zhang_and_hager_s_mean(variant):
    # of all costs so far, where each counts 0.85 of the next
    problem = moons()
    _, found = steps(variant, problem, random_start(problem), 8)
    costs = [next(found).point.cost]
    for step in found:
        costs.append(step.point.cost)
        mean = np.average(costs, weights=0.85 ** np.arange(len(costs))[::-1])
        assert step.state["C"] == pytest.approx(mean, rel=1e-13)
    assert len(costs) == 8


@pytest.mark.parametrize(
    ("variant", "options"), [("proximal", {}), ("sqh", {}), ("synchronous", dict(step=0.25))]
)
def test_the_weight_that_is_told_is_that_of_the_maximiser(variant, options):
    # of constant fields, where layer by layer is all at once
    problem = translation()
    reduced, found = steps(variant, problem, random_start(problem), 4, **options)
    pairs = list(pairwise(found))
    assert len(pairs) == 3
    for before, after in pairs:
        best = reduced.maximise(before.point, 1 / after.rho)
        np.testing.assert_allclose(after.point.v, best, rtol=1e-12)


@pytest.mark.parametrize("variant", ["accelerated", "proximal", "sqh"])
def test_a_decrease_that_rounding_hides_is_not_demanded(variant):
    # so near to the optimum that costs agree in all their digits, the residual still falls
    problem = translation()
    best = np.tile([0.2, 0.8 / 3], (20, 1))
    start = best * (1 + 1e-9)
    assert problem.cost(start) == pytest.approx(problem.cost(best), rel=1e-15)
    solution = pmpnet.solve.msa(problem, start, variant=variant, tol=1e-14)
    assert solution.history["residual"][0] > 1e-10
    assert solution.success, solution.message


def test_the_augmented_weight_doubles_until_the_cost_falls():
    problem = diffeomorphism(8, 0.1)
    _, found = steps("augmented", problem, np.zeros(problem.control_shape), 6, rho=1e-3)
    doublings = []
    for before, after in pairwise(found):
        doublings.append(np.log2(after.rho / before.state["rho"]))
        assert after.state["rho"] == pytest.approx(0.8 * after.rho, rel=1e-15)
    np.testing.assert_allclose(doublings, np.round(doublings), atol=1e-12)
    assert doublings[0] > 5  # too small by far at first
    assert np.isclose(doublings, 1).any()  # by two, not by more


def test_sqh_accepts_what_lowers_the_cost_by_eta_times_the_squared_distance():
    problem, eta = diffeomorphism(8, 0.1), 0.5
    reduced, found = steps("sqh", problem, np.zeros(problem.control_shape), 6, eta=eta)
    for before, after in pairwise(step.point for step in found):
        moved = after.v - before.v
        assert after.cost <= before.cost - eta * reduced.inner(moved, moved) + 1e-15
        assert after.cost < before.cost
