"""Softmax along one dimension.

    out        = exp(input - m) / sum of exp(input - m),  m = max of input
    grad_input = out * (grad - sum of grad * out)

Subtracting the maximum keeps every exponential at most 1.  A row that is -inf throughout, or holds +inf or nan, is nan.
Rows that fit in registers are read once.  Longer ones are read twice: once for the maximum and the sum together (the
sum is rescaled whenever the maximum grows), once for the result; so they may be of any length.
Source: Milakov and Gimelshein (2018), algorithm 3.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.array import empty_like
from ..framework.elementwise import _number, run
from ..framework.language import cdiv, jit, tl
from ..framework.launch import cast, launch
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import (
    accumulator,
    dims_of,
    extent,
    load_tile,
    plus,
    reduce,
    row_blocks,
    row_numbers,
    rows_of,
    store_tile,
)
from ..framework.repeat import repeated
from ..framework.strides import packed


def softmax(input: Tensor, dim: int, dtype: dtypes.dtype | None = None) -> Tensor:
    """``exp(input)``, divided by its sum along ``dim``; floating, any shape; ``dtype`` casts the input first.

    Raises IndexError for a dim out of range, RuntimeError for a dtype that is not floating.

    >>> softmax(Tensor([[0.0, 0.0], [5.0, 5.0]]), dim=1).numpy()
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    """
    return along_dim("softmax", SOFTMAX, input, dim, dtype)


def along_dim(name, row, input, dim, dtype):
    """Check and normalise the arguments of softmax and log_softmax."""
    if not hasattr(dim, "__index__"):
        raise TypeError(f"{name}: expected dim to be an int, got {dim!r}")
    dims = dims_of(name, input.ndim, dim)
    kind = input.dtype if dtype is None else dtypes.dtype_of(dtype)
    if not kind.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating dtype, got {kind.name}; dtype= casts the input first")
    out = apply(row, OPS["to"].function(input, dtype=kind), dim=dims)
    return out if dtype is None else OPS["to"].function(out, dtype=kind)  # autocast computes in float32


def wide(array):
    """Half types as float32; numbers and other arrays as they are."""
    return array.astype(np.float32) if getattr(array, "dtype", None) in dtypes.HALF else array


def shifted(input, dim):
    """input - max along dim, in at least float32 and new memory; also the maximum."""
    input = wide(input)
    if not input.size:
        return np.array(input), np.zeros((1,) * input.ndim, input.dtype)
    top = np.maximum.reduce(input, axis=dim, keepdims=True)
    return np.subtract(input, top), top


def forward_numpy(input, *, dim):
    out, _ = shifted(input, dim)
    out = np.asarray(out)
    np.exp(out, out=out)
    out /= np.add.reduce(out, axis=dim, keepdims=True)
    return out.astype(input.dtype, copy=False)


def backward_numpy(grad, output, *, dim):
    g, y = wide(grad), wide(output)
    product = g * y
    total = np.add.reduce(product, axis=dim, keepdims=True)
    return (product - y * total).astype(grad.dtype, copy=False)


def curvature_numpy(grad, arrived, output, *, dim):
    """How ``backward`` changes with the output y: grad * (arrived - sum arrived * y) - arrived * sum grad * y."""
    v, g, y = wide(grad), wide(arrived), wide(output)
    inner = np.add.reduce(g * y, axis=dim, keepdims=True)
    outer = np.add.reduce(v * y, axis=dim, keepdims=True)
    return (v * (g - inner) - g * outer).astype(grad.dtype, copy=False)


@jit
def rescaled(top, total, x, AXIS: tl.constexpr):
    """The maximum so far, and the sum of exponentials against it, with those of the tile ``x`` added."""
    new = tl.maximum(top, tl.max(x, AXIS))
    base = tl.where(new == float("-inf"), tl.zeros_like(new), new)  # -inf - -inf would be nan, here it must be exp = 0
    return new, total * tl.exp(top - base) + tl.sum(tl.exp(x - tl.expand_dims(base, AXIS)), AXIS)


@jit
def _result(x, top, total, LOG: tl.constexpr):
    if LOG:
        return x - top - tl.log(total)
    else:
        return tl.exp(x - top) / total


@jit
def _forward(
    out_ptr,
    in_ptr,
    rows,
    columns,
    low,
    geometry,
    LOG: tl.constexpr,
    FORM: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # in, out (operands 0 and 1): the same rows, each with its own strides
    # one program per BLOCK_M rows, BLOCK_R of their elements at a time; all of them if WHOLE, and read once
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    M, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    here = tl.expand_dims(m < M, AXIS)
    tops = tl.zeros((BLOCK_M,), low.dtype) + low
    totals = tl.zeros((BLOCK_M,), low.dtype)
    if WHOLE:
        mask = here & tl.expand_dims(lane < R, 1 - AXIS)
        x = load_tile(in_ptr, m, lane, mask, float("-inf"), 0, geometry, FORM)
        tops, totals = rescaled(tops, totals, x, AXIS)
        y = _result(x, tl.expand_dims(tops, AXIS), tl.expand_dims(totals, AXIS), LOG)
        store_tile(out_ptr, y, m, lane, mask, 1, geometry, FORM)
    else:
        for start in range(0, R, BLOCK_R):
            mask = here & tl.expand_dims(start + lane < R, 1 - AXIS)
            x = load_tile(in_ptr, m, start + lane, mask, float("-inf"), 0, geometry, FORM)
            tops, totals = rescaled(tops, totals, x, AXIS)
        for start in range(0, R, BLOCK_R):
            mask = here & tl.expand_dims(start + lane < R, 1 - AXIS)
            x = load_tile(in_ptr, m, start + lane, mask, 0.0, 0, geometry, FORM)
            y = _result(x, tl.expand_dims(tops, AXIS), tl.expand_dims(totals, AXIS), LOG)
            store_tile(out_ptr, y, m, start + lane, mask, 1, geometry, FORM)


@jit
def _weighted(grad, y, LOG: tl.constexpr):
    """What is added up along a row for the gradient."""
    if LOG:
        return grad
    else:
        return grad * y


@jit
def _slope(grad, y, total, LOG: tl.constexpr):
    if LOG:
        return grad - tl.exp(y) * total
    else:
        return y * (grad - total)


@jit
def _backward(
    out_ptr,
    grad_ptr,
    y_ptr,
    rows,
    columns,
    low,
    geometry,
    LOG: tl.constexpr,
    FORM: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    # grad, y (the output of forward), out (operands 0, 1, 2): the same rows, each with its own strides
    # one program per BLOCK_M rows, BLOCK_R of their elements at a time; all of them if WHOLE, and read once
    AXIS: tl.constexpr = 0 if FORM[3] else 1
    M, R = extent(rows, columns, FORM)
    m, lane = row_numbers(BLOCK_M, BLOCK_R, FORM)
    here = tl.expand_dims(m < M, AXIS)
    if WHOLE:
        mask = here & tl.expand_dims(lane < R, 1 - AXIS)
        g = load_tile(grad_ptr, m, lane, mask, 0.0, 0, geometry, FORM)
        y = load_tile(y_ptr, m, lane, mask, 0.0, 1, geometry, FORM)
        total = tl.expand_dims(tl.sum(_weighted(g, y, LOG), AXIS), AXIS)
        store_tile(out_ptr, _slope(g, y, total, LOG), m, lane, mask, 2, geometry, FORM)
    else:
        sums = tl.zeros((BLOCK_M,), low.dtype)
        for start in range(0, R, BLOCK_R):
            mask = here & tl.expand_dims(start + lane < R, 1 - AXIS)
            g = load_tile(grad_ptr, m, start + lane, mask, 0.0, 0, geometry, FORM)
            if not LOG:
                g = g * load_tile(y_ptr, m, start + lane, mask, 0.0, 1, geometry, FORM)
            sums += tl.sum(g, AXIS)
        total = tl.expand_dims(sums, AXIS)
        for start in range(0, R, BLOCK_R):
            mask = here & tl.expand_dims(start + lane < R, 1 - AXIS)
            g = load_tile(grad_ptr, m, start + lane, mask, 0.0, 0, geometry, FORM)
            y = load_tile(y_ptr, m, start + lane, mask, 0.0, 1, geometry, FORM)
            store_tile(out_ptr, _slope(g, y, total, LOG), m, start + lane, mask, 2, geometry, FORM)


def _rowwise(kernel, arrays, dim, log):
    """Run ``_forward`` or ``_backward`` on arrays of one shape."""
    first = arrays[0]
    out = empty_like(first)
    out.strides = packed(first.shape, first.strides) or out.strides  # channels-last stays so
    if not out.size:
        return out
    operands = tuple((x.shape, x.strides) for x in (*arrays, out))
    rows = rows_of(operands, dim, 16 // first.dtype.itemsize)
    kind = accumulator(first.dtype)
    block_m, block_r, whole, warps = row_blocks(rows.M, rows.R, first.backend, kind.itemsize, rows.across)
    # one program per BLOCK_M rows
    launch(
        kernel,
        (cdiv(rows.M, block_m),),
        out,
        *arrays,
        *rows.units,
        _number(kind)(float("-inf")),
        rows.geometry,
        LOG=log,
        FORM=rows.form,
        WHOLE=whole,
        BLOCK_M=block_m,
        BLOCK_R=block_r,
        num_warps=warps,
    )
    return out


def forward_triton(input, *, dim):
    return _rowwise(_forward, (input,), dim, False)


def log_forward_triton(input, *, dim):
    return _rowwise(_forward, (input,), dim, True)


def backward_triton(grad, output, *, dim):
    return _rowwise(_backward, (grad, output), dim, False)


def log_backward_triton(grad, output, *, dim):
    return _rowwise(_backward, (grad, output), dim, True)


@jit
def _product(x, y):
    return x * y


@jit
def _curvature(v, grad, y, inner, outer):
    return v * (grad - inner) - grad * outer


def row_sums(inputs, dim, map):
    """The sum of ``map(*inputs)`` along ``dim``, which stays, in the dtype sums are carried in."""
    return reduce(inputs, dim, True, plus, 0, map=map, result=accumulator(inputs[0].dtype))


def mixed(function, arrays, sums):
    """An elementwise function of arrays and of sums along their rows, which are not rounded to half types."""
    kind, inner = arrays[0].dtype, sums[0].dtype
    if inner != kind:
        arrays = tuple(cast(a, inner) for a in arrays)
    return run(function, (*arrays, *sums), (), result=kind)


def curvature_triton(grad, arrived, output, *, dim):
    return mixed(
        _curvature,
        (grad, arrived, output),
        (row_sums((arrived, output), dim, _product), row_sums((grad, output), dim, _product)),
    )


def samples(rng):
    x = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    yield Sample("worked", (x,), {"dim": (1,)}, answers=([[0.25, 0.75], [0.5, 0.5]], np.zeros((2, 2))))
    yield Sample(
        "large", (np.array([1000.0, 1000.0, -np.inf]),), {"dim": (0,)}, answers=([0.5, 0.5, 0.0], [0.0, 0.0, 0.0])
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
    yield Sample("transposed", (rng.normal(size=(4, 30)).T,), {"dim": (0,)}, terms=30)
    yield Sample("0-d", (rng.normal(size=()),), {"dim": ()})
    yield Sample("empty", (rng.normal(size=(3, 0)),), {"dim": (1,)})
    yield Sample(
        "out of range",
        (x,),
        {"dim": 2},
        raises=(IndexError, "softmax: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
    )
    yield Sample(
        "integers",
        (np.array([1, 2]),),
        {"dim": 0},
        raises=(RuntimeError, "softmax: expected a floating dtype, got int64; dtype= casts the input first"),
    )


SOFTMAX = register(
    Op(
        name="softmax",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=("output",), op="softmax_backward"),),
        samples=samples,
        function=softmax,
    )
)

register(
    Op(
        name="softmax_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("output",), op="softmax_backward"),  # the Jacobian is symmetric
            Grad(of=("output",), keeps=("grad", "output"), op="softmax_curvature"),
        ),
    )
)

register(
    Op(
        name="softmax_curvature",
        kernel=Kernel(numpy=curvature_numpy, triton=repeated(curvature_triton)),
    )
)
