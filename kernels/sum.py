"""Sum along dimensions.

    out        = sum of input over the reduced dimensions;  0 where there is nothing to add
    grad_input = grad, repeated along the reduced dimensions

Integers and bool are added in int64, half types in float32.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import accumulator, dims_of, plus, reduce, spread_over
from ..framework.repeat import repeated


def sum(
    input: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False, dtype: dtypes.dtype | None = None
) -> Tensor:
    """The sum of ``input`` along ``dim`` (one, several, or all dimensions), which stay with size 1 if ``keepdim``.

    Floating inputs keep their dtype, others give int64; ``dtype`` casts the input first.  Raises IndexError for a
    dimension out of range, RuntimeError for one named twice.

    >>> sum(Tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1).numpy()
    array([3., 7.], dtype=float32)
    """
    dims = dims_of("sum", input.ndim, dim)
    if dtype is None:
        return apply(SUM, input, dim=dims, keepdim=bool(keepdim))
    kind = dtypes.dtype_of(dtype)
    out = apply(SUM, OPS["to"].function(input, dtype=kind), dim=dims, keepdim=bool(keepdim))
    return out if out.dtype is kind else OPS["to"].function(out, dtype=kind)


def add_up(input, dims, keepdim):
    """The sum of a NumPy array in the dtype that sums are carried in."""
    return np.add.reduce(input, axis=dims, dtype=accumulator(input.dtype), keepdims=keepdim)


def forward_numpy(input, *, dim, keepdim):
    out = add_up(input, dim, keepdim)
    return out.astype(input.dtype) if input.dtype in dtypes.HALF else out


def forward_triton(input, *, dim, keepdim):
    return reduce(input, dim, keepdim, plus, 0, result=None if input.dtype.kind in "fV" else np.dtype(np.int64))


def backward(grad, *, dim, keepdim, shape):
    return spread_over(grad, shape, dim, keepdim)


def with_shape(call):
    """A reduction's settings and the shape of what it reduced."""
    return {"dim": call.settings["dim"], "keepdim": call.settings["keepdim"], "shape": call.shape("input")}


def without_shape(call):
    """The settings of the reduction that undoes a repetition."""
    return {"dim": call.settings["dim"], "keepdim": call.settings["keepdim"]}


def samples(rng):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    yield Sample("worked", (x,), {"dim": (1,), "keepdim": False}, answers=([3.0, 7.0], [[1.0, 1.0], [1.0, 1.0]]))
    yield Sample("all", (x,), {"dim": (0, 1), "keepdim": True}, answers=([[10.0]], [[1.0, 1.0], [1.0, 1.0]]))
    yield Sample(
        "nothing", (np.zeros((0, 2)),), {"dim": (0,), "keepdim": False}, answers=([0.0, 0.0], np.zeros((0, 2)))
    )
    yield Sample(
        "integers", (np.array([100, 100], np.int8),), {"dim": (0,), "keepdim": False}, answers=(200,), dtypes=()
    )
    yield Sample("bool", (np.array([True, False, True]),), {"dim": (0,), "keepdim": False}, answers=(2,), dtypes=())
    yield Sample("rows", (rng.normal(size=(5, 37)),), {"dim": (1,), "keepdim": True}, terms=37)
    yield Sample("columns", (rng.normal(size=(37, 5)),), {"dim": (0,), "keepdim": False}, terms=37)
    yield Sample("outer and inner", (rng.normal(size=(3, 4, 5)),), {"dim": (0, 2), "keepdim": False}, terms=15)
    yield Sample("transposed", (rng.normal(size=(4, 30)).T,), {"dim": (0,), "keepdim": False}, terms=30)
    yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False})
    yield Sample("long", (rng.normal(size=(3001,)),), {"dim": (0,), "keepdim": False}, terms=3001)
    yield Sample(
        "out of range",
        (x,),
        {"dim": 2},
        raises=(IndexError, "sum: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
    )
    yield Sample(
        "twice", (x,), {"dim": (0, -2)}, raises=(RuntimeError, "sum: dim 0 is named more than once in (0, -2)")
    )
    yield Sample("no int", (x,), {"dim": 1.0}, raises=(TypeError, "sum: expected dim to be an int or several, got 1.0"))


SUM = register(
    Op(
        name="sum",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=(), op="sum_backward", settings=with_shape),),
        samples=samples,
        function=sum,
    )
)

register(
    Op(
        name="sum_backward",
        kernel=Kernel(numpy=backward, triton=repeated(backward)),
        grads=(Grad(of=("grad",), keeps=(), op="sum", settings=without_shape),),
        view=True,
    )
)
