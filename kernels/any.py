"""Whether some, or all, elements along dimensions are true.

    any  out = whether some element is not 0;  false where there is none
    all  out = whether no element is 0;        true where there is none

A nan is true.  The result is bool, but uint8 for uint8, as in PyTorch.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.language import jit, tl
from ..framework.op import OPS, Kernel, Op, Sample, register
from ..framework.reduction import dims_of, reduce
from ..framework.repeat import repeated

_BYTE = np.dtype(np.uint8)
_BOOL = np.dtype(bool)


def any(input: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Whether some element along ``dim`` (one, several, or all dimensions) is not 0.

    >>> any(Tensor([[0.0, 2.0], [0.0, 0.0]]), dim=1).tolist()
    [True, False]
    """
    return _over("any", input, dim, keepdim)


def all(input: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """Whether every element along ``dim`` (one, several, or all dimensions) is not 0.

    >>> all(Tensor([[0.0, 2.0], [1.0, 3.0]]), dim=1).tolist()
    [False, True]
    """
    return _over("all", input, dim, keepdim)


def _over(name, input, dim, keepdim):
    if isinstance(dim, (tuple, list)) and not dim:  # nothing is reduced
        return input != 0 if input.dtype is not dtypes.uint8 else (input != 0).to(dtypes.uint8)
    return apply(OPS[name], input, dim=dims_of(name, input.ndim, dim), keepdim=bool(keepdim))


def _result(input):
    return _BYTE if input.dtype == _BYTE else _BOOL


def any_numpy(input, *, dim, keepdim):
    return np.asarray(np.any(input != 0, axis=dim, keepdims=keepdim)).astype(_result(input), copy=False)


def all_numpy(input, *, dim, keepdim):
    return np.asarray(np.all(input != 0, axis=dim, keepdims=keepdim)).astype(_result(input), copy=False)


@jit
def _truth(x):
    return (x != 0).to(x.dtype)


@jit
def _greater(a, b):
    return tl.where(a > b, a, b)


@jit
def _lesser(a, b):
    return tl.where(a < b, a, b)


def any_triton(input, *, dim, keepdim):
    return reduce(input, dim, keepdim, _greater, 0, map=_truth, result=_result(input))


def all_triton(input, *, dim, keepdim):
    return reduce(input, dim, keepdim, _lesser, 1, map=_truth, result=_result(input))


def _samples(rows, empty, of_all):
    def samples(rng):
        x = np.array([[0.0, 0.25], [0.0, 0.0], [np.nan, -1.0]])
        yield Sample("worked", (x,), {"dim": (1,), "keepdim": False}, answers=(rows,))
        yield Sample("all", (x,), {"dim": (0, 1), "keepdim": True}, answers=([[of_all]],))
        yield Sample("nothing", (np.zeros((0, 2)),), {"dim": (0,), "keepdim": False}, answers=([empty, empty],))
        yield Sample("bool", (x != 0,), {"dim": (1,), "keepdim": False}, answers=(rows,), dtypes=())
        yield Sample("integers", ((x > 0) * 2**40,), {"dim": (0,), "keepdim": False}, dtypes=())
        yield Sample("bytes", (np.array([[0, 7], [3, 3]], "u1"),), {"dim": (0,), "keepdim": False}, dtypes=())
        y = (rng.random((37, 5)) < 0.03).astype(float)
        yield Sample("columns", (y,), {"dim": (0,), "keepdim": False})
        yield Sample("strided", (1 - y[::2].T,), {"dim": (1,), "keepdim": True})
        yield Sample("0-d", (np.array(2.0),), {"dim": (), "keepdim": False}, answers=(True,))

    return samples


for _function, _numpy, _triton, _worked in (
    (any, any_numpy, any_triton, ([True, False, True], False, True)),
    (all, all_numpy, all_triton, ([False, False, True], True, False)),
):
    register(
        Op(
            name=_function.__name__,
            kernel=Kernel(numpy=_numpy, triton=repeated(_triton)),
            samples=_samples(*_worked),
            function=_function,
            zero=("input",),
        )
    )
