"""Rows of a table by number.

With n_v the number of times that v is in index, or 1 without ``scale_grad_by_freq``, and p = padding_idx:

    embedding:           out[i]          = weight[index[i]]
                         grad_weight     = embedding_backward(grad)

    embedding_backward:  out[v]          = sum of grad[i] over all i with index[i] = v, / n_v;  0 for v = p
                         grad_grad       = embedding_again(grad)

    embedding_again:     out[i]          = input[index[i]] / n_index[i];  0 where index[i] = p
                         grad_input      = embedding_backward(grad)

The sum is that of ``index.py``: no atomics, a fixed order.  The table of the gradient is written whole, since there are
no sparse gradients.
"""

from typing import Any

import numpy as np

from ..autograd import Tensor, apply, no_grad
from ..framework import dtypes
from ..framework.elementwise import run
from ..framework.fill import fill, full
from ..framework.language import jit, tl
from ..framework.launch import cast, copied
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from .gather import checked, integers


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` (V, D) by their numbers ``input`` (int64, any shape): (..., D).

    Row ``padding_idx`` gets no gradient.  With ``max_norm``, rows that are used and whose norm is greater are first
    shortened to it, in place.  ``scale_grad_by_freq`` divides a row's gradient by how often it is used.  Raises
    IndexError for a number out of range, which a GPU's are not checked for, and RuntimeError for other shapes and dtypes.

    >>> embedding(Tensor([2, 0]), Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])).tolist()
    [[5.0, 6.0], [1.0, 2.0]]
    """
    if sparse:
        raise RuntimeError("embedding: there are no sparse gradients")
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: expected weight of shape (V, D), got {weight.shape}")
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError(f"embedding: padding_idx {padding_idx} is out of range for {rows} rows")
        padding_idx += rows if padding_idx < 0 else 0
    index = integers("embedding", input)
    checked("embedding", index, rows)
    if max_norm is not None:
        _shorten(weight, index, float(max_norm), float(norm_type))
    return apply(EMBEDDING, weight, index, padding_idx=padding_idx, scale_grad_by_freq=bool(scale_grad_by_freq))


def _shorten(weight: Tensor, index: Tensor, most: float, p: float) -> None:
    """Scale the rows that ``index`` names and whose p-norm is greater than ``most`` down to it, in place."""
    used = np.unique(index.host())
    with no_grad():
        found = weight.detach()[used]
        size = found.host().astype(np.float64)
        norms = np.linalg.norm(size, p, axis=1) if size.size else np.zeros(len(used))
        factor = np.where(norms > most, most / (norms + 1e-7), 1.0)
        if (factor != 1).any():
            scale = Tensor(factor[:, None], dtype=weight.dtype, device=weight.device)
            weight[used] = found * scale


# -- both -------------------------------------------------------------------------------------------------------------


def _on(array: Any, name: str) -> Any:
    kernel = OPS[name].kernel
    return kernel.numpy if isinstance(array, np.ndarray) else kernel.triton


def _counts(index: Any, rows: int) -> Any:
    """How often each row is named: int64 (rows,)."""
    if isinstance(index, np.ndarray):
        return np.bincount(index.reshape(-1), minlength=rows)
    ones = full(index.shape, 1, np.dtype(np.int64), index.backend)
    return _on(index, "index_backward")(ones, index, dims=(0,), shape=(rows,))


# -- NumPy ------------------------------------------------------------------------------------------------------------


def forward_numpy(weight, index, *, padding_idx, scale_grad_by_freq):
    return np.take(weight, index, 0) if index.size else np.empty((*index.shape, weight.shape[1]), weight.dtype)


def _shares_numpy(table, index, padding_idx, scale_grad_by_freq):
    """The table with each row divided by its count, and without the padding row; written in place."""
    if padding_idx is not None:
        table[padding_idx] = 0
    if scale_grad_by_freq:
        counts = np.maximum(_counts(index, len(table)), 1)[:, None]
        wide = np.float32 if table.dtype in dtypes.HALF else table.dtype
        table[...] = table.astype(wide, copy=False) / counts.astype(wide)
    return table


def backward_numpy(grad, index, *, rows, padding_idx, scale_grad_by_freq):
    table = _on(grad, "index_backward")(grad, index, dims=(0,), shape=(rows, grad.shape[-1]))
    return _shares_numpy(table, index, padding_idx, scale_grad_by_freq)


def again_numpy(input, index, *, padding_idx, scale_grad_by_freq):
    table = _shares_numpy(np.array(input), index, padding_idx, scale_grad_by_freq)
    return forward_numpy(table, index, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq)


# -- Triton -----------------------------------------------------------------------------------------------------------


@jit
def _share(value, count):
    return value / tl.maximum(count, 1)


def forward_triton(weight, index, *, padding_idx, scale_grad_by_freq):
    return _on(weight, "index")(weight, index, dims=(0,))


def _shares_triton(table, index, padding_idx, scale_grad_by_freq):
    if padding_idx is not None:
        fill(table.viewed(lambda a: a[padding_idx]), 0)
    if scale_grad_by_freq and table.size:
        counts = cast(_counts(index, table.shape[0]), np.dtype(np.float64 if table.dtype == np.float64 else np.float32))
        wide = cast(table, counts.dtype) if table.dtype in dtypes.HALF else table
        shared = run(_share, (wide, counts.viewed(lambda a: a[:, None])), ())
        return cast(shared, table.dtype) if table.dtype in dtypes.HALF else shared
    return table


def backward_triton(grad, index, *, rows, padding_idx, scale_grad_by_freq):
    table = _on(grad, "index_backward")(grad, index, dims=(0,), shape=(rows, grad.shape[-1]))
    return _shares_triton(table, index, padding_idx, scale_grad_by_freq)


def again_triton(input, index, *, padding_idx, scale_grad_by_freq):
    table = _shares_triton(copied(input), index, padding_idx, scale_grad_by_freq)
    return forward_triton(table, index, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq)


def _settings(**more):
    return lambda call: {
        "padding_idx": call.settings["padding_idx"],
        "scale_grad_by_freq": call.settings["scale_grad_by_freq"],
        **{k: f(call) for k, f in more.items()},
    }


def samples(rng):
    x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    index = np.array([2, 0, 2, 1])
    out = [[5.0, 6.0], [1.0, 2.0], [5.0, 6.0], [3.0, 4.0]]
    plain = {"padding_idx": None, "scale_grad_by_freq": False}
    yield Sample("worked", (x, index), plain, answers=(out, [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]))
    yield Sample(
        "padding", (x, index), {**plain, "padding_idx": 1}, answers=(out, [[1.0, 1.0], [0.0, 0.0], [2.0, 2.0]])
    )
    # what follows is not the derivative, but what PyTorch says instead of it: no finite differences
    yield Sample(
        "shared",
        (x, index),
        {"padding_idx": 0, "scale_grad_by_freq": True},
        answers=(out, [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]),
    )
    yield Sample(
        "shared rows",
        (x.copy().T, np.array([[1, 1], [0, 1]]).T),
        {"padding_idx": None, "scale_grad_by_freq": True},
        answers=(
            [[[2.0, 4.0, 6.0], [1.0, 3.0, 5.0]], [[2.0, 4.0, 6.0], [2.0, 4.0, 6.0]]],
            [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
        ),
    )
    table = rng.normal(size=(6, 11)).T
    yield Sample("batch", (table, rng.integers(0, 11, (4, 9))), plain, terms=12)
    yield Sample("one", (table, np.array(4)), plain)
    yield Sample("none", (table, np.zeros((0, 2), np.int64)), {"padding_idx": 3, "scale_grad_by_freq": True})


EMBEDDING = register(
    Op(
        name="embedding",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(
            Grad(
                of=("weight",),
                keeps=("index",),
                op="embedding_backward",
                settings=_settings(rows=lambda call: call.shape("weight")[0]),
            ),
        ),
        samples=samples,
        function=embedding,
    )
)

register(
    Op(
        name="embedding_backward",
        kernel=Kernel(numpy=backward_numpy, triton=backward_triton),
        grads=(Grad(of=("grad",), keeps=("index",), op="embedding_again", settings=_settings()),),
    )
)

register(
    Op(
        name="embedding_again",
        kernel=Kernel(numpy=again_numpy, triton=again_triton),
        grads=(
            Grad(
                of=("input",),
                keeps=("index",),
                op="embedding_backward",
                settings=_settings(rows=lambda call: call.shape("input")[0]),
            ),
        ),
    )
)
