"""Where the greatest and the least element are.

    argmax = the first place along dim (or, without dim, in the flattened input) where input = max(input)
    argmin = the first place along dim (or, without dim, in the flattened input) where input = min(input)

The first nan, where there is one, is greatest and least, as in PyTorch.  The results are int64; nothing flows back.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.op import Kernel, Op, Sample, register
from ..framework.reduction import dims_of, result_shape
from ..framework.repeat import repeated
from .max import _exact, apart, check_filled, find, first_higher
from .min import first_lower


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The place (int64) of the greatest element along ``dim``, or in the flattened input; the first of equals.

    Raises IndexError where there is nothing to choose from and for a dim out of range, RuntimeError for bool.

    >>> argmax(Tensor([[1.0, 7.0], [5.0, 2.0]])).item()
    1
    """
    return _arg("argmax", ARGMAX, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The place (int64) of the least element along ``dim``, or in the flattened input; the first of equals.

    Raises as ``argmax``.

    >>> argmin(Tensor([[1.0, 7.0], [5.0, 2.0]]), dim=0).numpy()
    array([0, 1])
    """
    return _arg("argmin", ARGMIN, input, dim, keepdim)


def _arg(name, row, input, dim, keepdim):
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"{name}: expected dim to be one int or None, got {dim!r}")
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"{name}: expected numbers, got bool")
    dims = dims_of(name, input.ndim, dim)
    if dim is None and not input.array.size:
        raise IndexError(f"{name}: an input of shape {input.shape} has no elements to choose from")
    check_filled(name, input.shape, dims)
    return apply(row, input, dim=dims, keepdim=bool(keepdim))


def _numpy(choose, input, dim, keepdim):
    out_shape = result_shape(input.shape, dim, keepdim)
    values = _exact(input)
    if len(dim) == 1:
        return choose(values, axis=dim[0]).reshape(out_shape)
    return np.asarray(choose(values)).reshape(out_shape)  # every dimension, flattened


def argmax_numpy(input, *, dim, keepdim):
    return _numpy(np.argmax, input, dim, keepdim)


def argmin_numpy(input, *, dim, keepdim):
    return _numpy(np.argmin, input, dim, keepdim)


def argmax_triton(input, *, dim, keepdim):
    return find(input, dim, keepdim, first_higher, 1, values=False)[1]


def argmin_triton(input, *, dim, keepdim):
    return find(input, dim, keepdim, first_lower, -1, values=False)[1]


def _samples(name, worked):
    def samples(rng):
        x = np.array([[1.0, 3.0, 3.0], [2.0, -1.0, -1.0]])
        yield Sample("worked", (x,), {"dim": (0, 1), "keepdim": False}, answers=(worked[0],))
        yield Sample("rows", (x,), {"dim": (1,), "keepdim": True}, answers=(worked[1],))
        yield Sample(
            "nan", (np.array([2.0, np.nan, 5.0, np.nan, -1.0]),), {"dim": (0,), "keepdim": False}, answers=(1,)
        )
        yield Sample(
            "integers", (np.array([[1, 5], [9, 9]]),), {"dim": (1,), "keepdim": False}, answers=(worked[2],), dtypes=()
        )
        yield Sample("columns", (apart(rng, (37, 5)),), {"dim": (0,), "keepdim": False})
        yield Sample("strided", (apart(rng, (6, 8)).T[::2],), {"dim": (0, 1), "keepdim": True})
        yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False}, answers=(0,))
        yield Sample(
            "empty",
            (np.zeros((0, 3)),),
            raises=(IndexError, f"{name}: an input of shape (0, 3) has no elements to choose from"),
        )
        yield Sample("bool", (np.array([True, False]),), raises=(RuntimeError, f"{name}: expected numbers, got bool"))
        yield Sample(
            "several",
            (x,),
            {"dim": (0, 1)},
            raises=(TypeError, f"{name}: expected dim to be one int or None, got (0, 1)"),
        )

    return samples


ARGMAX = register(
    Op(
        name="argmax",
        kernel=Kernel(numpy=argmax_numpy, triton=repeated(argmax_triton)),
        samples=_samples("argmax", (1, [[1], [0]], [1, 0])),
        function=argmax,
        zero=("input",),
    )
)

ARGMIN = register(
    Op(
        name="argmin",
        kernel=Kernel(numpy=argmin_numpy, triton=repeated(argmin_triton)),
        samples=_samples("argmin", (4, [[0], [1]], [0, 0])),
        function=argmin,
        zero=("input",),
    )
)
