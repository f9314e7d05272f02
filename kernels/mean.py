"""Mean along dimensions.

    out        = sum of input over the reduced dimensions / n,  n of them;  nan where n = 0
    grad_input = grad / n, repeated along the reduced dimensions

Half types are added and divided in float32 and rounded once.
"""

from math import prod

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import dims_of, plus, reduce, spread_over
from ..framework.repeat import repeated
from .sum import add_up, with_shape, without_shape


def mean(
    input: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, dtype: dtypes.dtype | None = None
) -> Tensor:
    """The mean of ``input`` along ``dim`` (one, several, or all dimensions), which stay with size 1 if ``keepdim``.

    The result has the input's dtype, or ``dtype``, to which the input is cast first; it must be floating.  Raises
    RuntimeError where it is not, and for a dimension named twice, IndexError for one out of range.

    >>> mean(Tensor([[1.0, 2.0], [3.0, 5.0]]), dim=0).numpy()
    array([2. , 3.5], dtype=float32)
    """
    kind = input.dtype if dtype is None else dtypes.dtype_of(dtype)
    if not kind.is_floating_point:
        raise RuntimeError(f"mean: expected a floating dtype, got {kind.name}; dtype= casts the input first")
    dims = dims_of("mean", input.ndim, dim)
    return apply(MEAN, OPS["to"].function(input, dtype=kind), dim=dims, keepdim=bool(keepdim))


def count(shape, dims):
    """How many elements are reduced to one."""
    return prod(shape[d] for d in dims)


def forward_numpy(input, *, dim, keepdim):
    total = np.asarray(add_up(input, dim, keepdim))
    return (total / total.dtype.type(count(input.shape, dim))).astype(input.dtype, copy=False)


def forward_triton(input, *, dim, keepdim):
    n = count(input.shape, dim)
    return reduce(input, dim, keepdim, plus, 0, factor=1 / n if n else float("inf"))


def scaled_numpy(input, *, factor):
    return input * factor


@jit
def _scaled(x, factor):
    return x * factor


SCALE = elementwise(scaled_numpy, _scaled)


def backward_numpy(grad, *, dim, keepdim, shape):
    n = count(shape, dim)
    return spread_over(np.asarray(SCALE.numpy(grad, factor=1 / n if n else 0.0)), shape, dim, keepdim)


def backward_triton(grad, *, dim, keepdim, shape):
    n = count(shape, dim)
    return spread_over(SCALE.triton(grad, factor=1 / n if n else 0.0), shape, dim, keepdim)


def samples(rng):
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    yield Sample("worked", (x,), {"dim": (0,), "keepdim": False}, answers=([2.0, 3.5], [[0.5, 0.5], [0.5, 0.5]]))
    yield Sample("all", (x,), {"dim": (0, 1), "keepdim": True}, answers=([[2.75]], [[0.25, 0.25], [0.25, 0.25]]))
    yield Sample(
        "of none", (np.zeros((2, 0)),), {"dim": (1,), "keepdim": False}, answers=([np.nan, np.nan], np.zeros((2, 0)))
    )
    yield Sample("rows", (rng.normal(size=(5, 37)),), {"dim": (1,), "keepdim": True}, terms=37)
    yield Sample("outer and inner", (rng.normal(size=(3, 4, 5)),), {"dim": (0, 2), "keepdim": False}, terms=15)
    yield Sample("transposed", (rng.normal(size=(4, 30)).T,), {"dim": (0,), "keepdim": False}, terms=30)
    yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False})
    yield Sample(
        "out of range",
        (x,),
        {"dim": -3},
        raises=(IndexError, "mean: dim -3 is out of range for 2 dimensions: expected -2 to 1"),
    )
    yield Sample(
        "integers",
        (np.array([1, 2]),),
        raises=(RuntimeError, "mean: expected a floating dtype, got int64; dtype= casts the input first"),
    )


MEAN = register(
    Op(
        name="mean",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=(), op="mean_backward", settings=with_shape),),
        samples=samples,
        function=mean,
    )
)

register(
    Op(
        name="mean_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(Grad(of=("grad",), keeps=(), op="mean", settings=without_shape),),
    )
)
