"""Logarithm of the softmax along one dimension.

    out        = input - m - log(sum of exp(input - m)),  m = max of input
    grad_input = grad - exp(out) * sum of grad

More precise than log(softmax(input)), and finite where that is log(0).  A row that is -inf throughout, or holds +inf or
nan, is nan.
"""

import numpy as np

from ..autograd import Tensor
from ..framework import dtypes
from ..framework.language import jit, tl
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.reduction import same
from ..framework.repeat import repeated
from .softmax import along_dim, log_backward_triton, log_forward_triton, mixed, row_sums, shifted, wide


def log_softmax(input: Tensor, dim: int, dtype: dtypes.dtype | None = None) -> Tensor:
    """``log(softmax(input))`` along ``dim``; floating, any shape; ``dtype`` casts the input first.

    Raises IndexError for a dim out of range, RuntimeError for a dtype that is not floating.

    >>> log_softmax(Tensor([0.0, -1000.0]), dim=0).numpy()
    array([    0., -1000.], dtype=float32)
    """
    return along_dim("log_softmax", LOG_SOFTMAX, input, dim, dtype)


def forward_numpy(input, *, dim):
    out, _ = shifted(input, dim)
    out -= np.log(np.add.reduce(np.exp(out), axis=dim, keepdims=True))
    return np.asarray(out).astype(input.dtype, copy=False)


def backward_numpy(grad, output, *, dim):
    g = wide(grad)
    out = np.asarray(np.exp(wide(output)))
    out *= np.add.reduce(g, axis=dim, keepdims=True)
    return np.subtract(g, out).astype(grad.dtype, copy=False)


def transposed_numpy(grad, output, *, dim):
    """``backward`` the other way: grad - sum of grad * exp(output)."""
    g = wide(grad)
    return (g - np.add.reduce(g * np.exp(wide(output)), axis=dim, keepdims=True)).astype(grad.dtype, copy=False)


def curvature_numpy(grad, arrived, output, *, dim):
    """How ``backward`` changes with the output: -grad * exp(output) * sum of arrived."""
    total = np.add.reduce(wide(arrived), axis=dim, keepdims=True)
    return (-wide(grad) * np.exp(wide(output)) * total).astype(grad.dtype, copy=False)


@jit
def _weighted(grad, y):
    return grad * tl.exp(y)


@jit
def _less(grad, total):
    return grad - total


@jit
def _curvature(v, y, total):
    return -v * tl.exp(y) * total


def transposed_triton(grad, output, *, dim):
    return mixed(_less, (grad,), (row_sums((grad, output), dim, _weighted),))


def curvature_triton(grad, arrived, output, *, dim):
    return mixed(_curvature, (grad, output), (row_sums((arrived,), dim, same),))


def samples(rng):
    x = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    yield Sample("worked", (x,), {"dim": (1,)}, answers=(np.log([[0.25, 0.75], [0.5, 0.5]]), [[0.5, -0.5], [0.0, 0.0]]))
    yield Sample(
        "large", (np.array([1000.0, 0.0, -np.inf]),), {"dim": (0,)}, answers=([0.0, -1000.0, -np.inf], [-2.0, 1.0, 1.0])
    )
    yield Sample(
        "undefined",
        (np.array([[-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0]]),),
        {"dim": (1,)},
        answers=(np.full((3, 2), np.nan),),
    )
    yield Sample("rows", (rng.normal(size=(5, 10)),), {"dim": (1,)}, terms=10)
    yield Sample("columns", (rng.normal(size=(37, 5)),), {"dim": (0,)}, terms=37)
    yield Sample("channels", (rng.normal(size=(2, 3, 2, 5)),), {"dim": (1,)}, terms=3)
    yield Sample("0-d", (rng.normal(size=()),), {"dim": ()})
    yield Sample("empty", (rng.normal(size=(3, 0)),), {"dim": (1,)})
    yield Sample(
        "out of range",
        (x,),
        {"dim": -3},
        raises=(IndexError, "log_softmax: dim -3 is out of range for 2 dimensions: expected -2 to 1"),
    )
    yield Sample("no dim", (x,), {"dim": None}, raises=(TypeError, "log_softmax: expected dim to be an int, got None"))


LOG_SOFTMAX = register(
    Op(
        name="log_softmax",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(log_forward_triton)),
        grads=(Grad(of=("input",), keeps=("output",), op="log_softmax_backward"),),
        samples=samples,
        function=log_softmax,
    )
)

register(
    Op(
        name="log_softmax_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(log_backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("output",), op="log_softmax_transposed"),
            Grad(of=("output",), keeps=("grad", "output"), op="log_softmax_curvature"),
        ),
    )
)

register(
    Op(
        name="log_softmax_transposed",
        kernel=Kernel(numpy=transposed_numpy, triton=repeated(transposed_triton)),
    )
)

register(
    Op(
        name="log_softmax_curvature",
        kernel=Kernel(numpy=curvature_numpy, triton=repeated(curvature_triton)),
    )
)
