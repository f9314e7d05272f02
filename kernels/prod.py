"""Product along a dimension, or of everything.

    out          = product of input over the reduced dimensions;  1 where there is nothing to multiply
    grad_input_i = grad * (product of the other elements), also where some are 0

With p the product of the elements that are not 0, c the number of zeros among them, s the sum of a / input over those
that are not 0, and z the sum of ``a`` over the zeros (``a`` arrives at grad_input):

    c = 0      grad_input = grad * p / input;             its change along a: p * s, and grad * p / input * (s - a / input)
    c = 1      grad * p at the zero, else 0;              p * z, and grad * p * s at the zero, grad * p * z / input else
    c = 2      0;                                         0, and grad * p * (z - a) at the zeros, else 0
    c > 2      0;                                         0

Integers and bool are multiplied in int64, half types in float32.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import run
from ..framework.language import jit, tl
from ..framework.launch import cast
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import accumulator, dims_of, kept_dims, plus, reduce
from ..framework.repeat import repeated
from .div import quotient


def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: dtypes.dtype | None = None) -> Tensor:
    """The product of ``input`` along ``dim``, which stays with size 1 if ``keepdim``, or of all elements.

    Floating inputs keep their dtype, others give int64; ``dtype`` casts the input first.  Raises IndexError for a
    dimension out of range, TypeError for several.

    >>> prod(Tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1).tolist()
    [2.0, 12.0]
    """
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"prod: expected dim to be one int or None, got {dim!r}")
    dims = dims_of("prod", input.ndim, dim)
    if dtype is None:
        return apply(PROD, input, dim=dims, keepdim=bool(keepdim))
    kind = dtypes.dtype_of(dtype)
    out = apply(PROD, OPS["to"].function(input, dtype=kind), dim=dims, keepdim=bool(keepdim))
    return out if out.dtype is kind else OPS["to"].function(out, dtype=kind)


def forward_numpy(input, *, dim, keepdim):
    out = np.multiply.reduce(input, axis=dim, dtype=accumulator(input.dtype), keepdims=keepdim)
    return np.asarray(out).astype(input.dtype) if input.dtype in dtypes.HALF else out


def _wide(array):
    return array.astype(np.float32) if array.dtype in dtypes.HALF else array


def _parts_numpy(input, dim):
    """The elements with 1 for 0, which are 0, p, and c."""
    zero = input == 0
    x = np.where(zero, input.dtype.type(1), input)
    p = np.multiply.reduce(x, axis=dim, keepdims=True)
    return x, zero, p, np.add.reduce(zero, axis=dim, dtype=input.dtype, keepdims=True)


def backward_numpy(grad, input, *, dim, keepdim):
    g, x = kept_dims(_wide(grad), dim, keepdim), _wide(input)
    x, zero, p, c = _parts_numpy(x, dim)
    return _place_numpy(g, p, c, x, zero).astype(grad.dtype, copy=False)


def _place_numpy(g, p, c, x, zero):
    return np.where(c == 0, g * (p / x), np.where((c == 1) & zero, g * p, 0))


def along_numpy(arrived, input, *, dim, keepdim):
    x, zero, p, c = _parts_numpy(_wide(input), dim)
    s, z = _sums_numpy(_wide(arrived), x, zero, dim)
    out = np.where(c == 0, p * s, np.where(c == 1, p * z, 0))
    return (out if keepdim else np.squeeze(out, dim)).astype(arrived.dtype, copy=False)


def _sums_numpy(a, x, zero, dim):
    s = np.add.reduce(np.where(zero, 0, a / x), axis=dim, keepdims=True)
    return s, np.add.reduce(np.where(zero, a, 0), axis=dim, keepdims=True)


def second_numpy(arrived, grad, input, *, dim, keepdim):
    a, g = _wide(arrived), kept_dims(_wide(grad), dim, keepdim)
    x, zero, p, c = _parts_numpy(_wide(input), dim)
    s, z = _sums_numpy(a, x, zero, dim)
    return _bend_numpy(a, g * p, c, s, z, x, zero).astype(arrived.dtype, copy=False)


def _bend_numpy(a, gp, c, s, z, x, zero):
    one = np.where(zero, gp * s, gp * z / x)
    two = np.where(zero, gp * (z - a), 0)
    return np.where(c == 0, gp / x * (s - a / x), np.where(c == 1, one, np.where(c == 2, two, 0)))


@jit
def times(a, b):
    """The product of two values."""
    return a * b


@jit
def _filled(x):
    return tl.where(x == 0, 1, x).to(x.dtype)


@jit
def _is_zero(x):
    return (x == 0).to(x.dtype)


@jit
def _place(g, p, c, x):
    rest = tl.where(c == 0, p, 0)
    zero = x == 0
    rest = tl.where(zero & (c == 1), p, rest)
    return g * tl.where(zero, rest, quotient(rest, tl.where(zero, x + 1, x)))


@jit
def _over(a, x):
    zero = x == 0
    return tl.where(zero, 0, quotient(a, tl.where(zero, x + 1, x)))


@jit
def _at_zero(a, x):
    return tl.where(x == 0, a, 0)


@jit
def _along(p, c, s, z):
    return tl.where(c == 0, p * s, tl.where(c == 1, p * z, 0))


@jit
def _bend(a, g, p, c, s, z, x):
    zero = x == 0
    y = tl.where(zero, x + 1, x)
    gp = g * p
    none = quotient(gp, y) * (s - quotient(a, y))
    one = tl.where(zero, gp * s, quotient(gp * z, y))
    two = tl.where(zero, gp * (z - a), 0)
    return tl.where(c == 0, none, tl.where(c == 1, one, tl.where(c == 2, two, 0)))


def forward_triton(input, *, dim, keepdim):
    return reduce(input, dim, keepdim, times, 1, result=None if input.dtype.kind in "fV" else np.dtype(np.int64))


def _widened(array):
    return cast(array, np.dtype(np.float32)) if array.dtype in dtypes.HALF else array


def _narrowed(array, like):
    return array if array.dtype == like.dtype else cast(array, like.dtype)


def _parts(input, dim):
    return reduce(input, dim, True, times, 1, map=_filled), reduce(input, dim, True, plus, 0, map=_is_zero)


def backward_triton(grad, input, *, dim, keepdim):
    x = _widened(input)
    p, c = _parts(x, dim)
    return _narrowed(run(_place, (kept_dims(_widened(grad), dim, keepdim), p, c, x), ()), grad)


def _sums(a, x, dim):
    return reduce((a, x), dim, True, plus, 0, map=_over), reduce((a, x), dim, True, plus, 0, map=_at_zero)


def along_triton(arrived, input, *, dim, keepdim):
    x = _widened(input)
    out = _narrowed(run(_along, (*_parts(x, dim), *_sums(_widened(arrived), x, dim)), ()), arrived)
    return out if keepdim else out.viewed(lambda array: np.squeeze(array, dim))


def second_triton(arrived, grad, input, *, dim, keepdim):
    x, a = _widened(input), _widened(arrived)
    g = kept_dims(_widened(grad), dim, keepdim)
    return _narrowed(run(_bend, (a, g, *_parts(x, dim), *_sums(a, x, dim), x), ()), arrived)


def samples(rng):
    x = np.array([[1.0, 2.0, 4.0], [3.0, 0.0, 5.0], [0.0, 0.0, 7.0]])
    yield Sample(
        "worked",
        (x,),
        {"dim": (1,), "keepdim": False},
        answers=([8.0, 0.0, 0.0], [[8.0, 4.0, 2.0], [0.0, 15.0, 0.0], [0.0, 0.0, 0.0]]),
    )
    yield Sample("all", (x[:1],), {"dim": (0, 1), "keepdim": True}, answers=([[8.0]], [[8.0, 4.0, 2.0]]))
    yield Sample(
        "nothing", (np.zeros((0, 2)),), {"dim": (0,), "keepdim": False}, answers=([1.0, 1.0], np.zeros((0, 2)))
    )
    yield Sample("integers", (np.array([100, -2], "i1"),), {"dim": (0,), "keepdim": False}, answers=(-200,), dtypes=())
    yield Sample("bool", (np.array([True, False]),), {"dim": (0,), "keepdim": False}, answers=(0,), dtypes=())
    zeros = rng.uniform(0.5, 2.0, (5, 7))
    zeros[1, 2] = zeros[2, 0] = zeros[2, 3] = zeros[3, 1] = zeros[3, 2] = zeros[3, 5] = 0
    yield Sample("zeros", (zeros,), {"dim": (1,), "keepdim": True}, terms=49)
    yield Sample("columns", (zeros.T.copy(),), {"dim": (0,), "keepdim": False}, terms=49)
    yield Sample("middle", (rng.uniform(0.5, 1.5, (3, 9, 5)),), {"dim": (1,), "keepdim": False}, terms=81)
    yield Sample("transposed", (rng.uniform(0.8, 1.2, (4, 30)).T,), {"dim": (0,), "keepdim": False}, terms=900)
    yield Sample("0-d", (rng.uniform(0.5, 1.5, ()),), {"dim": (), "keepdim": False})
    yield Sample(
        "out of range",
        (x,),
        {"dim": 2},
        raises=(IndexError, "prod: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
    )
    yield Sample(
        "several", (x,), {"dim": (0, 1)}, raises=(TypeError, "prod: expected dim to be one int or None, got (0, 1)")
    )


PROD = register(
    Op(
        name="prod",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=("input",), op="prod_backward"),),
        samples=samples,
        function=prod,
    )
)

register(
    Op(
        name="prod_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("input",), op="prod_along"),
            Grad(of=("input",), keeps=("grad", "input"), op="prod_second"),
        ),
    )
)

register(
    Op(
        name="prod_along",
        kernel=Kernel(numpy=along_numpy, triton=repeated(along_triton)),
        grads=(
            Grad(of=("arrived",), keeps=("input",), op="prod_backward"),
            Grad(of=("input",), keeps=("arrived", "input"), op="prod_bent"),
        ),
    )
)


def bent_numpy(grad, arrived, input, *, dim, keepdim):
    return second_numpy(arrived, grad, input, dim=dim, keepdim=keepdim)


def bent_triton(grad, arrived, input, *, dim, keepdim):
    return second_triton(arrived, grad, input, dim=dim, keepdim=keepdim)


register(Op(name="prod_bent", kernel=Kernel(numpy=bent_numpy, triton=repeated(bent_triton))))
register(Op(name="prod_second", kernel=Kernel(numpy=second_numpy, triton=repeated(second_triton))))
