"""Small matrices times blocks of samples.

===========  ==================================================  =======
symbol       meaning                                             shape
===========  ==================================================  =======
``A``        a small matrix, the same for every sample           (n, r)
``b``        its bias                                            (n,)
``S``        a block, samples last                               (r, B)
``base``     a block that counts ``s`` times, to which A S + b   (n, B)
             is added: another one than ``out``, or ``out``
``out``      a block                                             (n, B)
``G``        a small matrix of sums over the block's samples     (n, r)
``factors``  of ``blocks``, in a sum of them                     (k,)
===========  ==================================================  =======

n, r are even and B is a multiple of 8 (`pmpnet.sweeps` pads). The inner loop runs over samples
and vectorises; 4-by-4 patches of A stay in registers meanwhile. This is faster than a BLAS call per
block at all sizes. Gflop/s on one core, n = r, B = 256, products, outer products, OpenBLAS:
double precision, 8: 107, 107, -; 16: 108, 100, -; 64: 108, 99, 55; 128: 110, 102, 53;
512: 100, 102, 54; single precision, 64: 215, 170, -; 128: 221, 174, 102; 512: 199, 167, 105.
"""

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from .jit import BLOCK_OPTIONS, CALL_OPTIONS


def hidden(i):
    """Return i, of which the compiler then knows nothing.

    Before a loop over samples runs as vectors, its rows are checked not to overlap. LLVM moves such
    checks out of the loops around, where they are of all rows that a loop over rows will meet: rows
    i and rows i + 1 of a whole block overlap, and everything would run one sample at a time (four
    times slower at d = 8). Of a row that it knows nothing of it checks where it is used.
    """
    return i


@intrinsic
def _hidden(typingctx, i):
    def codegen(context, builder, signature, args):
        function = ir.FunctionType(args[0].type, [args[0].type])
        return builder.asm(function, "", "=r,0", args, False)

    return i(i), codegen


@overload(hidden, jit_options=BLOCK_OPTIONS)
def _(i):
    return lambda i: _hidden(i)


def same(a, b):
    """Tell whether two blocks begin at the same place."""
    return a.ctypes.data == b.ctypes.data


@intrinsic
def _same(typingctx, a, b):
    def codegen(context, builder, signature, args):
        one, other = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args, args, strict=True)
        )
        return builder.icmp_unsigned("==", one, other)

    return types.boolean(a, b), codegen


@overload(same, jit_options=BLOCK_OPTIONS)
def _(a, b):
    return lambda a, b: _same(a, b)


@njit(**BLOCK_OPTIONS)
def add_affine(A, b, S, out):
    """Out += A S + b."""
    affine_from(A, b, S, A.dtype.type(1), out, out)


@njit(**BLOCK_OPTIONS)
def affine_from(A, b, S, s, base, out):
    """Out = s base + A S + b; where base is out, s is 1."""
    n, r = A.shape
    zero = A.dtype.type(0)
    n4, r4 = n - n % 4, r - r % 4
    added = same(base, out)  # as one block they need less of the cache
    for patch in range(0, n4, 4):
        i = hidden(patch)
        b0, b1, b2, b3 = b[i], b[i + 1], b[i + 2], b[i + 3]
        begin = 0
        if r4 > 0 and not added:
            _from_4x4(A, b, S, s, base, out, i)
            begin = 4
        for j in range(begin, r4, 4):
            if j > 0:
                b0 = b1 = b2 = b3 = zero  # added once
            _add_4x4(A, b0, b1, b2, b3, S, out, i, j)
    # what is left of rows and columns, in pairs
    for pair in range(0 if r4 < r else n4, n, 2):
        i = hidden(pair)
        begin = r4 if pair < n4 else 0
        if begin == 0 and not added:
            _from_2x2(A, b, S, s, base, out, i)
            begin = 2
        for j in range(begin, r, 2):
            b0, b1 = (b[i], b[i + 1]) if j == 0 else (zero, zero)
            _add_2x2(A, b0, b1, S, out, i, j)


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
def _from_4x4(A, b, S, s, base, out, i):
    a00, a01, a02, a03 = A[i, 0], A[i, 1], A[i, 2], A[i, 3]
    a10, a11, a12, a13 = A[i + 1, 0], A[i + 1, 1], A[i + 1, 2], A[i + 1, 3]
    a20, a21, a22, a23 = A[i + 2, 0], A[i + 2, 1], A[i + 2, 2], A[i + 2, 3]
    a30, a31, a32, a33 = A[i + 3, 0], A[i + 3, 1], A[i + 3, 2], A[i + 3, 3]
    b0, b1, b2, b3 = b[i], b[i + 1], b[i + 2], b[i + 3]
    for m in range(S.shape[1]):
        s0, s1, s2, s3 = S[0, m], S[1, m], S[2, m], S[3, m]
        out[i, m] = s * base[i, m] + b0 + a00 * s0 + a01 * s1 + a02 * s2 + a03 * s3
        out[i + 1, m] = s * base[i + 1, m] + b1 + a10 * s0 + a11 * s1 + a12 * s2 + a13 * s3
        out[i + 2, m] = s * base[i + 2, m] + b2 + a20 * s0 + a21 * s1 + a22 * s2 + a23 * s3
        out[i + 3, m] = s * base[i + 3, m] + b3 + a30 * s0 + a31 * s1 + a32 * s2 + a33 * s3


@njit(**BLOCK_OPTIONS)
def _from_2x2(A, b, S, s, base, out, i):
    a00, a01, a10, a11 = A[i, 0], A[i, 1], A[i + 1, 0], A[i + 1, 1]
    b0, b1 = b[i], b[i + 1]
    for m in range(S.shape[1]):
        s0, s1 = S[0, m], S[1, m]
        out[i, m] = s * base[i, m] + b0 + a00 * s0 + a01 * s1
        out[i + 1, m] = s * base[i + 1, m] + b1 + a10 * s0 + a11 * s1


@njit(**BLOCK_OPTIONS)
def multiply(A, S, out):
    """Out = A S."""
    n, r = A.shape
    zero = A.dtype.type(0)
    n4, r4 = n - n % 4, r - r % 4
    for patch in range(0, n4, 4):
        i = hidden(patch)
        if r4 > 0:
            _set_4x4(A, S, out, i)
        for j in range(4, r4, 4):
            _add_4x4(A, zero, zero, zero, zero, S, out, i, j)
    for pair in range(0 if r4 < r else n4, n, 2):
        i = hidden(pair)
        begin = r4 if pair < n4 else 0
        if begin == 0:
            _set_2x2(A, S, out, i)
            begin = 2
        for j in range(begin, r, 2):
            _add_2x2(A, zero, zero, S, out, i, j)


@njit(**BLOCK_OPTIONS)
def _set_4x4(A, S, out, i):
    a00, a01, a02, a03 = A[i, 0], A[i, 1], A[i, 2], A[i, 3]
    a10, a11, a12, a13 = A[i + 1, 0], A[i + 1, 1], A[i + 1, 2], A[i + 1, 3]
    a20, a21, a22, a23 = A[i + 2, 0], A[i + 2, 1], A[i + 2, 2], A[i + 2, 3]
    a30, a31, a32, a33 = A[i + 3, 0], A[i + 3, 1], A[i + 3, 2], A[i + 3, 3]
    for m in range(S.shape[1]):
        s0, s1, s2, s3 = S[0, m], S[1, m], S[2, m], S[3, m]
        out[i, m] = a00 * s0 + a01 * s1 + a02 * s2 + a03 * s3
        out[i + 1, m] = a10 * s0 + a11 * s1 + a12 * s2 + a13 * s3
        out[i + 2, m] = a20 * s0 + a21 * s1 + a22 * s2 + a23 * s3
        out[i + 3, m] = a30 * s0 + a31 * s1 + a32 * s2 + a33 * s3


@njit(**BLOCK_OPTIONS)
def _set_2x2(A, S, out, i):
    a00, a01, a10, a11 = A[i, 0], A[i, 1], A[i + 1, 0], A[i + 1, 1]
    for m in range(S.shape[1]):
        s0, s1 = S[0, m], S[1, m]
        out[i, m] = a00 * s0 + a01 * s1
        out[i + 1, m] = a10 * s0 + a11 * s1


@njit(**BLOCK_OPTIONS)
def add_outer(P, S, G):
    """G += P S'."""
    n, r = G.shape
    n4, r4 = n - n % 4, r - r % 4
    for i in range(0, n4, 4):
        for j in range(0, r4, 4):
            _outer_4x4(P, S, G, i, j)
    for i in range(0, n, 2):  # what is left of rows and columns, in pairs
        for j in range(r4 if i < n4 else 0, r, 2):
            _outer_2x2(P, S, G, i, j)


@njit(**BLOCK_OPTIONS)
def _outer_4x4(P, S, G, i, j):
    zero = G.dtype.type(0)
    g00 = g01 = g02 = g03 = g10 = g11 = g12 = g13 = zero
    g20 = g21 = g22 = g23 = g30 = g31 = g32 = g33 = zero
    for m in range(S.shape[1]):
        p0, p1, p2, p3 = P[i, m], P[i + 1, m], P[i + 2, m], P[i + 3, m]
        s0, s1, s2, s3 = S[j, m], S[j + 1, m], S[j + 2, m], S[j + 3, m]
        g00 += p0 * s0
        g01 += p0 * s1
        g02 += p0 * s2
        g03 += p0 * s3
        g10 += p1 * s0
        g11 += p1 * s1
        g12 += p1 * s2
        g13 += p1 * s3
        g20 += p2 * s0
        g21 += p2 * s1
        g22 += p2 * s2
        g23 += p2 * s3
        g30 += p3 * s0
        g31 += p3 * s1
        g32 += p3 * s2
        g33 += p3 * s3
    G[i, j] += g00
    G[i, j + 1] += g01
    G[i, j + 2] += g02
    G[i, j + 3] += g03
    G[i + 1, j] += g10
    G[i + 1, j + 1] += g11
    G[i + 1, j + 2] += g12
    G[i + 1, j + 3] += g13
    G[i + 2, j] += g20
    G[i + 2, j + 1] += g21
    G[i + 2, j + 2] += g22
    G[i + 2, j + 3] += g23
    G[i + 3, j] += g30
    G[i + 3, j + 1] += g31
    G[i + 3, j + 2] += g32
    G[i + 3, j + 3] += g33


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


@njit(**CALL_OPTIONS)
def combine(factors, whole, blocks, target):
    """Target = the sum of factors[j] blocks[j]; four blocks (Runge and Kutta's step) in one pass.

    The factors of blocks that are ``whole`` (1, else 0) sum to 1, if there are any: the sum is
    taken over their differences from one of them, so that blocks that are the same give the same.
    A block whose factor is 0 is not read: it may hold anything.
    """
    last, zero = factors.size, factors.dtype.type(0)
    r = following(factors, -1, 0)
    for j in range(last - 1, -1, -1):
        if whole[j] != zero and factors[j] != zero:
            r = j
    if r == last:
        fill(target, zero)
        return
    one, base = factors.dtype.type(1), blocks[r]
    s = factors[r] if whole[r] == zero else one
    j = following(factors, r, 0)
    if j == last:
        copy_scaled(s, base, target)
        return
    k = following(factors, r, j + 1)
    n = following(factors, r, k + 1)
    if n < last:
        _set_three(s, base, factors, whole, blocks, j, k, n, target)
        j = following(factors, r, n + 1)
    else:
        _set_one(s, base, factors[j], whole[j], blocks[j], target)
        j = k
    while j < last:
        _add_one(base, factors[j], whole[j], blocks[j], target)
        j = following(factors, r, j + 1)


@njit(**BLOCK_OPTIONS)
def following(factors, but, j):
    """Return the index, from j on, of a factor that is not 0 nor number ``but``; or their number."""
    while j < factors.size and (j == but or factors[j] == factors.dtype.type(0)):
        j += 1
    return j


@njit(**BLOCK_OPTIONS)
def _set_one(s, base, a, p, one, target):
    for i in range(base.shape[0]):
        for m in range(base.shape[1]):
            target[i, m] = s * base[i, m] + a * (one[i, m] - p * base[i, m])


@njit(**BLOCK_OPTIONS)
def _add_one(base, a, p, one, target):
    for i in range(base.shape[0]):
        for m in range(base.shape[1]):
            target[i, m] += a * (one[i, m] - p * base[i, m])


@njit(**BLOCK_OPTIONS)
def _set_three(s, base, factors, whole, blocks, j, k, n, target):
    a, b, c, p, q, r = factors[j], factors[k], factors[n], whole[j], whole[k], whole[n]
    one, two, three = blocks[j], blocks[k], blocks[n]
    for i in range(base.shape[0]):
        for m in range(base.shape[1]):
            x = base[i, m]
            ab = a * (one[i, m] - p * x) + b * (two[i, m] - q * x)
            target[i, m] = s * x + (ab + c * (three[i, m] - r * x))


@njit(**BLOCK_OPTIONS)
def weighted_sum(a, one, b, other, target):
    """Target = a one + b other; where one is the target, a is 1."""
    if same(one, target):
        add_scaled(b, other, target)
        return
    for i in range(one.shape[0]):
        for m in range(one.shape[1]):
            target[i, m] = a * one[i, m] + b * other[i, m]
