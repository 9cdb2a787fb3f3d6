"""How threads share the chunks of a round: whoever is free takes the next one.

A helper that wakes up late takes fewer chunks, and one that does not come takes none. Who swept
a chunk leaves no trace in its sums. Who has nothing to do looks out for a while, without Python's
lock, for the last chunk or for the next round: waking a sleeping thread takes as long as a small
round, and who asks for Python's lock while another has it is put to sleep.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from .jit import CALL_OPTIONS, compiled


class Share(NamedTuple):
    """What threads share in a round.

    ``counts`` are the chunks begun and the chunks done. Who calls raises the count of every
    helper in ``calls``; a helper looks out for its ``own`` count to become ``next``.
    """

    counts: np.ndarray  # (2,)
    chunks: int
    blocks: int  # of a chunk
    calls: np.ndarray  # (helpers,), or (0,) for a helper
    own: np.ndarray  # (1,) of a helper, or (0,)
    next: int
    looks: int  # how often a thread looks before it gives up


def add_one(counts, i):
    """Add 1 to one of the counts, as one step that no thread can divide; return what it was."""
    counts[i] += 1
    return counts[i] - 1


def read(counts, i):
    """Return one of the counts as other threads left it, with all they wrote before."""
    return counts[i]


def _place(context, builder, signature, args):
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return cgutils.gep_inbounds(builder, array.data, args[1])


@intrinsic
def _add_one(typingctx, counts, i):
    def codegen(context, builder, signature, args):
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", _place(context, builder, signature, args), one, "seq_cst")

    return types.int64(counts, i), codegen


@intrinsic
def _read(typingctx, counts, i):
    def codegen(context, builder, signature, args):
        return builder.load_atomic(_place(context, builder, signature, args), "seq_cst", 8)

    return types.int64(counts, i), codegen


@overload(add_one, jit_options=CALL_OPTIONS)
def _(counts, i):
    return lambda counts, i: _add_one(counts, i)


@overload(read, jit_options=CALL_OPTIONS)
def _(counts, i):
    return lambda counts, i: _read(counts, i)


@njit(**CALL_OPTIONS)
def look(counts, i, least, looks):
    """Look at a count until it is large enough, or so many times; return whether it is."""
    for _ in range(looks):  # noqa: SIM110 - numba has no generators here
        if read(counts, i) >= least:
            return True
    return False


@compiled("wait")
def wait(counts, i, least, looks):
    """Look, called from Python."""
    return look(counts, i, least, looks)


@njit(**CALL_OPTIONS)
def stand_by(share):
    """Look out for the last chunk, as a helper for the next call."""
    if share.own.size > 0:
        look(share.own, 0, share.next, share.looks)
    else:
        look(share.counts, 1, share.chunks, share.looks)
