"""Data to try things on: seeded clouds of the plane, a diffeomorphism, and one real table.

Every function returns samples (M, d) and what belongs to them. The same seed gives the same
numbers everywhere (`numpy.random.default_rng`).
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import checks


def two_moons(
    samples: int = 1000, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return two interleaved half circles.

    Parameters
    ----------
    samples : int, default 1000
        At least 2; the classes share them evenly.
    noise : float, default 0.1
        Standard deviation of what is added to every coordinate.
    seed : int, default 0

    Returns
    -------
    x : ndarray, shape (samples, 2)
    y : ndarray of int, shape (samples,)
        -1 and 1, in random order.

    Raises
    ------
    ValueError, TypeError
        For fewer samples than classes, negative noise.

    Examples
    --------
    >>> x, y = two_moons(6)
    >>> x.shape, sorted(y.tolist())
    ((6, 2), [-1, -1, -1, 1, 1, 1])
    """
    samples, noise, rng = _said(samples, noise, seed, classes=2)
    y = _labels(samples, 2, rng)
    angle = rng.uniform(0.0, np.pi, samples)
    moon = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 0, moon, np.array([1.0, 0.5]) - moon)
    return x + noise * rng.standard_normal(x.shape), 2 * y - 1


def circles(
    samples: int = 1000, noise: float = 0.1, seed: int = 0, ratio: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return a circle within a circle: no flow of the plane separates them by a line.

    Parameters
    ----------
    samples : int, default 1000
        At least 2; the classes share them evenly.
    noise : float, default 0.1
        Standard deviation of what is added to every coordinate.
    seed : int, default 0
    ratio : float, default 0.5
        Radius of the inner circle, between 0 and 1; the outer one has radius 1.

    Returns
    -------
    x : ndarray, shape (samples, 2)
    y : ndarray of int, shape (samples,)
        -1 outside and 1 inside, in random order.

    Raises
    ------
    ValueError, TypeError
        For fewer samples than classes, negative noise, a ratio that is not between 0 and 1.

    Examples
    --------
    >>> x, y = circles(100, noise=0.0)
    >>> np.linalg.norm(x[y == 1], axis=1).round(12).max().item()
    0.5
    """
    samples, noise, rng = _said(samples, noise, seed, classes=2)
    ratio = checks.fraction("ratio", ratio)
    y = _labels(samples, 2, rng)
    angle = rng.uniform(0.0, 2 * np.pi, samples)
    radius = np.where(y == 0, 1.0, ratio)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + noise * rng.standard_normal(x.shape), 2 * y - 1


def spirals(
    samples: int = 1000, noise: float = 0.02, seed: int = 0, classes: int = 2, turns: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the arms of a spiral, one per class, within the unit disc.

    Parameters
    ----------
    samples : int, default 1000
        At least one per class; the classes share them evenly.
    noise : float, default 0.02
        Standard deviation of what is added to every coordinate.
    seed : int, default 0
    classes : int, default 2
        Number of arms, at least 2.
    turns : float, default 1.0
        How often an arm goes around.

    Returns
    -------
    x : ndarray, shape (samples, 2)
    y : ndarray of int, shape (samples,)
        0 to classes - 1, in random order.

    Raises
    ------
    ValueError, TypeError
        For fewer samples than classes, negative noise, turns that are not positive.

    Examples
    --------
    >>> x, y = spirals(300, classes=3)
    >>> np.bincount(y).tolist()
    [100, 100, 100]
    """
    classes = checks.size("classes", classes, 2)
    samples, noise, rng = _said(samples, noise, seed, classes)
    turns = checks.real("turns", turns, above=0.0)
    y = _labels(samples, classes, rng)
    # the root spreads the samples evenly along an arm
    radius = np.sqrt(rng.uniform(0.01, 1.0, samples))
    angle = 2 * np.pi * (turns * radius + y / classes)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + noise * rng.standard_normal(x.shape), y


def diffeomorphism_grid(points: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of the square [-1, 1]^2 and its image under a diffeomorphism of the plane.

    ::

        z1 = x1 + 0.2 sin(pi x2)
        z2 = 0.8 x2 + 0.25 z1^2
        Psi(x) = R(pi/3) (z1, z2) + (0.2, -0.1)        R(a): rotation by the angle a

    Parameters
    ----------
    points : int, default 30
        Along each side, at least 2.

    Returns
    -------
    x : ndarray, shape (points^2, 2)
    y : ndarray, shape (points^2, 2)
        Psi(x).

    Raises
    ------
    ValueError, TypeError
        If points is not a whole number of at least 2.

    References
    ----------
    A. Scagliotti, Deep learning approximation of diffeomorphisms via linear-control systems,
    Mathematical Control and Related Fields, 2023.

    Examples
    --------
    What standing still costs:

    >>> x, y = diffeomorphism_grid()
    >>> round(((x - y) ** 2).sum(axis=1).mean().item(), 6)
    0.59375
    """
    side = np.linspace(-1.0, 1.0, checks.size("points", points, 2))
    x = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    return x, diffeomorphism(x)


def diffeomorphism(x: ArrayLike) -> np.ndarray:
    """Return Psi(x) of `diffeomorphism_grid` for points x (M, 2) of your own.

    Examples
    --------
    >>> diffeomorphism([[0.0, 0.0]]).tolist()
    [[0.2, -0.1]]
    """
    x = checks.points(x, 2, np.float64)
    z1 = x[:, 0] + 0.2 * np.sin(np.pi * x[:, 1])
    z2 = 0.8 * x[:, 1] + 0.25 * z1**2
    c, s = np.cos(np.pi / 3), np.sin(np.pi / 3)
    return np.stack([c * z1 - s * z2 + 0.2, s * z1 + c * z2 - 0.1], axis=1)


def lift(x: ArrayLike, dim: int) -> np.ndarray:
    """Return samples with zeros appended, so that their flow has more room.

    Parameters
    ----------
    x : array-like, shape (M, d)
    dim : int
        At least d.

    Returns
    -------
    ndarray, shape (M, dim)

    Raises
    ------
    ValueError, TypeError
        If dim is below d.

    References
    ----------
    E. Dupont, A. Doucet, Y. W. Teh, Augmented neural ODEs, NeurIPS 2019.

    Examples
    --------
    >>> lift([[1.0, 2.0]], 4).tolist()
    [[1.0, 2.0, 0.0, 0.0]]
    """
    x = checks.real_array("x", x, ndim=2, dtype=checks.precision(None, x))
    dim = checks.size("dim", dim, x.shape[1])
    return np.pad(x, ((0, 0), (0, dim - x.shape[1])))


class Table(NamedTuple):
    """A real data set.

    Attributes
    ----------
    x : ndarray, shape (M, d)
    y : ndarray, shape (M,)
    columns : tuple of str
        Names of the columns of x.
    """

    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...]


def breast_cancer() -> Table:
    """Return Wisconsin's diagnostic breast cancer data: 569 biopsies, 30 measurements of each.

    Returns
    -------
    Table
        ``x`` (569, 30), as measured; ``y``, text, "benign" (357) or "malignant" (212); and the
        names of the ``columns``.

    References
    ----------
    W. Wolberg, O. Mangasarian, N. Street, W. Street, Breast Cancer Wisconsin (Diagnostic),
    UCI Machine Learning Repository, 1995. CC BY 4.0.

    Examples
    --------
    >>> table = breast_cancer()
    >>> table.x.shape, np.unique(table.y).tolist()
    ((569, 30), ['benign', 'malignant'])
    """
    with breast_cancer_file().open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    x = np.array([row[:-1] for row in rows], dtype=np.float64)
    return Table(x, np.array([row[-1] for row in rows]), tuple(header[:-1]))


def breast_cancer_file() -> resources.abc.Traversable:
    """Return where the table of `breast_cancer` lies: a CSV file with a header, beside a README."""
    return resources.files(__package__).joinpath("data", "breast_cancer.csv")


def _said(samples: int, noise: float, seed: int, classes: int):
    """Return the checked arguments that all clouds share."""
    return (
        checks.size("samples", samples, classes),
        checks.real("noise", noise, least=0.0),
        np.random.default_rng(checks.integer("seed", seed, 0)),
    )


def _labels(samples: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Return class numbers, as many of each as of the others up to one, in random order."""
    return rng.permutation(np.arange(samples) % classes)
