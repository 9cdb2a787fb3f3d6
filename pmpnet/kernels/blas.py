"""One call into the BLAS that scipy carries, from inside compiled code.

numba's own ``np.dot`` overwrites its result and insists on reference counting; a sweep adds to
blocks and owns no memory. This is the same entry of numba's helper library, ``numba_xxgemm``,
with the result added to.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def gemm_add(typingctx, A, S, transposed, out):
    """Out += A S, or A S' where ``transposed`` is 1; all C-contiguous and of one precision."""
    signature = types.void(A, S, types.intp, out)
    kind = {types.float64: "d", types.float32: "s"}[out.dtype]

    def codegen(context, builder, signature, args):
        pointer, size, char = ir.IntType(8).as_pointer(), args[2].type, ir.IntType(8)
        a, s, o = (
            context.make_array(ty)(context, builder, value)
            for ty, value in zip(
                (signature.args[0], signature.args[1], signature.args[3]),
                (args[0], args[1], args[3]),
                strict=True,
            )
        )
        (n, k), (_, s_columns), (_, m) = (
            cgutils.unpack_tuple(builder, array.shape, 2) for array in (a, s, o)
        )
        one = cgutils.alloca_once_value(
            builder, context.get_constant_generic(builder, signature.args[3].dtype, 1.0)
        )

        def raw(value):
            return builder.bitcast(value, pointer)

        # BLAS counts by columns: it is told out' += op(S)' A'
        plain, flip = ir.Constant(char, ord("n")), ir.Constant(char, ord("t"))
        flipped = builder.icmp_signed("!=", args[2], ir.Constant(size, 0))
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(
                ir.IntType(32),
                [char] * 3 + [size] * 3 + [pointer, pointer, size]
                + [pointer, size, pointer, pointer, size],
            ),
            "numba_xxgemm",
        )  # fmt: skip
        builder.call(
            function,
            [
                ir.Constant(char, ord(kind)), builder.select(flipped, flip, plain), plain,
                m, n, k, raw(one), raw(s.data), s_columns, raw(a.data), k, raw(one),
                raw(o.data), m,
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, codegen
