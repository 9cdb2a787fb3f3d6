"""Many samples: growing subsamples and proximal minibatch steps against the whole, with less."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pmpnet
from pmpnet import Problem, datasets, dynamics, losses, penalties, sweeps
from pmpnet.reduced import Reduced
from pmpnet.solution import INTERRUPTED, STOPPED
from pmpnet.solve import adam, lbfgs, msa, stochastic
from pmpnet.solve.stochastic import subsamples

from .problems import random_start, sweeps_to, translation
from .symbolic_problems import KINDS

M = 4000
START = 2  # sweeps that price the start


def spirals(control_cost=None, seed=0):
    """Two arms, embedded in four dimensions; the class is read off across the data plane."""
    x, y = datasets.spirals(M, seed=seed)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    axes = np.linalg.qr(np.random.default_rng(seed).standard_normal((4, 4)))[0]
    return Problem(
        dynamics.Layer(4), x @ axes[:, :2].T, y, steps=40,
        terminal_cost=losses.Logistic(readout=axes[:, 2][None]),
        control_cost=penalties.L2(1e-3) if control_cost is None else control_cost,
    )  # fmt: skip


def noisy(control_cost, weights=None):
    """A translation whose targets scatter: every sample asks for another one."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (1000, 2))
    y = x + [0.3, -0.02] + 0.3 * rng.standard_normal(x.shape)
    p = Problem(
        dynamics.LinearControl(2), x, y, weights=weights, steps=4, terminal_cost=losses.Squared(),
        control_cost=control_cost,
    )  # fmt: skip
    return p, p.weights @ (y - x)


@pytest.mark.parametrize("seed", [0, 1])
def test_growing_subsamples_reach_the_optimum_of_all_with_fewer_sweeps(seed):
    problem = spirals(seed=seed)
    start = random_start(problem, seed)
    whole = msa(problem, start, max_iter=1500)
    grown = stochastic(problem, start, max_iter=1500, seed=seed)
    assert whole.success
    assert grown.success
    assert grown.residual <= 1e-6 * max(1, grown.history["residual"][0])
    best = min(whole.cost, grown.cost)
    assert grown.cost == pytest.approx(whole.cost, rel=1e-6)
    reached = sweeps_to(grown, best, 1e-3)
    assert reached <= 0.5 * sweeps_to(whole, best, 1e-3)
    for rate in (0.03, 0.1, 0.3):
        trained = adam(problem, start, learning_rate=rate, batch_size=200, max_iter=1500, seed=seed)
        # pricing every epoch is half of what it has swept
        assert reached < START + (sweeps_to(trained, best, 1e-3) - START) / 2


def test_a_level_counts_as_its_part_of_the_samples():
    problem, _ = noisy(penalties.L2(1.0))
    start = random_start(problem)
    grown = stochastic(problem, start, batch_size=100, growth=3.0)
    path = grown.annotations["path"]
    assert [level["samples"] for level in path] == [100, 300, 1000]
    first = next(subsamples(1000, 100, 3.0, seed=0))
    alone = msa(problem.on(first), start, max_iter=100, tol=1e-3)
    assert path[0]["sweeps"] == pytest.approx(0.1 * (alone.nfev + alone.njev), rel=1e-12)
    assert np.array_equal(path[0]["controls"], alone.controls)
    total = START + sum(level["sweeps"] for level in path)
    assert grown.history["sweeps"][0] == START
    assert grown.history["sweeps"][-1] == pytest.approx(total, rel=1e-12)
    assert total <= grown.nfev + grown.njev < total + 2
    assert grown.nit == sum(level["nit"] for level in path)
    assert grown.history["cost"][0] == problem.cost(start)
    assert problem.cost(grown.controls) == grown.cost


@given(st.integers(1, 300), st.integers(1, 40), st.floats(1.05, 5.0), st.integers(0, 9))
def test_subsamples_grow_and_keep_what_they_have(count, size, growth, seed):
    masks = list(subsamples(count, size, growth, seed))
    for mask in masks:
        assert mask.sum() == size
        assert growth * size <= count
        size = np.ceil(growth * size)
    assert growth * size > count
    for before, after in itertools.pairwise(masks):
        assert np.all(after[before])


def test_all_subsamples_of_a_size_are_equally_likely():
    """Those of three, and the seven around them, of twenty: how often one or a pair is there."""
    draws, alone, pairs = 3000, np.zeros(20), np.zeros((20, 20))
    for seed in range(draws):
        three, seven = subsamples(20, 3, 2.2, seed)
        alone += three
        pairs += np.outer(seven, seven)

    def expected(counts, chance):  # within five standard deviations
        off = 5 * np.sqrt(draws * chance * (1 - chance))
        np.testing.assert_allclose(counts, draws * chance, rtol=0, atol=off)

    expected(alone, 3 / 20)
    expected(np.diag(pairs), 7 / 20)
    expected(pairs[np.triu_indices(20, 1)], 7 / 20 * 6 / 19)


def terms(problem, v):
    reduced = Reduced(problem)
    return reduced.terms(v, reduced.sweep(v, backward=False))


def test_a_problem_on_some_samples_is_the_problem_of_those_samples():
    rng = np.random.default_rng(5)
    index = np.array([4, 1, 2])
    for kind in ("constrained", "free"):
        whole = KINDS[kind](weights=None)
        part = whole.on(index)
        same = whole.replace(
            initial_states=whole.initial_states[index], targets=whole.targets[index],
            parameters=whole.parameters[index],
        )  # fmt: skip
        u = rng.standard_normal(whole.control_shape)
        v = Reduced(whole).join(u, whole.initial_readouts(), 1.3)
        ours, theirs = terms(part, v), terms(same, v)
        assert ours == pytest.approx(theirs, rel=1e-12)
        assert ours != pytest.approx(terms(whole, v), rel=1e-2)
        values = (p.constraint_values(u, p.initial_readouts(), 1.3) for p in (part, same))
        for a, b in zip(*values, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_classes_that_a_subsample_misses_are_known():
    x, y = datasets.two_moons(300, seed=0)
    y[y == -1] = 5
    x, y = x[(y == 1) | (np.cumsum(y == 5) <= 3)], y[(y == 1) | (np.cumsum(y == 5) <= 3)]
    problem = Problem(
        dynamics.Layer(2), x, y, control_cost=penalties.L2(0.1), steps=5,
        terminal_cost=losses.Logistic(readout=[[1.0, 0.0]]),
    )  # fmt: skip
    grown = stochastic(problem, batch_size=2, seed=1)
    first = next(subsamples(len(y), 2, 2.0, seed=1))
    assert len(set(y[first])) == 1
    assert grown.success
    assert grown.cost == pytest.approx(msa(problem).cost, rel=1e-6)


@pytest.mark.parametrize("solver", ["gradient_flow", lbfgs])
def test_growing_subsamples_run_any_method(solver):
    problem, c = noisy(penalties.L2(1.0))
    grown = stochastic(problem, solver=solver, batch_size=50, tol=1e-8, seed=4)
    assert grown.success
    np.testing.assert_allclose(grown.controls, np.tile(c / 1.5, (4, 1)), atol=1e-6)


# ------------------------------------------------------------------------------- minibatches


def test_a_proximal_step_minimises_its_model():
    problem, _ = noisy(penalties.ElasticNet(0.3, 0.5) + penalties.Box(-0.1, [0.2, 0.01]))
    reduced, rng = Reduced(problem), np.random.default_rng(0)
    y, gammas = rng.standard_normal(reduced.size), rng.uniform(0.01, 2.0, reduced.size)
    v = reduced.prox_each(y, gammas)

    def model(v):
        R = problem.metric @ problem.penalty.layer_values(reduced.control(v))
        return R + (reduced.metric * (v - y) ** 2 / (2 * gammas)).sum()

    assert reduced.violation(v) == 0.0
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(50):
            other = reduced.project(v + size * rng.standard_normal(v.size))
            assert model(v) <= model(other) + 1e-15
    same = reduced.prox_each(y, np.full(reduced.size, 0.7))
    np.testing.assert_allclose(same, reduced.prox(y, 0.7), rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
def test_minibatches_find_the_optimum_with_its_zeros_and_bounds(average, weighted):
    weights = np.random.default_rng(1).uniform(0.5, 1.5, 1000) if weighted else None
    problem, c = noisy(penalties.ElasticNet(0.2, 0.5) + penalties.Box(-1.0, 0.15), weights)
    found = stochastic(
        problem, random_start(problem), method="adam", batch_size=50, learning_rate=0.05,
        schedule="cosine", average=average, max_iter=2000, tol=0.0,
    )  # fmt: skip
    exact = np.array([0.15, 0.0])  # the bound, and what l1 outweighs
    assert 2 * abs(c[1]) < 0.2 < 2 * (c[0] - 0.15)
    close = 1e-14 if average else 0.0  # a mean of bounds is rounded, a mean of zeros is not
    np.testing.assert_allclose(found.controls, np.tile(exact, (4, 1)), rtol=0, atol=close)
    np.testing.assert_array_equal(found.controls[:, 1], 0.0)
    # an epoch of twenty steps, and its price
    np.testing.assert_allclose(np.diff(found.history["sweeps"]), 4.0)
    assert found.history["sweeps"][0] == START


def test_averages_scatter_less():
    problem, _ = noisy(penalties.L2(0.5))
    best = msa(problem, tol=1e-10).cost
    told = dict(method="adam", batch_size=10, learning_rate=0.1, max_iter=1000, tol=0.0)
    rough = stochastic(problem, **told).history["cost"][-5:] - best
    mean = stochastic(problem, **told, average=0.98).history["cost"][-5:] - best
    assert mean.mean() < 0.2 * rough.mean()


def test_elastic_net_gives_exact_zeros_on_minibatches():
    problem = spirals(penalties.ElasticNet(1e-2, 1e-3))
    start = random_start(problem)
    told = dict(method="adam", learning_rate=0.1, schedule="cosine", batch_size=200, max_iter=600)
    found = stochastic(problem, start, **told)
    usual = adam(problem, start, learning_rate=0.1, batch_size=200, max_iter=600)
    assert (found.controls == 0.0).mean() > 0.6
    assert (usual.controls == 0.0).mean() == 0.0
    grown = stochastic(problem, start, max_iter=100)
    assert (grown.controls == 0.0).mean() > 0.6


# ---------------------------------------------------------------------------------- the same


@pytest.mark.parametrize(
    "told",
    [dict(max_iter=15, batch_size=500), dict(method="adam", max_iter=60, batch_size=500)],
    ids=["progressive", "adam"],
)
def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(told, monkeypatch):
    monkeypatch.setattr(sweeps, "PARALLEL_FLOPS", 0.0)
    problem = spirals()
    found = {}
    for count, seed in ((1, 7), (2, 7), (1, 8)):
        pmpnet.set_num_threads(count)
        try:
            found[count, seed] = stochastic(problem, random_start(problem), seed=seed, **told)
        finally:
            pmpnet.set_num_threads(None)
    one, two, other = found.values()
    assert np.array_equal(one.controls, two.controls)
    for name in ("cost", "residual", "sweeps"):
        assert np.array_equal(one.history[name], two.history[name])
    assert not np.array_equal(one.controls, other.controls)


def test_a_callback_stops_on_the_way():
    problem, _ = noisy(penalties.L2(1.0))
    seen = []

    def stop(row):
        seen.append(row["sweeps"])
        return len(seen) == 4

    found = stochastic(problem, random_start(problem), batch_size=100, callback=stop)
    assert found.status == STOPPED
    assert not found.success
    assert "stopped by the callback" in found.message
    assert seen == sorted(seen)
    assert found.problem is problem
    assert found.cost == problem.cost(found.controls) < found.history["cost"][0]


def test_a_level_is_made_when_its_turn_comes(monkeypatch):
    problem, _ = noisy(penalties.L2(1.0))
    made, on = [], Problem.on

    def counted(problem, index):
        if len(made) == 2:  # of 100, 200 and 400 samples the last
            raise KeyboardInterrupt
        made.append(on(problem, index))
        return made[-1]

    monkeypatch.setattr(Problem, "on", counted)
    start = random_start(problem)
    stopped = stochastic(problem, start, batch_size=100, callback=lambda row: row["sweeps"] > START)
    assert [part.samples.count for part in made] == [100]
    assert stopped.status == STOPPED
    made.clear()
    found = stochastic(problem, start, batch_size=100)
    assert found.status == INTERRUPTED
    assert [level["samples"] for level in found.annotations["path"]] == [100, 200]
    assert np.array_equal(found.controls, found.annotations["path"][1]["controls"])
    assert found.cost == problem.cost(found.controls)


def test_no_iterations_price_the_start():
    problem, _ = noisy(penalties.L2(1.0))
    start = random_start(problem)
    for method in ("progressive", "adam"):
        found = stochastic(problem, start, max_iter=0, method=method)
        assert found.cost == problem.cost(start)
        assert found.nfev == found.njev == len(found.history) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "sgd"}, "method='sgd' is not known: write one of 'progressive', 'adam'"),
        ({"batch_size": 0}, "batch_size=0 is too small"),
        ({"growth": 1.0}, "growth=1.0 is too small"),
        ({"solver": "simplex"}, "solver='simplex' is not known"),
        ({"level_iter": 0.5}, "level_iter=0.5 is not a whole number"),
        ({"method": "adam", "schedule": "steps"}, "schedule='steps' is not known"),
        ({"method": "adam", "average": 1.0}, "average=1.0 is too large"),
        ({"method": "adam", "growth": 2.0}, "has no option 'growth'"),
    ],
)
def test_bad_options_are_refused(options, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        stochastic(translation(), **options)


def test_what_ties_entries_is_refused_by_minibatches():
    problem = translation(control_cost=penalties.Ball(1.0))
    with pytest.raises(ValueError, match="entries of the control one by one"):
        stochastic(problem, method="adam")
    assert stochastic(problem, batch_size=10).success
