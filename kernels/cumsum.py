"""Running sums and products along a dimension.

    cumsum   out_i = sum of input_j for j <= i;       grad_input_i = sum of grad_j for j >= i
    cumprod  out_i = product of input_j for j <= i;   grad_input_i = s_i * out_(i - 1),  out_-1 = 1
             s_i = grad_i + input_(i + 1) * s_(i + 1)

Nothing is divided by, so that zeros are no exception.  Integers and bool are carried in int64, half types in float32.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import run
from ..framework.language import jit
from ..framework.launch import cast
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import accumulator, plus
from ..framework.repeat import repeated
from ..framework.scan import recur, scan, shifted
from ..framework.shape import dimension
from .prod import times


def cumsum(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The sums of the first one, two, three, ... elements along ``dim``.

    Floating inputs keep their dtype, others give int64; ``dtype`` casts the input first.  IndexError for a dim out of range.

    >>> cumsum(Tensor([1.0, 2.0, 3.0]), 0).tolist()
    [1.0, 3.0, 6.0]
    """
    return _along("cumsum", input, dim, dtype, reverse=False)


def cumprod(input: Tensor, dim: int, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The products of the first one, two, three, ... elements along ``dim``.

    Floating inputs keep their dtype, others give int64; ``dtype`` casts the input first.  IndexError for a dim out of range.

    >>> cumprod(Tensor([1.0, 2.0, 3.0]), 0).tolist()
    [1.0, 2.0, 6.0]
    """
    return _along("cumprod", input, dim, dtype)


def _along(name, input, dim, dtype, **settings):
    d = dimension(name, dim, input.ndim)
    if dtype is not None:
        input = OPS["to"].function(input, dtype=dtypes.dtype_of(dtype))
    if not input.ndim:
        out = apply(OPS[name], input.reshape(1), dim=0, **settings).reshape(())
    else:
        out = apply(OPS[name], input, dim=d, **settings)
    kind = None if dtype is None else dtypes.dtype_of(dtype)
    return out if kind is None or out.dtype is kind else out.to(kind)


_INTEGER = np.dtype(np.int64)


def _running_numpy(ufunc, input, dim):
    out = ufunc.accumulate(input, axis=dim, dtype=accumulator(input.dtype))
    return out.astype(input.dtype) if input.dtype in dtypes.HALF else out


def _running_triton(combine, identity, input, dim, reverse):
    kind = accumulator(input.dtype)
    result = None if input.dtype.kind in "fV" else _INTEGER
    return scan(input, dim, reverse, combine, identity, kind, result)


def sum_numpy(input, *, dim, reverse):
    if reverse:
        return np.flip(_running_numpy(np.add, np.flip(input, dim), dim), dim)
    return _running_numpy(np.add, input, dim)


def sum_triton(input, *, dim, reverse):
    return _running_triton(plus, 0, input, dim, reverse)


def product_numpy(input, *, dim):
    return _running_numpy(np.multiply, input, dim)


def product_triton(input, *, dim):
    return _running_triton(times, 1, input, dim, False)


# -- the gradients of cumprod, for any device ---------------------------------------------------------------------------


@jit
def _product(x, y):
    return x * y


def _multiplied(x, y):
    return np.multiply(x, y) if isinstance(x, np.ndarray) else run(_product, (x, y), ())


def wide(array):
    """Half types as float32, on any device."""
    if array.dtype not in dtypes.HALF:
        return array
    kind = np.dtype(np.float32)
    return array.astype(kind) if isinstance(array, np.ndarray) else cast(array, kind)


def narrow(array, kind):
    """The array in its own dtype again."""
    if array.dtype == kind:
        return array
    return array.astype(kind) if isinstance(array, np.ndarray) else cast(array, kind)


def product_backward(grad, input, output, *, dim):
    s = recur(wide(grad), wide(input), dim, True)
    return narrow(_multiplied(s, shifted(wide(output), dim, 1, 1)), grad.dtype)


def _tangent(arrived, input, output, dim):
    """How out changes when the input does so by ``arrived``."""
    return recur(_multiplied(wide(arrived), shifted(wide(output), dim, 1, 1)), wide(input), dim, False)


def product_along(arrived, input, output, *, dim):
    return narrow(_tangent(arrived, input, output, dim), arrived.dtype)


def product_second(arrived, grad, input, output, *, dim):
    s = recur(wide(grad), wide(input), dim, True)
    return narrow(_multiplied(shifted(_tangent(arrived, input, output, dim), dim, 1, 0), s), arrived.dtype)


def product_turn(arrived, grad, input, *, dim):
    s = recur(wide(grad), wide(input), dim, True)
    return narrow(shifted(_multiplied(wide(arrived), s), dim, -1, 0), arrived.dtype)


def _shapes(rng, settings):
    yield Sample("rows", (rng.uniform(-1.5, 1.5, (5, 37)),), {"dim": 1, **settings}, terms=400)
    yield Sample("columns", (rng.uniform(-1.5, 1.5, (37, 5)),), {"dim": 0, **settings}, terms=400)
    yield Sample("middle", (rng.uniform(-1.5, 1.5, (3, 9, 4)).transpose(2, 1, 0),), {"dim": 1, **settings}, terms=100)
    yield Sample("one", (rng.normal(size=(3, 1)),), {"dim": 1, **settings})
    for shape, dim in [((0, 2), 0), ((0, 2), 1), ((2, 0), 1)]:
        yield Sample(f"empty {shape} {dim}", (np.zeros(shape),), {"dim": dim, **settings})


def _errors(name):
    yield Sample(
        "out of range",
        (np.zeros((2, 2)),),
        {"dim": 2},
        raises=(IndexError, f"{name}: dimension 2 is out of range for a tensor of 2 dimensions"),
    )


def samples(rng):
    x = np.array([[1.0, 2.0, 3.0], [4.0, np.inf, 6.0]])
    yield Sample(
        "worked",
        (x,),
        {"dim": 1, "reverse": False},
        answers=([[1.0, 3.0, 6.0], [4.0, np.inf, np.inf]], [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]),
    )
    yield Sample(
        "integers", (np.array([100, 100], "i1"),), {"dim": 0, "reverse": False}, answers=([100, 200],), dtypes=()
    )
    yield Sample("bool", (np.array([True, True]),), {"dim": 0, "reverse": False}, answers=([1, 2],), dtypes=())
    yield Sample("backwards", (rng.normal(size=(3, 40)),), {"dim": 1, "reverse": True}, terms=100)
    yield Sample("long", (rng.normal(size=(1500,)),), {"dim": 0, "reverse": False}, terms=3000)
    yield from _shapes(rng, {"reverse": False})
    yield from _errors("cumsum")


def product_samples(rng):
    x = np.array([[2.0, 3.0, 4.0], [5.0, 0.0, 7.0]])
    yield Sample(
        "worked",
        (x,),
        {"dim": 1},
        answers=([[2.0, 6.0, 24.0], [5.0, 0.0, 0.0]], [[16.0, 10.0, 6.0], [1.0, 40.0, 0.0]]),
    )
    yield Sample("integers", (np.array([100, 100], "i1"),), {"dim": 0}, answers=([100, 10000],), dtypes=())
    y = rng.uniform(0.5, 1.5, (4, 9))
    y[1, 3] = y[2, 0] = y[2, 5] = y[3, 8] = 0
    yield Sample("zeros", (y,), {"dim": 1}, terms=50)
    yield from _shapes(rng, {})
    yield from _errors("cumprod")


CUMSUM = register(
    Op(
        name="cumsum",
        autocast="float32",
        kernel=Kernel(numpy=sum_numpy, triton=repeated(sum_triton)),
        grads=(
            Grad(
                of=("input",),
                keeps=(),
                op="cumsum",
                settings=lambda call: {"dim": call.settings["dim"], "reverse": not call.settings["reverse"]},
            ),
        ),
        samples=samples,
        function=cumsum,
    )
)

CUMPROD = register(
    Op(
        name="cumprod",
        autocast="float32",
        kernel=Kernel(numpy=product_numpy, triton=repeated(product_triton)),
        grads=(Grad(of=("input",), keeps=("input", "output"), op="cumprod_backward"),),
        samples=product_samples,
        function=cumprod,
    )
)

register(
    Op(
        name="cumprod_backward",
        kernel=Kernel(numpy=product_backward, triton=repeated(product_backward)),
        grads=(
            Grad(of=("grad",), keeps=("input", "output"), op="cumprod_along"),
            Grad(of=("input",), keeps=("grad", "input", "output"), op="cumprod_second"),
            Grad(of=("output",), keeps=("grad", "input"), op="cumprod_turn"),
        ),
        outputs=("result",),
    )
)

register(
    Op(
        name="cumprod_along",
        kernel=Kernel(numpy=product_along, triton=repeated(product_along)),
        grads=(Grad(of=("arrived",), keeps=("input", "output"), op="cumprod_backward"),),
        outputs=("result",),
    )
)

for _name, _function in (("cumprod_second", product_second), ("cumprod_turn", product_turn)):
    register(Op(name=_name, kernel=Kernel(numpy=_function, triton=repeated(_function)), outputs=("result",)))
