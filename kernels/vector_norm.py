"""Norms of vectors along dimensions: ``vector_norm``, and ``norm`` and ``matrix_norm``, which are made of it.

    out        = (sum of |input|^p)^(1/p)
    grad_input = grad * f(input) / out^(p - 1),  0 where out = 0;   f(x) = sign(x) * |x|^(p - 1)

The norms of inf and -inf are the greatest and the least |input|, whose gradient ties share; that of 0 counts what is
not 0.  A change ``a`` of the input, with s = sum of a * f(input):

    of grad_input:  out^(1 - p) * (grad * (p - 1) * |input|^(p - 2) * a  +  (1 - p) * grad * f(input) * s / out^p)

Sums are carried in float32 for half types.
"""

from math import inf

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import run
from ..framework.language import jit, libdevice, tl
from ..framework.launch import cast
from ..framework.op import OPS, Grad, Kernel, Op, Sample, register
from ..framework.reduction import dims_of, kept_dims, plus, reduce
from ..framework.repeat import repeated
from .abs import abs as absolute
from .div import quotient
from .max import amax
from .min import amin
from .sqrt import root
from .sum import sum as total


def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: int | tuple[int, ...] | None = None,
    keepdim: bool = False,
    *,
    dtype: dtypes.dtype | None = None,
) -> Tensor:
    """The norm of order ``ord``, any number or an infinity, of ``x`` along ``dim`` (one, several, or all dimensions).

    ``dtype`` casts the input first.  Raises RuntimeError for an input that is not floating, and for a norm of nothing
    that is not defined: of an infinite or a negative order.

    >>> vector_norm(Tensor([[3.0, 4.0], [6.0, 8.0]]), dim=1).tolist()
    [5.0, 10.0]
    """
    return _norm("vector_norm", x, ord, dim, keepdim, dtype)


def _norm(name, x, p, dim, keepdim, dtype):
    if isinstance(p, (str, bool)) or not isinstance(p, (int, float)):
        raise TypeError(f"{name}: expected the order to be a number, got {p!r}")
    if dtype is not None:
        kind = dtypes.dtype_of(dtype)
        if dtypes.promote_types(x.dtype, kind) is not kind:
            raise RuntimeError(f"{name}: {x.dtype.name} does not fit in dtype={kind.name}")
        x = OPS["to"].function(x, dtype=kind)
    if not x.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating tensor, got {x.dtype.name}")
    dims = dims_of(name, x.ndim, dim)
    if p < 0 or p == inf:
        if any(not x.shape[d] for d in dims):
            raise RuntimeError(f"{name}: the norm of order {p} of nothing is not defined: the input is {x.shape}")
        if not dims:
            return absolute(x)
    if p == inf:
        return amax(absolute(x), dims, keepdim)
    if p == -inf:
        return amin(absolute(x), dims, keepdim)
    if p == 0:
        return total((x != 0).to(x.dtype) + apply(OPS["flat"], x), dims, keepdim)  # flat: a gradient of 0
    return apply(VECTOR_NORM, x, ord=float(p), dim=dims, keepdim=bool(keepdim))


def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: dtypes.dtype | None = None,
) -> Tensor:
    """The norm of matrices: "fro", the greatest (1) or least (-1) sum of a column, or (inf, -inf) of a row.

    Raises RuntimeError for fewer than 2 dimensions and for orders that need singular values (2, -2, "nuc") or that are
    no norms of matrices.

    >>> matrix_norm(Tensor([[3.0, 0.0], [0.0, 4.0]])).item()
    5.0
    """
    if not isinstance(A, Tensor):
        raise TypeError(f"matrix_norm: expected a Tensor, got {type(A).__name__}")
    if dtype is not None:
        A = A.to(dtypes.dtype_of(dtype))
    if A.ndim < 2:
        raise RuntimeError(f"matrix_norm: expected at least 2 dimensions, got {A.ndim}")
    rows, columns = (d % A.ndim for d in dim)
    dims_of("matrix_norm", A.ndim, dim)
    if ord == "fro":
        return vector_norm(A, 2, dim, keepdim)
    if ord in (2, -2, "nuc"):
        raise RuntimeError(f"matrix_norm: the norm of order {ord!r} needs singular values, which are not computed here")
    if ord not in (1, -1, inf, -inf):
        raise RuntimeError(f"matrix_norm: expected order 'fro', 1, -1, inf or -inf, got {ord!r}")
    inner, outer = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = vector_norm(A, 1, inner, True)
    out = amax(sums, outer, True) if ord > 0 else amin(sums, outer, True)
    return out if keepdim else out.squeeze((rows, columns))


def linalg_norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: int | tuple[int, int] | None = None,
    keepdim: bool = False,
    *,
    dtype: dtypes.dtype | None = None,
) -> Tensor:
    """``vector_norm`` for one dimension or none named, ``matrix_norm`` for two, as ``torch.linalg.norm`` chooses.

    >>> linalg_norm(Tensor([[3.0, 0.0], [0.0, 4.0]]), 1).item()
    4.0
    """
    if dim is None and ord is not None and A.ndim not in (1, 2):
        raise RuntimeError(
            f"norm: expected a vector or a matrix where the order is given and dim is not, got {A.shape}"
        )
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if isinstance(ord, str) or (isinstance(dim, (tuple, list)) and len(dim) == 2) or (dim is None and A.ndim == 2):
        pair = (0, 1) if dim is None else dim
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or A.ndim < 2:
            raise RuntimeError(f"norm: the order {ord!r} is of matrices: expected two dimensions, got {dim}")
        return matrix_norm(A, ord, pair, keepdim, dtype=dtype)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype)


def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: int | tuple[int, ...] | None = None,
    keepdim: bool = False,
    dtype: dtypes.dtype | None = None,
) -> Tensor:
    """The norm of order ``p`` of all elements or along ``dim``; "fro" and None are 2.

    Raises RuntimeError for "nuc", which needs singular values, and for an input that is not floating.

    >>> norm(Tensor([[3.0, 0.0], [0.0, 4.0]])).item()
    5.0
    """
    if p is None or p == "fro":
        p = 2
    elif isinstance(p, str):
        what = "needs singular values, which are not computed here" if p == "nuc" else "is not known"
        raise RuntimeError(f"norm: the norm of order {p!r} {what}")
    return _norm("norm", input, p, dim, keepdim, dtype)


def _wide(array):
    return array.astype(np.float32) if array.dtype in dtypes.HALF else array


def _power(total, p):
    return np.sqrt(total) if p == 2 else total if p == 1 else np.power(total, 1 / p)


def forward_numpy(x, *, ord, dim, keepdim):
    wide = _wide(x)
    terms = wide * wide if ord == 2 else np.abs(wide) if ord == 1 else np.power(np.abs(wide), ord)
    return np.asarray(_power(np.add.reduce(terms, axis=dim, keepdims=keepdim), ord)).astype(x.dtype, copy=False)


def _f_numpy(x, p):
    return x if p == 2 else np.sign(x) if p == 1 else np.where(x == 0, 0, np.sign(x) * np.power(np.abs(x), p - 1))


def _scale_numpy(output, p):
    """output^(1 - p), 0 where there is no norm."""
    return np.where(output == 0, 0, np.power(output, 1 - p))


def backward_numpy(grad, x, output, *, ord, dim, keepdim):
    g, out = (kept_dims(_wide(a), dim, keepdim) for a in (grad, output))
    return (g * _scale_numpy(out, ord) * _f_numpy(_wide(x), ord)).astype(x.dtype, copy=False)


def along_numpy(arrived, x, output, *, ord, dim, keepdim):
    """output^(1 - p) * sum of arrived * f(x)."""
    s = np.add.reduce(_wide(arrived) * _f_numpy(_wide(x), ord), axis=dim, keepdims=keepdim)
    return np.asarray(_scale_numpy(_wide(output), ord) * s).astype(x.dtype, copy=False)


def second_numpy(arrived, grad, x, output, *, ord, dim, keepdim):
    """arrived * grad * (p - 1) * |x|^(p - 2) * output^(1 - p)."""
    g, out = (kept_dims(_wide(a), dim, keepdim) for a in (grad, output))
    wide = np.abs(_wide(x))
    slope = 1 if ord == 2 else np.where(wide == 0, 0, (ord - 1) * np.power(wide, ord - 2))
    return (_wide(arrived) * g * _scale_numpy(out, ord) * slope).astype(x.dtype, copy=False)


def turn_numpy(arrived, grad, x, output, *, ord, dim, keepdim):
    """(1 - p) * grad * output^-p * sum of arrived * f(x)."""
    out = _wide(output)
    s = np.add.reduce(_wide(arrived) * _f_numpy(_wide(x), ord), axis=dim, keepdims=keepdim)
    return np.asarray(np.where(out == 0, 0, (1 - ord) * _wide(grad) * s * np.power(out, -ord))).astype(
        x.dtype, copy=False
    )


@jit
def _square(x):
    return x * x


@jit
def _size(x):
    return tl.abs(x)


@jit
def _to_power(x, p):
    return libdevice.pow(tl.abs(x), p)


@jit
def _pth_root(x, p):
    return libdevice.pow(x, quotient(x * 0 + 1, p + x * 0))


@jit
def _scale(out, p):
    return tl.where(out == 0, 0, libdevice.pow(out, 1 - p))


@jit
def _sign(x):
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, x)).to(x.dtype)


@jit
def _f(x, p):
    power = libdevice.pow(tl.abs(x), p - 1)
    return tl.where(x == 0, 0, _sign(x) * power)


@jit
def _f_of(x, p):
    return tl.where(p == 2, x, tl.where(p == 1, _sign(x), _f(x, p)))


@jit
def _backward(grad, x, out, p):
    return grad * _scale(out, p) * _f_of(x, p)


@jit
def _unit(grad, x, out):
    return tl.where(out == 0, 0, grad * quotient(x, tl.where(out == 0, 1, out)))


@jit
def _along(arrived, x, p):
    return arrived * _f_of(x, p)


@jit
def _scaled(total, out, p):
    return total * _scale(out, p)


@jit
def _second(arrived, grad, x, out, p):
    size = tl.abs(x)
    slope = tl.where(size == 0, 0, (p - 1) * libdevice.pow(size, p - 2))
    return arrived * grad * _scale(out, p) * tl.where(p == 2, 1, slope)


@jit
def _turned(total, grad, out, p):
    return tl.where(out == 0, 0, (1 - p) * grad * total * libdevice.pow(out, -p))


_SINGLE = np.dtype(np.float32)


def _carried(array):
    return _SINGLE if array.dtype in dtypes.HALF else array.dtype


def forward_triton(x, *, ord, dim, keepdim):
    kind = _carried(x)
    if ord == 1:
        return reduce(x, dim, keepdim, plus, 0, map=_size)
    if ord == 2:
        out = run(root, (reduce(x, dim, keepdim, plus, 0, map=_square, result=kind),), ())
    else:
        sums = reduce(x, dim, keepdim, plus, 0, map=_to_power, settings=(ord,), result=kind)
        out = run(_pth_root, (sums,), (ord,))
    return out if kind == x.dtype else cast(out, x.dtype)


def backward_triton(grad, x, output, *, ord, dim, keepdim):
    g, out = kept_dims(grad, dim, keepdim), kept_dims(output, dim, keepdim)
    if ord == 2:
        return run(_unit, (g, x, out), ())
    return run(_backward, (g, x, out), (ord,))


def _sum_along(arrived, x, ord, dim, keepdim):
    return reduce((arrived, x), dim, keepdim, plus, 0, map=_along, settings=(ord,), result=_carried(x))


def _mixed(function, totals, others, ord):
    """``function`` of a sum in float32 and arrays of the input's dtype."""
    kind = others[0].dtype
    if totals.dtype == kind:
        return run(function, (totals, *others), (ord,))
    return cast(run(function, (totals, *(cast(a, totals.dtype) for a in others)), (ord,)), kind)


def along_triton(arrived, x, output, *, ord, dim, keepdim):
    return _mixed(_scaled, _sum_along(arrived, x, ord, dim, keepdim), (output,), ord)


def second_triton(arrived, grad, x, output, *, ord, dim, keepdim):
    return run(_second, (arrived, kept_dims(grad, dim, keepdim), x, kept_dims(output, dim, keepdim)), (ord,))


def turn_triton(arrived, grad, x, output, *, ord, dim, keepdim):
    return _mixed(_turned, _sum_along(arrived, x, ord, dim, keepdim), (grad, output), ord)


def samples(rng):
    x = np.array([[3.0, -4.0], [0.0, 0.0]])
    two = {"ord": 2.0, "dim": (1,), "keepdim": False}
    yield Sample("worked", (x,), two, answers=([5.0, 0.0], [[0.6, -0.8], [0.0, 0.0]]))
    yield Sample("one", (x,), {**two, "ord": 1.0}, answers=([7.0, 0.0], [[1.0, -1.0], [0.0, 0.0]]))
    yield Sample(
        "three",
        (np.array([[0.0, -2.0], [0.0, 0.0]]),),
        {**two, "ord": 3.0, "keepdim": True},
        answers=([[2.0], [0.0]], [[0.0, -1.0], [0.0, 0.0]]),
    )
    for p in (1.0, 2.0, 3.0, 1.5, -1.0):
        y = rng.uniform(0.3, 1.5, (5, 37)) * rng.choice([-1.0, 1.0], (5, 37))
        yield Sample(f"rows {p}", (y,), {"ord": p, "dim": (1,), "keepdim": True}, terms=200)
    y = rng.uniform(0.3, 1.5, (3, 4, 5))
    yield Sample("outer and inner", (y,), {"ord": 2.0, "dim": (0, 2), "keepdim": False}, terms=60)
    yield Sample("columns", (y[0].T,), {"ord": 2.0, "dim": (0,), "keepdim": False}, terms=20)
    yield Sample("nothing", (np.zeros((2, 0)),), two, answers=([0.0, 0.0],))
    yield Sample("0-d", (np.array(-2.0),), {"ord": 2.0, "dim": (), "keepdim": False}, answers=(2.0, -1.0))
    yield Sample(
        "integers", (np.array([1, 2]),), raises=(RuntimeError, "vector_norm: expected a floating tensor, got int64")
    )
    yield Sample(
        "infinite order of nothing",
        (np.zeros((2, 0)),),
        {"ord": inf},
        raises=(RuntimeError, "vector_norm: the norm of order inf of nothing is not defined: the input is (2, 0)"),
    )
    yield Sample(
        "order", (x,), {"ord": "fro"}, raises=(TypeError, "vector_norm: expected the order to be a number, got 'fro'")
    )


VECTOR_NORM = register(
    Op(
        name="vector_norm",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("x",), keeps=("x", "output"), op="vector_norm_backward"),),
        samples=samples,
        function=vector_norm,
    )
)

register(
    Op(
        name="vector_norm_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("x", "output"), op="vector_norm_along"),
            Grad(of=("x",), keeps=("grad", "x", "output"), op="vector_norm_second"),
            Grad(of=("output",), keeps=("grad", "x", "output"), op="vector_norm_turn"),
        ),
        outputs=("result",),
    )
)

register(
    Op(
        name="vector_norm_along",
        kernel=Kernel(numpy=along_numpy, triton=repeated(along_triton)),
        grads=(Grad(of=("arrived",), keeps=("x", "output"), op="vector_norm_backward"),),
        outputs=("result",),
    )
)

for _name, _numpy, _triton in (
    ("vector_norm_second", second_numpy, second_triton),
    ("vector_norm_turn", turn_numpy, turn_triton),
):
    register(Op(name=_name, kernel=Kernel(numpy=_numpy, triton=repeated(_triton)), outputs=("result",)))
