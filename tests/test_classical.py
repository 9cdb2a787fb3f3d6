"""Optimal control problems with known answers, solved and judged without what solved them."""

from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq

from pmpnet.solve import indirect, msa

from .classical import build, judge, library, sign, value

# Cost errors of controls constant on intervals are of order 1/N^2; the others need 200 intervals.
STEPS = {"lqr_time_varying": 400, "cstr_luus": 400, "qubit_state_transfer": 400}

# From the file's guess. That of the qubit is symmetric in time, all iterates stay so, and end in
# a saddle: random starts leave it.
OPTIONS = {"qubit_state_transfer": {"starts": 2}}

# One of each kind; each of the others compiles another system, which takes seconds.
QUICK = {
    "lqr_scalar", "lqr_boxed_scalar", "vanderpol_boxed", "catalyst_mixing",
    "double_integrator_energy", "bryson_denham_1_9", "hanging_chain",
    "min_time_double_integrator", "bloch_inversion_energy",
    "ensemble_lqr_5", "neural_affine_1d", "resnet_affine_10",
}  # fmt: skip


@cache
def solved(id):
    case = build(id, STEPS.get(id, 200))
    start = case.start
    if id == "cstr_luus":
        # the default method ends in the known local minimum from any constant start that we tried;
        # a few rounds forward in time find the other valley, on a coarse grid already
        coarse = build(id, 100)
        start = msa(coarse.problem, coarse.start, max_iter=20, variant="synchronous")
    return case, msa(case.problem, start, max_iter=2000, **OPTIONS.get(id, {}))


@pytest.mark.parametrize(
    "id", [pytest.param(id, marks=() if id in QUICK else pytest.mark.slow) for id in library()]
)
def test_the_known_answer_is_found(id):
    case, solution = solved(id)
    assert solution.success
    verdict = judge(case.entry, solution.times, solution.controls)
    assert verdict.meets(case.acceptance), verdict
    scale = case.acceptance["scale"]
    assert sign(case.entry) * solution.cost == pytest.approx(verdict.cost, abs=1e-6 * scale)
    assert max(solution.violations.values()) <= 1e-6
    known = case.entry["reference"].get("costate0")
    if known is not None:  # the derivative of the optimal cost by the initial states
        found = -solution.costates()[0].ravel()
        if id == "qubit_state_transfer":  # -u is as good as u: b, and its costates, turn as well
            known, found = np.abs(known), np.abs(found)
        np.testing.assert_allclose(found, known, rtol=0, atol=2e-3 * np.abs(known).max())


# ------------------------------------------------------------- the boundary value problem

# What is averaged over intervals costs O(h^2) more than the control itself: a fine grid shows it.
# Van der Pol's equation carries the averages' errors in the state on and enlarges them.
FINE = {
    "lqr_time_varying": 3000, "cstr_luus": 3000, "qubit_state_transfer": 3000,
    "vanderpol_boxed": 8000,
}  # fmt: skip
SMOOTH = dict(tol=1e-7, max_nodes=3000)
JUMPS = dict(tol=1e-5, max_nodes=3000)
BOUNDARY = {
    "lqr_scalar": SMOOTH, "hager_lq": SMOOTH, "lqr_time_varying": SMOOTH, "vanderpol_bocop": SMOOTH,
    "cstr_luus": SMOOTH, "double_integrator_energy": SMOOTH, "hanging_chain": SMOOTH,
    "brachistochrone": SMOOTH, "ensemble_lqr_5": SMOOTH, "robust_double_integrator": SMOOTH,
    "bloch_inversion_energy": SMOOTH, "qubit_state_transfer": SMOOTH, "neural_affine_1d": SMOOTH,
    "lqr_boxed_scalar": JUMPS, "vanderpol_boxed": dict(JUMPS, tol=1e-6),
    "bang_bang_penalised": JUMPS, "fuel_optimal_double_integrator": JUMPS,
    "min_time_double_integrator": JUMPS, "aly_singular": JUMPS, "catalyst_mixing": JUMPS,
}  # fmt: skip
QUICK_BOUNDARY = {
    "double_integrator_energy", "hanging_chain", "ensemble_lqr_5", "neural_affine_1d",
    "lqr_boxed_scalar",
}  # fmt: skip


@pytest.mark.parametrize(
    "id",
    [pytest.param(id, marks=() if id in QUICK_BOUNDARY else pytest.mark.slow) for id in BOUNDARY],
)
def test_the_boundary_value_problem_has_the_known_answer(id):
    _, start = solved(id)
    case = build(id, FINE.get(id, 1500))
    solution = indirect(case.problem, start, **BOUNDARY[id])
    assert solution.success, solution.message
    verdict = judge(case.entry, solution.times, solution.controls)
    assert verdict.meets(case.acceptance, "direct"), verdict
    known = case.entry["reference"].get("costate0")
    if known is not None:
        found = -solution.costates()[0].ravel()
        if id == "qubit_state_transfer":  # -u is as good as u
            known, found = np.abs(known), np.abs(found)
        np.testing.assert_allclose(found, known, rtol=0, atol=1e-3 * np.abs(known).max())


def test_a_bound_on_the_state_is_refused_by_the_boundary_value_problem():
    with pytest.raises(
        ValueError, match=r"neither inequalities nor Path: use pmpnet\.solve\.direct"
    ):
        indirect(build("bryson_denham_1_9", 10).problem)


# ------------------------------------------------------------------------------ multipliers


def test_a_multiplier_is_what_the_end_costs():
    # J = 6 q^2 - 6 q v + 2 v^2 for the end (q, v) = (1, 0), and J + <multiplier, end> is stationary
    _, solution = solved("double_integrator_energy")
    multipliers = solution.multipliers["end"][0]
    np.testing.assert_allclose(multipliers, [-12.0, 6.0], rtol=1e-4)
    # the costate there is minus the multiplier, and p' = -(0, p_1)
    np.testing.assert_allclose(solution.costates()[-1, 0], -multipliers, rtol=1e-5)
    np.testing.assert_allclose(solution.costates()[0, 0], [12.0, 6.0], rtol=1e-4)


def test_the_multiplier_of_least_time():
    # T = 2 sqrt(q) for the end (q, 0)
    _, solution = solved("min_time_double_integrator")
    assert solution.multipliers["end"][0, 0] == pytest.approx(-1.0, rel=1e-3)
    assert solution.horizon == pytest.approx(2.0, rel=1e-6)


def test_the_multiplier_of_a_bound_on_the_state():
    # x <= l holds back by two blows of 2 / (9 l^2), where the arc on the bound begins and ends
    case, solution = solved("bryson_denham_1_9")
    found, l = solution.multipliers["x"][..., 0, 0], 1 / 9  # noqa: E741
    assert found.min() >= 0.0
    blows = (case.problem.steps * found.mean(axis=1)).reshape(2, -1).sum(axis=1)
    np.testing.assert_allclose(blows, 2 / (9 * l**2), rtol=2e-3)
    most = solution.times[found.argmax(axis=0)]
    assert np.minimum(abs(most - 3 * l), abs(most - (1 - 3 * l))).max() < 0.01


def test_the_multipliers_of_a_hanging_chain():
    # x + m = c cosh((t - s)/c) is the catenary, m the multiplier of its length
    _, solution = solved("hanging_chain")
    c = brentq(lambda c: 4 * c**2 * np.sinh(0.5 / c) ** 2 - (4**2 - 2**2), 0.05, 5.0)
    s = 0.5 - c * np.arctanh(2 / 4)
    length, end = (solution.multipliers[name].item() for name in ("integral 0", "end"))
    assert length == pytest.approx(c * np.cosh(s / c) - 1.0, abs=1e-4)
    assert end == pytest.approx(-c * np.sinh((1 - s) / c), rel=1e-4)


# ------------------------------------------------------------------------ stationary starts


@pytest.mark.parametrize("start", [None, np.zeros((50, 2))])
def test_controls_that_are_stationary_and_violate_are_left(start):
    # zero controls are stationary for every multiplier, and cost nothing
    case = build("bloch_inversion_energy", 50)
    solution = msa(case.problem, start, starts=2)
    assert solution.success
    assert judge(case.entry, solution.times, solution.controls).meets(case.acceptance)


# ------------------------------------------------------------------------------- the judge


@pytest.mark.parametrize("id", [id for id in library() if "J_trivial_control" in library()[id]])
def test_the_judge_knows_what_constant_controls_cost(id):
    entry = library()[id]
    known = entry["J_trivial_control"]
    verdict = judge(entry, np.linspace(0.0, entry["tf"], 11), np.tile(known["u"], (10, 1)))
    assert verdict.cost == pytest.approx(known["J"], rel=1e-9, abs=1e-9)
    residual = max(verdict.terminal, verdict.integral)
    assert residual == pytest.approx(known["terminal_residual"], rel=1e-9, abs=1e-9)


def test_the_judge_knows_the_best_steps():
    entry = library()["resnet_affine_10"]
    verdict = judge(entry, np.linspace(0.0, 2.0, 11), np.array(entry["reference"]["U"]))
    assert abs(verdict.error) < 1e-9


def test_expressions_name_nothing_else():
    with pytest.raises(NameError, match="__import__"):
        value("__import__('os')", {"x": 1.0})
