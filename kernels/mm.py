"""Product of two matrices, nothing broadcast.

out[m, n]  = sum over k of input[m, k] * mat2[k, n]
grad_input = grad @ mat2^T
grad_mat2  = input^T @ grad
"""

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework.gemm import gemm
from ..framework.op import Kernel, Sample, register
from ..framework.repeat import repeated
from .matmul import check_operands, product_begin, product_numpy, product_row


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """``input @ mat2`` for (M, K) and (K, N).  Raises RuntimeError for any other shapes, and for unlike dtypes.

    >>> mm(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]])).numpy()
    array([[11.]], dtype=float32)
    """
    input, mat2 = autocast_inputs(MM, input, mat2)
    check_operands("mm", input, mat2)
    if input.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(f"mm: expected two matrices, got {input.shape} and {mat2.shape}")
    if input.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"mm: expected (M, K) and (K, N), got {input.shape} and {mat2.shape}: "
            f"K is {input.shape[1]} and {mat2.shape[0]}"
        )
    return apply(MM, input, mat2)


def forward_numpy(input, mat2):
    return product_numpy(input, mat2)


def forward_triton(input, mat2):
    return gemm(input, mat2)


def samples(rng):
    yield Sample(
        "worked", (np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])), answers=([[11.0]], [[3.0, 4.0]], [[1.0], [2.0]])
    )
    yield Sample("odd sizes", (rng.normal(size=(17, 33)), rng.normal(size=(33, 5))), terms=33)
    yield Sample("transposed", (rng.normal(size=(9, 4)).T, rng.normal(size=(3, 9)).T), terms=9)
    yield Sample("empty", (np.zeros((3, 0)), np.zeros((0, 2))))
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), np.zeros((4, 2))),
        raises=(RuntimeError, "mm: expected (M, K) and (K, N), got (2, 3) and (4, 2): K is 3 and 4"),
    )
    yield Sample(
        "rank",
        (np.zeros((2, 3, 4)), np.zeros((4, 2))),
        raises=(RuntimeError, "mm: expected two matrices, got (2, 3, 4) and (4, 2)"),
    )


MM = register(
    product_row("mm", Kernel(numpy=forward_numpy, triton=repeated(forward_triton), begin=product_begin), mm, samples)
)
