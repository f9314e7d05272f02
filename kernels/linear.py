"""Affine map of the last dimension.

    out[..., j]       = sum over i of input[..., i] * weight[j, i]  + bias[j]
    grad_input        = grad @ weight
    grad_weight[j, i] = sum over ... of grad[..., j] * input[..., i]
    grad_bias[j]      = sum over ... of grad[..., j]

Rows: ``linear`` without bias, ``linear_bias`` with one.
"""

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework import dtypes
from ..framework.array import empty_like
from ..framework.gemm import as_matrix, for_blas, gemm, transposed
from ..framework.launch import contiguous
from ..framework.op import Begun, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.threads import product


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight^T + bias``: input (..., I), weight (J, I) and bias (J) or None give (..., J).

    A weight (I) gives (...).  Raises RuntimeError where sizes or dtypes do not fit, and for bool.

    >>> linear(Tensor([1.0, 2.0]), Tensor([[3.0, 4.0], [5.0, 6.0]]), Tensor([0.5, 0.0])).numpy()
    array([11.5, 17. ], dtype=float32)
    """
    input, weight, bias = autocast_inputs(LINEAR_BIAS, input, weight, bias)
    _check(input, weight, bias)
    if weight.ndim == 1:
        out = linear(input, weight.unsqueeze(0)).squeeze(-1)
        return out if bias is None else out + bias
    if input.ndim == 1:
        return linear(input.unsqueeze(0), weight, bias).squeeze(0)
    if bias is None:
        return apply(LINEAR, input, weight)
    if bias.shape != weight.shape[:1]:
        return apply(LINEAR, input, weight) + bias
    return apply(LINEAR_BIAS, input, weight, bias)


def _check(input, weight, bias):
    given = [("input", input), ("weight", weight)] + ([] if bias is None else [("bias", bias)])
    for name, x in given:
        if not isinstance(x, Tensor):
            raise TypeError(f"linear: expected {name} to be a Tensor, got {type(x).__name__}")
    if len({x.dtype for _, x in given}) > 1:
        kinds = ", ".join(f"{name} {x.dtype.name}" for name, x in given)
        raise RuntimeError(f"linear: expected one dtype, got {kinds}")
    if input.dtype is dtypes.bool_:
        raise RuntimeError("linear: bool has no product of matrices; use .to() first")
    if not input.ndim or weight.ndim not in (1, 2) or input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(f"linear: expected input (..., I) and weight (J, I), got {input.shape} and {weight.shape}")
    shape = input.shape[:-1] + weight.shape[:-1]
    if bias is not None and not _broadcasts(bias.shape, shape):
        raise RuntimeError(
            f"linear: expected a bias {weight.shape[:-1]}, or one that broadcasts to the output "
            f"{shape}, got {bias.shape}"
        )


def _broadcasts(own, shape):
    lead = len(shape) - len(own)
    return lead >= 0 and all(n in (1, m) for n, m in zip(own, shape[lead:], strict=True))


def _rows(array):
    """The array as a matrix of its last dimension."""
    if array.ndim == 2:
        return array
    shape = (int(np.prod(array.shape[:-1], dtype=np.int64)), array.shape[-1])
    if isinstance(array, np.ndarray):
        return array.reshape(shape)
    return contiguous(array).viewed(lambda a: a.reshape(shape, copy=False))


def _product(a, b, bias=None):
    """``a @ b + bias`` of matrices; half types in float32, rounded once."""
    if a.dtype in dtypes.HALF:
        wide = None if bias is None else bias.astype(np.float32)
        return _product(a.astype(np.float32), b.astype(np.float32), wide).astype(a.dtype)
    out = product(for_blas(a), for_blas(b)) if a.dtype.kind == "f" else np.matmul(a, b)
    if bias is not None:
        out += bias
    return out


def forward_numpy(input, weight):
    return _product(_rows(input), weight.T).reshape(*input.shape[:-1], weight.shape[0])


def forward_triton(input, weight):
    return bias_begin(input, weight, None).finish(())


def forward_begin(input, weight):
    return bias_begin(input, weight, None)


def bias_numpy(input, weight, bias):
    return _product(_rows(input), weight.T, bias).reshape(*input.shape[:-1], weight.shape[0])


def bias_triton(input, weight, bias):
    return bias_begin(input, weight, bias).finish(())


def bias_begin(input, weight, bias):
    shape = (*input.shape[:-1], weight.shape[0])

    def finish(chain):
        matrix = transposed(weight)
        if input.ndim == 2:
            return gemm(input, matrix, bias, chain)
        out = empty_like(input, shape)
        gemm(_rows(input), matrix, bias, as_matrix(chain, shape), out=_rows(out))
        return out

    return Begun(shape, finish)


def weight_backward_numpy(grad, input):
    return _product(_rows(grad).T, _rows(input))


def weight_backward_triton(grad, input):
    return gemm(transposed(_rows(grad)), _rows(input))


def samples(rng):
    x, w = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])
    yield Sample("worked", (x, w), answers=([[11.0, 17.0]], [[8.0, 10.0]], [[1.0, 2.0], [1.0, 2.0]]))
    for shape, out in [((6, 5), 3), ((2, 3, 4), 5), ((0, 3), 2), ((3, 0), 2)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape), rng.normal(size=(out, shape[-1]))), terms=6)
    yield Sample("strided", (rng.normal(size=(4, 3, 2)).transpose(1, 2, 0), rng.normal(size=(4, 5)).T), terms=6)
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), np.zeros((4, 2))),
        raises=(RuntimeError, "linear: expected input (..., I) and weight (J, I), got (2, 3) and (4, 2)"),
    )
    yield Sample(
        "bias",
        (np.zeros((2, 3)), np.zeros((4, 3)), np.zeros(5)),
        raises=(RuntimeError, "linear: expected a bias (4,), or one that broadcasts to the output (2, 4), got (5,)"),
    )
    yield Sample(
        "bool",
        (np.zeros((2, 3), bool), np.zeros((4, 3), bool)),
        dtypes=(),
        raises=(RuntimeError, "linear: bool has no product of matrices; use .to() first"),
    )
    yield Sample(
        "dtypes",
        (np.zeros((2, 3), np.float32), np.zeros((4, 3))),
        dtypes=(),
        raises=(RuntimeError, "linear: expected one dtype, got input float32, weight float64"),
    )


def bias_samples(rng):
    x, w = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])
    yield Sample(
        "worked",
        (x, w, np.array([0.5, -1.0])),
        answers=([[11.5, 16.0]], [[8.0, 10.0]], [[1.0, 2.0], [1.0, 2.0]], [1.0, 1.0]),
    )
    for shape, out in [((6, 5), 3), ((2, 3, 4), 5), ((70, 66), 65), ((0, 3), 2), ((3, 0), 2)]:
        arrays = rng.normal(size=shape), rng.normal(size=(out, shape[-1])), rng.normal(size=out)
        yield Sample(f"shape {shape}", arrays, terms=max(shape[0], shape[-1], out))


# grad @ weight and input @ grad^T: the products behind both rows' gradients
def _plain(call):
    return {"transposed": (False, False), "swapped": False}


LINEAR = register(
    Op(
        name="linear",
        autocast="half",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton), begin=forward_begin),
        grads=(
            Grad(of=("input",), keeps=("weight",), op="matmul_backward", settings=_plain),
            Grad(of=("weight",), keeps=("input",), op="linear_weight_backward"),
        ),
        samples=samples,
        function=linear,
    )
)

LINEAR_BIAS = register(
    Op(
        name="linear_bias",
        autocast="half",
        kernel=Kernel(numpy=bias_numpy, triton=repeated(bias_triton), begin=bias_begin),
        grads=(
            Grad(of=("input",), keeps=("weight",), op="matmul_backward", settings=_plain),
            Grad(of=("weight",), keeps=("input",), op="linear_weight_backward"),
            Grad(of=("bias",), keeps=(), op="sum_to", settings=lambda call: {"shape": call.shape("bias")}),
        ),
        samples=bias_samples,
        function=linear,
    )
)

register(
    Op(
        name="linear_weight_backward",
        kernel=Kernel(numpy=weight_backward_numpy, triton=repeated(weight_backward_triton)),
        grads=(
            Grad(
                of=("grad",),
                keeps=("input",),
                op="matmul_backward",
                settings=lambda call: {"transposed": (True, False), "swapped": True},
            ),
            Grad(
                of=("input",),
                keeps=("grad",),
                op="matmul_backward",
                settings=lambda call: {"transposed": (False, False), "swapped": True},
            ),
        ),
    )
)
