"""What benchmarks say of others must be of the same problem."""

import numpy as np
import pytest

from benchmarks import clock, time_to_cost
from benchmarks.peers import Programme, ours
from pmpnet import solve


@pytest.fixture(scope="module")
def told():
    return time_to_cost.network("A", 12, 0)


def test_our_round_is_the_problem_s(told):
    net, start = told
    cost, gradient = ours(net)(start)
    problem = net.problem()
    assert cost == pytest.approx(problem.cost(start), rel=1e-13)
    np.testing.assert_allclose(gradient, problem.gradient(start), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("collocation", "scheme"), [(False, "euler"), (True, "rk4")])
def test_casadi_s_programme_is_the_same_problem(told, collocation, scheme):
    """Its solution has our gradient zero; collocation's up to the difference of the schemes."""
    net, start = told
    programme = Programme(net, start, collocation, limit=60.0)
    done = programme.solve()
    assert done["success"], done["return_status"]
    np.testing.assert_array_equal(programme.found[0][1], start)
    problem = net._replace(scheme=scheme).problem()
    slope, first = (np.abs(problem.gradient(u)).max() for u in (done["controls"], start))
    assert slope < first * (1e-3 if collocation else 1e-5), (slope, first)


def test_seconds_end_where_the_target_is_reached(told):
    net, start = told
    problem = net.problem()
    target = 0.5 * problem.cost(start)
    seen = []

    def run(observe):
        def row(r):
            seen.append(r["cost"])
            observe(r["cost"])

        solve.msa(problem, start, callback=row)

    seconds, least = time_to_cost.seconds_to(run, target)
    assert np.isfinite(seconds)
    assert seen[-1] == least <= target < min(seen[:-1])
    assert time_to_cost.seconds_to(run, -1.0)[0] == np.inf


def test_turns_are_pairs_and_ratios_their_median():
    pairs = clock.in_turns({"one": lambda: None, "other": lambda: sum(range(2000))}, 2)
    assert pairs["other"].shape == (2, 2)
    assert clock.ratio(pairs["other"]) > 2
    assert clock.ratio(np.array([[1.0, 2.0], [1.0, 8.0], [2.0, 6.0]])) == 3.0


def test_medians_count_what_is_not_reached():
    rows = [
        dict(part="b", case="c", M=1, seed=seed, method=method, seconds=seconds)
        for method, times in {"msa": (1.0, 2.0, 1.0), "JAX Adam": (4.0, np.inf, np.inf)}.items()
        for seed, seconds in enumerate(times)
    ]
    mine, theirs = time_to_cost.summary(rows)
    assert (mine["longer"], mine["reached"]) == (1.0, 3)
    assert (theirs["longer"], theirs["reached"], theirs["seconds"]) == (np.inf, 1, np.inf)
