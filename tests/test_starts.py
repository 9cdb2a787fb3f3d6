"""Random starts have the covariances they are named for."""

import numpy as np
import pytest

from pmpnet import starts


def covariance(start, layers=6, entries=40_000):
    u = start((layers, entries))
    return u @ u.T / entries


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_independent_entries(law):
    found = covariance(lambda shape: starts.independent(shape, 0.5, law=law, seed=1))
    np.testing.assert_allclose(found, 0.25 * np.eye(6), atol=0.006)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("layers", [1, 2, 7])
def test_fractional_noise_and_motion(hurst, layers):
    """E B(s) B(t) = (s^2H + t^2H - |t - s|^2H) / 2, and its increments."""
    t = np.arange(1, layers + 1) / layers
    p = 2 * hurst
    motion = 0.5 * (t[:, None] ** p + t**p - np.abs(t[:, None] - t) ** p)

    def path(shape):
        return starts.fractional(shape, hurst, increments=False, seed=3)

    np.testing.assert_allclose(covariance(path, layers), motion, atol=0.03)
    grown = np.pad(motion, ((1, 0), (1, 0)))
    noise = layers**p * np.diff(np.diff(grown, axis=0), axis=1)
    found = covariance(lambda shape: starts.fractional(shape, hurst, seed=3), layers)
    np.testing.assert_allclose(found, noise, atol=0.03)
    both = [starts.fractional((layers, 3), hurst, increments=i, seed=0) for i in (True, False)]
    np.testing.assert_allclose(np.cumsum(both[0], axis=0) / layers**hurst, both[1], atol=1e-14)


def test_half_is_independent_noise():
    found = covariance(lambda shape: starts.fractional(shape, 0.5, seed=2))
    np.testing.assert_allclose(found, np.eye(6), atol=0.03)


@pytest.mark.parametrize("length", [0.05, 0.5, 5.0])
def test_smooth_processes(length):
    t = (np.arange(6) + 0.5) / 6
    expected = 4 * np.exp(-((t[:, None] - t) ** 2) / (2 * length**2))
    found = covariance(lambda shape: starts.smooth(shape, 2.0, length=length, seed=5))
    np.testing.assert_allclose(found, expected, atol=0.12)


def test_smooth_starts_stay_smooth_in_many_layers():
    u = starts.smooth((800, 3), length=0.3)
    assert np.abs(np.diff(u, axis=0)).max() < 0.02
    assert np.abs(np.diff(u, 2, axis=0)).max() < 2e-4


@pytest.mark.parametrize(
    "start",
    [starts.independent, lambda *a, **k: starts.fractional(*a, 0.7, **k), starts.smooth],
)
def test_one_seed_one_start_and_a_spread_per_entry(start):
    assert np.array_equal(start((5, 2), seed=4), start((5, 2), seed=4))
    assert not np.array_equal(start((5, 2), seed=4), start((5, 2), seed=5))
    wide = start((5, 2), std=[2.0, 0.0], seed=4)
    assert np.array_equal(wide, start((5, 2), seed=4) * [2.0, 0.0])
