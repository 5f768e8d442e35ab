"""How numba compiles functions that only kernels call: not at all by themselves, but within each kernel.

numba would optimise each of them, and make machine code of it that nobody calls, before it links it into its callers,
where LLVM inlines and optimises it again.
"""

from __future__ import annotations

from typing import Any, Literal

from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _Inlined(JITCodeLibrary):
    """Code as it was lowered, with that of the functions it calls, for callers to link."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)  # type: ignore[no-untyped-call]
class _InlinedLowering(NativeLowering):
    _name = "inlined_lowering"

    def run_pass(self, state: Any) -> Literal[True]:
        context = state.targetctx
        state.library = _Inlined(context.codegen(), state.func_id.func_qualname)  # type: ignore[no-untyped-call]
        state.flags.no_compile = True
        super().run_pass(state)  # type: ignore[no-untyped-call]
        # Callers find it by the built-in function that Python would call, for which any of its own will do.
        state["cr"] = state["cr"]._replace(cfunc=state.library.__dir__)
        context.insert_user_function(state["cr"].cfunc, state["cr"].fndesc, [state.library])
        return True


class InlinedCompiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        manager: Any = DefaultPassBuilder.define_nopython_pipeline(self.state)  # type: ignore[no-untyped-call]
        manager.passes = [
            (_InlinedLowering if step is NativeLowering else step, why) for step, why in manager.passes
        ]
        manager.finalize()
        return [manager]


def for_any_number(function: Any) -> Any:
    """`function`, compiled for integers: numba would compile it once more for each constant that it is called with.

    It would even do so for a variable's first value, before it knows that there are others.
    """
    get_call_template = function.get_call_template

    def get(args: Any, kws: Any) -> Any:
        return get_call_template([types.unliteral(arg) for arg in args], kws)  # type: ignore[no-untyped-call]

    function.get_call_template = get
    return function
