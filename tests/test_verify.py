"""Certificates on problems whose optimum, costates or Hamiltonian are known."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pmpnet
import pmpnet.solve
from pmpnet import Problem, verify
from pmpnet.certificate import Certificate, taylor_slope
from pmpnet.dynamics import Layer, LinearControl
from pmpnet.hamiltonian import Hamiltonian
from pmpnet.losses import Logistic, Squared
from pmpnet.penalties import L1, L2, Ball, Box, Group, Zero
from pmpnet.reduced import Reduced
from pmpnet.schemes import NAMED

from .problems import translation, translation_cost
from .strategies import AFFINE, SEEDS, SMOOTH, SMOOTH_LOSSES, cases, system

POLYNOMIAL = LinearControl(1, "polynomial", degree=1)  # x' = u_1 + u_2 x


# --------------------------------------------------------------------- at known optima


@pytest.mark.parametrize("beta", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("how", [{}, dict(scheme="rk4", times=[1.0, 1.2, 1.9, 2.0])])
def test_the_optimum_of_translation_is_certified(beta, how):
    c = np.array([0.3, 0.4])
    p = translation(c, beta, **how)
    best = np.tile(c / (1 + beta / 2), (p.intervals, 1))
    found = verify(p, best)
    assert found.cost == pytest.approx(translation_cost(c, beta), rel=1e-13)
    assert 0 <= found.gap < 1e-15
    assert found.residual < 1e-14
    assert found.violation == 0.0
    assert found.taylor_slope == pytest.approx(2.0, abs=0.05)
    # the cost is strictly convex: every other control loses something
    for seed in range(5):
        other = best + 0.01 * np.random.default_rng(seed).standard_normal(best.shape)
        worse = verify(p, other)
        assert worse.cost > found.cost
        assert worse.gap > 1e-6
        assert worse.residual > 1e-4


def test_the_gap_of_translation_away_from_its_optimum():
    # u constant: g = 2 (c - u), and D = |g - beta u|^2 / (2 beta)
    c, beta = np.array([0.3, 0.4]), 0.5
    p = translation(c, beta)
    u = np.array([0.1, -0.2])
    g = 2 * (c - u)
    found = verify(p, np.tile(u, (p.intervals, 1)))
    exact = ((g - beta * u) ** 2).sum() / (2 * beta)
    np.testing.assert_allclose(found.layer_gaps, exact, rtol=1e-12)
    assert found.gap == pytest.approx(exact, rel=1e-12)
    residual = np.linalg.norm(u - (u + g) / (1 + beta))
    assert found.residual == pytest.approx(residual, rel=1e-12)


def test_the_gap_at_an_optimum_on_the_boundary():
    # translation by more than a ball allows: u = r c / |c|
    c, r = np.array([3.0, 4.0]), 2.0
    p = translation(c, control_cost=Ball(r))
    found = verify(p, np.tile(r * c / 5, (p.intervals, 1)))
    assert found.cost == pytest.approx((5 - r) ** 2, rel=1e-13)
    assert abs(found.gap) < 1e-13
    assert found.residual < 1e-13
    assert found.violation < 1e-14
    assert verify(p, np.tile(c, (p.intervals, 1))).violation == pytest.approx(3.0)


def quadratic(steps, scheme="euler"):
    """x' = u with costs on the way and at the end: J is quadratic in u."""
    return Problem(
        LinearControl(1), [[1.0], [2.0]], terminal_cost=Squared(0.3), running_cost=Squared(1.5),
        running_weight=0.8, control_cost=L2(0.7), horizon=1.4, steps=steps, scheme=scheme,
    )  # fmt: skip


def optimum(p):
    """Solve dJ = 0 where dJ is affine in u."""
    zero = np.zeros(p.control_shape)
    dJ = p.gradient(zero).ravel()
    columns = [p.gradient(e.reshape(zero.shape)).ravel() - dJ for e in np.eye(zero.size)]
    return np.linalg.solve(np.stack(columns, axis=1), -dJ).reshape(zero.shape)


@pytest.mark.parametrize("scheme", NAMED)
def test_the_optimum_of_a_quadratic_problem_is_certified(scheme):
    p = quadratic(15, scheme)
    found = verify(p, optimum(p))
    assert abs(found.gap) < 1e-13
    assert found.residual < 1e-13
    assert verify(p, 0.9 * optimum(p)).gap > 1e-3


@given(st.sampled_from(SMOOTH), st.sampled_from(list(NAMED)), SEEDS)
def test_gaps_are_never_negative(name, scheme, seed):
    rng = np.random.default_rng(seed)
    dynamics = system(name, 2)
    p = Problem(
        dynamics, rng.standard_normal((5, 2)), np.arange(5) % 2,
        terminal_cost=Logistic(readout="train"), steps=4, scheme=scheme,
        control_cost=[L2(0.3), L1(0.2) + L2(0.1), Box(-1, 1), Ball(2.0)][seed % 4],
    )  # fmt: skip
    u = p.penalty.project(0.5 * rng.standard_normal(p.control_shape))
    found = verify(p, u)
    assume(np.isfinite(found.cost))
    assert found.layer_gaps.min() >= -1e-13 * (1 + found.layer_gaps.max())
    assert found.gap == pytest.approx(p.steps @ found.layer_gaps, rel=1e-13)
    assert found.residual >= 0


@pytest.mark.parametrize("penalty", [Zero(), L1(0.1), Box(0, np.inf)], ids=repr)
def test_no_gap_where_the_hamiltonian_has_no_maximum(penalty):
    p = translation(control_cost=penalty)
    found = verify(p, np.full(p.control_shape, 0.1))
    assert np.isnan(found.gap)
    assert np.isnan(found.layer_gaps).all()
    assert np.isfinite(found.residual)
    assert "nan" in repr(found)


# ---------------------------------------------------------------------- the Hamiltonian


def spread(p, u):
    return np.ptp(verify(p, u).hamiltonian)


@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_the_hamiltonian_of_an_optimum_is_constant_up_to_h(scheme):
    spreads = []
    for steps in (40, 80, 160):
        p = quadratic(steps, scheme)
        spreads.append(spread(p, optimum(p)))
    np.testing.assert_allclose(np.divide(spreads[:-1], spreads[1:]), 2.0, atol=0.1)
    assert spread(p, optimum(p) + np.linspace(0, 1, 160)[:, None]) > 50 * spreads[-1]


def test_the_hamiltonian_is_constant_with_groups_over_time_too():
    spreads = []
    for steps in (40, 80, 160):
        p = Problem(
            LinearControl(1), [[1.0]], running_cost=Squared(1.5), horizon=2.0, steps=steps,
            control_cost=Group(0.3, by="time") + L2(0.2),
        )  # fmt: skip
        solution = pmpnet.solve.msa(p, tol=1e-11)
        assert solution.success
        spreads.append(spread(p, solution.controls))
    np.testing.assert_allclose(np.divide(spreads[:-1], spreads[1:]), 2.0, atol=0.1)


def test_the_hamiltonian_by_its_formula():
    # H_k = sum_m [<p_{k+1}, f(x_k, u_k)> - alpha w_m l(x_k)] - R(u_k)
    p, rng = quadratic(7), np.random.default_rng(0)
    u = rng.standard_normal(p.control_shape)
    x, costates = p.states(u), p.costates(u)
    exact = [
        (costates[k + 1] * u[k]).sum() - 0.8 * (1.5 * x[k] ** 2).mean() - 0.35 * u[k, 0] ** 2
        for k in range(7)
    ]
    np.testing.assert_allclose(Hamiltonian(Reduced(p), u.ravel()).along(), exact, rtol=1e-13)


@given(cases(AFFINE, schemes=["euler"]))
def test_the_gap_is_in_the_hamiltonian(case):
    # with Euler and f linear in u, g_k is the derivative of H_k: H_k(v) - H_k(u) = <g_k, v - u>
    p = case.problem
    exact = case.reference.round(case.u, case.readouts)
    other = case.rng.standard_normal(case.u.shape)
    for k, (u, v) in enumerate(zip(case.u, other, strict=True)):
        x, t = exact.states[k], p.times[k]
        difference = (exact.costates[k + 1] * (p.dynamics.f(t, x, v) - p.dynamics.f(t, x, u))).sum()
        scale = abs(exact.costates[k + 1]).sum() * (1 + abs(x).max() ** 2)
        assert exact.g[k] @ (v - u) == pytest.approx(difference, rel=0, abs=1e-11 * scale)
    H = Hamiltonian(case.reduced, case.v).along()
    level = (exact.costates[1:] * [
        p.dynamics.f(t, x, u)
        for t, x, u in zip(p.times[:-1], exact.states[:-1], case.u, strict=True)
    ]).sum(axis=(1, 2))  # fmt: skip
    if p.running_cost is not None:
        level -= p.running_weight * np.array(
            [case.reference.price(1, x, case.readouts) for x in exact.states[:-1]]
        )
    np.testing.assert_allclose(
        H, level - p.penalty.layer_values(case.u), rtol=0, atol=1e-11 * (1 + abs(level).max())
    )


# ------------------------------------------------------------------------- Taylor slopes


@given(cases(systems=SMOOTH, kinds=SMOOTH_LOSSES))
def test_the_taylor_slope_of_exact_costates_is_two(case):
    assume(case.reduced.evaluate(case.v).g.any())
    found = verify(case.problem, case.u, readout=case.given, seed=3)
    assert found.taylor_slope == pytest.approx(2.0, abs=0.05)


def test_the_taylor_slope_of_wrong_costates_is_one(monkeypatch):
    # what it is for: g with p_k in place of p_{k+1}, as a separately discretised adjoint has it
    rng = np.random.default_rng(0)
    p = Problem(
        Layer(2), rng.standard_normal((9, 2)), rng.standard_normal((9, 2)),
        terminal_cost=Squared(), steps=10,
    )  # fmt: skip
    u = rng.standard_normal(p.control_shape)
    reduced, v = Reduced(p), u.ravel()
    assert taylor_slope(reduced, v) == pytest.approx(2.0, abs=0.05)
    x, costates = p.states(u), p.costates(u)
    rows = np.eye(p.dynamics.controls)
    wrong = np.array([
        [(costates[k] * p.dynamics.f(0.0, x[k], e)).sum() for e in rows] for k in range(10)
    ])  # fmt: skip
    point = reduced.evaluate(v)
    assert 0 < abs(wrong.ravel() - point.g).max() < 0.5 * abs(point.g).max()
    monkeypatch.setattr(reduced, "evaluate", lambda v: type(point)(v, {}, 0.0, wrong.ravel()))
    assert taylor_slope(reduced, v) == pytest.approx(1.0, abs=0.05)


def test_no_taylor_slope_where_there_is_no_remainder():
    # a single Euler step does not move what the running cost reads
    p = Problem(Layer(2), np.ones((3, 2)), running_cost=Squared(), steps=1)
    assert np.isnan(verify(p, np.ones(p.control_shape)).taylor_slope)


def test_single_precision_has_a_taylor_slope_too():
    rng = np.random.default_rng(0)
    p = Problem(
        Layer(2), rng.standard_normal((9, 2)), terminal_cost=Squared(), steps=5, dtype="float32"
    )
    u = rng.standard_normal(p.control_shape)
    assert verify(p, u).taylor_slope == pytest.approx(2.0, abs=0.2)


# ---------------------------------------------------------------------- known costates


def test_costates_of_a_scalar_linear_system_with_euler():
    # x' = a x: p_k = (1 + h a) p_{k+1} - 2 h alpha size w x_k, p_N = -2 w (x_N - y)
    a, alpha, size, w = 0.7, 0.6, 1.3, np.array([0.25, 0.75])
    times = np.array([0.0, 0.3, 0.4, 1.0, 1.1])
    x0, y = np.array([[1.0], [-2.0]]), np.array([[0.5], [0.5]])
    p = Problem(
        POLYNOMIAL, x0, y, terminal_cost=Squared(), running_cost=Squared(size), running_weight=alpha,
        weights=w, times=times,
    )  # fmt: skip
    u = np.tile([0.0, a], (4, 1))
    growth = np.cumprod(np.r_[1.0, 1 + a * np.diff(times)])  # x_k = growth_k x_0
    x = growth[:, None] * x0[:, 0]
    exact = np.zeros((5, 2))
    for k in range(5):  # sum of what each later cost feels of x_k
        exact[k] = -2 * w * (x[4] - y[:, 0]) * growth[4] / growth[k]
        for j in range(k, 4):
            h = times[j + 1] - times[j]
            exact[k] -= 2 * h * alpha * size * w * (x[j] - y[:, 0]) * growth[j] / growth[k]
    np.testing.assert_allclose(p.states(u)[:, :, 0], x, rtol=1e-14)
    np.testing.assert_allclose(p.costates(u)[:, :, 0], exact, rtol=1e-13)


def test_costates_tend_to_those_of_continuous_time():
    # p' = -a p + 2 alpha x, p(T) = -2 x(T), x = exp(a t): a multiple of exp(-a t) and the
    # particular solution b exp(a t), b = alpha / a
    a, alpha, T = 0.7, 0.6, 1.5
    p = Problem(
        POLYNOMIAL, [[1.0]], terminal_cost=Squared(), running_cost=Squared(),
        running_weight=alpha, horizon=T, steps=200, scheme="rk4",
    )  # fmt: skip
    t, b = p.times, alpha / a
    exact = b * np.exp(a * t) + (-2 - b) * np.exp(a * T) * np.exp(a * (T - t))
    found = p.costates(np.tile([0.0, a], (200, 1)))[:, 0, 0]
    np.testing.assert_allclose(found, exact, rtol=1e-9)


# ------------------------------------------------------------------- what it is asked


def test_a_certificate_has_one_entry_per_interval():
    p = translation(times=[0.0, 0.5, 2.0, 2.5])
    found = verify(p, np.zeros(p.control_shape))
    assert isinstance(found, Certificate)
    assert isinstance(found, pmpnet.Certificate)
    assert found.layer_gaps.shape == found.hamiltonian.shape == (3,)
    np.testing.assert_array_equal(found.times, p.times)
    assert found.cost == p.cost(np.zeros(p.control_shape))


def test_how_certificates_are_shown():
    p = translation()
    shown = repr(verify(p, np.zeros(p.control_shape)))
    for words in (
        "Certificate",
        "cost",
        "Hamiltonian gap",
        "residual",
        "Taylor slope",
        "violation",
    ):
        assert words in shown
    page = verify(p, np.zeros(p.control_shape))._repr_html_()
    assert page.startswith("<pre>")
    assert "Hamiltonian gap" in page


def test_a_solution_is_certified_with_its_own_readout():
    from pmpnet import solve

    rng = np.random.default_rng(0)
    p = Problem(
        Layer(2), rng.standard_normal((12, 2)), np.arange(12) % 2, steps=3,
        terminal_cost=Logistic(readout="train", readout_cost=L2(0.1)), control_cost=L2(0.1),
    )  # fmt: skip
    solution = solve.msa(p, max_iter=3)
    found = verify(p, solution)
    assert found.cost == pytest.approx(solution.cost, rel=1e-14)
    assert found.gap == pytest.approx(solution.gap, rel=1e-10)
    assert found.residual == pytest.approx(solution.residual, rel=1e-10)
    assert verify(p, solution.controls, readout=solution.readout).cost == found.cost
    assert verify(p, solution.controls).cost != found.cost  # the seeded start, not the solution's


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda p, u: verify("problem", u), TypeError, "problem is 'problem'"),
        (lambda p, u: verify(p, u[:3]), ValueError, r"controls has shape \(3, 2\)"),
        (
            lambda p, u: verify(p, u * np.nan),
            ValueError,
            "controls has entries that are not finite",
        ),
        (lambda p, u: verify(p, u, readout=(1, 2)), ValueError, "readout='train'"),
        (lambda p, u: verify(p, None), ValueError, r"controls has shape \(\)"),
    ],
)
def test_refused(ask, error, words):
    p = translation()
    with pytest.raises(error, match=words):
        ask(p, np.zeros(p.control_shape))
