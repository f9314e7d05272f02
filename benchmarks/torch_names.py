"""Write ``trigrad/torch_names.json``: PyTorch's public names by category, for ``python -m trigrad ops --coverage``.

    python benchmarks/torch_names.py

needs PyTorch.  Names that trigrad does not aim at are left out by the rules below, and counted.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import torch
import torch.utils.data

# the first rule that a name fits leaves it out
RULES = {
    "private": r"_.*",
    "deprecated": None,  # its documentation says so, or it is one of those below
    "internals": r".*_copy|unsafe_.*|batch_norm_.+|.*_backward.*|slice_inverse|.*autocast_(in|de)crement.*|clear_autocast.*"
    r"|assert_int_or_pair|.*prepare_multi.*|profiler_.*|thread_safe.*|init_num_threads|classproperty|get_file_path"
    r"|feature_dropout|.*_with_indices|convolution|map2?_|apply_|module_load|output_nr|.*storage_type|is_set_to|typename",
    "data pipes": r".*DataPipe|DataChunk|argument_validation|.*determini(stic|sm)|runtime_validation.*",
    "quantized": r"q_.*|qscheme|.*quant.*|.*qparams.*|int_repr|fbgemm.*|.*observer.*",
    "sparse": r".*[Ss]parse.*|dense_dim|.*coalesce.*|crow_indices|col_indices|ccol_indices|row_indices|indices|values|to_dense|hspmm"
    r"|sspaddmm|s?smm|dsmm|saddmm|spmm|hsmm|.*_(csr|csc|bsr|bsc)|sum_to_size_sparse",
    "complex": r".*complex.*|.*conj.*|view_as_real|mH|H|real|imag|polar|resolve_.*|is_neg|positive_complex|i?stft|.*fft.*|chalf|cfloat"
    r"|cdouble|adjoint",
    "distributed": r".*[Dd]istributed.*|SyncBatchNorm|DataParallel|.*share_memory.*|is_shared|.*worker_thread.*|fork|wait"
    r"|rpc.*|.*parallel_info|get_num_interop_threads|set_num_interop_threads",
    "jit, fx, compile": r".*jit.*|.*script.*|.*symbol.*|sym_.*|.*symint.*|.*compile.*|compiled_with.*|export.*|vmap|cond"
    r"|while_loop|func.*|fx.*|.*trace_module|import_ir.*|parse_.*|merge_type.*|unify_type.*|.*autocast_ipu.*|is_vulkan.*"
    r"|.*Type|.*CompilationUnit|.*Graph|.*Static.*|.*dispatch.*|.*fake.*|.*functionalized.*|.*meta_.*|.*hammer.*",
    "vendor back ends": r".*(cudnn|miopen|mkldnn|mkl|xpu|mps|ipu|hpu|xla|vulkan|mtia|nnpack|openmp|maia|hip|native).*",
    "named tensors": r"names|rename_?|has_names|align_.*|refine_names|unflatten_names|.*named.*",
    "forward-mode AD and subclasses": r".*_dual.*|.*torch_function.*|.*fwd_grad.*|.*subclass.*|as_subclass",
}
DEPRECATED = (
    "is deprecated",
    "was deprecated",
    "deprecated in favor",
    ".. deprecated",
    "deprecated and will be removed",
)
REMOVED = (
    "symeig solve lstsq eig matrix_rank volatile reinforce Container NLLLoss2d CrossMapLRN2d ger chain_matmul".split()
)
IN_PLACE_FUNCTION = re.compile(r"[a-z].*_")  # torch.abs_ and so on: Tensor.abs_ is counted with the methods


def is_deprecated(thing: Any) -> bool:
    """Whether the documentation begins by saying so."""
    text = (inspect.getdoc(thing) or "")[:400].lower()
    return getattr(thing, "__name__", "") in REMOVED or any(s in text for s in DEPRECATED)


def is_function(thing: Any) -> bool:
    """Whether a member of ``torch`` is a function on tensors, as far as its looks tell."""
    return callable(thing) and not inspect.isclass(thing) and not isinstance(thing, torch.dtype)


def classes(module: Any, base: type | None) -> dict[str, Any]:
    """Classes (and, without a base, functions) that a module defines or hands on."""
    found = {}
    for name in dir(module):
        thing = getattr(module, name)
        if inspect.isclass(thing) and (base is None or (issubclass(thing, base) and thing is not base)):
            found[name] = thing
    return found


def categories() -> dict[str, dict[str, Any]]:
    """Every name by category, none left out."""
    own = {n: getattr(torch, n) for n in dir(torch)}
    functional = {n: getattr(torch.nn.functional, n) for n in dir(torch.nn.functional)}
    data = {n: getattr(torch.utils.data, n) for n in torch.utils.data.__all__}
    schedulers = classes(torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler)
    return {
        "functions": {
            n: t
            for n, t in own.items()
            if is_function(t) and str(getattr(t, "__module__", None) or "torch").startswith("torch")
        },
        "Tensor methods": {n: getattr(torch.Tensor, n, None) for n in dir(torch.Tensor) if not hasattr(object, n)},
        "functional": {
            n: t
            for n, t in functional.items()
            if is_function(t)
            and str(getattr(t, "__module__", None) or "torch").startswith("torch")
            and not str(getattr(t, "__module__", "")).startswith(("torch._jit", "torch.overrides"))
        },
        "modules": classes(torch.nn, torch.nn.Module),
        "optimizers": classes(torch.optim, torch.optim.Optimizer),
        "schedulers": {n: t for n, t in schedulers.items() if n != "_LRScheduler"},
        "data": data,
    }


def main() -> None:
    """Write the file and say what is in it."""
    found: dict[str, Any] = {"torch": torch.__version__.split("+")[0], "names": {}, "left out": {}}
    for category, names in categories().items():
        kept, out = [], dict.fromkeys([*RULES, "in-place functions"], 0)
        for name, thing in sorted(names.items()):
            rule = next(
                (r for r, p in RULES.items() if (is_deprecated(thing) if p is None else re.fullmatch(p, name))), None
            )
            if rule is None and category in ("functions", "functional") and IN_PLACE_FUNCTION.fullmatch(name):
                rule = "in-place functions"
            if rule is None:
                kept.append(name)
            else:
                out[rule] += 1
        found["names"][category] = kept
        found["left out"][category] = {rule: n for rule, n in out.items() if n}
        print(f"{category}: {len(kept)} names, left out {sum(out.values())}")
    path = Path(__file__).parents[1] / "trigrad" / "torch_names.json"
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
