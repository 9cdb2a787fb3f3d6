"""How numba is told to compile kernels: what is inlined is optimised once, where it ends up.

numba makes machine code of every function it meets, and optimises it twice: once for Python's
reference counts. Of a kernel's many parts only the outermost function is ever called, and none
counts references. Here parts are lowered and linked, no more, and the whole is optimised once.
Its loops are vectorised and interleaved; unrolling them as well took a quarter of the time and
made nothing faster.

That halves the time of the first solve, and removes a danger: a part compiled by itself can
differ in its last bit from the same part inlined.
"""

import llvmlite.binding as llvm
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class PartLibrary(JITCodeLibrary):
    """The code of a part: linked into others, and never run by itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class WholeLibrary(JITCodeLibrary):
    """The code of a whole kernel."""

    def _optimize_final_module(self) -> None:
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.loop_interleaving = True
        options.slp_vectorization = options.loop_unrolling = False
        builder = llvm.create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    """Lower a kernel: a whole one if Python calls it, so that it has a wrapper, and else a part."""

    _name = "kernel_lowering"

    def run_pass(self, state) -> bool:
        part = state.flags.no_cpython_wrapper
        library = PartLibrary if part else WholeLibrary
        state.library = library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.flags.no_compile = part
        super().run_pass(state)
        if part:
            # callers know a function by its entry point, a builtin: here one that is never called
            stand_in = [].clear
            state.targetctx.insert_user_function(stand_in, state.cr.fndesc, [state.library])
            state.cr = state.cr._replace(cfunc=stand_in)
        return True


class KernelCompiler(CompilerBase):
    """numba's own pipeline, but for the lowering."""

    def define_pipelines(self) -> list:
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state, "kernel")
        manager.passes = [
            (KernelLowering if step is NativeLowering else step, why)
            for step, why in manager.passes
        ]
        manager.finalize()
        return [manager]
