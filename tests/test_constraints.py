"""Costs, constraints and horizons said as expressions: gradients, values, solves, bad input."""

import casadi
import numpy as np
import pytest
from casadi import SX
from hypothesis import given, settings
from hypothesis import strategies as st

import pmpnet
from pmpnet import Problem, losses, penalties
from pmpnet.certificate import taylor_slope
from pmpnet.constraints import Integral, Path, Terminal
from pmpnet.dynamics import Layer, Symbolic, from_function
from pmpnet.reduced import Reduced
from pmpnet.schemes import NAMED
from pmpnet.solution import CONVERGED, INFEASIBLE
from pmpnet.solve import msa
from pmpnet.sweeps import Multipliers

from .symbolic_problems import KINDS, MIXED, SYSTEM, THETA, constrained, free, theta, x
from .symbolic_problems import u as U

Q = SX.sym("q", 2)
F = SX.sym("f")
INTEGRATOR = Symbolic(Q, F, [Q[1], F])  # position and speed, moved by a force


def decided(problem, rng):
    """A point of the reduced problem, and multipliers of random signs."""
    extras, M, N = problem.model.extras, problem.samples.count, problem.intervals
    rows = [b.map.rows if b is not None else 0 for b in (extras.terminal, extras.path)]
    multipliers = Multipliers(
        rng.standard_normal((M, rows[0])), rng.standard_normal((N, 2, M, rows[1])),
        rng.uniform(0.5, 3.0, rows[0]), rng.uniform(0.5, 3.0, rows[1]),
    )  # fmt: skip
    reduced = Reduced(problem, multipliers=multipliers if problem.constraints else None)
    u = 0.5 * rng.standard_normal(problem.control_shape)
    return reduced, reduced.join(u, problem.initial_readouts(), rng.uniform(0.8, 1.4))


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    scheme=st.sampled_from(sorted(NAMED)),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_gradient_is_the_slope_of_the_augmented_cost(kind, scheme, seed):
    rng = np.random.default_rng(seed)
    reduced, v = decided(KINDS[kind](scheme=scheme), rng)
    d, e = rng.standard_normal(reduced.size), 1e-5
    g = reduced.evaluate(v).g
    ahead, behind = (reduced.sampled(v + s * e * d, v) for s in (1, -1))
    size = abs(reduced.metric * g * d).sum()
    assert reduced.inner(g, d) == pytest.approx((behind - ahead) / (2 * e), abs=1e-7 * size + 1e-9)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_remainder_is_of_second_order(kind):
    reduced, v = decided(KINDS[kind](scheme="heun"), np.random.default_rng(3))
    # a constraint's term has a kink in its slope where its bound begins to hold back
    reduced.multipliers = None
    assert taylor_slope(reduced, v) == pytest.approx(2.0, abs=0.05)


def values_by_hand(problem, u):
    """Every part of a Bolza problem with Euler's scheme, sample by sample, in plain NumPy."""
    times, h = problem.times, problem.steps
    states = [np.array(problem.initial_states)]
    running, integral = np.zeros(5), np.zeros(5)
    a, b = THETA.T
    y = problem.targets
    mixed = []
    for k in range(len(h)):
        (p, q), (f, g), now = states[-1].T, u[k], times[k]
        running += h[k] * (now * p**2 * np.cos(f) + 0.5 * g**2 + a * y * q)
        integral += h[k] * (p**2 + f**2)
        rate = np.stack([q + a * np.tanh(f * now), g - np.sin(p) * b + 0.1 * now], axis=1)
        states.append(states[-1] + h[k] * rate)
        mixed.append([states[k + i][:, 0] * g + times[k + i] for i in (0, 1)])
    p, q = states[-1].T
    terminal = (p - y) ** 2 + np.exp(b * q)
    at_end = np.stack([p * a, q, integral], axis=1)
    return np.stack(states), terminal, running, at_end, np.array(mixed)[..., None]


def test_values_are_those_of_the_formulas():
    problem, rng = constrained(), np.random.default_rng(1)
    u = rng.standard_normal(problem.control_shape)
    states, terminal, running, at_end, on_path = values_by_hand(problem, u)
    np.testing.assert_allclose(problem.states(u), states, rtol=1e-13, atol=1e-13)
    terms, w = problem.terms(u), problem.weights
    assert terms["terminal"] == pytest.approx(w @ terminal, rel=1e-13)
    assert terms["running"] == pytest.approx(0.7 * (w @ running), rel=1e-13)
    R = (problem.steps * (0.1 * u**2 + 0.05 * abs(u)).sum(axis=1)).sum()
    assert terms["control"] == pytest.approx(R, rel=1e-13)
    found = problem.constraint_values(u, (None, None))
    np.testing.assert_allclose(found[0], at_end, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found[1], on_path, rtol=1e-13, atol=1e-13)
    named = problem.by_constraint(*found)
    assert list(named) == ["mixed", "terminal 1", "integral 1"]
    assert [a.shape for a in named.values()] == [(4, 2, 5, 1), (5, 2), (5, 1)]


def test_the_augmented_lagrangian_by_its_formula():
    problem, rng = constrained(), np.random.default_rng(2)
    reduced, v = decided(problem, rng)
    m, u = reduced.multipliers, reduced.control(v)
    at_end, on_path = problem.constraint_values(u, (None, None))

    def terms(c, L, sigma, bounded):
        e = c + L / sigma - np.clip(c + L / sigma, bounded.lower, bounded.upper)
        return 0.5 * sigma * e**2 - 0.5 * L**2 / sigma

    extras = problem.model.extras
    total = terms(at_end, m.terminal, m.terminal_sigma, extras.terminal).sum() / 5
    along = terms(on_path, m.path, m.path_sigma, extras.path).sum(axis=(1, 2, 3)) / 10
    total += problem.steps @ along
    assert reduced.cost(v) - problem.cost(u) == pytest.approx(total, rel=1e-12)


def test_energy_goes_to_the_closed_form():
    problem = KINDS["bolza"]()
    # 0.5 u_1^2 of the running cost, times its weight 0.7; cos(u_0) is not quadratic
    np.testing.assert_allclose(problem.penalty.l2, [0.2, 0.9])
    assert problem.model.dynamics.dim == 3
    rest, weights = MIXED.without_energy()
    assert weights.tolist() == [0.0, 1.0]
    assert rest.mixed
    plain, weights = losses.Symbolic(x[0] ** 2 + U[0] ** 2, x, U).without_energy()
    assert weights.tolist() == [2.0, 0.0]
    assert not plain.mixed
    for kept in (
        U[0] * U[1],
        x[0] * U[0] ** 2,
        -(U[0] ** 2),
        U[0] ** 4,
        casadi.sqrt(1 + U[0] ** 2),
    ):
        cost = losses.Symbolic(kept, x, U)
        assert cost.without_energy()[0] is cost


def test_a_stretched_horizon_is_another_grid():
    problem = free(scheme="rk4")
    u = np.random.default_rng(5).standard_normal(problem.control_shape)
    start, length = problem.times[0], problem.length
    assert length == pytest.approx(1.2)
    there = constrained(scheme="rk4", times=start + (problem.times - start) * 2.0 / length)
    there.samples.theta[:] = problem.samples.theta  # the same targets
    assert problem.cost(u, horizon=2.0) == pytest.approx(there.cost(u), rel=1e-12)
    np.testing.assert_allclose(problem.states(u, 2.0), there.states(u), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(problem.gradient(u, horizon=2.0), there.gradient(u), atol=1e-12)


# ------------------------------------------------------------------------------------ solves


def least_energy(steps=50, **how):
    told = dict(control_cost=penalties.L2(1.0), scheme="rk4", steps=steps) | how
    arrive = Terminal(Q, Q, [1, 0], [1, 0], name="arrive")
    return Problem(INTEGRATOR, [[0.0, 0.0]], constraints=[arrive], **told)


@pytest.mark.parametrize("method", ["accelerated", "proximal", "synchronous", "gradient flow"])
def test_least_energy_from_rest_to_rest(method):
    # u = 6 - 12 t costs 6; with N pieces 6 / (1 - 1/N^2), whose multipliers are (-12, 6) likewise
    problem = least_energy()
    if method == "gradient flow":
        found = pmpnet.solve.gradient_flow(problem, max_iter=5000)
    else:
        found = msa(problem, max_iter=5000, variant=method)
    assert found.status == CONVERGED, found.message
    assert found.violations["arrive"] < 1e-6
    # a violation is worth its price of 12
    assert found.cost == pytest.approx(6 / (1 - 1 / 50**2), abs=13e-6)
    exact = np.array([[-12.0, 6.0]]) / (1 - 1 / 50**2)
    np.testing.assert_allclose(found.multipliers["arrive"], exact, rtol=1e-4)
    middle = (found.times[:-1] + found.times[1:]) / 2
    np.testing.assert_allclose(found.controls[:, 0], 6 - 12 * middle, atol=0.01)
    # at the end the costate is minus the multiplier, and by then nothing else moves it
    np.testing.assert_allclose(found.costates()[-1], -found.multipliers["arrive"], atol=1e-3)
    assert pmpnet.verify(problem, found).gap < 1e-8


def test_multipliers_are_prices():
    # how much the optimum changes when a bound is moved
    costs = []
    for end in (1.0 - 1e-3, 1.0 + 1e-3):
        arrive = Terminal(Q, Q, [end, 0], [end, 0])
        problem = Problem(
            INTEGRATOR, [[0.0, 0.0]], constraints=[arrive], control_cost=penalties.L2(1.0),
            scheme="rk4", steps=50,
        )  # fmt: skip
        costs.append(msa(problem, tol=1e-8).cost)
    price = (costs[1] - costs[0]) / 2e-3
    found = msa(least_energy(), tol=1e-8)
    assert -found.multipliers["arrive"][0, 0] == pytest.approx(price, rel=1e-4)


def test_a_height_that_must_not_be_passed():
    # Bryson and Denham: 4 / (9 l) for a ceiling of l <= 1/6
    ceiling = 1 / 9
    problem = Problem(
        INTEGRATOR,
        [[0.0, 1.0]],
        control_cost=penalties.L2(1.0),
        constraints=[
            Path(Q[0], Q, upper=ceiling, name="ceiling"),
            Terminal(Q, Q, [0, -1], [0, -1], name="end"),
        ],
        scheme="rk4",
        steps=60,
    )
    found = msa(problem, max_iter=20_000)
    assert found.success, found.message
    assert max(found.violations.values()) < 1e-6
    assert found.cost == pytest.approx(4 / (9 * ceiling), rel=2e-3)
    price = found.multipliers["ceiling"]
    assert price.shape == (60, 2, 1, 1)
    assert price.min() >= 0
    assert price[:3].max() == 0  # where the ceiling is far, it costs nothing


def test_multipliers_are_those_of_ipopt():
    # CasADi's sign: the gradient of f + <lam_g, g> vanishes
    N, h, limit = 20, 1 / 20, 1.35
    problem = Problem(
        INTEGRATOR,
        [[0.0, 0.0]],
        control_cost=penalties.L2(1.0),
        constraints=[
            Terminal(Q, Q, [1, 0], [1, 0], name="arrive"),
            Path(Q[1], Q, upper=limit, name="speed"),
        ],
        scheme="rk4",
        steps=N,
    )
    found = msa(problem, max_iter=20_000, tol=1e-8)
    assert found.success, found.message

    force, speeds = SX.sym("u", N), [SX(0)]
    place, speed = SX(0), SX(0)
    for k in range(N):
        place, speed = place + h * speed + h**2 / 2 * force[k], speed + h * force[k]
        speeds.append(speed)
    nlp = dict(x=force, f=h / 2 * casadi.sumsqr(force), g=casadi.vertcat(place, speed, *speeds[1:]))
    options = {"print_time": False, "ipopt.print_level": 0, "ipopt.sb": "yes", "ipopt.tol": 1e-12}
    solver = casadi.nlpsol("solver", "ipopt", nlp, options)
    exact = solver(lbg=[1, 0, *[-np.inf] * N], ubg=[1, 0, *[limit] * N])
    assert found.cost == pytest.approx(float(exact["f"]), rel=1e-6)
    np.testing.assert_allclose(found.controls, exact["x"].full(), atol=1e-5)
    prices = exact["lam_g"].full().ravel()
    np.testing.assert_allclose(found.multipliers["arrive"][0], prices[:2], rtol=1e-4)
    # a density at both ends of every interval: two of them meet at each inner time
    ends = h / 2 * found.multipliers["speed"][:, :, 0, 0]
    at_times = np.append(ends[1:, 0], 0.0) + ends[:, 1]
    np.testing.assert_allclose(at_times, prices[2:], atol=1e-3)
    assert prices[2:].max() > 0.1


def test_least_time():
    # from rest to rest over a distance of 1 with a force of at most 1: full ahead, full back
    problem = Problem(
        INTEGRATOR,
        [[0.0, 0.0]],
        running_cost=losses.Symbolic(1, Q),
        control_cost=penalties.Box(-1, 1),
        constraints=[Terminal(Q, Q, [1, 0], [1, 0])],
        free_horizon=(0.05, 20.0),
        scheme="rk4",
        steps=40,
    )
    found = msa(problem, start=np.r_[np.ones(20), -np.ones(20)][:, None], max_iter=20_000)
    assert found.success, found.message
    assert found.horizon == pytest.approx(2.0, abs=1e-4)
    assert found.cost == pytest.approx(found.horizon, rel=1e-12)
    assert found.times[-1] == found.horizon
    np.testing.assert_allclose(found.flow([[0.0, 0.0]]), [[1.0, 0.0]], atol=1e-5)
    assert found.resimulate().cost == pytest.approx(found.horizon, rel=1e-9)
    assert "horizon" in repr(found)


def test_what_cannot_be_met_is_said():
    # a force of at most 1 goes no further than 1/4 and back to rest in one unit of time
    problem = least_energy(control_cost=penalties.L2(1.0) + penalties.Box(-1, 1))
    found = msa(problem, max_iter=20_000)
    assert (found.success, found.status) == (False, INFEASIBLE)
    assert "cannot be met" in found.message
    assert "arrive" in found.message
    assert np.isfinite(found.controls).all()
    assert found.violations["arrive"] > 0.1


def test_history_goes_on_through_all_subproblems():
    found = msa(least_energy())
    assert len(found.history) == found.nit + 1
    assert (np.diff(found.history["sweeps"]) > 0).all()
    assert (np.diff(found.history["seconds"]) >= 0).all()
    assert found.history["sweeps"][-1] == found.nfev + found.njev
    assert found.seconds.solve >= found.history["seconds"][-1]
    assert f"converged after {found.nit} iterations" in found.message
    short = msa(least_energy(), max_iter=5)
    assert (short.nit, short.success) == (5, False)


def test_one_control_for_many_systems():
    # robust control: the mean over parameters, each sample its own system
    p = SX.sym("p", 2)
    system = Symbolic(Q, F, [Q[1], p[0] * F - p[1] * Q[0]], parameters=p)
    theta = np.array([[1.0, 0.0], [0.8, 0.3], [1.2, 0.1]])
    target = losses.Symbolic((Q[0] - 1) ** 2 + Q[1] ** 2, Q)
    told = dict(terminal_cost=target, control_cost=penalties.L2(0.01), scheme="rk4", steps=30)
    together = Problem(system, np.zeros((3, 2)), parameters=theta, horizon=2.0, **told)
    found = msa(together)
    assert found.success
    alone = [
        Problem(system, np.zeros((1, 2)), parameters=row[None], horizon=2.0, **told)
        for row in theta
    ]
    means = np.mean([p.terms(found.controls)["terminal"] for p in alone])
    assert found.terms["terminal"] == pytest.approx(means, rel=1e-12)
    np.testing.assert_allclose(
        found.flow(np.zeros((1, 2)), theta[1:2])[0], found.states()[-1, 1], atol=1e-13
    )
    assert found.resimulate().cost == pytest.approx(found.cost, rel=1e-6)


def test_it_all_comes_back_from_disk(tmp_path):
    found = msa(free(scheme="heun"), max_iter=3)
    found.save(tmp_path / "found.npz")
    again = pmpnet.load(tmp_path / "found.npz")
    assert repr(again.problem) == repr(found.problem)
    assert again.cost == found.cost
    assert again.problem.terms(again.controls, horizon=again.horizon) == pytest.approx(
        found.terms, rel=1e-14
    )
    np.testing.assert_array_equal(again.times, found.times)
    for name, values in found.multipliers.items():
        np.testing.assert_array_equal(again.multipliers[name], values)
    np.testing.assert_array_equal(again.costates(), found.costates())


# --------------------------------------------------------------------------------- bad input

W = SX.sym("w")
COST = losses.Squared()


@pytest.mark.parametrize(
    ("kind", "neither"),
    [(Terminal, (0, 0)), (Path, (-np.inf, 0)), (Integral, (-np.inf, 0))],
)
def test_one_bound_alone_leaves_the_other_side_free(kind, neither):
    def bounds(**given):
        constraint = kind(Q[0], Q, **given)
        return constraint.lower.item(), constraint.upper.item()

    assert bounds() == neither
    assert bounds(lower=-1.0) == (-1.0, np.inf)
    assert bounds(upper=2.0) == (-np.inf, 2.0)
    assert bounds(lower=0.5, upper=2.0) == (0.5, 2.0)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: Symbolic(Q, F, [Q[1]]), ValueError, "rhs has 1 .* the state has 2"),
        (lambda: Symbolic(Q, Q[0], Q), ValueError, "stands both in x and in u"),
        (lambda: Symbolic(Q, [F, F], Q), ValueError, "stands twice in u"),
        (lambda: Symbolic(Q + 1, F, Q), ValueError, "not a symbol"),
        (lambda: Symbolic(Q, 2.0, Q), ValueError, "not a symbol"),
        (lambda: Symbolic(Q, [], Q), ValueError, "u has no symbol"),
        (lambda: Symbolic(Q, F, [W, F]), ValueError, "contains w, which is not among"),
        (lambda: Symbolic(Q, F, "q"), TypeError, "'q' as entry 0"),
        (lambda: Symbolic(Q, F, Q, t=SX.sym("t", 2)), ValueError, "t has 2 symbols"),
        (lambda: Symbolic(Q, F, Q, scale=np.inf), ValueError, "scale"),
        (lambda: Symbolic(casadi.MX.sym("q"), F, [F]), TypeError, "casadi.MX"),
        (lambda: Symbolic(Q, F, casadi.MX.sym("q", 2)), TypeError, "casadi.MX"),
        (lambda: Symbolic(Q, F, [casadi.erfinv(F), 0]), ValueError, "CasADi's erfinv"),
        (lambda: from_function(3, 2, 1), TypeError, "f=3 is not a function"),
        (lambda: from_function(lambda t, x, u: x[5], 2, 1), ValueError, r"as f\(t, x, u\)"),
        (lambda: from_function(lambda t, x, u: u, 2, 1), ValueError, "rhs has 1"),
        (lambda: from_function(lambda t, x, u: u, 0, 1), ValueError, "states=0"),
        (lambda: losses.Symbolic([Q[0], Q[1]], Q), ValueError, "a cost has 1"),
        (lambda: losses.Symbolic(W, Q), ValueError, "contains w"),
        (lambda: losses.Symbolic(F, Q, y=F, u=F), ValueError, "stands both in u and in y"),
        (lambda: Terminal(Q, Q, 1, 0), ValueError, "lower"),
        (lambda: Terminal(Q, Q, [0, 0, 0], 1), ValueError, "lower has 3 numbers"),
        (lambda: Terminal(F, Q), ValueError, "contains f"),
        (lambda: Terminal(Q, Q, name=3), ValueError, "name=3"),
        (lambda: Terminal(Q, Q, name="controls"), ValueError, "name='controls'"),
        (lambda: Path(Q, Q, upper=np.inf), ValueError, "bounds nothing"),
        (lambda: Path(Q, Q, lower=np.inf, upper=np.inf), ValueError, "no point in it"),
        (lambda: Path(Q, Q, upper=np.nan), ValueError, "NaN|nan"),
        (lambda: Integral(Q, Q, upper="a"), TypeError, "upper"),
    ],
)
def test_refused_expressions(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def on(system=INTEGRATOR, states=((0.0, 0.0),), targets=None, **told):
    return lambda: Problem(system, states, targets, **told)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (on(), ValueError, "nothing to minimise"),
        (on(terminal_cost=losses.Symbolic(F, Q, F)), ValueError, "terminal cost depends on u"),
        (on(terminal_cost=losses.Symbolic(W, W)), ValueError, r"1 symbol\(s\) in x .* 2"),
        (on(terminal_cost=losses.Symbolic(W, Q, y=W)), ValueError, "targets"),
        (on(running_cost=losses.Symbolic(W, Q, W), states=[[0.0] * 3]), ValueError, "3 columns"),
        (on(terminal_cost=COST, constraints=3), TypeError, "is not a list"),
        (on(terminal_cost=COST, constraints=[3]), TypeError, r"constraints\[0\]"),
        (on(constraints=[Terminal(W, W)]), ValueError, r"1 symbol\(s\) in x"),
        (on(constraints=[Path(W, Q, [W, F])]), ValueError, r"2 symbol\(s\) in u"),
        (on(constraints=[Terminal(W, Q, parameters=W)]), ValueError, "in parameters"),
        (on(terminal_cost=COST, free_horizon=(2, 1)), ValueError, "no range"),
        (on(terminal_cost=COST, free_horizon=3), ValueError, "free_horizon"),
        (on(terminal_cost=COST, free_horizon=(0, 1)), ValueError, "above 0"),
        (on(SYSTEM, terminal_cost=COST), ValueError, r"have 2 parameter\(s\) but none"),
        (on(SYSTEM, terminal_cost=COST, parameters=[[1.0]]), ValueError, "parameters has shape"),
        (on(SYSTEM, terminal_cost=COST, parameters=[[1, np.nan]]), ValueError, "parameters"),
    ],
)
def test_refused_problems(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def test_names_of_constraints_differ():
    twice = [Terminal(Q, Q, name="end"), Path(Q, Q, name="end")]
    with pytest.raises(ValueError, match="2 constraints are called 'end'"):
        Problem(INTEGRATOR, [[0.0, 0.0]], constraints=twice)


def test_a_fixed_horizon_is_not_chosen():
    with pytest.raises(ValueError, match="horizon is fixed"):
        least_energy().cost(np.zeros((50, 1)), horizon=2.0)


def test_a_trained_readout_is_no_running_cost_of_a_free_horizon():
    loss = losses.Squared(readout="train")
    with pytest.raises(ValueError, match="trained readout"):
        Problem(Layer(2), [[0.0, 0.0]], [[1.0]], running_cost=loss, free_horizon=(1, 2))


def test_new_points_need_their_parameters():
    problem = KINDS["bolza"]()
    found = msa(problem, max_iter=0)
    with pytest.raises(ValueError, match="none were given"):
        found.flow([[0.0, 0.0]])
    assert found.flow([[0.0, 0.0]], [[1.0, 1.0]]).shape == (1, 2)
    assert theta.numel() == 2
