"""Maximisers of Hamiltonians that are not affine in the control."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmpnet import penalties
from pmpnet.solve.maximiser import Derivatives, maximise

COSTS = [
    penalties.L2(0.7),
    penalties.ElasticNet(0.4, 0.3),
    penalties.L1(0.5) + penalties.Box(-0.6, 0.8),
    penalties.L2([0.1, 0.5, 2.0]) + penalties.Box([-1.0, -np.inf, 0.0], [np.inf, 0.4, 0.3]),
]


def quartic(rng, K, c, concave=True):
    """<g, u> - <u, B u> / 2 - sum (a, u)^4: concave where B is positive definite."""
    slope = 2 * rng.standard_normal((K, c))
    roots = rng.standard_normal((K, c, c))
    B = roots @ roots.transpose(0, 2, 1) if concave else roots + roots.transpose(0, 2, 1)
    a = rng.standard_normal((K, c))

    def hamiltonian(u, which=...):
        b, r, linear = B[which], a[which], slope[which]
        along = (r * u).sum(axis=1)
        bu = (b @ u[..., None])[..., 0]
        h = (linear * u).sum(axis=1) - 0.5 * (u * bu).sum(axis=1) - along**4
        C = -b - 12 * (along**2)[:, None, None] * r[:, :, None] * r[:, None, :]
        return Derivatives(h, linear - bu - 4 * (along**3)[:, None] * r, C)

    return hamiltonian


@settings(deadline=None, max_examples=40)
@given(R=st.sampled_from(COSTS), seed=st.integers(0, 2**32 - 1))
def test_nothing_beats_the_maximiser_of_a_concave_hamiltonian(R, seed):
    rng, K, c = np.random.default_rng(seed), 7, 3
    R = R.bound_to((K, c), None)
    hamiltonian = quartic(rng, K, c)
    u, curvature = maximise(hamiltonian, R, rng.standard_normal((K, c)))
    again, _ = maximise(hamiltonian, R, rng.standard_normal((K, c)))
    np.testing.assert_allclose(u, again, atol=1e-8)
    assert (curvature > 0).all()
    assert R.violation(u) == 0.0
    best = hamiltonian(u).h - R.layer_values(u)
    for size in (1e-3, 0.1, 3.0):
        other = R.project(u + size * rng.standard_normal(u.shape))
        assert (hamiltonian(other).h - R.layer_values(other) <= best + 1e-12).all()
    # the principle: u is where its own proximal step leads
    g = hamiltonian(u).g
    np.testing.assert_allclose(R.prox(u + g, 1.0), u, atol=1e-9)


@pytest.mark.parametrize("R", [*COSTS[:2], COSTS[1] + COSTS[2]], ids=repr)
def test_of_an_affine_hamiltonian_it_is_the_closed_form(R):
    rng, K, c = np.random.default_rng(3), 50, 3
    R = R.bound_to((K, c), None)
    g = rng.standard_normal((K, c))
    zeros = np.zeros((K, c, c))
    u, _ = maximise(lambda u, k: Derivatives((g[k] * u).sum(axis=1), g[k], zeros[k]), R, 0 * g)
    np.testing.assert_allclose(u, R.argmax(g, 0.0), atol=1e-12)
    assert ((u == 0) == (R.argmax(g, 0.0) == 0)).all()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_where_it_is_not_concave_it_still_climbs_to_a_local_maximum(seed):
    rng, K, c = np.random.default_rng(seed), 7, 3
    R = (penalties.L2(0.1) + penalties.Box(-2, 2)).bound_to((K, c), None)
    hamiltonian, first = quartic(rng, K, c, concave=False), rng.uniform(-2, 2, (K, c))
    u, _ = maximise(hamiltonian, R, first)
    before, after = (hamiltonian(v).h - R.layer_values(v) for v in (first, u))
    assert (after >= before - 1e-12).all()
    np.testing.assert_allclose(R.prox(u + 0.01 * hamiltonian(u).g, 0.01), u, atol=1e-7)
