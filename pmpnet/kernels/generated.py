"""Kernels generated from expressions: what their text may name, and how it is compiled.

A generated loop runs over the samples of a block and handles one sample per turn, in numbers
named w0, w1, ... that LLVM turns into vector registers. It reads its rows by `read` and writes
them by `write`, which promise LLVM that no two of these rows overlap: what is written is never a
block that is read. Without the promise a loop checks every pair of rows when it starts, and is not
vectorised at all from 9 states on.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .blocks import copy, same
from .jit import BLOCK_OPTIONS, CALL_OPTIONS
from .memory import zeros
from .vector_math import exp, tanh


class Generated(NamedTuple):
    """The record of a generated system: everything else is in its text."""

    scale: np.ndarray  # (1,)


class Scratch(NamedTuple):
    """Buffers of one thread for one generated map."""

    zero: np.ndarray  # (q, B): the base of a map by itself
    base: np.ndarray  # (q, B): a copy of a base that is written to


def scratch(q: int, block: int, dtype) -> Scratch:
    """Allocate the buffers of one thread."""
    return Scratch(*(zeros((q + q % 2, block), dtype) for _ in range(2)))


@register_jitable
def remainder(x, y):
    """Return x - n y, n the whole number nearest to x / y, the even one of two, as C does."""
    r = np.fmod(x, y + y)  # exact, and leaves n even or odd as it was
    return r - np.rint(r / y) * y


# ------------------------------------------------------------- rows that do not overlap


def read(block, i, m):
    """Return block[i, m], of a block that the loop only reads."""
    return block[i, m]


def write(block, i, m, value):
    """block[i, m] = value, in a block that the loop does not read."""
    block[i, m] = value


@intrinsic
def _read(typingctx, block, i, m):
    def codegen(context, builder, signature, args):
        entry = builder.load(_pointer(context, builder, signature.args[0], *args))
        entry.set_metadata("alias.scope", _scopes(builder.module, ["read"]))
        return entry

    return block.dtype(block, types.intp, types.intp), codegen


@intrinsic(prefer_literal=True)
def _write(typingctx, block, i, m, value):
    row = i.literal_value
    # of two rows it is enough that one is said not to overlap the other
    others = ["read", *(f"row {j}" for j in range(row))]

    def codegen(context, builder, signature, args):
        place = context.get_constant(types.intp, row)
        pointer = _pointer(context, builder, signature.args[0], args[0], place, args[2])
        written = builder.store(args[3], pointer)
        written.set_metadata("alias.scope", _scopes(builder.module, [f"row {row}"]))
        written.set_metadata("noalias", _scopes(builder.module, others))
        return context.get_dummy_value()

    return types.void(block, i, types.intp, block.dtype), codegen


def _pointer(context, builder, kind, block, i, m):
    array = context.make_array(kind)(context, builder, block)
    return cgutils.get_item_pointer(context, builder, kind, array, [i, m], wraparound=False)


def _scopes(module, names):
    """Return LLVM's alias scopes of these names (LangRef, "noalias and alias.scope")."""

    def node(name, *more):
        return module.add_metadata([ir.MetaDataString(module, name), *more])

    domain = node("pmpnet generated loop")
    return module.add_metadata([node(name, domain) for name in names])


if not numba.config.DISABLE_JIT:
    read, write = _read, _write


# ------------------------------------------------------------------------ text to kernels


# all that a text may name
NAMES = {
    "math": math,
    "np": np,
    "inf": math.inf,
    "nan": math.nan,
    "exp": exp,
    "tanh": tanh,
    "remainder": remainder,
    "copy": copy,
    "same": same,
    "read": read,
    "write": write,
}


@cache
def define(text: str) -> tuple[Callable, Callable]:
    """Return the compiled field and pullback that a text defines; one pair per text."""
    names = dict(NAMES)
    exec(text, names)
    return njit(**BLOCK_OPTIONS)(names["field"]), njit(**BLOCK_OPTIONS)(names["pullback"])


# ------------------------------------------------------------------------ costs of the state


class Cost(NamedTuple):
    """The record of a cost written as an expression of t, x, theta."""

    code: int
    map: Generated
    u: np.ndarray  # (0,): a cost of the state has no control


class CostScratch(NamedTuple):
    """Buffers of one thread; named as those of `pmpnet.kernels.losses` where both have them."""

    DX: np.ndarray  # (d, B)
    dP: np.ndarray  # (0, 0): no readout is trained
    dc: np.ndarray  # (0,)
    value: np.ndarray  # (2, B)
    weight: np.ndarray  # (2, B)
    tape: np.ndarray  # (d, B)
    zero: np.ndarray  # (d, B)
    map: Scratch


def cost_scratch(d: int, block: int, dtype) -> CostScratch:
    """Allocate the buffers of one thread."""
    d = d + d % 2
    shapes = ((d, block), (0, 0), (0,), (2, block), (2, block), (d, block), (d, block))
    return CostScratch(*(zeros(shape, dtype) for shape in shapes), scratch(1, block, dtype))


@cache
def define_cost(text: str) -> Callable:
    """Return value and gradient of the cost that a text defines, as a loss of the sweep."""
    field, pullback = define(text)

    @njit(**BLOCK_OPTIONS)
    def value_and_gradient(cost, t, theta, X, Y, w, backward, s):
        """Return sum w phi(t, X, theta); fill s.DX when ``backward``."""
        real = X.dtype.type
        one = real(1)
        field(cost.map, t, theta, cost.u, one, X, s.tape, one, s.map.zero, s.value, s.map)
        total = real(0)
        value, weight = s.value[0], s.weight[0]
        for m in range(w.size):
            total += w[m] * value[m]
            weight[m] = w[m]
        if backward:
            pullback(
                cost.map, t, theta, cost.u, one, one, s.weight, s.tape, one, s.zero, s.DX, cost.u,
                s.map,
            )  # fmt: skip
        return total

    return value_and_gradient


# ------------------------------------------------------------------- weighted sums over samples


class SumsScratch(NamedTuple):
    """Buffers of one thread."""

    weight: np.ndarray  # (2, B)


def sums_scratch(block: int, dtype) -> SumsScratch:
    """Allocate the buffers of one thread."""
    return SumsScratch(zeros((2, block), dtype))


@njit(**BLOCK_OPTIONS)
def no_sums(record, t, theta, X, w, sums, s):
    """Stand where a problem needs no sums."""


@cache
def define_sums(text: str) -> Callable:
    """Return the sums that the pullback of a text makes: the derivative by u, with P = w."""
    _, pullback = define(text)

    @njit(**CALL_OPTIONS)
    def add_sums(record, t, theta, X, w, sums, s):
        """Sums += sum over samples of w times each expression of t, X, theta."""
        one = X.dtype.type(1)
        for m in range(w.size):
            s.weight[0, m] = w[m]
        pullback(record, t, theta, sums, one, one, s.weight, X, one, X, X, sums, s)  # X is kept

    return add_sums
