"""Running extremes along a dimension, and the running logarithm of sums of exponentials.

    cummax        out_i = (value, index): the greatest of input_j for j <= i, and where its last is
    cummin        out_i = (value, index): the least of input_j for j <= i, and where its last is
                  grad_input_j = sum of grad_i over the i with indices_i = j
    logcumsumexp  out_i = log(sum of exp(input_j) for j <= i)
                  grad_input_i = exp(input_i - out_i) * t_i,  t_i = grad_i + exp(out_i - out_(i + 1)) * t_(i + 1)

A nan is greater and less than everything, as in PyTorch.
"""

from typing import NamedTuple

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import run
from ..framework.language import jit, libdevice, tl
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated
from ..framework.scan import extremes, last_higher, last_lower, recur, scan, segments, shifted
from ..framework.shape import dimension
from .cumsum import _errors, _shapes, narrow, wide
from .max import carrier, limit
from .sort import apart, take_numpy, take_triton


class Running(NamedTuple):
    """Running extremes, and where they are (int64)."""

    values: Tensor
    indices: Tensor


def cummax(input: Tensor, dim: int) -> Running:
    """``(values, indices)``: the greatest of the first one, two, three, ... elements along ``dim``; of equals the last.

    >>> cummax(Tensor([1.0, 3.0, 2.0]), 0).values.tolist()
    [1.0, 3.0, 3.0]
    """
    return _extreme("cummax", input, dim)


def cummin(input: Tensor, dim: int) -> Running:
    """``(values, indices)``: the least of the first one, two, three, ... elements along ``dim``; of equals the last.

    >>> cummin(Tensor([2.0, 1.0, 3.0]), 0).values.tolist()
    [2.0, 1.0, 1.0]
    """
    return _extreme("cummin", input, dim)


def _extreme(name, input, dim):
    d = dimension(name, dim, input.ndim)
    if not input.ndim:
        return Running(*(x.reshape(()) for x in apply(OPS[name], input.reshape(1), dim=0)))
    return Running(*apply(OPS[name], input, dim=d))


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """The logarithms of the running sums of ``exp(input)`` along ``dim``, without overflow; floating.

    Raises RuntimeError for integers.

    >>> [round(x, 3) for x in logcumsumexp(Tensor([1000.0, 1000.0]), 0).tolist()]
    [1000.0, 1000.693]
    """
    d = dimension("logcumsumexp", dim, input.ndim)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"logcumsumexp: expected a floating tensor, got {input.dtype.name}")
    return apply(LOGCUMSUMEXP, input, dim=d) if input.ndim else apply(LOGCUMSUMEXP, input.reshape(1), dim=0).reshape(())


def _extreme_numpy(ufunc, input, dim):
    x = input.astype(np.float32) if input.dtype in dtypes.HALF else input
    values = ufunc.accumulate(x, axis=dim)
    places = np.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - 1 - dim))
    last = np.where((x == values) | (x != x), places, 0)
    indices = np.maximum.accumulate(last, axis=dim)
    return values.astype(input.dtype, copy=False), indices


def max_numpy(input, *, dim):
    return _extreme_numpy(np.maximum, input, dim)


def min_numpy(input, *, dim):
    return _extreme_numpy(np.minimum, input, dim)


def max_triton(input, *, dim):
    return extremes(input, dim, last_higher, limit(input.dtype, -1), carrier(input.dtype))


def min_triton(input, *, dim):
    return extremes(input, dim, last_lower, limit(input.dtype, 1), carrier(input.dtype))


def gathered(grad, indices, *, dim):
    return narrow(segments(wide(grad), indices, dim), grad.dtype)


def log_numpy(input, *, dim):
    x = wide(input)
    return np.logaddexp.accumulate(x, axis=dim).astype(input.dtype, copy=False)


@jit
def _log_plus(a, b):
    high = tl.where((a > b) | (a != a), a, b)
    gap = tl.abs(a - b)
    return tl.where(a == b, high + 0.6931471805599453, high + libdevice.log1p(tl.exp(-gap)))


def log_triton(input, *, dim):
    kind = np.dtype(np.float32) if input.dtype in dtypes.HALF else input.dtype
    return scan(input, dim, False, _log_plus, -float("inf"), kind)


def _ratio(high, low):
    """exp(high - low), 1 where they are equal."""
    if isinstance(high, np.ndarray):
        return np.where(high == low, 1, np.exp(high - low)).astype(high.dtype, copy=False)
    return run(_ratio_of, (high, low), ())


@jit
def _ratio_of(high, low):
    return tl.where(high == low, 1, tl.exp(high - low))


@jit
def _product(x, y):
    return x * y


def log_backward(grad, input, output, *, dim):
    out = wide(output)
    t = recur(wide(grad), _ratio(shifted(out, dim, 1, -float("inf")), out), dim, True)
    share = _ratio(wide(input), out)
    return narrow(share * t if isinstance(t, np.ndarray) else run(_product, (share, t), ()), grad.dtype)


def log_slope(step, input, output, *, dim):
    """How the output changes with the input: sum of step_j * exp(input_j - out_i) for j <= i."""
    out = wide(output)
    return narrow(
        recur(
            _times(wide(step), _ratio(wide(input), out)), _ratio(shifted(out, dim, 1, -float("inf")), out), dim, False
        ),
        step.dtype,
    )


def log_second(step, grad, input, output, *, dim):
    """How ``log_backward`` changes with the input and with the output."""
    with_input = _times(step, log_backward(grad, input, output, dim=dim))
    return with_input, _times(_times(grad, log_slope(step, input, output, dim=dim)), -1.0)


def _times(x, y):
    return np.asarray(x * y, x.dtype) if isinstance(x, np.ndarray) else run(_product, (x, y), ())


def _samples(name, worked, nan):
    def samples(rng):
        yield Sample("worked", (np.array([2.0, 3.0, 1.0, 3.0, 1.0]),), {"dim": 0}, answers=worked)
        yield Sample("nan", (np.array([1.0, np.nan, 5.0, np.nan, -np.inf]),), {"dim": 0}, answers=nan)
        yield Sample("integers", (rng.integers(-9, 9, (3, 20)),), {"dim": 1}, dtypes=())
        yield Sample("bool", (np.array([[False, True, False]]),), {"dim": 1}, dtypes=())
        yield Sample("rows", (apart(rng, (3, 37)),), {"dim": 1}, terms=37)
        yield Sample("columns", (apart(rng, (37, 5)),), {"dim": 0}, terms=37)
        yield Sample("middle", (apart(rng, (3, 9, 4)).transpose(2, 1, 0),), {"dim": 1}, terms=9)
        yield Sample("empty", (np.zeros((2, 0)),), {"dim": 1})
        yield from _errors(name)

    return samples


def log_samples(rng):
    x = np.log(np.array([[1.0, 3.0, 4.0]]))
    yield Sample(
        "worked",
        (x,),
        {"dim": 1},
        answers=(np.log([[1.0, 4.0, 8.0]]), [[1 + 1 / 4 + 1 / 8, 3 / 4 + 3 / 8, 4 / 8]]),
    )
    yield Sample(
        "infinite",
        (np.array([-np.inf, -np.inf, 0.0, np.inf, 1.0]),),
        {"dim": 0},
        answers=([-np.inf, -np.inf, 0.0, np.inf, np.inf],),
        dtypes=("float64",),
    )
    yield from (s for s in _shapes(rng, {}))
    yield from _errors("logcumsumexp")


for _function, _numpy, _triton, _worked, _nan in (
    (
        cummax,
        max_numpy,
        max_triton,
        ([2.0, 3.0, 3.0, 3.0, 3.0], [0, 1, 1, 3, 3], [1.0, 2.0, 0.0, 2.0, 0.0]),
        ([1.0, np.nan, np.nan, np.nan, np.nan], [0, 1, 1, 3, 3], [1.0, 2.0, 0.0, 2.0, 0.0]),
    ),
    (
        cummin,
        min_numpy,
        min_triton,
        ([2.0, 2.0, 1.0, 1.0, 1.0], [0, 0, 2, 2, 4], [2.0, 0.0, 2.0, 0.0, 1.0]),
        ([1.0, np.nan, np.nan, np.nan, np.nan], [0, 1, 1, 3, 3], [1.0, 2.0, 0.0, 2.0, 0.0]),
    ),
):
    register(
        Op(
            name=_function.__name__,
            kernel=Kernel(numpy=_numpy, triton=repeated(_triton)),
            outputs=("values", "indices"),
            grads=(Grad(of=("input",), keeps=("indices",), op="cummax_backward"),),
            samples=_samples(_function.__name__, _worked, _nan),
            function=_function,
        )
    )

register(
    Op(
        name="cummax_backward",
        kernel=Kernel(numpy=gathered, triton=repeated(gathered)),
        grads=(Grad(of=("grad",), keeps=("indices",), op="cummax_pick"),),
        zero=("indices",),
    )
)

register(
    Op(
        name="cummax_pick",
        kernel=Kernel(numpy=take_numpy, triton=repeated(take_triton)),
        grads=(Grad(of=("input",), keeps=("indices",), op="cummax_backward"),),
        zero=("indices",),
    )
)

LOGCUMSUMEXP = register(
    Op(
        name="logcumsumexp",
        autocast="float32",
        kernel=Kernel(numpy=log_numpy, triton=repeated(log_triton)),
        grads=(Grad(of=("input",), keeps=("input", "output"), op="logcumsumexp_backward"),),
        samples=log_samples,
        function=logcumsumexp,
    )
)

register(
    Op(
        name="logcumsumexp_backward",
        kernel=Kernel(numpy=log_backward, triton=repeated(log_backward)),
        grads=(
            Grad(of=("grad",), keeps=("input", "output"), op="logcumsumexp_slope"),
            Grad(of=("input", "output"), keeps=("grad", "input", "output"), op="logcumsumexp_second"),
        ),
    )
)

register(Op(name="logcumsumexp_slope", kernel=Kernel(numpy=log_slope, triton=repeated(log_slope))))

register(
    Op(
        name="logcumsumexp_second",
        kernel=Kernel(numpy=log_second, triton=repeated(log_second)),
        outputs=("grad_input", "grad_output"),
    )
)
