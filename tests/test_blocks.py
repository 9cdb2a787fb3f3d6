"""Small matrices times blocks of samples, against NumPy."""

import numpy as np
import pytest
from numba import njit

from pmpnet.kernels import blocks, memory

SMALL = (2, 4, 6, 8, 10, 14)
# rows, columns: every remainder by 4 on both sides; long and narrow; wide
SIZES = [(n, r) for n in SMALL for r in SMALL]
SIZES += [(2, 130), (130, 6), (126, 70), (64, 64)]
DTYPES = (np.float64, np.float32)


# the block functions have no Python entry of their own: each is reached through a driver


@njit
def add_affine(A, b, S, out):
    blocks.add_affine(A, b, S, out)


@njit
def affine_from(A, b, S, s, base, out):
    blocks.affine_from(A, b, S, s, base, out)


@njit
def combine(factors, whole, given, target):
    blocks.combine(factors, whole, given, target)


@njit
def weighted_sum(a, one, b, other, target):
    blocks.weighted_sum(a, one, b, other, target)


@njit
def multiply(A, S, out):
    blocks.multiply(A, S, out)


@njit
def add_outer(P, S, G):
    blocks.add_outer(P, S, G)


@njit
def add_row_sums(P, sums):
    blocks.add_row_sums(P, sums)


@njit
def copy_and_add(a, source, target, sums):
    blocks.copy(source, target)
    blocks.add_scaled(a, source, sums)


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


def random(dtype, *shape, seed=0):
    block = memory.zeros(shape, dtype)
    block[...] = np.random.default_rng([seed, *shape]).normal(size=shape)
    return block


def near(got, exact, size):
    """Compare with sums of ``size`` products formed in double precision."""
    rounding = 4 * np.finfo(got.dtype).eps * (size + 4) ** 0.5
    scale = np.sqrt(size) + 4
    np.testing.assert_allclose(got, exact, rtol=0, atol=rounding * scale)


def wide(*arrays):
    return [a.astype(np.longdouble) for a in arrays]


@pytest.mark.parametrize("B", [8, 24])
def test_add_affine(dtype, B):
    for n, r in SIZES:
        A, b, S = random(dtype, n, r), random(dtype, n), random(dtype, r, B, seed=1)
        out = random(dtype, n, B, seed=2)
        A_, b_, S_, out_ = wide(A, b, S, out)
        add_affine(A, b, S, out)
        near(out, out_ + A_ @ S_ + b_[:, None], r)


@pytest.mark.parametrize("B", [8, 24])
def test_affine_from(dtype, B):
    for n, r in SIZES:
        A, b, S = random(dtype, n, r), random(dtype, n), random(dtype, r, B, seed=1)
        base, out = random(dtype, n, B, seed=2), np.full((n, B), np.nan, dtype)
        A_, b_, S_, base_ = wide(A, b, S, base)
        affine_from(A, b, S, dtype(-0.5), base, out)
        near(out, -0.5 * base_ + A_ @ S_ + b_[:, None], r)
        affine_from(A, b, S, dtype(1), base, base)  # in place
        near(base, base_ + A_ @ S_ + b_[:, None], r)


def test_combine(dtype):
    """No block, one, pairs and an odd one are added; what counts 0 is not read."""
    given = random(dtype, 6, 2, 8)
    for factors in ([0] * 6, [0, 0, 3, 0, 0, 0], [1, 0, -2, 0, 0, 0], [1, 2, 3, 0, 0, 4], range(6)):
        factors, target = np.array(factors, dtype), np.full((2, 8), np.nan, dtype)
        known = np.where(factors[:, None, None] == 0, dtype(np.nan), given)
        exact = np.tensordot(*wide(factors, given), 1)
        combine(factors, np.zeros(6, dtype), known, target)
        near(target, exact, 60)


def test_what_is_the_same_is_combined_to_the_same(dtype):
    """To the last bit, whatever rounding makes of the factors; slopes are added all the same."""
    given = random(dtype, 5, 2, 8)
    factors, whole = np.array([-1 / 3, 1 / 3, 0.7, 2 / 3, 1 / 3], dtype), np.ones(5, dtype)
    whole[2], target = 0, np.full((2, 8), np.nan, dtype)
    combine(factors, whole, given, target)
    near(target, np.tensordot(*wide(factors, given), 1), 5)
    given[[0, 1, 3, 4]], given[2] = given[0], 0
    combine(factors, whole, given, target)
    np.testing.assert_array_equal(target, given[0])


def test_weighted_sum(dtype):
    one, other, target = (random(dtype, 3, 8, seed=i) for i in range(3))
    one_, other_ = wide(one, other)
    weighted_sum(dtype(2), one, dtype(-0.5), other, target)
    near(target, 2 * one_ - 0.5 * other_, 1)
    weighted_sum(dtype(1), one, dtype(-0.5), other, one)  # in place
    near(one, one_ - 0.5 * other_, 1)


@pytest.mark.parametrize("B", [8, 24])
def test_multiply(dtype, B):
    for n, r in SIZES:
        A, S = random(dtype, n, r), random(dtype, r, B, seed=1)
        out = np.full((n, B), np.nan, dtype)  # what was there before must not matter
        multiply(A, S, out)
        A_, S_ = wide(A, S)
        near(out, A_ @ S_, r)


@pytest.mark.parametrize("B", [8, 24])
def test_add_outer(dtype, B):
    for n, r in SIZES:
        P, S, G = random(dtype, n, B), random(dtype, r, B, seed=1), random(dtype, n, r, seed=2)
        P_, S_, G_ = wide(P, S, G)
        add_outer(P, S, G)
        near(G, G_ + P_ @ S_.T, B)


@pytest.mark.parametrize("B", [8, 24, 256])
def test_add_row_sums(dtype, B):
    for n in (2, 4, 6, 130):
        P, sums = random(dtype, n, B), random(dtype, n, seed=1)
        P_, sums_ = wide(P, sums)
        add_row_sums(P, sums)
        near(sums, sums_ + P_.sum(axis=1), B)


def test_sums_hold_for_few_rows_of_larger_buffers(dtype):
    # a sweep hands over the first rows of its buffers, which start anywhere in a tape
    tape, A, b = random(dtype, 9, 4, 16), random(dtype, 4, 2), random(dtype, 4)
    S, out, rest = tape[3, :2], np.zeros((6, 16), dtype), random(dtype, 2, 16)
    out[4:] = rest
    add_affine(A, b, S, out[:4])
    A_, b_, S_ = wide(A, b, S)
    near(out[:4], A_ @ S_ + b_[:, None], 2)
    np.testing.assert_array_equal(out[4:], rest)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_handed_on(dtype, bad):
    for n in (6, 64):
        A, b, S = np.ones((n, n), dtype), np.zeros(n, dtype), np.ones((n, 8), dtype)
        S[n - 1, 3] = bad
        out = np.zeros((n, 8), dtype)
        add_affine(A, b, S, out)
        assert (np.isfinite(out) == (np.arange(8) != 3)).all()
        G = np.zeros((n, n), dtype)
        add_outer(np.ones((n, 8), dtype), S, G)
        assert (np.isfinite(G) == (np.arange(n) != n - 1)).all()


def test_copy_and_add_scaled(dtype):
    source, sums = random(dtype, 3, 8), random(dtype, 3, 8, seed=1)
    target, before = np.full_like(source, np.nan), sums.copy()
    copy_and_add(dtype(0.25), source, target, sums)
    np.testing.assert_array_equal(target, source)
    near(sums, before + 0.25 * source, 1)


def test_buffers_start_on_a_cache_line(dtype):
    for shape in [(3,), (2, 5), (4, 3, 2), (0, 4)]:
        block = memory.zeros(shape, dtype)
        assert block.shape == shape
        assert block.dtype == dtype
        assert block.flags.c_contiguous
        assert not block.any()
        assert block.size == 0 or block.ctypes.data % memory.LINE == 0
