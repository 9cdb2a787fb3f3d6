"""Kinetic energy: value, gradient, Gram matrices and the maximiser, against slow twins."""

import inspect
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import casadi
import numpy as np
import pytest
from casadi import SX
from hypothesis import given, settings
from hypothesis import strategies as st

import pmpnet
from pmpnet import Problem, losses, penalties, sweeps, verify
from pmpnet.constraints import Integral
from pmpnet.dynamics import Layer, LinearControl, Neurons, Outside, Symbolic, TwoLayer
from pmpnet.hamiltonian import Hamiltonian
from pmpnet.penalties import (
    L0,
    L1,
    L2,
    Ball,
    Box,
    ElasticNet,
    Finite,
    Group,
    Kinetic,
    L1Ball,
    Zero,
)  # fmt: skip
from pmpnet.reduced import Reduced
from pmpnet.schemes import NAMED
from pmpnet.solve import adam, gradient_flow, lbfgs, msa, newton
from pmpnet.solve.successive import proximal

DATA = Path(__file__).parent / "data"
RNG = np.random.default_rng(3)
X = RNG.standard_normal((7, 2))
Y = RNG.standard_normal((7, 2))
WEIGHTS = RNG.uniform(0.2, 1.0, 7)
THETA = RNG.uniform(0.5, 1.5, (7, 1))
TIMES = [0.3, 0.5, 0.9, 1.2]
t, x, u, theta = SX.sym("t"), SX.sym("x", 2), SX.sym("u", 3), SX.sym("theta")

SYSTEMS = {
    "layer": Layer(2, scale=0.7),
    "layer without bias": Layer(2, "gelu", bias=False),
    "gaussian": LinearControl(2, "gaussian", degree=1, width=0.7),
    "drift": LinearControl(2, [lambda x: [1, x[1]], lambda x: [x[0] * x[1], 0]],
                           drift=lambda x: [x[1], -casadi.sin(x[0])], scale=0.8),
    "time and parameters": Symbolic(
        x, u, [x[1] + theta * u[0] * t, casadi.cos(x[0]) * u[1] + t * u[0]],
        t=t, parameters=theta,
    ),
}  # fmt: skip


def made(name, **how):
    """A problem with a kinetic cost, weights, an uneven grid."""
    system = SYSTEMS[name]
    told = dict(
        terminal_cost=losses.Squared(), control_cost=Kinetic(0.8) + L2(0.3), times=TIMES,
        weights=WEIGHTS, parameters=THETA if system.parameters else None,
    )  # fmt: skip
    return Problem(system, X, Y, **told | how)


W = SX.sym("w", 8)
BOTH = losses.Symbolic(x[0] ** 2 + W[0] ** 2 + x[1] * W[1], x, W)
KINDS = {
    **{name: partial(made, name) for name in SYSTEMS},
    "alone": partial(made, "layer", control_cost=Kinetic(1.3)),
    "free horizon": partial(made, "time and parameters", free_horizon=(0.3, 3.0)),
    "running cost of both": partial(
        made, "gaussian", terminal_cost=None, running_cost=BOTH, running_weight=0.6
    ),
    "integral": partial(made, "drift", constraints=[Integral(x[0] ** 2, x, upper=0.5)]),
    "trained readout": partial(
        made, "layer", terminal_cost=losses.Squared(readout="train", readout_cost=L2(0.1))
    ),
}


def decided(problem, rng, stretch=1.3):
    reduced = Reduced(problem)
    point = 0.7 * rng.standard_normal(problem.control_shape)
    return reduced, reduced.join(point, problem.initial_readouts(), stretch)


def fields(problem, m, when, state):
    """F_0 and F of one sample, column by column: f is affine in u."""
    c = problem.dynamics.controls

    def at(v):
        return problem.dynamics.f(when, state[None], v, problem.parameters[m : m + 1])[0]

    drift = at(np.zeros(c))
    return drift, np.stack([at(e) - drift for e in np.eye(c)], axis=1)


def slow_gram(problem, states, times):
    """G_k and sum w F'F_0 of every layer, sample by sample."""
    N, c = problem.control_shape
    G, G0 = np.zeros((N, c, c)), np.zeros((N, c))
    for k in range(N):
        for m, w in enumerate(problem.weights):
            drift, F = fields(problem, m, times[k], states[k, m])
            G[k] += w * F.T @ F
            G0[k] += w * F.T @ drift
    return G, G0


# ------------------------------------------------------------------------ value and gradient


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_the_value_by_its_formula(name):
    problem = made(name)
    u = np.random.default_rng(0).standard_normal(problem.control_shape)
    states, total = problem.states(u), 0.0
    G, G0 = slow_gram(problem, states, problem.times)
    for k, h in enumerate(problem.steps):
        drift = sum(
            w * (fields(problem, m, problem.times[k], states[k, m])[0] ** 2).sum()
            for m, w in enumerate(problem.weights)
        )
        total += h * 0.4 * (u[k] @ G[k] @ u[k] + 2 * u[k] @ G0[k] + drift)
        total += h * 0.15 * (u[k] ** 2).sum()
    terms = problem.terms(u)
    assert terms["control"] == pytest.approx(total, rel=1e-13)
    assert terms["running"] == 0
    without = made(name, control_cost=L2(0.3))
    assert problem.cost(u) - without.cost(u) == pytest.approx(
        total - without.terms(u)["control"], rel=1e-12
    )


@settings(deadline=None, max_examples=80)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    scheme=st.sampled_from(sorted(NAMED)),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_gradient_is_the_slope_of_the_cost(kind, scheme, seed):
    rng = np.random.default_rng(seed)
    problem = KINDS[kind](scheme=scheme)
    reduced, v = decided(problem, rng)
    d, e = rng.standard_normal(reduced.size), 1e-5
    slope = reduced.penalty_gradient(v) - reduced.evaluate(v).g
    change = (reduced.cost(v + e * d) - reduced.cost(v - e * d)) / (2 * e)
    size = abs(reduced.metric * slope * d).sum()
    assert reduced.inner(slope, d) == pytest.approx(change, abs=1e-6 * size)
    if problem.free_horizon is None and not problem.constraints:
        whole = problem.gradient(reduced.control(v), reduced.readouts(v)[0])
        ours = (reduced.metric * slope)[: reduced.controls].reshape(whole.shape)
        np.testing.assert_allclose(whole, ours, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_certificate_knows_it(kind):
    problem = KINDS[kind](scheme="heun")
    u = 0.7 * np.random.default_rng(1).standard_normal(problem.control_shape)
    certificate = verify(problem, u)
    assert certificate.taylor_slope == pytest.approx(2.0, abs=0.05)
    assert certificate.gap > 1e-4
    assert (certificate.layer_gaps >= 0).all()


@pytest.mark.parametrize("name", ["gaussian", "time and parameters"])
def test_the_cost_in_continuous_time(name):
    problem = made(name, scheme="rk4", times=np.linspace(0.3, 1.2, 60))
    found = msa(problem, max_iter=3)
    again = found.resimulate()
    assert again.terms["control"] == pytest.approx(found.terms["control"], rel=1e-7)
    assert again.cost == pytest.approx(found.cost, rel=1e-7)


# -------------------------------------------------------------------------- Gram matrices


@pytest.mark.parametrize("scheme", ["euler", "rk4"])
@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_gram_matrices_against_loops(kind, scheme):
    problem = KINDS[kind](scheme=scheme)
    rng = np.random.default_rng(4)
    reduced, v = decided(problem, rng)
    point, gram = reduced.evaluate(v), problem.model.gram
    stretch = reduced.stretch(v)
    states = problem.states(reduced.control(v), stretch * problem.length if stretch != 1 else None)
    times = problem.times[0] + stretch * (problem.times - problem.times[0])
    G, _ = slow_gram(problem, states, times)
    w, z = rng.standard_normal((2, *problem.control_shape))
    product = np.einsum("kij,kj->ki", G, w)
    np.testing.assert_allclose(gram.apply(point.sums, w), product, rtol=1e-12, atol=1e-13)
    diagonal = np.trace(G, axis1=1, axis2=2).mean() / G.shape[1]
    assert gram.mean_diagonal(point.sums) == pytest.approx(diagonal, rel=1e-12)
    c = problem.dynamics.controls
    for shift in (0.4, rng.uniform(0.1, 1, c), rng.uniform(0.1, 1, (len(G), c))):
        A = 0.7 * G + np.broadcast_to(shift, w.shape)[..., None] * np.eye(c)
        exact = np.linalg.solve(A, z[..., None])[..., 0]
        ours = gram.solve(point.sums, z, 0.7, shift, 1e-16)
        np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=1e-12)


def test_what_is_the_same_is_solved_once():
    # W s(x) + b in dimension 3: three rows [W b], each with the matrix of the features (s(x), 1)
    problem = Problem(Layer(3), np.ones((2, 3)), control_cost=Kinetic(1.0))
    gram = problem.model.gram
    (block,) = gram.blocks
    assert gram.sums.count == 4 * 5 / 2
    np.testing.assert_array_equal(block.entries, Layer(3).rows)
    # 1, x, x^2: five moments of x make the matrix of the three features
    powers = Problem(
        LinearControl(1, "polynomial", degree=2), [[1.0]], control_cost=Kinetic(1)
    ).model.gram
    assert powers.sums.count == 5
    # fields that no sample feels at once are solved apart
    apart = LinearControl(2, [lambda x: [x[0], 0], lambda x: [0, x[1]]])
    assert len(Problem(apart, X, control_cost=Kinetic(1)).model.gram.blocks) == 2


def test_a_singular_gram_matrix():
    # one sample knows one combination of the fields 1, x and x^2
    system = LinearControl(1, "polynomial", degree=2)
    told = dict(control_cost=Kinetic(1.0), steps=5)
    problem = Problem(system, [[0.5]], [[2.0]], terminal_cost=losses.Squared(), **told)
    found = msa(problem, tol=1e-10)
    assert found.success
    assert found.cost == pytest.approx(1 / 3 * 1.5**2, rel=1e-12)
    assert verify(problem, found).gap < 1e-15
    assert np.isfinite(verify(problem, np.ones((5, 3))).gap)
    # a cost that wants the first two fields far apart: nothing holds them
    a = SX.sym("a", 3)
    away = losses.Symbolic(-a[0], SX.sym("s"), a)
    problem = Problem(system, [[0.5]], running_cost=away, **told)
    assert np.isnan(verify(problem, np.zeros((5, 3))).gap)


# ---------------------------------------------------------------------------- the maximiser


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"running cost of both"}))
def test_the_maximiser_beats_every_candidate(kind, rho):
    problem = KINDS[kind]()
    rng = np.random.default_rng(5)
    reduced, v = decided(problem, rng)
    stretch = reduced.stretch(v)
    point, H = reduced.evaluate(v), Hamiltonian(reduced, v)
    u = reduced.control(v)
    best = reduced.control(reduced.maximise(point, 1 / rho if rho else np.inf))
    if problem.free_horizon is not None:  # that is for the best horizon; here is for the one at v
        best = u + reduced._gram_step(v, point.g, point.sums, rho, stretch)

    def value(k, controls):
        pull = 0.5 * rho * ((controls - u[k]) ** 2).sum(axis=1)
        return stretch * H.at(k, controls) - pull

    for k in range(problem.intervals):
        top = value(k, best[k : k + 1])[0]
        for size in (1e-3, 1e-1, 1.0, 10.0):
            tried = value(k, best[k] + size * rng.standard_normal((40, u.shape[1])))
            assert tried.max() <= top + 1e-12 * (1 + abs(top))
        if not rho:
            gap = reduced.layer_gaps(v, point.g, point.sums)[k]
            assert gap == pytest.approx(top - value(k, u[k : k + 1])[0], rel=1e-9, abs=1e-12)
    # without the sums they are swept for
    assert reduced.gap(v, point.g) == reduced.gap(v, point.g, point.sums)


@pytest.mark.parametrize("kind", ["layer", "gaussian", "drift", "alone", "trained readout"])
@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_the_gap_is_zero_at_an_optimum(kind, scheme):
    problem = KINDS[kind](scheme=scheme)
    found = msa(problem, tol=1e-10, max_iter=2000)
    assert found.success, found.message
    assert 0 <= found.gap < 1e-15
    assert verify(problem, found).gap == pytest.approx(found.gap, abs=1e-15)
    near = found.controls + 1e-2
    assert verify(problem, near, readout=found.readout).gap > 1e-7


# ------------------------------------------------------------------------------ invariance


def fields_in_basis(A):
    """The fields e_i x_j and e_i, in another basis."""
    listed = [lambda x, i=i, j=j: [(x[j] if j < 2 else 1) * (n == i) for n in range(2)]
              for i in range(2) for j in range(3)]  # fmt: skip
    mixed = [
        lambda x, a=a: [sum(a[n] * f(x)[i] for n, f in enumerate(listed)) for i in range(2)]
        for a in A.T
    ]
    return LinearControl(2, mixed)


@pytest.mark.parametrize("variant", ["basic", "damped"])
def test_another_basis_of_the_fields_is_the_same_problem(variant):
    rng = np.random.default_rng(8)
    A = rng.standard_normal((6, 6))
    found = []
    for basis in (np.eye(6), A):
        problem = Problem(
            fields_in_basis(basis), X, Y, terminal_cost=losses.Squared(0.3),
            control_cost=Kinetic(3.0), weights=WEIGHTS, steps=5,
        )  # fmt: skip
        found.append(msa(problem, max_iter=12, variant=variant, tol=0.0))
    np.testing.assert_allclose(found[0].history["cost"], found[1].history["cost"], rtol=1e-9)
    np.testing.assert_allclose(found[1].controls @ A.T, found[0].controls, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[0].history["gap"], found[1].history["gap"], atol=1e-9)


def test_samples_count_by_their_weight():
    index = [0, 1, 1, 2, 3, 3, 3]
    told = dict(terminal_cost=losses.Squared(), control_cost=Kinetic(0.8) + L2(0.1), steps=4)
    twice = Problem(SYSTEMS["gaussian"], X[index], Y[index], **told)
    once = Problem(SYSTEMS["gaussian"], X[:4], Y[:4], weights=[1, 2, 1, 3], **told)
    v = np.random.default_rng(2).standard_normal(32)
    a, b = (Reduced(p).evaluate(v) for p in (twice, once))
    assert a.cost == pytest.approx(b.cost, rel=1e-14)
    np.testing.assert_allclose(a.g, b.g, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(a.sums, b.sums, rtol=1e-13)


def test_batches_average_to_the_whole():
    problem = made("layer")
    reduced, v = decided(problem, np.random.default_rng(6))
    found = [reduced.on(np.array([m])).evaluate(v) for m in range(7)]
    whole = reduced.evaluate(v)
    np.testing.assert_allclose(np.mean([p.sums for p in found], axis=0), whole.sums, rtol=1e-13)
    np.testing.assert_allclose(np.mean([p.g for p in found], axis=0), whole.g, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_bit_depends_on_the_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr(sweeps, "PARALLEL_FLOPS", 0.0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5003, 2)).astype(dtype)  # several chunks, and padding in the last
    problem = Problem(
        Layer(2), x, x[:, ::-1], terminal_cost=losses.Squared(), control_cost=Kinetic(0.5),
        weights=rng.uniform(0, 1, 5003), steps=6,
    )  # fmt: skip
    u = rng.standard_normal(problem.control_shape)
    rounds = []
    try:
        for count in (1, 2):
            pmpnet.set_num_threads(count)
            rounds.append(problem.sweep(u, (None, None), sums=True))
        forward = problem.sweep(u, (None, None), backward=False, sums=True)
    finally:
        pmpnet.set_num_threads(None)
    for name in ("g", "sums", "integrals"):
        np.testing.assert_array_equal(getattr(rounds[0], name), getattr(rounds[1], name))
    np.testing.assert_array_equal(forward.sums, rounds[0].sums)
    G, _ = slow_gram(problem, problem.states(u).astype(float), problem.times)
    ours = problem.model.gram.apply(forward.sums, u)
    tol = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(ours, np.einsum("kij,kj->ki", G, u), rtol=tol, atol=tol)


# ---------------------------------------------------------------------------------- solves


def affine_motion(steps, kappa=1.0, degree=1, **how):
    """x' = a + b x from x_0 to m + s x_0: straight lines, so that Euler is exact.

    Returns the problem and its least cost.
    """
    x = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    y = 0.5 + 1.7 * x
    problem = Problem(
        LinearControl(1, "polynomial", degree=degree), x, y, terminal_cost=losses.Squared(),
        control_cost=Kinetic(kappa), steps=steps, **how,
    )  # fmt: skip
    return problem, kappa / 2 / (1 + kappa / 2) * float(((y - x) ** 2).mean())


def iterations_to(found, best, error=1e-9):
    close = np.abs(found.history["cost"] / best - 1) < error
    return int(np.flatnonzero(close)[0]) if close.any() else np.inf


@pytest.mark.parametrize("degree", [1, 4])
@pytest.mark.parametrize("steps", [10, 20, 40, 80])
def test_affine_motion(steps, degree):
    problem, best = affine_motion(steps, degree=degree)
    found = msa(problem, tol=1e-9)
    assert found.success
    assert found.cost == pytest.approx(best, rel=1e-9)
    # any grid, and any degree: the Gram matrix knows how fields beyond the first two are alike
    assert iterations_to(found, best) < (20 if degree == 1 else 40)
    np.testing.assert_allclose(
        found.flow([[-1.0], [0.0], [1.0]]) - [[-1.0], [0.0], [1.0]],
        np.array([[-0.2], [0.5], [1.2]]) / 1.5, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("variant", ["proximal", "damped", "synchronous"])
def test_affine_motion_by_other_variants(variant):
    problem, best = affine_motion(20)
    options = {"damping": 0.4} if variant == "damped" else {}
    found = msa(problem, tol=1e-8, max_iter=300, variant=variant, **options)
    assert found.cost == pytest.approx(best, rel=1e-9)


def test_the_proximal_weight_is_the_curvature_that_the_maximiser_does_not_know():
    # Barzilai and Borwein's, of what the Gram matrix leaves
    problem = made("gaussian")
    reduced = Reduced(problem)
    start = np.random.default_rng(0).standard_normal(problem.control_shape)
    found = list(islice(inspect.unwrap(proximal)(reduced, start.ravel()), 5))
    curved = 0
    for before, after in pairwise(found):
        s = after.point.v - before.point.v
        states = problem.states(reduced.control(before.point.v))
        G, _ = slow_gram(problem, states, problem.times)
        w = reduced.control(s)
        known = 0.8 * np.einsum("k,ki,kij,kj", problem.metric, w, G, w)
        left = reduced.inner(s, before.point.g - after.point.g) - known
        if left > 1e-6 * known:
            curved += 1
            assert after.state["gamma"] == pytest.approx(reduced.inner(s, s) / left, rel=1e-6)
    assert curved


def test_basic_converges_where_the_kinetic_energy_outweighs_the_loss():
    # the Hamiltonian's maximiser lets the error grow by -2 / kappa in every round
    problem, best = affine_motion(20, kappa=4.0)
    found = msa(problem, tol=1e-9, variant="basic")
    assert found.success
    assert found.cost == pytest.approx(best, rel=1e-12)
    ratio = found.history["residual"][1:] / found.history["residual"][:-1]
    assert np.median(ratio[20:60]) == pytest.approx(0.7, abs=0.2)
    assert not msa(affine_motion(20)[0], variant="basic").success


def test_other_methods_on_the_same_cost():
    problem, best = affine_motion(10)
    assert lbfgs(problem, tol=1e-9).cost == pytest.approx(best, rel=1e-9)
    assert msa(problem, variant="sqh", max_iter=2000).cost == pytest.approx(best, rel=1e-6)
    assert gradient_flow(problem, tol=1e-9).cost == pytest.approx(best, rel=1e-9)
    assert adam(problem, learning_rate=0.05, max_iter=400).cost == pytest.approx(best, rel=1e-4)


def test_a_free_horizon_takes_all_the_time_it_gets():
    # the slower, the cheaper: the energy of a straight motion falls as 1/T
    problem, _ = affine_motion(10, free_horizon=(0.5, 4.0))
    found = msa(problem, tol=1e-9)
    assert found.horizon == pytest.approx(4.0)
    again = affine_motion(10, horizon=4.0)[0]
    assert found.cost == pytest.approx(msa(again, tol=1e-9).cost, rel=1e-10)


def test_single_precision():
    problem, best = affine_motion(10, dtype="float32")
    found = msa(problem, tol=1e-4)
    assert found.success
    assert found.cost == pytest.approx(best, rel=1e-5)
    assert 0 <= found.gap < 1e-7


def clouds(name, weight):
    """x' = tanh(theta x) on nine layers, mean |x(T) - y|^2 + weight int theta^2.

    The data are one cloud torn apart or two carried outwards, after B. Bonnet, C. Cipriani,
    M. Fornasier, H. Huang, A measure theoretical approach to the mean-field maximum principle
    for training NeurODEs, Nonlinear Analysis, 2023.
    """
    x, y = np.loadtxt(DATA / f"{name}.csv", delimiter=",", skiprows=1).T
    return Problem(
        Outside(1, bias=False), x[:, None], y[:, None], terminal_cost=losses.Squared(),
        control_cost=L2(2 * weight), horizon=0.9, steps=9,
    )  # fmt: skip


@pytest.mark.parametrize(("weight", "best"), [(1.0, 0.518005), (0.1, 0.162212), (0.01, 0.054562)])
def test_two_clouds(weight, best):
    found = msa(clouds("two_clouds", weight))
    assert found.success
    assert found.cost == pytest.approx(best, abs=2e-6)


@pytest.mark.parametrize("weight", [0.01, 0.001])
def test_basic_cycles_on_one_cloud(weight):
    problem = clouds("one_cloud", weight)
    cycling = msa(problem, max_iter=200, variant="basic")
    cost = cycling.history["cost"]
    assert not cycling.success
    np.testing.assert_allclose(cost[-20:-2], cost[-18:], rtol=1e-9)  # two controls, in turn
    assert abs(cost[-1] - cost[-2]) > 0.1
    found = msa(problem, variant="proximal")
    assert found.success
    assert found.nit < 30
    assert found.cost < 0.5 * cycling.cost


def test_where_basic_does_not_cycle():
    problem = clouds("one_cloud", 0.1)
    found = [msa(problem, variant=variant) for variant in ("basic", "proximal")]
    assert found[0].success
    assert found[0].cost == pytest.approx(found[1].cost, rel=1e-9)


# ----------------------------------------------------------------------- the rest of the house


def test_it_comes_back_from_disk(tmp_path):
    found = msa(made("gaussian"), max_iter=4)
    found.save(tmp_path / "found.npz")
    again = pmpnet.load(tmp_path / "found.npz")
    assert again.problem.control_cost == found.problem.control_cost
    assert again.problem.control_cost.kinetic == 0.8
    assert repr(again.problem) == repr(found.problem)
    assert "Kinetic(0.8) + L2(0.3)" in repr(found.problem)
    assert again.problem.terms(again.controls) == found.terms
    assert verify(again.problem, again).gap == verify(found.problem, found).gap


def test_equality_and_names():
    assert Kinetic(2.0) == Kinetic(2.0) != Kinetic(3.0)
    assert Kinetic(2.0) != Zero()
    assert Kinetic(2.0) == Zero() + Kinetic(2.0)
    assert repr(Kinetic(0.5) + L2(1) + Kinetic(1)) == "Kinetic(0.5) + L2(1) + Kinetic(1)"
    assert (Kinetic(0.5) + Kinetic(1)).kinetic == 1.5
    assert Kinetic(1.0).coercive
    # of weight 0 it is none at all
    problem = made("layer", control_cost=Kinetic(0.0) + L1(0.1))
    assert problem.model.gram is None
    assert problem.model.dynamics is problem.dynamics


@pytest.mark.parametrize(
    "other", [L1(0.1), ElasticNet(0.1, 0.2), Box(-1, 1), Ball(1.0), L1Ball(1.0), Group(0.1),
              Group(0.1, by="time"), L0(0.1), Finite([0, 1])], ids=repr,
)  # fmt: skip
def test_sums_without_closed_form_are_refused(other):
    for first, second in ((Kinetic(1.0), other), (other, Kinetic(1.0) + L2(0.1))):
        with pytest.raises(ValueError, match=r"no closed-form maximiser.*Kinetic with L2 only"):
            first + second


@pytest.mark.parametrize(
    ("bad", "error"),
    [(-1.0, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("1", TypeError),
     ([1.0, 2.0], TypeError), (None, TypeError), (1j, TypeError)],
    ids=repr,
)  # fmt: skip
def test_bad_weights_are_refused(bad, error):
    with pytest.raises(error, match=r"^weight.{10,}[.)]$"):
        Kinetic(bad)


@pytest.mark.parametrize(
    "system",
    [Outside(2), TwoLayer(2, 3), Neurons(2, 3), Symbolic(x, u, [casadi.sin(u[0]), u[1] + u[2]])],
    ids=repr,
)
def test_systems_that_are_not_affine_are_refused(system):
    with pytest.raises(ValueError, match=r"affine in its control.*Symbolic\(\.\.\.\)"):
        Problem(system, X, Y, terminal_cost=losses.Squared(), control_cost=Kinetic(1.0))


def test_methods_that_need_another_closed_form_refuse_it():
    problem, _ = affine_motion(10)
    with pytest.raises(ValueError, match="not Kinetic"):
        msa(problem, variant="augmented")
    with pytest.raises(ValueError, match="Kinetic"):
        newton(problem)


def test_a_readout_has_no_velocity():
    with pytest.raises(ValueError, match=r"a readout has none: write L2"):
        losses.Squared(readout="train", readout_cost=penalties.Kinetic(1.0))
