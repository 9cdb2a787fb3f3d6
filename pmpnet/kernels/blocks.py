"""Small matrices times blocks of samples.

==========  ===================================================  =======
symbol      meaning                                              shape
==========  ===================================================  =======
``A``       a small matrix, the same for every sample            (n, r)
``b``       its bias                                             (n,)
``S``       a block, samples last                                (r, B)
``out``     a block                                              (n, B)
``G``       a small matrix of sums over the block's samples      (n, r)
==========  ===================================================  =======

n, r are even and B is a multiple of 8 (`pmpnet.sweeps` pads). The inner loop runs over samples
and vectorises; 4-by-4 patches of A stay in registers meanwhile. This beats a BLAS call per block
up to `BLAS_FROM` rows and columns, where packing starts to pay.
"""

from numba import njit

from .blas import gemm_add
from .jit import BLOCK_OPTIONS

# Gflop/s measured on one AVX-512 core, n = r, B = 128, products and outer products, loops against
# OpenBLAS. Double: 32: 92, 76 against 46, 44; 64: 93, 66 / 54, 53; 128: 87, 52 / 60, 60;
# 256: 81, 51 / 62, 63. Single: 32: 96, 126 / 70, 69; 64: 93, 118 / 97, 95; 128: 95, 90 / 113, 113.
BLAS_FROM = 128


@njit(**BLOCK_OPTIONS)
def pays(A):
    """Tell whether a product with A is worth a BLAS call."""
    return min(A.shape[0], A.shape[1]) >= BLAS_FROM


@njit(**BLOCK_OPTIONS)
def add_affine(A, b, S, out):
    """Out += A S + b."""
    n, r = A.shape
    if pays(A):
        for i in range(n):
            for m in range(S.shape[1]):
                out[i, m] += b[i]
        gemm_add(A, S, 0, out)
        return
    zero = A.dtype.type(0)
    n4, r4 = n - n % 4, r - r % 4
    for i in range(0, n4, 4):
        for j in range(0, r4, 4):
            first = j == 0
            b0 = b[i] if first else zero
            b1 = b[i + 1] if first else zero
            b2 = b[i + 2] if first else zero
            b3 = b[i + 3] if first else zero
            _add_4x4(A, b0, b1, b2, b3, S, out, i, j)
        if r4 < r:
            first = r4 == 0
            _add_2x2(A, b[i] if first else zero, b[i + 1] if first else zero, S, out, i, r4)
            i2 = i + 2
            _add_2x2(A, b[i2] if first else zero, b[i2 + 1] if first else zero, S, out, i2, r4)
    if n4 < n:
        for j in range(0, r, 2):
            first = j == 0
            _add_2x2(A, b[n4] if first else zero, b[n4 + 1] if first else zero, S, out, n4, j)


@njit(**BLOCK_OPTIONS)
def _add_4x4(A, b0, b1, b2, b3, S, out, i, j):
    a00, a01, a02, a03 = A[i, j], A[i, j + 1], A[i, j + 2], A[i, j + 3]
    a10, a11, a12, a13 = A[i + 1, j], A[i + 1, j + 1], A[i + 1, j + 2], A[i + 1, j + 3]
    a20, a21, a22, a23 = A[i + 2, j], A[i + 2, j + 1], A[i + 2, j + 2], A[i + 2, j + 3]
    a30, a31, a32, a33 = A[i + 3, j], A[i + 3, j + 1], A[i + 3, j + 2], A[i + 3, j + 3]
    for m in range(S.shape[1]):
        s0, s1, s2, s3 = S[j, m], S[j + 1, m], S[j + 2, m], S[j + 3, m]
        out[i, m] += b0 + a00 * s0 + a01 * s1 + a02 * s2 + a03 * s3
        out[i + 1, m] += b1 + a10 * s0 + a11 * s1 + a12 * s2 + a13 * s3
        out[i + 2, m] += b2 + a20 * s0 + a21 * s1 + a22 * s2 + a23 * s3
        out[i + 3, m] += b3 + a30 * s0 + a31 * s1 + a32 * s2 + a33 * s3


@njit(**BLOCK_OPTIONS)
def _add_2x2(A, b0, b1, S, out, i, j):
    a00, a01, a10, a11 = A[i, j], A[i, j + 1], A[i + 1, j], A[i + 1, j + 1]
    for m in range(S.shape[1]):
        s0, s1 = S[j, m], S[j + 1, m]
        out[i, m] += b0 + a00 * s0 + a01 * s1
        out[i + 1, m] += b1 + a10 * s0 + a11 * s1


@njit(**BLOCK_OPTIONS)
def multiply(A, zero, S, out):
    """Out = A S; ``zero`` is a bias of zeros."""
    fill(out, out.dtype.type(0))
    add_affine(A, zero, S, out)


@njit(**BLOCK_OPTIONS)
def add_outer(P, S, G):
    """G += P S'."""
    n, r = G.shape
    if pays(G):
        gemm_add(P, S, 1, G)
        return
    r4 = r - r % 4
    for i in range(0, n, 2):
        for j in range(0, r4, 4):
            _outer_2x4(P, S, G, i, j)
        if r4 < r:
            _outer_2x2(P, S, G, i, r4)


@njit(**BLOCK_OPTIONS)
def _outer_2x4(P, S, G, i, j):
    zero = G.dtype.type(0)
    g00 = g01 = g02 = g03 = g10 = g11 = g12 = g13 = zero
    for m in range(S.shape[1]):
        p0, p1 = P[i, m], P[i + 1, m]
        s0, s1, s2, s3 = S[j, m], S[j + 1, m], S[j + 2, m], S[j + 3, m]
        g00 += p0 * s0
        g01 += p0 * s1
        g02 += p0 * s2
        g03 += p0 * s3
        g10 += p1 * s0
        g11 += p1 * s1
        g12 += p1 * s2
        g13 += p1 * s3
    G[i, j] += g00
    G[i, j + 1] += g01
    G[i, j + 2] += g02
    G[i, j + 3] += g03
    G[i + 1, j] += g10
    G[i + 1, j + 1] += g11
    G[i + 1, j + 2] += g12
    G[i + 1, j + 3] += g13


@njit(**BLOCK_OPTIONS)
def _outer_2x2(P, S, G, i, j):
    zero = G.dtype.type(0)
    g00 = g01 = g10 = g11 = zero
    for m in range(S.shape[1]):
        p0, p1, s0, s1 = P[i, m], P[i + 1, m], S[j, m], S[j + 1, m]
        g00 += p0 * s0
        g01 += p0 * s1
        g10 += p1 * s0
        g11 += p1 * s1
    G[i, j] += g00
    G[i, j + 1] += g01
    G[i + 1, j] += g10
    G[i + 1, j + 1] += g11


@njit(**BLOCK_OPTIONS)
def add_row_sums(P, sums):
    """Sums += the sum of every row of P."""
    zero = P.dtype.type(0)
    for i in range(0, P.shape[0], 2):
        s0 = s1 = zero
        for m in range(P.shape[1]):
            s0 += P[i, m]
            s1 += P[i + 1, m]
        sums[i] += s0
        sums[i + 1] += s1


@njit(**BLOCK_OPTIONS)
def fill(block, value):
    """Set every entry of a block."""
    for i in range(block.shape[0]):
        for m in range(block.shape[1]):
            block[i, m] = value


@njit(**BLOCK_OPTIONS)
def copy(source, target):
    """Target = source."""
    for i in range(source.shape[0]):
        for m in range(source.shape[1]):
            target[i, m] = source[i, m]


@njit(**BLOCK_OPTIONS)
def add_scaled(a, source, target):
    """Target += a source."""
    for i in range(source.shape[0]):
        for m in range(source.shape[1]):
            target[i, m] += a * source[i, m]


@njit(**BLOCK_OPTIONS)
def copy_scaled(a, source, target):
    """Target = a source."""
    for i in range(source.shape[0]):
        for m in range(source.shape[1]):
            target[i, m] = a * source[i, m]


@njit(**BLOCK_OPTIONS)
def add_combination(a, factors, blocks, first, last, target):
    """Target += a times the sum of factors[j] blocks[j] over first <= j < last, two in a pass.

    A block whose factor is 0 is not read: it may hold anything.
    """
    zero = target.dtype.type(0)
    j = first
    while j < last:
        if factors[j] == zero:
            j += 1
            continue
        k = j + 1
        while k < last and factors[k] == zero:
            k += 1
        if k < last:
            _add_two(a * factors[j], blocks[j], a * factors[k], blocks[k], target)
        else:
            add_scaled(a * factors[j], blocks[j], target)
        j = k + 1


@njit(**BLOCK_OPTIONS)
def _add_two(a, one, b, other, target):
    for i in range(one.shape[0]):
        for m in range(one.shape[1]):
            target[i, m] += a * one[i, m] + b * other[i, m]
