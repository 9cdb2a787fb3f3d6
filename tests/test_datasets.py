"""Data sets: shapes, seeds, and the one number that pins each."""

import numpy as np
import pytest

from pmpnet import datasets


@pytest.mark.parametrize("make", [datasets.two_moons, datasets.circles, datasets.spirals])
def test_drawn_sets_are_seeded_and_balanced(make):
    x, y = make(200, seed=3)
    again, other = make(200, seed=3), make(200, seed=4)
    assert x.shape == (200, 2)
    assert np.array_equal(x, again[0])
    assert not np.array_equal(x, other[0])
    labels, counts = np.unique(y, return_counts=True)
    assert len(labels) == 2
    assert counts.tolist() == [100, 100]
    for bad, sentence in (({"samples": 0}, "samples=0"), ({"noise": -1.0}, "noise=-1.0")):
        with pytest.raises(ValueError, match=sentence):
            make(**bad)


def test_moons_without_noise_lie_on_two_half_circles():
    x, y = datasets.two_moons(100, noise=0.0)
    upper = x[y == y.min()]
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1.0)
    assert (upper[:, 1] >= -1e-12).all()


def test_the_diffeomorphism_has_its_identity_error():
    x, y = datasets.diffeomorphism_grid(30)
    assert x.shape == y.shape == (900, 2)
    assert ((x - y) ** 2).sum(axis=1).mean() == pytest.approx(0.593750, abs=1e-6)
    z1 = x[:, 0] + 0.2 * np.sin(np.pi * x[:, 1])
    z2 = 0.8 * x[:, 1] + 0.25 * z1**2
    turn = np.array([[0.5, -np.sqrt(0.75)], [np.sqrt(0.75), 0.5]])
    np.testing.assert_allclose(y, np.c_[z1, z2] @ turn.T + [0.2, -0.1])


def test_lifting_adds_zeros():
    x = np.arange(6.0).reshape(3, 2)
    lifted = datasets.lift(x, 4)
    assert np.array_equal(lifted[:, :2], x)
    assert not lifted[:, 2:].any()
    with pytest.raises(ValueError, match="dim"):
        datasets.lift(x, 1)


def test_the_shipped_table_is_scikit_learn_s():
    sklearn = pytest.importorskip("sklearn.datasets")
    table, known = datasets.breast_cancer(), sklearn.load_breast_cancer()
    np.testing.assert_allclose(table.x, known.data, rtol=1e-12)
    assert np.array_equal(table.y == "benign", known.target == 1)
    assert len(table.columns) == 30
