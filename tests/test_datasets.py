"""Data sets: shapes, seeds, and the numbers that others measured on them."""

import csv

import numpy as np
import pytest

from pmpnet import Problem, datasets, losses, penalties, solve
from pmpnet.dynamics import Layer, LinearControl

CLOUDS = {
    "two_moons": (datasets.two_moons, [-1, 1]),
    "circles": (datasets.circles, [-1, 1]),
    "spirals": (datasets.spirals, [0, 1]),
    "three spirals": (lambda *a, **k: datasets.spirals(*a, classes=3, **k), [0, 1, 2]),
}


@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize("samples", [3, 100, 1001])
def test_clouds(name, samples):
    make, labels = CLOUDS[name]
    x, y = make(samples)
    assert x.shape == (samples, 2)
    assert x.dtype == np.float64
    assert y.shape == (samples,)
    assert y.dtype.kind == "i"
    values, counts = np.unique(y, return_counts=True)
    assert values.tolist() == labels
    assert np.ptp(counts) <= 1
    if samples > 50:  # in random order
        assert len(np.unique(y[: samples // 4])) == len(labels)


@pytest.mark.parametrize("name", CLOUDS)
def test_seeds(name):
    make, _ = CLOUDS[name]
    first, again, other = make(50, seed=3), make(50, seed=3), make(50, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_seeds_do_not_touch_the_global_generator():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    datasets.two_moons(10)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_moons_without_noise_are_half_circles():
    x, y = datasets.two_moons(200, noise=0.0)
    upper, lower = x[y == -1], x[y == 1]
    assert np.allclose(np.linalg.norm(upper, axis=1), 1.0)
    assert upper[:, 1].min() >= 0
    assert np.allclose(np.linalg.norm(lower - [1.0, 0.5], axis=1), 1.0)
    assert lower[:, 1].max() <= 0.5


def test_circles_and_spirals_without_noise():
    x, y = datasets.circles(200, noise=0.0, ratio=0.3)
    assert np.allclose(np.linalg.norm(x, axis=1), np.where(y == 1, 0.3, 1.0))
    x, y = datasets.spirals(200, noise=0.0, classes=4, turns=0.75)
    radius = np.linalg.norm(x, axis=1)
    assert radius.max() <= 1.0
    turned = np.arctan2(x[:, 1], x[:, 0]) - 2 * np.pi * (0.75 * radius + y / 4)
    assert np.allclose(np.cos(turned), 1.0)


@pytest.mark.parametrize("name", ["two_moons", "circles", "spirals"])
def test_noise_is_what_is_added(name):
    make, _ = CLOUDS[name]
    clean, noisy = make(5000, noise=0.0, seed=5), make(5000, noise=0.3, seed=5)
    assert np.array_equal(clean[1], noisy[1])
    assert np.std(noisy[0] - clean[0]) == pytest.approx(0.3, rel=0.05)


def test_a_flow_of_the_plane_learns_every_cloud():
    for make in (datasets.two_moons, datasets.circles, datasets.spirals):
        x, y = make(300, seed=0)
        problem = Problem(
            Layer(3),
            datasets.lift(x, 3),
            y,
            terminal_cost=losses.Logistic(readout="train", readout_cost=penalties.L2(1e-4)),
            control_cost=penalties.L2(1e-4),
            horizon=3.0,
        )
        solution = solve.msa(problem, max_iter=150, starts=2)
        test = make(300, seed=1)
        assert solution.score(datasets.lift(test[0], 3), test[1]) > 0.9, make.__name__


def test_diffeomorphism_grid():
    x, y = datasets.diffeomorphism_grid()
    assert x.shape == y.shape == (900, 2)
    assert x.min() == -1.0
    assert x.max() == 1.0
    assert len(np.unique(x, axis=0)) == 900
    assert ((x - y) ** 2).sum(axis=1).mean() == pytest.approx(0.593750, abs=5e-7)
    assert np.array_equal(datasets.diffeomorphism(x), y)
    problem = Problem(
        LinearControl(2), x, y, terminal_cost=losses.Squared(), control_cost=penalties.L2(1.0)
    )
    assert problem.cost(np.zeros(problem.control_shape)) == pytest.approx(0.593750, abs=5e-7)


def test_diffeomorphism_keeps_orientation():
    x, e = datasets.diffeomorphism_grid(12)[0], 1e-6
    columns = [
        (datasets.diffeomorphism(x + e * d) - datasets.diffeomorphism(x - e * d)) / (2 * e)
        for d in np.eye(2)
    ]
    assert np.linalg.det(np.stack(columns, axis=2)).min() > 0.1


def test_lift():
    x = np.arange(6.0).reshape(3, 2)
    assert np.array_equal(datasets.lift(x, 5), np.c_[x, np.zeros((3, 3))])
    assert np.array_equal(datasets.lift(x, 2), x)
    assert datasets.lift(x.astype(np.float32), 3).dtype == np.float32


def test_breast_cancer_is_scikit_learns():
    from sklearn.datasets import load_breast_cancer

    theirs, ours = load_breast_cancer(), datasets.breast_cancer()
    assert np.array_equal(ours.x, theirs.data)
    assert ours.columns == tuple(theirs.feature_names)
    assert ours.y.tolist() == theirs.target_names[theirs.target].tolist()


def test_breast_cancer_file_is_plain():
    file = datasets.breast_cancer_file()
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.reader(opened))
    assert len(rows) == 570
    assert {len(row) for row in rows} == {31}
    readme = file.parent.joinpath("README.md").read_text()
    assert "CC BY 4.0" in readme
    assert "Wolberg" in readme


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: datasets.two_moons(1), ValueError, "samples=1 is too small"),
        (lambda: datasets.two_moons(10.0), TypeError, "samples=10.0 is not a whole number"),
        (lambda: datasets.two_moons(10, noise=-1), ValueError, "noise=-1.0 is too small"),
        (lambda: datasets.circles(10, noise=np.nan), ValueError, "noise=nan is not finite"),
        (lambda: datasets.circles(10, seed=-1), ValueError, "seed=-1 is too small"),
        (lambda: datasets.circles(10, ratio=1.5), ValueError, "ratio=1.5 is too large"),
        (lambda: datasets.spirals(10, classes=1), ValueError, "classes=1 is too small"),
        (lambda: datasets.spirals(2, classes=3), ValueError, "samples=2 is too small"),
        (lambda: datasets.spirals(10, turns=0), ValueError, "turns=0.0 is too small"),
        (lambda: datasets.diffeomorphism_grid(1), ValueError, "points=1 is too small"),
        (lambda: datasets.diffeomorphism([[1, 2, 3]]), ValueError, "x has 3 columns"),
        (lambda: datasets.lift([[1, 2, 3]], 2), ValueError, "dim=2 is too small"),
        (lambda: datasets.lift([1, 2, 3], 4), ValueError, "x has shape"),
    ],
)
def test_bad_input(call, kind, sentence):
    with pytest.raises(kind, match=sentence):
        call()
