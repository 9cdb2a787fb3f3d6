"""SQH and the augmented Hamiltonian: known answers, msa's optima, sets that are not convex."""

import itertools

import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, dynamics, losses, penalties
from pmpnet.penalties import L0, L1, L2, Ball, Box, Finite, Group
from pmpnet.reduced import Reduced
from pmpnet.solve.augmentation import Augmentation

from .problems import (
    DIFFEOMORPHISM,
    diffeomorphism,
    moons,
    random_start,
    translation,
    translation_cost,
)

NEW = ("sqh", "augmented")


@pytest.mark.parametrize("variant", NEW)
@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_translation_has_its_exact_cost(variant, beta):
    solution = pmpnet.solve.msa(translation(beta=beta), tol=1e-8, variant=variant)
    assert solution.success
    assert solution.cost == pytest.approx(translation_cost(beta=beta), abs=1e-12)


@pytest.mark.parametrize("variant", NEW)
@pytest.mark.parametrize(("fields", "beta"), DIFFEOMORPHISM)
def test_diffeomorphism_has_its_known_cost(variant, fields, beta):
    solution = pmpnet.solve.msa(diffeomorphism(fields, beta), variant=variant)
    assert solution.success
    assert solution.cost == pytest.approx(DIFFEOMORPHISM[fields, beta], abs=5e-7)


@pytest.mark.parametrize(
    "penalty",
    [L2(3e-2), L1(2e-2) + L2(2e-2), L2(3e-2) + Box(-1, 1), Group(2e-2) + L2(3e-2)],
    ids=repr,
)
def test_sqh_reaches_the_optimum_of_msa_and_its_cost_never_rises(penalty):
    problem = moons(control_cost=penalty)
    start = random_start(problem)
    found = pmpnet.solve.msa(problem, start, variant="sqh", tol=1e-5, max_iter=3000)
    best = pmpnet.solve.msa(problem, start, tol=1e-7)
    assert found.success, found.message
    assert found.cost == pytest.approx(best.cost, rel=1e-6)
    np.testing.assert_array_equal(found.controls == 0, best.controls == 0)
    assert (np.diff(found.history["cost"]) <= 1e-14).all()


def test_the_weight_of_sqh_moves_by_its_two_factors():
    problem = diffeomorphism(8, 0.1)
    history = pmpnet.solve.msa(problem, variant="sqh", max_iter=5, zeta=0.5, sigma=3.0).history
    ratios = history["rho"][2:] / history["rho"][1:-1]
    # each weight is the one before times zeta, and times sigma for every rejection
    powers = np.log(ratios / 0.5) / np.log(3.0)
    np.testing.assert_allclose(powers, np.round(powers), atol=1e-9)
    for option in ({"sigma": 1.0}, {"zeta": 1.0}, {"epsilon": 0.0}, {"eta": 0.0}):
        with pytest.raises(ValueError, match=next(iter(option))):
            pmpnet.solve.msa(problem, variant="sqh", **option)


# ------------------------------------------------------------- costs and sets that are not convex


def value(penalty, z, rho, v):
    return (z * v).sum(axis=1) - penalty.layer_values(v) - 0.5 * rho * (v * v).sum(axis=1)


NOT_CONVEX = [
    L0(0.7),
    L0(0.7) + L2(0.5),
    L0([0.1, 0.0, 2.0]) + L2(0.2) + L1(0.3),
    L0(0.4) + Box(-0.5, 1.5),
    L0(0.4) + L1(0.1) + Box([-1, 0.3, -2], [1, 2, -0.2]),
    Finite([-1, 0, 2]),
    Finite([0.5, -0.5]) + L2(0.3),
    Finite([-2, -1, 0, 1, 2]) + L0(0.3) + L1(0.2) + L2(0.1),
]


@pytest.mark.parametrize("penalty", NOT_CONVEX, ids=repr)
@pytest.mark.parametrize("rho", [0.0, 0.1, 1.0, 20.0])
def test_maximisers_beat_every_other_point(penalty, rho):
    if rho == 0.0 and not penalty.coercive:
        return
    rng = np.random.default_rng(3)
    penalty = penalty.bound_to((60, 3), None)
    z = 3 * rng.standard_normal((60, 3))
    best = penalty.argmax(z, rho)
    assert penalty.violation(best) == 0.0
    top = value(penalty, z, rho, best)
    for scale in (0.0, 0.1, 1.0, 3.0):
        for _ in range(20):
            kept = rng.integers(0, 2, z.shape)
            other = penalty.project(np.where(kept, best, scale * rng.standard_normal(z.shape)))
            assert (value(penalty, z, rho, other) <= top + 1e-12).all()
    gamma = 1 / rho if rho else 1.0
    np.testing.assert_array_equal(penalty.prox(z, gamma), penalty.argmax(z / gamma, 1 / gamma))


def test_layers_of_a_penalty_answer_as_the_whole():
    penalty = L0(np.arange(12.0).reshape(4, 3) / 5) + L2(1.0)
    z = np.random.default_rng(0).standard_normal((4, 3))
    whole = penalty.argmax(z, 0.5)
    assert 0 < (whole == 0).sum() < 12
    for k in range(4):
        np.testing.assert_array_equal(penalty.layer(k).argmax(z[k : k + 1], 0.5), whole[k : k + 1])
        assert penalty.layer(k).layer_values(whole[k : k + 1]) == penalty.layer_values(whole)[k]


def test_a_finite_set_is_projected_on_and_its_violation_measured():
    penalty = Finite([2, -1, 0, 2])
    assert repr(penalty) == "Finite([-1, 0, 2])"
    v = np.array([[0.9, -0.6, 1.1, 5.0]])
    assert penalty.project(v).tolist() == [[0.0, -1.0, 2.0, 2.0]]
    assert penalty.violation(v) == 3.0
    # the nearest to 0 of what is equally good
    assert penalty.argmax(np.zeros((1, 1)), 0.0).tolist() == [[0.0]]


def test_sums_without_closed_form_are_refused():
    for first, second in [
        (Finite([0, 1]), Finite([0, 2])), (Finite([0, 1]), Box(0, 1)), (Finite([0, 1]), Ball(1.0)),
        (L0(0.1), Ball(1.0)), (L0(0.1), Group(1.0)),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=r"no closed-form maximiser.*Finite with"):
            _ = first + second
    with pytest.raises(ValueError, match="values is empty"):
        Finite([])
    with pytest.raises(ValueError, match="readout_cost= is not convex"):
        losses.Logistic(readout="train", readout_cost=L0(0.1))


@pytest.mark.parametrize("variant", ["basic", "sqh"])
def test_a_far_target_is_approached_by_the_largest_values(variant):
    # the Hamiltonian's slope never changes its sign: one maximisation is the optimum
    problem = translation((10, -10), control_cost=Finite([-1, 0, 2]) + L0(0.1))
    solution = pmpnet.solve.msa(problem, variant=variant)
    assert solution.success
    assert (solution.nit, solution.gap, solution.residual) == (1, 0.0, 0.0)
    np.testing.assert_array_equal(solution.controls, np.tile([2.0, -1.0], (20, 1)))
    assert solution.cost == pytest.approx(8.0**2 + 9.0**2 + 0.2)


def few_layers(penalty):
    """x' = u_1 + u_2 x with so few layers that every control can be tried."""
    x = np.array([[-1.0], [0.5], [2.0]])
    return Problem(
        dynamics.LinearControl(1, "polynomial", degree=1),
        x,
        np.tanh(x) - 0.3,
        terminal_cost=losses.Squared(),
        running_cost=losses.Squared(0.3),
        control_cost=penalty,
        steps=4,
        horizon=1.5,
    )


def test_a_finite_set_is_searched_among_the_best_of_all_controls():
    problem = few_layers(Finite([-1, 0, 1]) + L1(0.1))
    every = np.array(list(itertools.product([-1.0, 0.0, 1.0], repeat=8))).reshape(-1, 4, 2)
    costs = np.sort([problem.cost(u) for u in every])
    solution = pmpnet.solve.msa(problem, variant="sqh")
    assert np.isin(solution.controls, [-1, 0, 1]).all()
    assert solution.cost <= costs[30]  # of 6561
    assert (np.diff(solution.history["cost"]) < 0).all()
    assert solution.cost == problem.cost(solution.controls)
    # the change that a growing weight of the augmentation leaves last does not lower the cost
    u, reduced = solution.controls, Reduced(problem)
    g = reduced.control(reduced.evaluate(u.ravel()).g)
    changes = []
    for k, i, v in itertools.product(range(4), range(2), (-1.0, 0.0, 1.0)):
        jump = v - u[k, i]
        if jump:
            gain = g[k, i] * jump - 0.1 * (abs(v) - abs(u[k, i]))
            changes.append((gain / jump**2, k, i, v))
    ratio, k, i, v = max(changes)
    assert ratio > 0
    changed = u.copy()
    changed[k, i] = v
    assert problem.cost(changed) > solution.cost - 1e-4


def test_the_residual_of_what_is_not_convex_is_zero_at_the_principle_only():
    problem = few_layers(Finite([-1, 0, 1]) + L1(0.1))
    reduced = Reduced(problem)
    rng = np.random.default_rng(0)
    for _ in range(50):
        v = reduced.project(rng.standard_normal(reduced.size))
        g = reduced.evaluate(v).g
        assert reduced.residual(v, g) == pytest.approx(np.sqrt(2 * reduced.gap(v, g)))
        assert reduced.residual(reduced.argmax(g, 0.0), g) == 0.0


def test_l0_leaves_out_what_is_not_worth_its_price():
    # constant controls c / (1 + b/2) where c^2 (1 - b/2 / (1 + b/2)) > w
    w, b = 0.3, 0.2
    solution = pmpnet.solve.msa(translation((0.9, 0.1), control_cost=L0(w) + L2(b)), variant="sqh")
    assert (solution.controls[:, 1] == 0.0).all()
    np.testing.assert_allclose(solution.controls[:, 0], 0.9 / 1.1, rtol=1e-9)
    assert solution.cost == pytest.approx(w + 0.81 * 0.1 / 1.1 + 0.01, rel=1e-12)
    # no layer's maximiser is 0, or every one's is: that this is no point of the principle is said
    assert not solution.success
    assert "no control that maximises" in solution.message
    assert solution.gap == pytest.approx(w - 0.5 * b * (0.9 / 1.1) ** 2, rel=1e-6)


def test_l0_makes_networks_sparse_at_less_cost_than_their_start():
    problem = moons(control_cost=L0(2e-3) + L2(1e-3))
    solution = pmpnet.solve.msa(problem, variant="sqh", max_iter=300)
    history = solution.history["cost"]
    assert (np.diff(history) <= 1e-14).all()
    assert solution.cost < 0.1 * history[0]
    assert 0.3 < (solution.controls == 0).mean() < 0.9
    assert solution.score(problem.initial_states, problem.targets) > 0.95


METHODS = [
    pmpnet.solve.gradient_flow,
    pmpnet.solve.adam,
    pmpnet.solve.sgd,
    pmpnet.solve.lbfgs,
    pmpnet.solve.msa,
    lambda problem: pmpnet.solve.msa(problem, variant="augmented"),
    lambda problem: pmpnet.solve.msa(problem, variant="synchronous"),
]


@pytest.mark.parametrize("penalty", [L0(0.1) + L2(1.0), Finite([0, 1])], ids=repr)
@pytest.mark.parametrize("method", METHODS)
def test_methods_that_follow_slopes_refuse(method, penalty):
    with pytest.raises(ValueError, match=r'follows slopes.*variant="sqh"'):
        method(translation(control_cost=penalty))


def test_a_hamiltonian_that_is_not_affine_is_refused():
    problem = Problem(
        dynamics.TwoLayer(2, 3),
        [[0.0, 1.0]],
        terminal_cost=losses.Squared(),
        control_cost=Finite([-1, 1]),
    )
    with pytest.raises(ValueError, match=r"exact only where dynamics.*affine in u"):
        pmpnet.solve.msa(problem, variant="sqh")


def test_new_penalties_are_stored(tmp_path):
    for penalty in (Finite([-1, 2]) + L0(0.1), L0([0.1, 0.2]) + L2(1.0)):
        solution = pmpnet.solve.msa(translation(control_cost=penalty), variant="sqh", max_iter=2)
        solution.save(tmp_path / "kept.npz")
        again = pmpnet.load(tmp_path / "kept.npz")
        assert again.problem.control_cost == penalty
        assert again.cost == solution.cost


# ---------------------------------------------------------------------- the augmented Hamiltonian


@pytest.mark.parametrize("weights", [None, [0.5, 0.0, 2.0, 1.0]])
def test_the_augmented_hamiltonian_is_maximised(weights):
    # by its definition: E |f(x, v) - f(x, u)|^2 and E |H_x(x, v) - H_x(x, u)|^2, unweighted costates
    rng = np.random.default_rng(1)
    system = dynamics.LinearControl(2, "gaussian", degree=1, width=2.0, scale=0.7)
    x = rng.standard_normal((4, 2))
    beta, rho, steps = 0.3, 0.8, 3
    problem = Problem(
        system, x, x + 1, terminal_cost=losses.Squared(), control_cost=penalties.L2(beta),
        weights=weights, steps=steps,
    )  # fmt: skip
    reduced = Reduced(problem)
    u = rng.standard_normal(problem.control_shape)
    point, states, costates = reduced.trajectories(u.ravel())
    augmentation = Augmentation(reduced)
    A = augmentation.along(states, costates)
    moved, form = augmentation.step(point, rho * A)
    best = u + moved.reshape(u.shape)
    w = problem.weights

    def slope(k, v):  # H_x of every sample by central differences, without weights
        e, rows = 1e-6, []
        for i in range(2):
            d = e * np.eye(2)[i]
            change = system.f(0.0, states[k] + d, v) - system.f(0.0, states[k] - d, v)
            rows.append((costates[k + 1] * change).sum(axis=1) / (2 * e))
        return np.stack(rows, axis=1)[w > 0] / w[w > 0, None]

    def losses_of(k, v):
        f = system.f(0.0, states[k], v) - system.f(0.0, states[k], u[k])
        H_x = slope(k, v) - slope(k, u[k])
        return w @ (f**2).sum(axis=1) + w[w > 0] @ (H_x**2).sum(axis=1)

    def augmented(k, v):
        H = (costates[k + 1] * system.f(0.0, states[k], v)).sum() - 0.5 * beta * v @ v
        return H - 0.5 * rho * losses_of(k, v)

    h = np.diff(problem.times)
    assert form == pytest.approx(
        rho * sum(h[k] * losses_of(k, best[k]) for k in range(steps)), rel=1e-6
    )
    for k in range(steps):
        top = augmented(k, best[k])
        assert top > augmented(k, u[k])
        for scale in (1e-2, 1e-1, 1.0):
            for _ in range(10):
                assert augmented(k, best[k] + scale * rng.standard_normal(u.shape[1])) < top


def test_blocks_of_samples_add_up(monkeypatch):
    problem = diffeomorphism()
    reduced = Reduced(problem)
    point, *trajectories = reduced.trajectories(random_start(problem).ravel())
    assert (reduced.nfev, reduced.njev) == (1, 1)
    assert point.cost == reduced.evaluate(point.v).cost
    whole = Augmentation(reduced).along(*trajectories)
    monkeypatch.setattr(pmpnet.solve.augmentation, "BLOCK_ENTRIES", 1000)
    np.testing.assert_allclose(
        Augmentation(reduced).along(*trajectories), whole, rtol=1e-12, atol=1e-14
    )


def test_augmented_reaches_the_optimum_of_msa():
    problem = moons(control_cost=L2(3e-2))
    start = random_start(problem)
    best = pmpnet.solve.msa(problem, start, tol=1e-8)
    found = pmpnet.solve.msa(problem, start, variant="augmented", tol=1e-4)
    assert found.success, found.message
    assert found.cost == pytest.approx(best.cost, rel=1e-6)
    assert (np.diff(found.history["cost"]) <= 1e-14).all()


def test_the_paper_s_weight_is_fixed_and_may_be_too_small():
    problem = diffeomorphism(8, 0.1)
    kept = pmpnet.solve.msa(problem, variant="augmented", rho=3.0, adaptive=False, max_iter=10)
    assert (kept.history["rho"][1:] == 3.0).all()
    small = pmpnet.solve.msa(problem, variant="augmented", rho=1e-3, adaptive=False)
    assert not small.success
    assert "diverged" in small.message
    safe = pmpnet.solve.msa(problem, variant="augmented", rho=1e-3, max_iter=10)
    assert (np.diff(safe.history["cost"]) < 0).all()


def test_without_control_cost_the_augmentation_alone_makes_a_maximiser():
    # constant fields: A is the identity, a step goes from u to u + g / rho
    problem = translation(control_cost=penalties.Zero())
    found = pmpnet.solve.msa(problem, variant="augmented", rho=2.0, max_iter=1)
    np.testing.assert_allclose(found.controls, np.tile([0.3, 0.4], (20, 1)), rtol=1e-12)
    assert found.cost < 1e-25


def test_what_cannot_be_augmented_is_refused():
    x, y = [[0.0, 1.0], [1.0, 0.0]], [0, 1]
    told = dict(terminal_cost=losses.Squared(), control_cost=L2(0.1))
    for problem, sentence in (
        (Problem(dynamics.TwoLayer(2, 3), x, **told), "dynamics and running cost affine in u"),
        (translation(control_cost=L1(0.1)), "L2 alone or none, not L1"),
        (translation(control_cost=L2(0.1) + Box(-1, 1)), "L2 alone or none"),
        (translation(free_horizon=(0.5, 2.0)), "decides the control only"),
        (
            Problem(dynamics.Layer(2), x, y, terminal_cost=losses.Logistic(readout="train")),
            "decides the control only",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            pmpnet.solve.msa(problem, variant="augmented")
