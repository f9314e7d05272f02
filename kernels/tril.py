"""The part of matrices below, or above, a diagonal; zeros elsewhere.

tril:  out[.., i, j] = input[.., i, j]  where j - i <= diagonal,  0 elsewhere
triu:  out[.., i, j] = input[.., i, j]  where j - i >= diagonal,  0 elsewhere
grad_input           = the same part of grad
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.array import empty_like
from ..framework.language import cdiv, jit, tl
from ..framework.launch import contiguous, launch
from ..framework.op import Grad, Kernel, Op, Sample, register


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """``input`` (..., N, M) with zeros above the diagonal that lies ``diagonal`` above the main one.

    Raises RuntimeError for fewer than 2 dimensions.

    >>> tril(Tensor([[1, 2], [3, 4]])).tolist()
    [[1, 0], [3, 4]]
    """
    return _part("tril", input, diagonal, True)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """``input`` (..., N, M) with zeros below the diagonal that lies ``diagonal`` above the main one.

    Raises RuntimeError for fewer than 2 dimensions.

    >>> triu(Tensor([[1, 2], [3, 4]])).tolist()
    [[1, 2], [0, 4]]
    """
    return _part("triu", input, diagonal, False)


def _part(name: str, input: Tensor, diagonal: int, lower: bool) -> Tensor:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: expected matrices, (..., N, M), got shape {input.shape}")
    if isinstance(diagonal, bool) or not isinstance(diagonal, int):
        raise TypeError(f"{name}: diagonal must be an integer, got {type(diagonal).__name__}")
    return apply(TRIL if lower else TRIU, input, diagonal=diagonal)


def lower_numpy(input, *, diagonal):
    return np.tril(input, diagonal)


def upper_numpy(input, *, diagonal):
    return np.triu(input, diagonal)


@jit
def _triangle(out_ptr, in_ptr, n, N, M, diagonal, LOWER: tl.constexpr, BLOCK: tl.constexpr):
    # in, out (..., N, M), row-major · one program per BLOCK elements
    element = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    above = element % M - (element // M) % N
    if LOWER:
        kept = above <= diagonal
    else:
        kept = above >= diagonal
    value = tl.load(in_ptr + element, mask=(element < n) & kept, other=0)
    tl.store(out_ptr + element, value, mask=element < n)


def _launch(input, diagonal, lower):
    input = contiguous(input)
    out = empty_like(input)
    n = out.size
    if n:
        block = out.backend.block_size(n)
        # one program per BLOCK elements of out
        launch(_triangle, (cdiv(n, block),), out, input, n, *input.shape[-2:], diagonal, LOWER=lower, BLOCK=block)
    return out


def lower_triton(input, *, diagonal):
    return _launch(input, diagonal, True)


def upper_triton(input, *, diagonal):
    return _launch(input, diagonal, False)


def _samples(name, answer, grad):
    def samples(rng):
        x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        yield Sample("worked", (x,), {"diagonal": 1}, answers=(answer, grad))
        yield Sample("batch", (rng.normal(size=(5, 4, 3)).T,), {"diagonal": -1})
        yield Sample("empty", (rng.normal(size=(0, 3)),), {"diagonal": 0})
        yield Sample(
            "vector", (np.zeros(3),), raises=(RuntimeError, f"{name}: expected matrices, (..., N, M), got shape (3,)")
        )

    return samples


TRIL = register(
    Op(
        name="tril",
        kernel=Kernel(numpy=lower_numpy, triton=lower_triton),
        grads=(Grad(of=("input",), keeps=(), op="tril"),),
        samples=_samples("tril", [[1.0, 2.0, 0.0], [4.0, 5.0, 6.0]], [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]),
        function=tril,
    )
)

TRIU = register(
    Op(
        name="triu",
        kernel=Kernel(numpy=upper_numpy, triton=upper_triton),
        grads=(Grad(of=("input",), keeps=(), op="triu"),),
        samples=_samples("triu", [[0.0, 2.0, 3.0], [0.0, 0.0, 6.0]], [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]),
        function=triu,
    )
)
