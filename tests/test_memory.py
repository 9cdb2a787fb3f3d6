"""The limited memory of curvature: the BFGS formula, pair by pair."""

import numpy as np
import pytest

from pmpnet.penalties import L2
from pmpnet.solve.memory import Memory

from .test_reduced import reduced_problem


def filled(size, pushes, seed=0):
    reduced, _, _ = reduced_problem(L2(0.1))
    rng = np.random.default_rng(seed)
    memory, kept = Memory(reduced, size), []
    J = rng.standard_normal((reduced.size, reduced.size))
    J = J @ J.T / reduced.metric[:, None]  # of positive curvature in the inner product
    for i in range(pushes):
        s = rng.standard_normal(reduced.size)
        w = -J @ s if i % 5 == 4 else J @ s  # some are of negative curvature
        memory.push(s, w)
        if i % 5 != 4:
            kept.append((s, w))
    return memory, kept[-size:], rng.standard_normal(reduced.size)


def dense(reduced, pairs):
    """Return H by BFGS's formula, from <w, w> of the last pair on."""
    G = np.diag(reduced.metric)
    s, w = pairs[-1]
    H = np.eye(reduced.size) * (s @ G @ w) / (w @ G @ w)
    for s, w in pairs:
        V = np.eye(reduced.size) - np.outer(w, s) @ G / (s @ G @ w)
        adjoint = np.eye(reduced.size) - np.outer(s, w) @ G / (s @ G @ w)
        H = adjoint @ H @ V + np.outer(s, s) @ G / (s @ G @ w)
    return H


@pytest.mark.parametrize("pushes", [1, 4, 9, 23])
def test_apply_is_the_formula_of_bfgs(pushes):
    """The ring of six pairs is empty, filling, full, and full many times over."""
    memory, pairs, r = filled(6, pushes)
    assert len(memory) == len(pairs)
    H = dense(memory.reduced, pairs)
    np.testing.assert_allclose(memory.apply(r), H @ r, rtol=1e-8, atol=1e-10)
    s, w = pairs[-1]
    np.testing.assert_allclose(memory.apply(w), s, rtol=1e-8, atol=1e-10)  # the secant equation


def test_a_memory_is_what_it_was():
    memory, _, r = filled(6, 9)
    again = Memory(memory.reduced, 6)
    again.restore(memory.state)
    np.testing.assert_array_equal(again.apply(r), memory.apply(r))
    other = memory.onto(memory.reduced, lambda a: a)
    np.testing.assert_allclose(other.apply(r), memory.apply(r), rtol=1e-10)
    copied, before = memory.copy(), memory.apply(r)
    for i in range(6):
        memory.push(r + i, r)
    assert not np.array_equal(memory.apply(r), before)
    np.testing.assert_array_equal(copied.apply(r), before)
    memory.reset()
    assert len(memory) == 0
    assert len(copied) == 6
