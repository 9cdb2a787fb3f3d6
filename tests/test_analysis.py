"""Analysis by definition: against explicit Jacobians, differences, known distances and flows."""

import casadi
import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, analysis, constraints, dynamics, losses, penalties, starts
from pmpnet.analysis.rates import rate

from .problems import moons, random_start, translation
from .symbolic_problems import KINDS

SCHEMES = ["euler", "heun", "midpoint", "rk4"]


def curve(layers, entries, size):
    """Weights on a curve that does not depend on how many layers there are."""
    rng = np.random.default_rng(7)
    t = (np.arange(layers) + 0.5)[:, None] / layers
    return size * np.sin(3 * t * rng.uniform(0.5, 1, entries) + rng.uniform(0, 6, entries))


def network(scheme="euler", steps=8, size=1.0, dim=2, **more):
    """A network of smooth weights, with its flow."""
    x = np.random.default_rng(0).uniform(-1, 1, (30, dim))
    told = dict(terminal_cost=losses.Squared(), scheme=scheme, steps=steps)
    problem = Problem(dynamics.Layer(dim), x, x[::-1], **(told | more))
    return priced(problem, curve(*problem.control_shape, size))


def priced(problem, u):
    return pmpnet.solve.msa(problem, u, max_iter=0)


def difference_jacobian(solution, x, e=1e-6):
    """DPhi(x) by central differences, (M, d, d)."""
    columns = []
    for direction in np.eye(x.shape[1]):
        ahead, behind = (solution.flow(x + s * e * direction) for s in (1, -1))
        columns.append((ahead - behind) / (2 * e))
    return np.stack(columns, axis=2)


# ------------------------------------------------------------------------- zeros in time


def stopped(penalty=None, zero=(5, 6, 7), **more):
    problem = translation(steps=8, control_cost=penalty or penalties.L1(0.1), **more)
    u = random_start(problem, seed=1)
    u[list(zero)] = 0.0
    return priced(problem, u)


def test_the_control_stops_behind_its_last_entry_that_is_not_zero():
    assert stopped().stopping_time() == 5 / 8
    assert stopped(zero=(2, 7)).stopping_time() == 7 / 8
    assert stopped(zero=()).stopping_time() == 1.0
    assert stopped(zero=range(8)).stopping_time() == 0.0
    later = stopped(times=np.linspace(2.0, 4.0, 9))
    assert later.stopping_time() == 2 + 2 * 5 / 8
    assert later.stopping_time(tol=10.0) == 2.0


def test_masks_tell_saturated_fractional_and_zero_layers():
    u = np.zeros((8, 2))
    u[:4] = [[1.0, -1.0], [0.5, 1.0], [1.0, 0.0], [0.5, 0.0]]
    expected = {
        penalties.Box(-1.0, 1.0): [0, 2],
        penalties.L1Ball(1.5): [0, 1],
        penalties.Ball(1.0): [0, 1, 2],
        penalties.L2(1.0): [],
    }
    for penalty, saturated in expected.items():
        found = analysis.sparsity(priced(translation(steps=8, control_cost=penalty), u))
        assert np.flatnonzero(found.saturated).tolist() == saturated
        assert np.flatnonzero(found.zero).tolist() == [4, 5, 6, 7]
        assert found.counts == (len(saturated), 4 - len(saturated), 4)
        assert found.ordered
        assert found.l1_norm == pytest.approx(np.abs(u).sum() / 8)
    assert not analysis.sparsity(stopped(zero=(2, 7))).ordered


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pruned_layers_are_not_missed(scheme):
    whole = stopped(scheme=scheme)
    pruned = whole.prune()
    assert len(pruned.controls) == 5
    assert pruned.horizon == whole.stopping_time() == pruned.stopping_time()
    x = np.random.default_rng(3).uniform(-2, 2, (40, 2))
    assert np.array_equal(pruned.flow(x), whole.flow(x))
    assert pruned.terms["terminal"] == pytest.approx(whole.terms["terminal"], rel=1e-15)
    assert pruned.cost == pytest.approx(pruned.problem.cost(pruned.controls), rel=1e-15)
    assert pruned.prune() is pruned
    assert "last 3 of 8 layers were zero" in pruned.message


def test_pruning_a_solved_problem_of_long_horizon_with_weights_by_layer():
    x, y = pmpnet.datasets.two_moons(200, seed=0)
    problem = Problem(
        dynamics.Layer(2), x, y, terminal_cost=losses.Logistic(readout=[[4.0, 0.0]]), steps=20,
        control_cost=penalties.L1(np.linspace(0.01, 0.2, 20)[:, None] * np.ones(6)),
        constraints=[], horizon=2.0,
    )  # fmt: skip
    found = pmpnet.solve.msa(problem)
    pruned = found.prune()
    assert 0 < len(pruned.controls) < 20
    assert np.array_equal(pruned.flow(x), found.flow(x))
    assert pruned.cost == pytest.approx(found.cost, rel=1e-14)
    assert pruned.score(x, y) == found.score(x, y)


def test_one_row_of_weights_is_that_of_every_layer():
    one, each = (stopped(penalties.L1(0.1 * np.ones((n, 2)))) for n in (1, 8))
    assert one.prune().cost == each.prune().cost
    assert analysis.retime(one).cost == analysis.retime(each).cost


def test_a_control_of_nothing_but_zeros_keeps_a_layer():
    pruned = stopped(zero=range(8)).prune()
    assert pruned.controls.tolist() == [[0.0, 0.0]]
    assert pruned.horizon == 1 / 8


def test_samples_that_move_by_themselves_are_not_pruned():
    problem = Problem(
        dynamics.Outside(2, "sigmoid"), [[1.0, 0.0]], terminal_cost=losses.Squared(), steps=4
    )
    with pytest.raises(ValueError, match="samples move under zero controls"):
        priced(problem, np.eye(4, 6)[[0, 1, 3, 3]] * [[1], [1], [0], [0]]).prune()


# --------------------------------------------------------------------- other times, same flow


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("norm", [1, 2])
def test_constant_speed_is_the_same_flow(scheme, norm):
    found = network(scheme)
    found.controls[3] = 0.0
    even = analysis.retime(found, norm=norm)
    x = np.random.default_rng(5).uniform(-1, 1, (20, 2))
    np.testing.assert_allclose(even.flow(x), found.flow(x), rtol=1e-13, atol=1e-13)
    speed = np.linalg.norm(even.controls, norm, axis=1)
    np.testing.assert_allclose(speed, speed[0], rtol=1e-12)
    assert len(even.controls) == 7
    assert even.times[[0, -1]].tolist() == [0.0, 1.0]


def test_constant_speed_costs_least_energy_and_the_same_l1_norm():
    problem = translation(steps=6, control_cost=penalties.L2(1.0))
    found = priced(problem, random_start(problem))
    even, uneven = analysis.retime(found, norm=2), analysis.retime(found, [0, 1, 2, 4, 5, 6, 9])
    assert even.terms["control"] < found.terms["control"]
    assert analysis.retime(uneven, found.times).terms == pytest.approx(found.terms, rel=1e-12)
    for other in (even, uneven):
        l1 = analysis.sparsity(other).l1_norm
        assert l1 == pytest.approx(analysis.sparsity(found).l1_norm, rel=1e-12)


def test_single_precision_knows_a_speed_too():
    found = network(dtype="float32")
    even = analysis.retime(found)
    assert even.problem.dtype == np.float32
    np.testing.assert_allclose(even.flow(np.eye(2)), found.flow(np.eye(2)), rtol=1e-5)


def test_controls_that_are_no_speed_keep_their_times():
    block = dynamics.TwoLayer(2, 3)
    problem = Problem(block, np.eye(2), terminal_cost=losses.Squared(), steps=4)
    found = priced(problem, starts.independent(problem.control_shape))
    with pytest.raises(ValueError, match="other times would be another flow"):
        analysis.retime(found)
    with pytest.raises(ValueError, match="all layers are zero"):
        analysis.retime(stopped(zero=range(8)))
    with pytest.raises(ValueError, match="3 intervals for 8 layers"):
        analysis.retime(stopped(), [0, 1, 2, 3])
    with pytest.raises(ValueError, match="norm=3 is not known"):
        analysis.retime(stopped(), norm=3)


# -------------------------------------------------------------------------------- depth


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2)])
@pytest.mark.parametrize("interpolation", ["constant", "linear"])
def test_the_gap_closes_with_the_order_of_the_scheme(scheme, order, interpolation):
    gap = analysis.depth_gap(network(scheme), interpolation=interpolation, refine=[2, 4, 8, 16])
    assert gap.steps.tolist() == [16, 32, 64, 128]
    assert gap.rate == pytest.approx(-order, abs=0.15)
    assert f"{gap.gaps[0]:.6g}" in repr(gap)


def test_the_gap_is_the_distance_from_a_known_limit():
    """x' = x: the network is (1 + h)^k, its limit exp(t)."""
    layer = dynamics.Layer(2, "identity", bias=False)
    problem = Problem(layer, [[1.0, 0.0]], terminal_cost=losses.Squared(), steps=10)
    found = priced(problem, np.tile(np.eye(2).ravel(), (10, 1)))
    gap = analysis.depth_gap(found, refine=[1, 3])
    np.testing.assert_allclose(gap.gaps, np.e - (1 + 1 / gap.steps) ** gap.steps, rtol=1e-8)
    far = analysis.depth_gap(found, [[5.0, 0.0]], refine=[1, 3])
    np.testing.assert_allclose(far.gaps, 5 * gap.gaps, rtol=1e-8)


def test_resimulation_and_the_limit_agree():
    found = network("heun")
    gap = analysis.depth_gap(found, refine=[1])
    off = np.linalg.norm(found.resimulate(1e-10).states - found.states(), axis=2).max()
    assert gap.gaps[0] == pytest.approx(off, rel=1e-6)
    assert np.isnan(gap.rate)


def test_smoothness_of_a_straight_line():
    u = np.outer(np.arange(10.0), [3.0, -4.0])
    found = analysis.depth_smoothness(u)
    assert found.jump == 10 * 4
    assert found.h1 == pytest.approx(np.sqrt(9 * 25 * 10))
    assert found.quadratic_variation == 9 * 25
    assert found.total_variation == 9 * 5
    assert found.max_norm == 9 * 5
    # in h1 the grid counts
    slower = analysis.depth_smoothness(u, np.linspace(0, 4, 11))
    assert slower.h1 == pytest.approx(found.h1 / 2)
    with pytest.raises(ValueError, match="weights of one layer"):
        analysis.depth_smoothness(u[:1])


@pytest.mark.parametrize(
    ("start", "jump", "variation"),
    [
        (lambda shape, seed: starts.smooth(shape, seed=seed), 0.0, -1.0),
        (lambda shape, seed: starts.independent(shape, law="uniform", seed=seed), 1.0, 1.0),
    ],
)
def test_exponents_of_smooth_and_of_independent_weights(start, jump, variation):
    found = analysis.scaling_exponents([start((n, 3000), n) for n in (50, 100, 200)])
    assert found["jump"] == pytest.approx(jump, abs=0.05)
    assert found["quadratic_variation"] == pytest.approx(variation, abs=0.05)
    with pytest.raises(ValueError, match="at least two depths, but there is only 50"):
        analysis.scaling_exponents([start((50, 2), 0)] * 2)


# -------------------------------------------------------------------- without stored states


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("heun", 3), ("midpoint", 3)])
def test_states_come_back_with_the_order_of_the_scheme_and_one_more_if_even(scheme, order):
    steps = [16, 32, 64]
    found = [analysis.reversibility(network(scheme, n)) for n in steps]
    assert rate(steps, [r.error for r in found]) == pytest.approx(-order, abs=0.1)
    assert rate(steps, [r.gradient_error for r in found]) == pytest.approx(-order, abs=0.2)
    assert all(r.errors[-1] == 0 for r in found)
    assert found[-1].cosine > 0.999


FINE = np.linspace(0.3, 1.5, 41)


def kinetic(**how):
    """A problem whose states include an energy."""
    x = np.random.default_rng(0).uniform(-1, 1, (12, 2))
    told = dict(terminal_cost=losses.Squared(), control_cost=penalties.Kinetic(0.5)) | how
    return Problem(dynamics.Layer(2), x, x[::-1], **told)


@pytest.mark.parametrize("kind", [*KINDS.values(), kinetic], ids=lambda kind: kind.__name__)
def test_the_gradient_from_rebuilt_states_is_the_gradient(kind):
    """With states rebuilt nearly exactly it is that of the sweep, for all kinds of costs."""
    problem = kind(times=FINE, scheme="rk4")
    found = priced(problem, curve(40, problem.control_shape[1], 0.4))
    report = analysis.reversibility(found)
    assert report.error < 1e-7
    assert report.gradient_error < 1e-7
    smooth = problem.metric[:, None] * problem.penalty.gradient(found.controls)
    gradient = problem.gradient(found.controls, *trained(found)) - smooth
    np.testing.assert_allclose(report.gradient, gradient, atol=1e-7)
    assert np.array_equal(analysis.memory_free_gradient(found), report.gradient)


def trained(solution):
    return () if solution.readout is None else (solution.readout,)


def test_a_gradient_from_wrong_states_is_refused():
    rough = network("euler", steps=4, size=3.0)
    assert analysis.reversibility(rough).error > 0.1
    with pytest.raises(ValueError, match="gradient would be wrong"):
        analysis.memory_free_gradient(rough)
    assert analysis.memory_free_gradient(rough, tol=100.0).shape == (4, 6)


# ---------------------------------------------------------------- Jacobians, inverse, volume


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_jacobian_of_the_flow_and_its_determinant(scheme):
    found = network(scheme, size=1.5)
    x = np.random.default_rng(1).uniform(-2, 2, (7, 2))
    J = difference_jacobian(found, x)
    np.testing.assert_allclose(analysis.flow_jacobian(found, x), J, atol=1e-8)
    np.testing.assert_allclose(analysis.log_det(found, x), np.linalg.slogdet(J)[1], atol=1e-7)
    assert analysis.flow_jacobian(found, np.empty((0, 2))).shape == (0, 2, 2)
    assert analysis.log_det(found).shape == (30,)


def test_the_jacobian_of_a_system_with_parameters_that_knows_the_time():
    problem = KINDS["bolza"]()
    found = priced(problem, random_start(problem))
    x, theta, columns = problem.initial_states, problem.parameters, []
    for e in 1e-6 * np.eye(2):
        ahead, behind = (found.flow(x + s * e, theta) for s in (1, -1))
        columns.append((ahead - behind) / 2e-6)
    expected = np.stack(columns, axis=2)
    np.testing.assert_allclose(analysis.flow_jacobian(found), expected, atol=1e-8)
    np.testing.assert_allclose(analysis.flow_jacobian(found, x, theta), expected, atol=1e-8)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "system",
    [
        dynamics.Layer(2, "gelu"), dynamics.Outside(2, "sigmoid", scale=-2.0),
        dynamics.TwoLayer(2, 4, "softplus"), dynamics.Neurons(2, 4, "sin"),
        dynamics.LinearControl(2, "gaussian"),
    ],
    ids=lambda system: type(system).__name__,
)  # fmt: skip
def test_lipschitz_constants_are_passed_by_no_layer(system, scheme):
    problem = Problem(system, np.eye(2), terminal_cost=losses.Squared(), steps=3, scheme=scheme)
    found = priced(problem, starts.independent(problem.control_shape, seed=4))
    x = np.random.default_rng(2).uniform(-2, 2, (200, 2))
    bound = analysis.lipschitz(found, x)
    assert bound.proven == (type(system).__name__ != "FeatureFields")
    states = found.states(x)
    for k, c in enumerate(bound.layers):
        g = states[k + 1] - states[k]
        moved = np.linalg.norm(states[k][:, None] - states[k], axis=2) + np.eye(200)
        seen = (np.linalg.norm(g[:, None] - g, axis=2) / moved).max()
        assert seen <= c * (1 + 1e-9) if bound.proven else seen <= c * 1.1
    J = analysis.flow_jacobian(found, x)
    assert (
        np.linalg.norm(J, 2, axis=(1, 2)).max()
        <= bound.flow * (1 + 1e-9)
        == float(bound) * (1 + 1e-9)
    )


def test_the_constant_of_a_linear_layer_is_its_norm():
    layer = dynamics.Layer(2, "identity", bias=False)
    W = np.array([[0.3, -0.8], [0.5, 0.1]])
    problem = Problem(layer, np.eye(2), terminal_cost=losses.Squared(), steps=4)
    found = analysis.lipschitz(priced(problem, np.tile(W.ravel(), (4, 1))))
    c = np.linalg.norm(W, 2) / 4
    np.testing.assert_allclose(found.layers, c, rtol=1e-14)
    assert found.flow == pytest.approx((1 + c) ** 4)
    assert found.inverse == pytest.approx((1 - c) ** -4)
    assert found.invertible


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("iterations", [1, 3, 10, 60])
def test_the_inverse_keeps_its_bound(scheme, iterations):
    found = network(scheme)
    x = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    inverted = analysis.inversion(found, found.flow(x), tol=0.0, max_iter=iterations)
    error = np.linalg.norm(inverted.points - x, axis=1).max()
    assert error <= inverted.bound + 1e-13
    assert inverted.proven
    assert np.all(inverted.iterations == iterations)
    if iterations < 60:
        assert inverted.bound < 50 * error  # no empty promise either
    else:
        assert error < 1e-12


def test_steps_that_are_no_contraction_have_no_bound():
    found = network(steps=1, size=5.0)
    inverted = analysis.inversion(found, np.ones((3, 2)), max_iter=5)
    assert inverted.bound == np.inf
    assert not inverted.converged.any()
    assert analysis.lipschitz(found).inverse == np.inf
    assert analysis.series_bound(found, 5) == np.inf
    empty = analysis.inversion(network(), np.empty((0, 2)))
    assert empty.points.shape == (0, 2)


@pytest.mark.parametrize("terms", [1, 2, 5, 12])
def test_the_series_of_the_volume_keeps_its_bound(terms):
    found = network(size=1.5)
    x = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    off = np.abs(analysis.log_det(found, x, "series", terms=terms) - analysis.log_det(found, x))
    assert off.max() <= analysis.series_bound(found, terms)
    assert off.max() > 1e-4 * analysis.series_bound(found, terms)


def test_probes_estimate_the_series_without_bias():
    found = network(dim=4)
    x = np.zeros((400, 4))
    exact = analysis.log_det(found, x[:1], "series", terms=6).item()
    several = analysis.log_det(found, x, "series", terms=6, probes=2, seed=1)
    assert several.std() > 1e-3
    assert abs(several.mean() - exact) < 4 * several.std() / 20
    assert np.array_equal(several, analysis.log_det(found, x, "series", terms=6, probes=2, seed=1))


# ---------------------------------------------------------------------- distances and gauge


def test_distances_of_flows_that_are_known():
    """Two translations, of the same points: every distance is that of the translations."""
    problem = translation(steps=4)
    here, there = priced(problem, np.zeros((4, 2))), priced(problem, np.tile([0.3, -0.4], (4, 1)))
    for norm in ("sup", "l2", "wasserstein", "w1inf"):
        assert analysis.flow_distance(here, there, norm=norm) == pytest.approx(0.5, rel=1e-12)
        assert analysis.flow_distance(here, here, norm=norm) == 0.0
    # as the flows of a linear system their Jacobians are further apart than they are
    layer = dynamics.Layer(2, "identity", bias=False)
    small = Problem(layer, 0.1 * np.eye(2), terminal_cost=losses.Squared(), steps=1)
    a, b = (priced(small, [[r, 0, 0, 0]]) for r in (0.0, 2.0))
    assert analysis.flow_distance(a, b) == pytest.approx(0.2)
    assert analysis.flow_distance(a, b, norm="l2") == pytest.approx(0.2 / np.sqrt(2))
    assert analysis.flow_distance(a, b, norm="w1inf") == pytest.approx(2.0)
    assert analysis.flow_distance(a, b, [[3.0, 1.0]]) == pytest.approx(6.0)
    with pytest.raises(ValueError, match="other has dimension 3 and solution 2"):
        analysis.flow_distance(a, network(dim=3))


def test_in_one_dimension_the_wasserstein_distance_sorts():
    layer = dynamics.Layer(1, "identity", bias=True)
    x = np.random.default_rng(0).standard_normal((40, 1))
    for weights in (None, np.arange(1.0, 41.0)):
        problem = Problem(layer, x, terminal_cost=losses.Squared(), steps=1, weights=weights)
        here, mirrored = priced(problem, [[0.0, 0.0]]), priced(problem, [[-2.0, 1.0]])
        y, z = x[:, 0], 1 - x[:, 0]
        w = problem.weights
        # int |F - G| over the line
        ends = np.sort(np.append(y, z))
        F, G = ((w * (c <= ends[:-1, None])).sum(axis=1) for c in (y, z))
        expected = (np.abs(F - G) * np.diff(ends)).sum()
        found = analysis.flow_distance(here, mirrored, norm="wasserstein")
        assert found == pytest.approx(expected, rel=1e-10)
        assert found < analysis.flow_distance(here, mirrored, norm="l2")


def test_in_the_plane_the_wasserstein_distance_asks_where_not_which():
    layer = dynamics.Layer(2, "identity", bias=False)
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    swap = np.array([[-1.0, 1.0], [1.0, -1.0]]).ravel()
    for weights, expected in ((None, 0.0), ([1.0, 1.0, 2.0], 0.0), ([2.0, 1.0, 1.0], 2**0.5 / 4)):
        problem = Problem(layer, x, terminal_cost=losses.Squared(), steps=1, weights=weights)
        here, swapped = priced(problem, np.zeros((1, 4))), priced(problem, swap[None])
        found = analysis.flow_distance(here, swapped, norm="wasserstein")
        assert found == pytest.approx(expected, abs=1e-12)
        assert analysis.flow_distance(here, swapped) == pytest.approx(2**0.5)


UNITS = [
    dynamics.TwoLayer(2, 5, "relu"),
    dynamics.TwoLayer(2, 5, "leaky_relu", bias=False),
    dynamics.Neurons(2, 5, "relu"),
]
PRICES = [penalties.L2(0.1), penalties.L1(0.1), penalties.ElasticNet(0.05, 0.1)]


def units(system, penalty, seed=1, **more):
    x = np.random.default_rng(0).standard_normal((40, 2))
    told = dict(terminal_cost=losses.Squared(), control_cost=penalty, steps=8)
    problem = Problem(system, x, **(told | more))
    return priced(problem, starts.independent(problem.control_shape, 1.0, seed=seed))


@pytest.mark.parametrize("system", UNITS, ids=str)
@pytest.mark.parametrize("penalty", PRICES, ids=str)
def test_balanced_weights_are_the_cheapest_of_the_same_flow(system, penalty):
    found = units(system, penalty)
    balanced = analysis.balance(found)
    assert analysis.flow_distance(found, balanced, norm="w1inf") < 1e-12
    assert balanced.cost < found.cost
    assert balanced.terms["terminal"] == pytest.approx(found.terms["terminal"], rel=1e-12)
    assert analysis.balance(balanced).cost == pytest.approx(balanced.cost, rel=1e-12)
    # no other scale of a unit is cheaper
    from pmpnet.analysis.gauge import _units

    outer, inner = _units(system)
    for r in (0.9, 0.999, 1.001, 1.1):
        u = balanced.controls.copy()
        u[2, outer[3]] /= r
        u[2, inner[3]] *= r
        assert priced(found.problem, u).cost > balanced.cost


def test_balance_keeps_zeros_and_clears_units_that_do_nothing():
    system = dynamics.TwoLayer(2, 3, "relu")
    A, W = [[1.0, 0.0, 2.0], [1.0, 0.0, 0.0]], [[1.0, 0.0], [5.0, 5.0], [0.0, 0.0]]
    u = np.tile(system.pack(A=A, W=W, c=[0.0, 1.0, 0.0], b=[1.0, 2.0]), (8, 1))
    problem = units(system, penalties.L2(0.1)).problem
    balanced = analysis.balance(priced(problem, u))
    parts = system.unpack(balanced.controls[0])
    assert not parts["A"][:, 1:].any()
    assert not parts["W"][1:].any()
    assert parts["W"][0, 1] == 0
    assert parts["b"].tolist() == [1.0, 2.0]
    assert analysis.flow_distance(balanced, priced(problem, u)) < 1e-13


def test_balance_without_a_price_evens_norms():
    found = analysis.balance(units(UNITS[1], None))
    parts = UNITS[1].unpack(found.controls[3])
    norms = [np.linalg.norm(parts["A"], axis=0), np.linalg.norm(parts["W"], axis=1)]
    np.testing.assert_allclose(*norms, rtol=1e-12)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(ValueError, match="no hidden units whose weights may be scaled"):
        analysis.balance(network())
    with pytest.raises(ValueError, match="no hidden units whose weights may be scaled"):
        analysis.directions(units(dynamics.TwoLayer(2, 3, "tanh"), None))
    with pytest.raises(ValueError, match="not Ball"):
        analysis.balance(units(UNITS[0], penalties.Ball(20.0)))


def test_directions_name_pairs_of_units():
    system = dynamics.Neurons(2, 4, "relu")
    w = [[1.0, 2.0], [-1.0, -2.0], [3.0, 6.0], [1.0, 0.0]]
    a = np.ones((4, 2))
    a[3] = 0
    u = np.tile(system.pack(a=a, w=w, c=[1.0, -1.0, 3.0, 0.0]), (2, 1))
    u[1] = system.pack(a=np.ones((4, 2)), w=w, c=[1.0, 1.0, 2.0, 0.0])
    found = analysis.directions(priced(units(system, None, steps=2).problem, u))
    assert found.redundant == [(0, 0, 2)]
    assert found.opposite == [(0, 0, 1), (0, 1, 2)]
    assert found.dead == [(0, 3)]
    assert "layer 0: units 0 and 2 redundant" in repr(found)


# ----------------------------------------------------------------------- curvature, laziness


@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_sharpness_is_the_largest_eigenvalue_of_differences_of_the_gradient(scheme):
    problem = moons(steps=3).replace(scheme=scheme, control_cost=penalties.L2(0.3)).on(range(100))
    u = random_start(problem, seed=3)
    columns = []
    for e in 1e-5 * np.eye(u.size):
        ahead, behind = (problem.gradient(u + s * e.reshape(u.shape)) for s in (1, -1))
        columns.append(((ahead - behind) / 2e-5).ravel())
    dense = np.stack(columns, axis=1)
    hessian = analysis.Hessian(problem)
    products = np.stack([hessian.operator(u) @ e for e in np.eye(u.size)], axis=1)
    np.testing.assert_allclose(products, dense, atol=1e-7)
    largest = np.linalg.eigvalsh((dense + dense.T) / 2)[-1]
    assert analysis.sharpness(priced(problem, u)) == pytest.approx(largest, rel=1e-6)
    value, vector = hessian.largest(u)
    np.testing.assert_allclose(hessian.product(u, vector), value * vector, atol=1e-7)


def test_sharpness_of_a_single_layer_and_of_uneven_times():
    one = translation(steps=1, control_cost=penalties.L2(3.0))
    assert analysis.sharpness(priced(one, [[0.7, 0.1]])) == pytest.approx(5.0)
    uneven = translation(times=[0.0, 0.5, 0.6, 2.0], control_cost=penalties.Zero())
    h = np.diff(uneven.times)
    assert analysis.sharpness(priced(uneven, np.zeros((3, 2)))) == pytest.approx(2 * h @ h)
    with pytest.raises(ValueError, match="the problem has constraints"):
        analysis.Hessian(
            one.replace(constraints=[constraints.Terminal(x := casadi.SX.sym("x", 2), x, 0, 0)])
        )


def test_laziness_is_what_the_linearisation_misses():
    found = network("heun", size=0.5)
    start = starts.smooth(found.controls.shape, 0.5, seed=9)
    begun = priced(found.problem, start)
    x, e = found.problem.initial_states, 1e-6
    step = (found.controls - start) * e
    ahead, behind = (priced(found.problem, start + s * step).flow(x) for s in (1, -1))
    moved = found.flow(x) - begun.flow(x)
    expected = np.linalg.norm(moved - (ahead - behind) / (2 * e)) / np.linalg.norm(moved)
    assert analysis.laziness(found, start) == pytest.approx(expected, rel=1e-5)
    assert analysis.laziness(found, found.controls) == 0.0
    # the nearer to the start, the lazier, and linearly so
    near = [
        analysis.laziness(priced(found.problem, start + r * step / e), start) for r in (0.1, 0.05)
    ]
    assert near[0] / near[1] == pytest.approx(2.0, rel=0.1)


def test_truncated_costates_are_those_of_the_last_layers():
    problem = network(steps=6).problem
    u = np.tile(starts.independent((1, 6), 0.5, seed=2), (6, 1))
    found = priced(problem, u)
    g = problem.gradient(u)
    for layers in (1, 3, 6, 10):
        part = analysis.truncated_costates(found, layers)
        np.testing.assert_allclose(part.truncated, g[-layers:].sum(axis=0), rtol=1e-12)
        assert part.inner == pytest.approx(part.truncated @ g.sum(axis=0), rel=1e-12)
    assert part.cosine == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="a control that all layers share"):
        analysis.truncated_costates(network())


def test_costs_of_subsamples_spread_less_the_more_samples_there_are():
    x = np.random.default_rng(0).standard_normal((4000, 2))
    problem = Problem(
        dynamics.LinearControl(2), x, np.zeros((4000, 2)), terminal_cost=losses.Squared(),
        control_cost=penalties.L2(1.0), steps=2,
    )  # fmt: skip
    found = analysis.sample_convergence(problem, pmpnet.solve.msa, [25, 100, 400], 30, seed=1)
    assert found.rate == pytest.approx(-0.5, abs=0.12)
    best = pmpnet.solve.msa(problem).cost
    # its own samples flatter a solution, all samples do not: J_M <= J* <= J(u_M) on average
    assert np.all(found.costs.mean(axis=1) < best + 3 * found.costs.std(axis=1) / 30**0.5)
    assert np.all(found.held_out >= best - 1e-12)
    assert np.all(np.diff(found.held_out.mean(axis=1)) < 0)
    again = analysis.sample_convergence(problem, pmpnet.solve.msa, [25, 100, 400], 30, seed=1)
    assert np.array_equal(found.costs, again.costs)
    assert "100 samples" in repr(found)
