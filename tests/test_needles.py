"""The Hamiltonian searched globally, and needle variations that leave its local maxima."""

import numpy as np
import pytest

import pmpnet
import pmpnet.solve
from pmpnet import Problem, constraints, dynamics, losses, penalties
from pmpnet.hamiltonian import Hamiltonian
from pmpnet.reduced import Reduced

POINTS = np.array([[-1.0], [-0.3], [0.4], [1.0]])
TARGETS = np.array([[-1.4], [0.1], [1.2], [2.0]])


def folded(steps=40, scheme="rk4", **how):
    """x' = tanh(w x + b), whose Hamiltonian has several maxima in (w, b)."""
    told = dict(control_cost=penalties.L2(0.02), horizon=2.0, steps=steps, scheme=scheme) | how
    return Problem(dynamics.Outside(1), POINTS, TARGETS, terminal_cost=losses.Squared(0.5), **told)


def constant(problem, w, b):
    return np.tile([float(w), float(b)], (problem.intervals, 1))


def test_every_start_ends_at_the_best_known_control():
    problem = folded()
    starts = [constant(problem, *wb) for wb in ((0.5, 0.3), (-2.0, 0.0), (2.0, -0.3))]
    local = [pmpnet.solve.msa(problem, u, tol=1e-8) for u in starts]
    assert local[1].cost > 1.001 * local[0].cost  # another point of the linearised principle
    assert local[1].success
    found = [pmpnet.solve.msa(problem, u, tol=1e-8, needles=32) for u in starts]
    costs = [s.cost for s in found]
    assert max(costs) == pytest.approx(min(costs), rel=1e-7)
    assert min(costs) <= min(s.cost for s in local)
    assert "needle variation" in found[1].message
    assert found[1].nfev > local[1].nfev


def test_the_certificate_tells_local_from_global():
    problem = folded()
    bad = pmpnet.solve.msa(problem, constant(problem, -2.0, 0.0), tol=1e-8)
    good = pmpnet.solve.msa(problem, bad, tol=1e-8, needles=32)
    local, best = (pmpnet.verify(problem, s, search=32) for s in (bad, good))
    assert local.gap < 1e-12  # the linearised Hamiltonian is at its maximum
    assert local.global_gaps.shape == (40,)
    assert local.global_gaps.min() >= 0
    # what is left is the one layer in which the best control jumps
    assert problem.steps @ best.global_gaps < 0.05 * (problem.steps @ local.global_gaps)
    assert "global gap" in repr(local)
    assert pmpnet.verify(problem, bad).global_gaps is None


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_the_hamiltonian_by_its_formula(scheme):
    problem = folded(6, scheme)
    rng = np.random.default_rng(0)
    u, candidates = rng.standard_normal((6, 2)), rng.standard_normal((3, 2))
    reduced = Reduced(problem)
    H = Hamiltonian(reduced, reduced.join(u, (None, None)))
    x, p = problem.states(u), problem.costates(u)

    def value(i, j, v):
        return (p[j] * np.tanh(v[0] * x[i] + v[1])).sum() - 0.01 * v @ v

    for k in range(6):
        if scheme == "euler":
            exact = [value(k, k + 1, v) for v in candidates]
        else:
            exact = [(value(k, k, v) + value(k + 1, k + 1, v)) / 2 for v in candidates]
        np.testing.assert_allclose(H.at(k, candidates), exact, rtol=1e-12, atol=1e-14)
        assert H.along()[k] == pytest.approx(value(k, k + 1, u[k]), rel=1e-12)


def test_maximisers_stay_in_their_set_and_beat_a_fine_grid():
    low, high = np.array([-0.4, -0.2]), np.array([0.6, 0.5])
    box = penalties.Box(low, high) + penalties.L2(0.02)
    problem = folded(5, control_cost=box)
    u = np.random.default_rng(3).uniform(low, high, (5, 2))
    reduced = Reduced(problem)
    H = Hamiltonian(reduced, reduced.join(u, (None, None)))
    best, gaps = H.maximisers(64, seed=1)
    assert (best >= low).all()
    assert (best <= high).all()
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 41).T), axis=-1).reshape(-1, 2)
    for k in range(5):
        assert H.at(k, best[k : k + 1])[0] - H.at(k, u[k : k + 1])[0] == pytest.approx(gaps[k])
        assert H.at(k, best[k : k + 1])[0] >= H.at(k, grid).max() - 1e-9


def test_weights_that_change_along_the_layers():
    problem = folded(5, control_cost=penalties.L2(np.linspace(0.1, 2.0, 10).reshape(5, 2)))
    v = np.array([[1.0, -2.0]])
    for k in range(5):
        assert problem.control_values(v, layer=k)[0] == pytest.approx(
            0.5 * (problem.penalty.l2[k] * v[0] ** 2).sum()
        )


def test_what_cannot_be_searched():
    import casadi

    x = casadi.SX.sym("x")
    problem = folded(4, constraints=[constraints.Terminal(x, x, -3, 3)])
    with pytest.raises(ValueError, match="which constraints would have to pay for"):
        pmpnet.solve.msa(problem, needles=8)
    problem = folded(4, control_cost=penalties.Group(0.1, by="time"))
    with pytest.raises(ValueError, match="ties all layers together"):
        pmpnet.solve.msa(problem, needles=8)
    with pytest.raises(ValueError, match="needles=-1"):
        pmpnet.solve.msa(folded(4), needles=-1)
