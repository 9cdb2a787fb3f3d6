"""The reduced problem: one vector, its inner product, rounds that are counted, certificates."""

import numpy as np
import pytest
from hypothesis import given

from pmpnet import Problem
from pmpnet.dynamics import Layer, LinearControl
from pmpnet.losses import Logistic, Squared
from pmpnet.penalties import L1, L2, Ball, Box, Group, Zero
from pmpnet.reduced import Reduced

from .strategies import cases

TIMES = [0.0, 0.5, 0.7, 1.5]


def reduced_problem(control_cost=None, readout_cost=None, **told):
    """Two trained readouts behind a control on uneven intervals."""
    rng = np.random.default_rng(0)
    told = {
        "terminal_cost": Logistic(readout="train", readout_cost=readout_cost),
        "running_cost": Squared(readout="train", readout_cost=readout_cost),
        **told,
    }
    p = Problem(
        Layer(2), rng.standard_normal((7, 2)), np.arange(7) % 2, control_cost=control_cost,
        times=TIMES, **told,
    )  # fmt: skip
    reduced = Reduced(p)
    return reduced, rng.standard_normal(reduced.size), rng.standard_normal(reduced.size)


# -------------------------------------------------------------------------- the vector


@given(cases())
def test_a_vector_is_taken_apart_and_put_together(case):
    reduced = case.reduced
    np.testing.assert_array_equal(reduced.control(case.v), case.u)
    for got, wanted in zip(reduced.readouts(case.v), case.readouts, strict=True):
        assert (got is None) == (wanted is None)
        if got is not None:
            np.testing.assert_array_equal(got.P, wanted[0])
            np.testing.assert_array_equal(got.c, wanted[1])
    again = reduced.join(reduced.control(case.v), reduced.readouts(case.v))
    np.testing.assert_array_equal(again, case.v)
    sizes = {
        id(loss): q * (case.problem.dynamics.dim + 1)
        for loss, q in zip(
            (case.problem.terminal_cost, case.problem.running_cost),
            case.problem.outputs,
            strict=True,
        )
        if loss is not None and loss.trained
    }
    assert reduced.size == case.u.size + sum(sizes.values())  # a shared readout is there once


def test_the_inner_product_is_that_of_l2_for_controls():
    reduced, v, w = reduced_problem()
    u, z = reduced.control(v), reduced.control(w)
    h = np.diff(TIMES)[:, None]
    rest = slice(u.size, None)
    assert reduced.inner(v, w) == pytest.approx((h * u * z).sum() + v[rest] @ w[rest], rel=1e-14)
    assert reduced.norm(v) == pytest.approx(np.sqrt(reduced.inner(v, v)), rel=1e-15)
    # a control that is constant in time has a norm that does not depend on the grid
    one = reduced.join(np.ones(u.shape), reduced.readouts(0 * v))
    assert reduced.norm(one) == pytest.approx(np.sqrt(1.5 * u.shape[1]), rel=1e-15)


# -------------------------------------------------------------------------- the sweeps


@given(cases())
def test_a_point_is_the_reference_s_round(case):
    reduced = case.reduced
    point = reduced.evaluate(case.v)
    exact = case.reference.round(case.u, case.readouts)
    parts = [exact.g.ravel()]
    for *_, roles in reduced.parts:
        parts.append(-sum(np.c_[tuple(exact.readouts[i])].ravel() for i in roles))
    g = np.concatenate(parts)
    np.testing.assert_allclose(point.g, g, rtol=0, atol=1e-11 * abs(g).max())
    assert point.cost == sum(point.terms.values()) == reduced.cost(case.v)
    assert point.v is case.v
    assert point.finite


def test_a_shared_readout_gathers_both_gradients():
    loss = Logistic(readout="train")
    shared, v, _ = reduced_problem(terminal_cost=loss, running_cost=loss)
    apart, *_ = reduced_problem(running_cost=Logistic(readout="train"))
    readout = shared.readouts(v)
    both = apart.evaluate(apart.join(shared.control(v), readout)).g[shared.controls :]
    np.testing.assert_allclose(
        shared.evaluate(v).g[shared.controls :], both.reshape(2, -1).sum(axis=0), rtol=1e-13
    )


def test_a_point_that_is_not_finite_says_so():
    p = Problem(LinearControl(1, "polynomial", degree=2), [[1.0]], terminal_cost=Squared())
    reduced = Reduced(p)
    assert reduced.evaluate(np.zeros(reduced.size)).finite
    assert not reduced.evaluate(np.full(reduced.size, 1e9)).finite


def test_sweeps_are_counted():
    reduced, v, _ = reduced_problem()
    assert reduced.sweeps == 0
    reduced.cost(v)
    assert (reduced.nfev, reduced.njev, reduced.sweeps) == (1, 0, 1)
    reduced.evaluate(v)
    assert (reduced.nfev, reduced.njev, reduced.sweeps) == (2, 1, 3)


def test_sweeps_of_a_batch_are_counted_in_parts():
    reduced, v, _ = reduced_problem()
    reduced.evaluate(v)
    batch = reduced.on(np.array([1, 4, 5]))
    batch.evaluate(v)
    assert (reduced.nfev, reduced.njev) == pytest.approx((1 + 3 / 7, 1 + 3 / 7))
    batch.cost(v)
    assert (reduced.nfev, reduced.njev) == pytest.approx((1 + 6 / 7, 1 + 3 / 7))


def test_a_batch_is_the_problem_of_its_samples():
    reduced, v, _ = reduced_problem(weights=[1, 2, 3, 4, 5, 6, 7])
    p, index = reduced.problem, np.array([1, 4, 6])
    alone = Problem(
        p.dynamics, p.initial_states[index], p.targets[index],
        terminal_cost=p.terminal_cost, running_cost=p.running_cost, times=TIMES,
        weights=[2, 5, 7],
    )  # fmt: skip
    batch = reduced.on(index)
    point, wanted = batch.evaluate(v), Reduced(alone).evaluate(v)
    # half of the weight in three samples of seven, which stand for all of them
    scale = 0.5 * 7 / 3
    assert point.cost == batch.cost(v)
    for name in ("terminal", "running"):
        assert point.terms[name] == pytest.approx(scale * wanted.terms[name], rel=1e-14)
    u = slice(0, reduced.controls)
    np.testing.assert_allclose(point.g[u], scale * wanted.g[u], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("weights", [None, [1, 2, 3, 4, 5, 6, 7]])
def test_batches_average_to_the_whole(weights):
    reduced, v, _ = reduced_problem(**({} if weights is None else {"weights": weights}))
    found = [reduced.on(np.array([m])).evaluate(v) for m in range(7)]
    whole = reduced.evaluate(v)
    assert np.mean([point.cost for point in found]) == pytest.approx(whole.cost, rel=1e-13)
    g = np.mean([point.g for point in found], axis=0)
    np.testing.assert_allclose(g, whole.g, rtol=0, atol=1e-14)


# ---------------------------------------------------------------- penalties and certificates


def test_penalties_act_on_their_own_part():
    reduced, z, y = reduced_problem(L1(0.2) + L2(0.5), readout_cost=L2(3.0))
    found = reduced.argmax(z, 0.7)
    for first, last, l1, l2 in ((0, reduced.controls, 0.2, 0.5), (reduced.controls, None, 0, 3.0)):
        part = z[first:last]
        shrunk = np.sign(part) * np.maximum(abs(part) - l1, 0)
        np.testing.assert_allclose(found[first:last], shrunk / (l2 + 0.7), rtol=1e-14)
        np.testing.assert_allclose(reduced.penalty_gradient(y)[first:last], l2 * y[first:last])
        np.testing.assert_allclose(
            reduced.penalty_subgradient(y)[first:last],
            l2 * y[first:last] + l1 * np.sign(y[first:last]),
        )


@pytest.mark.parametrize(
    "penalty", [L2(0.5), L1(0.3) + L2(0.1), Ball(1.0), Box(-0.5, 0.7)], ids=repr
)
def test_prox_is_nearest_among_what_is_cheap(penalty):
    # argmin R(v) + |v - y|^2 / (2 gamma), against random other points of U
    reduced, y, _ = reduced_problem(penalty, readout_cost=L2(1.0))
    gamma, rng = 0.8, np.random.default_rng(1)

    def price(v):
        values = reduced.problem.penalty.layer_values(reduced.control(v)).sum()
        rest = v[reduced.controls :]
        return values + 0.5 * rest @ rest + ((v - y) ** 2).sum() / (2 * gamma)

    best = reduced.prox(y, gamma)
    assert reduced.violation(best) < 1e-15
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(20):
            other = reduced.project(best + size * rng.standard_normal(y.size))
            assert price(best) <= price(other) + 1e-12


def test_prox_rest_leaves_out_the_quadratic():
    reduced, y, _ = reduced_problem(L1(0.3) + L2(5.0), readout_cost=L2(5.0))
    found = reduced.prox_rest(y, 0.5)
    u = reduced.control(y)
    np.testing.assert_allclose(
        reduced.control(found), np.sign(u) * np.maximum(abs(u) - 0.15, 0), atol=1e-15
    )
    np.testing.assert_array_equal(found[reduced.controls :], y[reduced.controls :])


def test_violation_is_the_largest_of_all_parts():
    reduced, v, _ = reduced_problem(Box(-0.1, 0.1), readout_cost=Box(-0.2, 0.2))
    v[:] = 0.0
    assert reduced.violation(v) == 0.0
    v[3] = 0.4
    assert reduced.violation(v) == pytest.approx(0.3)
    v[-1] = -2.0
    assert reduced.violation(v) == pytest.approx(1.8)
    assert reduced.violation(reduced.project(v)) == 0.0


def test_the_residual_is_the_distance_to_the_proximal_point():
    reduced, v, g = reduced_problem(L1(0.2) + L2(0.5), readout_cost=L2(2.0))
    h = np.repeat(np.diff(TIMES), 6)
    N = reduced.controls
    moved = v[:N] + g[:N]
    moved = np.sign(moved) * np.maximum(abs(moved) - 0.2, 0) / 1.5
    rest = (v[N:] + g[N:]) / 3.0
    exact = np.sqrt((h * (v[:N] - moved) ** 2).sum() + ((v[N:] - rest) ** 2).sum())
    assert reduced.residual(v, g) == pytest.approx(exact, rel=1e-14)


COERCIVE = {
    "L2": L2(0.5),
    "elastic net": L1(0.3) + L2(0.5),
    "ball": Ball(1.5),
    "box": Box(-1.0, 2.0),
    "sparse box": Box(-1.0, 2.0) + L1(0.4),
    "groups": Group(0.4, by="row") + L2(0.5),
}


@pytest.mark.parametrize("name", COERCIVE)
def test_layer_gaps_are_what_is_lost_against_the_best_control(name):
    # D_k = max_v [<g_k, v> - R(v)] - [<g_k, u_k> - R(u_k)]
    penalty = COERCIVE[name]
    reduced, v, _ = reduced_problem(penalty)
    v = reduced.project(v)
    g = reduced.evaluate(v).g
    gaps = reduced.layer_gaps(v, g)
    assert gaps.shape == (3,)
    assert (gaps >= 0).all()
    assert gaps.max() > 1e-3
    assert reduced.gap(v, g) == pytest.approx(np.diff(TIMES) @ gaps, rel=1e-14)
    slope, bound = reduced.control(g), reduced.problem.penalty

    def hamiltonian(u):
        return (slope * u).sum(axis=1) - bound.layer_values(u)

    best = hamiltonian(reduced.control(v)) + gaps
    rng = np.random.default_rng(2)
    for size in (0.1, 1.0, 10.0):
        for _ in range(50):
            other = bound.project(size * rng.standard_normal(slope.shape))
            assert (hamiltonian(other) <= best + 1e-12).all()
    # and it is reached: at the maximiser nothing is lost
    there = reduced.join(bound.argmax(slope, 0.0), reduced.readouts(v))
    np.testing.assert_allclose(reduced.layer_gaps(there, g), 0.0, atol=1e-12)


def test_the_gap_of_groups_over_time_is_that_of_the_whole_control():
    weight, h = np.array([0.2, 0.9, 0.0, 0.4, 1.5, 0.1]), np.diff(TIMES)
    reduced, v, _ = reduced_problem(Group(weight, by="time") + L2(0.5))
    g = reduced.evaluate(v).g
    slope, rng = reduced.control(g), np.random.default_rng(2)

    def hamiltonian(u):  # of all layers together
        return h @ (slope * u - 0.25 * u**2).sum(axis=1) - weight @ np.sqrt(h @ u**2)

    here, gap = hamiltonian(reduced.control(v)), reduced.gap(v, g)
    assert gap > 1e-3
    best = reduced.control(reduced.argmax(g, 0.0))
    assert hamiltonian(best) == pytest.approx(here + gap, rel=1e-13)
    for size in (1e-3, 0.1, 1.0, 10.0):
        for _ in range(50):
            near = best + size * rng.standard_normal(best.shape) * rng.integers(0, 2, best.shape)
            assert hamiltonian(near) <= here + gap + 1e-12


@pytest.mark.parametrize("penalty", [Zero(), L1(1.0), Box(-1, np.inf), Group(1.0)], ids=repr)
def test_without_a_maximum_there_is_no_gap(penalty):
    reduced, v, g = reduced_problem(penalty)
    assert not reduced.coercive
    assert np.isnan(reduced.layer_gaps(v, g)).all()
    assert np.isnan(reduced.gap(v, g))
    assert np.isfinite(reduced.residual(v, g))


def test_coercive_needs_every_part():
    assert reduced_problem(L2(1.0), readout_cost=L2(1.0))[0].coercive
    assert not reduced_problem(L2(1.0))[0].coercive  # the readout may grow without a price
    assert not reduced_problem(readout_cost=L2(1.0))[0].coercive


def test_the_gap_of_a_sum_over_entries_is_that_over_layers():
    """Where every entry stands for itself the gap is added up entry by entry."""
    for cost in (L2(0.3), L1(0.2) + L2(0.5) + Box(-1, 1), Box(-0.5, 2.0)):
        reduced, v, g = reduced_problem(cost, readout_cost=L2(0.1))
        v = reduced.project(v)
        layers = float((reduced.problem.metric * reduced.layer_gaps(v, g)).sum())
        assert layers > 0
        assert reduced.gap(v, g) == pytest.approx(layers, rel=1e-12)
    assert np.isnan(Reduced(reduced_problem(L1(0.2))[0].problem).gap(v, g))


def test_what_is_given_back_is_never_what_was_given():
    reduced, v, _ = reduced_problem(Zero())
    assert not np.shares_memory(reduced.project(v), v)
