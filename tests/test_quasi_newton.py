"""L-BFGS-B and its orthant-wise form: known answers, msa's optima, exact zeros, clear refusals."""

import threading

import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, losses, penalties

from .problems import (
    DIFFEOMORPHISM,
    diffeomorphism,
    moons,
    random_start,
    translation,
    translation_cost,
)


@pytest.mark.parametrize("beta", [1.0, 0.01])
def test_translation_has_its_exact_cost(beta):
    solution = pmpnet.solve.lbfgs(translation(beta=beta), tol=1e-9)
    assert solution.success
    assert solution.cost == pytest.approx(translation_cost(beta=beta), abs=1e-12)
    np.testing.assert_allclose(solution.controls, np.tile([0.3, 0.4], (20, 1)) / (1 + beta / 2))


@pytest.mark.parametrize(("fields", "beta"), DIFFEOMORPHISM)
def test_diffeomorphism_has_its_known_cost(fields, beta):
    solution = pmpnet.solve.lbfgs(diffeomorphism(fields, beta))
    assert solution.success
    assert solution.cost == pytest.approx(DIFFEOMORPHISM[fields, beta], abs=5e-7)


def test_steps_of_any_length_change_nothing():
    # in the inner product of L2(0, T) a translation is one and the same problem on any grid
    times = np.array([0.0, 0.01, 0.02, 0.4, 0.41, 1.0])
    solution = pmpnet.solve.lbfgs(translation(times=times), tol=1e-9)
    assert solution.cost == pytest.approx(translation_cost(), abs=1e-12)
    assert solution.nit <= 3


def test_a_box_alone_holds_a_translation_back():
    # the second entry reaches its target by any control of that integral
    solution = pmpnet.solve.lbfgs(translation((0.9, 0.3), control_cost=penalties.Box(-0.5, 0.5)))
    assert solution.success
    assert (solution.controls[:, 0] == 0.5).all()
    assert solution.cost == pytest.approx(0.4**2, abs=1e-12)


BOXES = [penalties.L2(1e-2), penalties.L2(1e-2) + penalties.Box(-1, 2)]


@pytest.mark.parametrize("penalty", BOXES, ids=repr)
def test_smooth_costs_and_boxes_reach_the_optimum_of_msa(penalty):
    problem = moons(control_cost=penalty)
    start = random_start(problem)
    found = pmpnet.solve.lbfgs(problem, start, tol=1e-7)
    best = pmpnet.solve.msa(problem, start, tol=1e-7)
    assert found.success, found.message
    assert found.cost == pytest.approx(best.cost, rel=1e-6)
    assert found.violations["controls"] <= 1e-14
    assert (np.diff(found.history["cost"]) <= 0).all()
    if penalty.boxed:
        assert np.isin(found.controls, [penalty.lower, penalty.upper]).any()


SPARSE = [
    penalties.ElasticNet(2e-2, 1e-2),
    penalties.ElasticNet(1e-2, 1e-3) + penalties.Box(-1, 2),
    penalties.L1([0.02, 0.0, 0.02, 0.02, 0.0, 0.02]) + penalties.L2(1e-2),
]


@pytest.mark.parametrize("penalty", SPARSE, ids=repr)
def test_l1_reaches_the_optimum_of_msa_with_its_exact_zeros(penalty):
    problem = moons(control_cost=penalty)
    start = random_start(problem)
    found = pmpnet.solve.lbfgs(problem, start, tol=1e-6, max_iter=1000)
    best = pmpnet.solve.msa(problem, start, tol=1e-8)
    assert found.success, found.message
    assert found.cost == pytest.approx(best.cost, rel=1e-6)
    zeros = found.controls == 0.0
    assert zeros.mean() > 0.2
    np.testing.assert_array_equal(zeros, best.controls == 0.0)
    assert found.violations["controls"] == 0.0
    assert (np.diff(found.history["cost"]) <= 1e-14).all()


def test_l1_of_a_translation_has_its_closed_form():
    # |c - u|^2 + a |u|_1 + b/2 |u|^2, entry by entry: the soft threshold
    a, b, c = 0.5, 0.2, np.array([0.9, 0.2])
    solution = pmpnet.solve.lbfgs(
        translation(c, control_cost=penalties.ElasticNet(a, b)), tol=1e-10
    )
    assert solution.success
    exact = np.array([(2 * 0.9 - a) / (2 + b), 0.0])
    np.testing.assert_allclose(solution.controls, np.tile(exact, (20, 1)), atol=1e-9)
    assert not solution.controls[:, 1].any()


def test_readouts_and_the_horizon_are_decided_with_the_control():
    x, y = pmpnet.datasets.two_moons(300, seed=1)
    loss = losses.Logistic(readout="train", readout_cost=penalties.L2(1e-2))
    told = dict(terminal_cost=loss, control_cost=penalties.L2(1e-2))
    problem = Problem(dynamics.Layer(2), x, y, **told)
    found = pmpnet.solve.lbfgs(problem, tol=1e-6, max_iter=2000)
    best = pmpnet.solve.msa(problem, tol=1e-6, max_iter=3000)
    assert found.success
    assert found.cost == pytest.approx(best.cost, rel=1e-6)
    # u = c / T costs beta/2 |c|^2 / T: a longer horizon is cheaper, up to its bound
    problem = translation(free_horizon=(0.5, 3.0))
    found = pmpnet.solve.lbfgs(problem, tol=1e-9)
    assert found.horizon == pytest.approx(3.0, rel=1e-12)
    assert found.cost == pytest.approx(translation_cost(beta=1 / 3), rel=1e-9)


def test_the_loop_s_rules_hold_while_scipy_runs():
    problem = moons()
    start, threads = random_start(problem), threading.active_count()
    solution = pmpnet.solve.lbfgs(problem, start, max_iter=4, tol=0.0)
    assert (solution.nit, len(solution.history)) == (4, 5)
    # a round is one forward and one backward sweep, and none is run ahead of its turn
    assert solution.nfev == solution.njev
    assert solution.history["sweeps"][-1] == solution.nfev + solution.njev
    assert (np.diff(solution.history["sweeps"]) >= 2).all()
    seen = []
    solution = pmpnet.solve.lbfgs(
        problem, start, callback=lambda row: len(seen.append(row) or seen) == 3
    )
    assert solution.status == 2
    assert len(solution.history) == 3

    def interrupt(row):
        raise KeyboardInterrupt

    solution = pmpnet.solve.lbfgs(problem, start, callback=interrupt)
    assert solution.status == 4
    assert threading.active_count() == threads
    solution = pmpnet.solve.lbfgs(problem, start, tol=0.0, max_iter=5000)
    assert solution.status == 5
    assert "rounding" in solution.message


def test_an_error_within_scipy_s_thread_is_raised_here(monkeypatch):
    problem = translation()

    def fail(self, v):
        raise OSError("the disk is gone")

    monkeypatch.setattr(pmpnet.reduced.Reduced, "penalty_gradient", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        pmpnet.solve.lbfgs(problem)


@pytest.mark.parametrize(
    "penalty", [penalties.L2(1e-2), penalties.ElasticNet(1e-2, 1e-2)], ids=repr
)
def test_a_solve_is_bitwise_the_same_for_any_number_of_threads(penalty, monkeypatch):
    monkeypatch.setattr(pmpnet.sweeps, "PARALLEL_FLOPS", 0.0)
    x, y = pmpnet.datasets.two_moons(5000, seed=0)
    loss = losses.Logistic(readout=[[1.0, 0.0]])
    problem = Problem(dynamics.Layer(2), x, y, terminal_cost=loss, control_cost=penalty)
    found = []
    for count in (1, 3):
        pmpnet.set_num_threads(count)
        try:
            found.append(pmpnet.solve.lbfgs(problem, random_start(problem), max_iter=20))
        finally:
            pmpnet.set_num_threads(None)
    assert np.array_equal(found[0].controls, found[1].controls)
    assert np.array_equal(found[0].history["cost"], found[1].history["cost"])


def test_the_kinetic_energy_is_a_cost_like_others():
    problem = translation(control_cost=penalties.Kinetic(1.0))
    found, best = pmpnet.solve.lbfgs(problem, tol=1e-9), pmpnet.solve.msa(problem, tol=1e-9)
    assert found.cost == pytest.approx(best.cost, rel=1e-9)


@pytest.mark.parametrize(
    "penalty", [penalties.Group(0.1), penalties.Ball(1.0), penalties.L1Ball(1.0)], ids=repr
)
def test_what_ties_entries_together_is_refused(penalty):
    with pytest.raises(ValueError, match=r"one by one.*pmpnet\.solve\.msa"):
        pmpnet.solve.lbfgs(translation(control_cost=penalty))
    with pytest.raises(ValueError, match="memory=0 is too small"):
        pmpnet.solve.lbfgs(translation(), memory=0)
