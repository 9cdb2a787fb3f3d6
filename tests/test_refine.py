"""Continuation in depth, in a penalty, in the horizon: known answers, and fewer sweeps."""

import numpy as np
import pytest
from casadi import SX

import pmpnet
from pmpnet import Problem, datasets, dynamics, losses, penalties
from pmpnet.constraints import Terminal
from pmpnet.reduced import Reduced
from pmpnet.solution import STOPPED
from pmpnet.solve import gradient_flow, msa, refine
from pmpnet.solve.loop import averages

from .problems import moons, random_start, sweeps_to, translation, translation_cost
from .symbolic_problems import KINDS

START = 2  # sweeps that price the start


def of(solution, name):
    return [level[name] for level in solution.annotations["path"]]


# ------------------------------------------------------------------------------------- depth


def spirals(seed, steps):
    """Two arms, embedded in four dimensions; the class is read off across the data plane."""
    x, y = datasets.spirals(1000, seed=seed, turns=0.5)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((4, 4)))[0]
    return Problem(
        dynamics.Layer(4), x @ axes[:, :2].T, y, control_cost=penalties.L2(1e-3), steps=steps,
        terminal_cost=losses.Logistic(readout=axes[:, 2][None]),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_depth_reaches_the_same_optimum_with_fewer_sweeps(seed):
    problem = spirals(seed, steps=160)
    start = random_start(problem, seed)
    direct = msa(problem, start, tol=1e-9)
    found = refine(problem, start, tol=1e-9)
    fresh = refine(problem, start, tol=1e-9, carry=False)
    assert of(found, "intervals") == [10, 20, 40, 80, 160]
    best = min(direct.cost, found.cost, fresh.cost)
    for solution in (direct, found, fresh):
        assert solution.success
        assert solution.cost == pytest.approx(best, rel=1e-9)
    assert sweeps_to(found, best, 1e-6) <= 0.6 * sweeps_to(direct, best, 1e-6)
    assert sweeps_to(found, best, 1e-6) <= 0.6 * sweeps_to(fresh, best, 1e-6)


def test_sweeps_over_fewer_layers_count_less():
    problem = moons(steps=40)
    start = random_start(problem)
    found = refine(problem, start, levels=[10], level_iter=12, level_tol=0.0)
    assert of(found, "intervals") == [10, 40]
    coarse = problem.replace(steps=10)
    restricted = averages(start, problem.times, coarse.times)
    np.testing.assert_allclose(restricted, start.reshape(10, 4, -1).mean(axis=1), atol=1e-15)
    alone = msa(coarse, restricted, max_iter=12, tol=0.0)
    assert of(found, "sweeps")[0] == 0.25 * (alone.nfev + alone.njev)
    np.testing.assert_allclose(of(found, "controls")[0], alone.controls, atol=1e-12)
    total = START + sum(of(found, "sweeps"))
    assert found.history["sweeps"][-1] <= total <= found.nfev + found.njev < total + 2
    # the last level begins with the price of the prolonged control
    assert found.history["sweeps"][1] == START + of(found, "sweeps")[0] + 2
    prolonged = np.repeat(of(found, "controls")[0], 4, axis=0)
    assert found.history["cost"][1] == pytest.approx(problem.cost(prolonged), rel=1e-13)
    assert found.history["cost"][0] == problem.cost(start)


def test_uneven_grids_and_weights_that_vary_over_time_are_coarsened():
    # constant fields: only the integral of u moves, so that every grid has the same optimum
    times = np.cumsum([0.0, 0.2, 0.2, 0.3, 0.1, 0.2, 0.1, 0.4, 0.3])
    beta = np.repeat([[1.0], [4.0]], 4, axis=0)
    problem = translation(times=times, control_cost=penalties.L2(np.tile(beta, 2)))
    found = refine(problem, levels=[2, 4], tol=1e-10, level_tol=1e-10)
    A = 0.8 / 1.0 + 1.0 / 4.0  # the integral of 1/beta
    cost = 0.25 / (1 + 2 * A)
    np.testing.assert_allclose(of(found, "cost"), cost, rtol=1e-9)
    radius = np.repeat([5.0, 0.1], 4)
    for penalty in (penalties.Ball(radius), penalties.Group(radius)):
        found = refine(translation(control_cost=penalty, times=times), levels=[2])
        assert found.success
        assert found.cost == pytest.approx(of(found, "cost")[0], rel=1e-6)


def test_readouts_constraints_and_free_horizons_go_through_all_levels():
    x, y = datasets.two_moons(200, seed=0)
    trained = Problem(
        dynamics.Layer(2), x, y, steps=16, control_cost=penalties.L2(1e-2),
        terminal_cost=losses.Logistic(readout="train", readout_cost=penalties.L2(1e-2)),
    )  # fmt: skip
    found = refine(trained, levels=[4])
    assert found.success
    assert found.cost == pytest.approx(msa(trained).cost, rel=1e-6)
    assert of(found, "readout")[0].P.shape == (1, 2)
    q, force = SX.sym("q", 2), SX.sym("f")
    least_time = Problem(
        dynamics.Symbolic(q, force, [q[1], force]), [[0.0, 0.0]], scheme="rk4", steps=40,
        running_cost=losses.Symbolic(1, q), control_cost=penalties.Box(-1, 1),
        constraints=[Terminal(q, q, [1, 0], [1, 0])], free_horizon=(0.05, 20.0),
    )  # fmt: skip
    found = refine(least_time, levels=[10], max_iter=2000)
    assert found.success, found.message
    assert found.horizon == pytest.approx(2.0, abs=1e-4)
    assert found.violations["terminal 1"] <= 1e-6


def test_curvature_is_the_same_on_a_finer_grid():
    coarse, fine = moons(steps=8), moons(steps=32)
    rng = np.random.default_rng(0)
    memory = pmpnet.solve.memory.Memory(Reduced(coarse), 5)
    for _ in range(3):
        s = rng.standard_normal(memory.reduced.size)
        memory.push(s, s + 0.1 * rng.standard_normal(s.size))
    r = rng.standard_normal(memory.reduced.size)

    def prolong(a):
        return np.repeat(a.reshape(8, -1), 4, axis=0).ravel()

    other = pmpnet.solve.continuation._onto(fine, memory)
    assert len(other) == len(memory) == 3
    np.testing.assert_allclose(other.apply(prolong(r)), prolong(memory.apply(r)), rtol=1e-10)


def test_starts_are_run_where_they_are_cheap():
    problem = moons(steps=40)
    found = refine(problem, levels=2, starts=3, seed=5)
    assert len(found.multistart) == 3
    coarse = msa(problem.replace(steps=20), max_iter=60, tol=1e-4, starts=3, seed=5)
    assert [s["cost"] for s in found.multistart] == [s["cost"] for s in coarse.multistart]
    assert of(found, "cost")[0] == coarse.cost
    assert found.success


def test_any_method_refines():
    for method in (gradient_flow, msa, "lbfgs"):
        found = refine(translation(), method=method, tol=1e-8)
        assert found.success
        assert found.cost == pytest.approx(translation_cost(), rel=1e-9)
        assert of(found, "intervals") == [5, 10, 20]


# ----------------------------------------------------------------------------------- penalty


def test_a_path_of_penalties_has_its_exact_solutions():
    # |c - u|^2 + f (a |u| + b/2 |u|^2) by entry: soft threshold at f a / 2
    c, a, b = np.array([0.3, -0.8]), 0.1, 0.5
    problem = translation(c=c, control_cost=penalties.ElasticNet(a, b) + penalties.Box(-0.5, 9))
    found = refine(problem, along="penalty", levels=[20.0, 10.0, 5.0, 3.0], tol=1e-10)
    assert of(found, "factor") == [20.0, 10.0, 5.0, 3.0, 1.0]
    for level in found.annotations["path"]:
        f = level["factor"]
        u = np.sign(c) * np.maximum(np.abs(c) - f * a / 2, 0.0) / (1 + f * b / 2)
        u = np.maximum(u, -0.5)
        np.testing.assert_allclose(level["controls"], np.tile(u, (20, 1)), atol=1e-9)
        assert level["zeros"] == np.mean(u == 0.0)
        assert level["residual"] <= 1e-10 * 2
    assert of(found, "zeros") == [1.0, 0.5, 0.0, 0.0, 0.0]
    np.testing.assert_array_equal(found.controls, of(found, "controls")[-1])


def test_a_path_of_penalties_loses_zeros_and_is_scored_on_what_it_has_not_seen():
    problem = moons(control_cost=penalties.ElasticNet(2e-3, 1e-3))
    x, y = datasets.two_moons(400, seed=9)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    found = refine(
        problem, random_start(problem), along="penalty", levels=7, held_out=(x, y),
        max_iter=1500, tol=1e-4,
    )  # fmt: skip
    assert of(found, "factor") == [64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0]
    zeros, scores = of(found, "zeros"), of(found, "score")
    assert zeros[0] > 0.8
    assert zeros[-1] < zeros[0] - 0.1
    assert np.all(np.diff(of(found, "cost")) < 0)
    assert scores[-1] > 0.97
    assert scores[-1] == found.score(x, y)
    for level in found.annotations["path"]:
        assert level["success"]
        other = problem.replace(control_cost=level["factor"] * problem.control_cost)
        again = pmpnet.verify(other, level["controls"])
        assert again.residual == pytest.approx(level["residual"], rel=1e-6)
        assert again.residual <= 1e-4
        assert other.cost(level["controls"]) == pytest.approx(level["cost"], rel=1e-12)


def test_a_factor_scales_what_has_a_weight_and_no_bound():
    rng = np.random.default_rng(0)
    v = rng.standard_normal((5, 6))
    for R in (
        penalties.ElasticNet(0.1, 0.2) + penalties.Box(-0.5, 0.7),
        penalties.Group(0.3) + penalties.L2(0.1),
        penalties.L0(0.2) + penalties.L2(0.1),
    ):
        three = (3 * R).bound_to(v.shape, None)
        R = R.bound_to(v.shape, None)
        np.testing.assert_allclose(three.layer_values(v), 3 * R.layer_values(v), rtol=1e-14)
        np.testing.assert_array_equal(three.project(v), R.project(v))
        np.testing.assert_allclose(three.prox(v, 0.5), R.prox(v, 1.5), rtol=1e-14, atol=1e-16)
    assert repr(0.5 * penalties.L1(1.0)) == "0.5 * (L1(1))"
    assert (2.0 * penalties.Kinetic(0.5)).kinetic == 1.0
    with pytest.raises(ValueError, match=r"the factor of a penalty=-1\.0 is too small"):
        -1 * penalties.L1(1.0)


# ----------------------------------------------------------------------------------- horizon


def test_a_path_of_horizons_has_its_exact_solutions():
    problem = translation(c=(0.3, 0.4), beta=1.0, horizon=2.0)
    found = refine(problem, along="horizon", tol=1e-10, level_tol=1e-10)
    assert of(found, "horizon") == [0.25, 0.5, 1.0, 2.0]
    for level in found.annotations["path"]:
        T = level["horizon"]  # |c - T u|^2 + T/2 |u|^2
        u = 2 * np.array([0.3, 0.4]) / (2 * T + 1)
        np.testing.assert_allclose(level["controls"], np.tile(u, (20, 1)), atol=1e-8)
    assert found.success
    assert found.horizon == 2.0
    assert of(refine(problem, along="horizon", levels=[0.7, 1.1]), "horizon") == [0.7, 1.1, 2.0]


# ----------------------------------------------------------------------------------- the rest


def test_a_problem_is_made_again_with_other_arguments():
    rng = np.random.default_rng(1)
    for kind, make in KINDS.items():
        problem = make()
        assert problem.replace(steps=3).intervals == 3
        again = problem.replace()
        v = Reduced(problem).join(rng.standard_normal(problem.control_shape),
                                  problem.initial_readouts(), 1.2)  # fmt: skip
        one, two = (Reduced(p).evaluate(v) for p in (problem, again))
        assert one.price == pytest.approx(two.price, rel=1e-14), kind
        np.testing.assert_allclose(one.g, two.g, rtol=1e-12, atol=1e-14)
    problem = KINDS["bolza"]()
    t = problem.times
    np.testing.assert_allclose(
        problem.replace(steps=3).times, np.linspace(t[0], t[-1], 4), rtol=1e-15
    )
    longer = problem.replace(horizon=5.0).times
    np.testing.assert_allclose(longer, np.linspace(t[0], t[0] + 5, len(t)), rtol=1e-15)
    with pytest.raises(TypeError, match="stepps"):
        problem.replace(stepps=3)


def test_the_same_seed_gives_the_same_bits():
    problem = moons(steps=40)
    one, two = (refine(problem, starts=2, seed=3, max_iter=20) for _ in range(2))
    assert np.array_equal(one.controls, two.controls)
    assert np.array_equal(one.history["cost"], two.history["cost"])


def test_a_path_is_saved_with_its_solution(tmp_path):
    found = refine(moons(control_cost=penalties.ElasticNet(1e-2, 1e-3)), along="penalty", levels=2)
    found.save(tmp_path / "path")
    again = pmpnet.load(tmp_path / "path")
    for ours, theirs in zip(found.annotations["path"], again.annotations["path"], strict=True):
        assert ours.keys() == theirs.keys()
        assert np.array_equal(ours["controls"], theirs["controls"])


def test_a_callback_stops_on_the_way():
    problem = moons(steps=40)
    sweeps = []
    found = refine(
        problem, random_start(problem),
        callback=lambda row: sweeps.append(row["sweeps"]) or len(sweeps) == 10,
    )  # fmt: skip
    assert found.status == STOPPED
    assert "on level 1 of the chain" in found.message
    assert sweeps == sorted(sweeps)
    assert found.problem is problem
    assert found.cost == problem.cost(found.controls) < found.history["cost"][0]


def test_a_good_start_is_left_alone():
    problem = moons(steps=40)
    best = msa(problem, random_start(problem), tol=1e-7)
    found = refine(problem, best)
    assert found.success
    assert found.nit == 0
    assert np.array_equal(found.controls, best.controls)
    priced = refine(problem, max_iter=0)
    assert priced.cost == problem.cost(np.zeros(problem.control_shape))
    assert len(priced.history) == priced.nfev == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"along": "width"}, "along='width' is not known"),
        ({"levels": 0}, "levels=0 is too small"),
        ({"levels": [8, 4]}, "must be positive and increase up to the problem's own number"),
        ({"levels": [2.5]}, "levels has 2.5: write whole numbers of intervals"),
        ({"levels": [40]}, "increase up to the problem's own number of intervals, 20"),
        ({"along": "penalty", "levels": [1, 2]}, "must fall to 1"),
        ({"along": "penalty", "levels": [0.5]}, "must fall to 1"),
        ({"along": "horizon", "levels": [2.0]}, "the problem's own horizon, 1"),
        ({"method": "simplex"}, "method='simplex' is not known: write one of"),
        ({"method": 3}, "method=3 is not known"),
        ({"held_out": 3}, r"held_out=3 must be \(x, y\)"),
        ({"held_out": (np.ones((2, 3)), np.ones((2, 2)))}, "x has 3 columns"),
        ({"starts": 0}, "starts=0 is too small"),
        ({"carry": 1}, "carry=1 is neither True nor False"),
        ({"tol": -1.0}, "tol=-1.0 is too small"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        refine(translation(), **options)


def test_what_has_no_weight_or_horizon_of_its_own_is_refused():
    with pytest.raises(ValueError, match="needs a control cost with a weight"):
        refine(translation(control_cost=penalties.Box(-1, 1)), along="penalty")
    with pytest.raises(ValueError, match="needs a fixed horizon"):
        refine(KINDS["free"](), along="horizon")
