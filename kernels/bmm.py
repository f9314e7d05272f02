"""Products of matrices in pairs, nothing broadcast.

out[b, m, n] = sum over k of input[b, m, k] * mat2[b, k, n]
grad_input   = grad @ mat2^T
grad_mat2    = input^T @ grad
"""

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework.gemm import gemm
from ..framework.op import Kernel, Sample, register
from ..framework.repeat import repeated
from .matmul import check_operands, product_begin, product_numpy, product_row


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """``input @ mat2`` for (B, M, K) and (B, K, N).  Raises RuntimeError for any other shapes, and for unlike dtypes.

    >>> bmm(Tensor([[[1.0, 2.0]]]), Tensor([[[3.0], [4.0]]])).numpy()
    array([[[11.]]], dtype=float32)
    """
    input, mat2 = autocast_inputs(BMM, input, mat2)
    check_operands("bmm", input, mat2)
    if input.ndim != 3 or mat2.ndim != 3:
        raise RuntimeError(f"bmm: expected two batches of matrices, got {input.shape} and {mat2.shape}")
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        raise RuntimeError(
            f"bmm: expected (B, M, K) and (B, K, N), got {input.shape} and {mat2.shape}: "
            f"B, K are {input.shape[0], input.shape[2]} and {mat2.shape[:2]}"
        )
    return apply(BMM, input, mat2)


def forward_numpy(input, mat2):
    return product_numpy(input, mat2)


def forward_triton(input, mat2):
    return gemm(input, mat2)


def samples(rng):
    yield Sample(
        "worked",
        (np.array([[[1.0, 2.0]]]), np.array([[[3.0], [4.0]]])),
        answers=([[[11.0]]], [[[3.0, 4.0]]], [[[1.0], [2.0]]]),
    )
    yield Sample("odd sizes", (rng.normal(size=(3, 7, 5)), rng.normal(size=(3, 5, 9))), terms=9)
    yield Sample("permuted", (rng.normal(size=(4, 3, 2)).transpose(1, 0, 2), rng.normal(size=(5, 2, 3)).T), terms=5)
    yield Sample("no batch", (np.zeros((0, 3, 2)), np.zeros((0, 2, 4))))
    yield Sample(
        "misfit",
        (np.zeros((2, 3, 4)), np.zeros((1, 4, 2))),
        raises=(
            RuntimeError,
            "bmm: expected (B, M, K) and (B, K, N), got (2, 3, 4) and (1, 4, 2): B, K are (2, 4) and (1, 4)",
        ),
    )
    yield Sample(
        "rank",
        (np.zeros((2, 3)), np.zeros((3, 2))),
        raises=(RuntimeError, "bmm: expected two batches of matrices, got (2, 3) and (3, 2)"),
    )


BMM = register(
    product_row("bmm", Kernel(numpy=forward_numpy, triton=repeated(forward_triton), begin=product_begin), bmm, samples)
)
