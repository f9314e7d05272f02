"""Matrix product, batched.

    out[..., m, n] = sum over k of input[..., m, k] * other[..., k, n]
    grad_input     = grad @ other^T
    grad_other     = input^T @ grad

Both gradients, and theirs in turn, are products of two matrices, each of them as it is or transposed, in one order or
the other: the row ``matmul_backward``.  Leading dimensions broadcast; the engine sums gradients back.
"""

import inspect
import itertools

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework import dtypes
from ..framework.gemm import for_blas, gemm, transposed
from ..framework.op import Begun, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.threads import product, single_blas


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """``input @ other``: (..., M, K) by (..., K, N), leading dimensions broadcast; 1-d operands are vectors.

    Raises RuntimeError where sizes or dtypes do not fit, for 0-d operands and for bool.

    >>> matmul(Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([[1.0, 0.0], [1.0, 1.0]])).numpy()
    array([[3., 2.],
           [7., 4.]], dtype=float32)
    """
    input, other = autocast_inputs(MATMUL, input, other)
    check_operands("matmul", input, other)
    if not input.ndim or not other.ndim:
        raise RuntimeError(f"matmul: expected operands of at least 1 dimension, got {input.shape} and {other.shape}")
    if input.shape[-1] != other.shape[0 if other.ndim == 1 else -2]:
        raise RuntimeError(
            f"matmul: expected (..., M, K) and (..., K, N), got {input.shape} and {other.shape}: "
            f"K is {input.shape[-1]} and {other.shape[0 if other.ndim == 1 else -2]}"
        )
    lead = input.shape[:-1]
    if input.ndim == 2 and other.ndim == 2:
        return apply(MATMUL, input, other)
    if other.ndim <= 2:  # one product of all rows, so that the gradient of ``other`` is one product too
        rows = int(np.prod(lead, dtype=np.int64))
        columns = other.unsqueeze(1) if other.ndim == 1 else other
        out = apply(MATMUL, input.reshape((rows, input.shape[-1])), columns)
        return out.reshape(lead if other.ndim == 1 else (*lead, other.shape[1]))
    if input.ndim == 1:
        return matmul(input.unsqueeze(0), other).squeeze(-2)
    try:
        np.broadcast_shapes(input.shape[:-2], other.shape[:-2])
    except ValueError:
        raise RuntimeError(
            f"matmul: leading dimensions {input.shape[:-2]} and {other.shape[:-2]} do not broadcast"
        ) from None
    return apply(MATMUL, input, other)


def check_operands(name: str, input: Tensor, other: Tensor) -> None:
    """Raise TypeError unless both are tensors, RuntimeError unless they are of one dtype, and not bool."""
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected tensors, got {type(x).__name__}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{name}: expected operands of one dtype, got {input.dtype.name} and {other.dtype.name}")
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"{name}: bool has no product of matrices; use .to() first")


def product_numpy(input, other):
    if input.dtype in dtypes.HALF:
        return product_numpy(input.astype(np.float32), other.astype(np.float32)).astype(input.dtype)
    if input.dtype.kind != "f":
        return np.matmul(input, other)
    if other.ndim == 2 and input.ndim > 2:
        rows = product(for_blas(input.reshape(-1, input.shape[-1])), for_blas(other))
        return rows.reshape(*input.shape[:-1], other.shape[1])
    if input.ndim == other.ndim == 2:
        return product(for_blas(input), for_blas(other))
    with single_blas:
        return np.matmul(for_blas(input), for_blas(other))


def product_triton(input, other):
    return gemm(input, other)


def product_begin(input, other):
    shape = (*np.broadcast_shapes(input.shape[:-2], other.shape[:-2]), input.shape[-2], other.shape[-1])
    return Begun(shape, lambda chain: gemm(input, other, epilogue=chain))


def _turned(array, turn):
    if not turn:
        return array
    return array.swapaxes(-1, -2) if isinstance(array, np.ndarray) else transposed(array)


def backward_numpy(grad, factor, *, transposed, swapped):
    pair = _turned(grad, transposed[0]), _turned(factor, transposed[1])
    return product_numpy(*(pair[::-1] if swapped else pair))


def backward_triton(grad, factor, *, transposed, swapped):
    pair = _turned(grad, transposed[0]), _turned(factor, transposed[1])
    return gemm(*(pair[::-1] if swapped else pair))


TIMES_TRANSPOSED = {"transposed": (False, True), "swapped": False}  # grad @ factor^T
TRANSPOSED_TIMES = {"transposed": (False, True), "swapped": True}  # factor^T @ grad


def _grad_of_grad(call):
    """With g, f the operands, transposed as told: out = g f gives grad_g = grad f^T; the rest is bookkeeping."""
    (g, f), swapped = call.settings["transposed"], call.settings["swapped"]
    if g:
        return {"transposed": (True, f), "swapped": not swapped}
    return {"transposed": (False, not f), "swapped": swapped}


def _grad_of_factor(call):
    (g, f), swapped = call.settings["transposed"], call.settings["swapped"]
    if f:
        return {"transposed": (True, g), "swapped": swapped}
    return {"transposed": (False, not g), "swapped": not swapped}


def product_row(name, kernel, function, samples):
    """A row whose kernel is the product of its two inputs, under the names that the kernel gives them."""
    first, second = inspect.signature(kernel.numpy).parameters
    return Op(
        name=name,
        kernel=kernel,
        grads=(
            Grad(of=(first,), keeps=(second,), op="matmul_backward", settings=lambda call: TIMES_TRANSPOSED),
            Grad(of=(second,), keeps=(first,), op="matmul_backward", settings=lambda call: TRANSPOSED_TIMES),
        ),
        samples=samples,
        function=function,
        autocast="half",
    )


def samples(rng):
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    yield Sample(
        "worked", (a, b), answers=([[19.0, 22.0], [43.0, 50.0]], [[11.0, 15.0], [11.0, 15.0]], [[4.0, 4.0], [6.0, 6.0]])
    )
    yield Sample("integers", (np.array([[1, -2]]), np.array([[3], [4]])), answers=([[-5]],), dtypes=())
    narrow = np.array([[100, 100]], np.int8), np.array([[2], [1]], np.int8)
    yield Sample("wraps", narrow, answers=([[44]],), dtypes=())
    for x, y in [
        ((5, 7), (7, 3)),
        ((2, 3, 4), (2, 4, 5)),
        ((3, 1, 2, 4), (5, 4, 3)),
        ((2, 3), (4, 3, 2)),
        ((65, 70), (70, 66)),
    ]:
        yield Sample(f"shapes {x} {y}", (rng.normal(size=x), rng.normal(size=y)), terms=max(x[-1], x[-2], y[-1]) * 4)
    yield Sample("long sum", (rng.normal(size=(2, 1100)), rng.normal(size=(1100, 3))), terms=1100)
    yield Sample("strided", (rng.normal(size=(8, 6))[::-2, ::2], rng.normal(size=(5, 3)).T), terms=5)
    for x, y in [((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 4))]:
        yield Sample(f"empty {x} {y}", (np.zeros(x), np.zeros(y)))
    yield Sample(
        "misfit",
        (np.zeros((2, 3)), np.zeros((2, 3))),
        raises=(RuntimeError, "matmul: expected (..., M, K) and (..., K, N), got (2, 3) and (2, 3): K is 3 and 2"),
    )
    yield Sample(
        "batches",
        (np.zeros((2, 3, 4)), np.zeros((5, 4, 3))),
        raises=(RuntimeError, "matmul: leading dimensions (2,) and (5,) do not broadcast"),
    )
    yield Sample(
        "0-d",
        (np.zeros(()), np.zeros((2, 2))),
        raises=(RuntimeError, "matmul: expected operands of at least 1 dimension, got () and (2, 2)"),
    )
    yield Sample(
        "dtypes",
        (np.zeros((2, 2), np.float32), np.zeros((2, 2))),
        dtypes=(),
        raises=(RuntimeError, "matmul: expected operands of one dtype, got float32 and float64"),
    )
    yield Sample(
        "bool",
        (np.zeros((2, 2), bool), np.zeros((2, 2), bool)),
        dtypes=(),
        raises=(RuntimeError, "matmul: bool has no product of matrices; use .to() first"),
    )


KERNEL = Kernel(numpy=product_numpy, triton=repeated(product_triton), begin=product_begin)
MATMUL = register(product_row("matmul", KERNEL, matmul, samples))


def backward_samples(rng):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    eye = np.array([[0.0, 1.0], [1.0, 0.0]])
    yield Sample(
        "worked",
        (x, eye),
        {"transposed": (True, False), "swapped": True},
        answers=([[2.0, 4.0], [1.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]], [[4.0, 6.0], [4.0, 6.0]]),
    )
    for g, f, swapped in itertools.product((False, True), repeat=3):
        own, other = ((4, 3), (5, 4)) if swapped else ((3, 4), (4, 5))
        grad, factor = own[::-1] if g else own, other[::-1] if f else other
        yield Sample(
            f"{g} {f} {swapped}",
            (rng.normal(size=(2, *grad)), rng.normal(size=factor)),
            {"transposed": (g, f), "swapped": swapped},
            terms=10,
        )


register(
    Op(
        name="matmul_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("factor",), op="matmul_backward", settings=_grad_of_grad),
            Grad(of=("factor",), keeps=("grad",), op="matmul_backward", settings=_grad_of_factor),
        ),
        samples=backward_samples,
    )
)
