"""Logarithm of the sum of exponentials along dimensions.

    out        = m + log(sum of exp(input - m)),  m = max of input, or 0 where that is infinite;  -inf for nothing
    grad_input = grad * exp(input - out)

A row that holds inf is inf, and its gradient 0, but nan at the infinities; so is that of a row that is -inf throughout.
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import run
from ..framework.language import jit, libdevice, tl
from ..framework.launch import cast
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.reduction import dims_of, kept_dims, plus, reduce
from ..framework.repeat import repeated
from .max import higher


def logsumexp(input: Tensor, dim: int | tuple[int, ...], keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` along ``dim``, one or several, without overflow; integers give floats.

    >>> [round(x, 3) for x in logsumexp(Tensor([[1000.0, 1000.0], [0.0, 0.0]]), dim=1).tolist()]
    [1000.693, 0.693]
    """
    if not input.dtype.is_floating_point:
        input = input.to(dtypes.get_default_dtype())
    return apply(LOGSUMEXP, input, dim=dims_of("logsumexp", input.ndim, dim), keepdim=bool(keepdim))


def _wide(array):
    return array.astype(np.float32) if array.dtype in dtypes.HALF else array


def forward_numpy(input, *, dim, keepdim):
    x = _wide(input)
    m = np.maximum.reduce(x, axis=dim, keepdims=True, initial=-np.inf)
    m = np.where(np.abs(m) == np.inf, x.dtype.type(0), m)
    out = np.log(np.add.reduce(np.exp(x - m), axis=dim, keepdims=True)) + m
    return (out if keepdim else np.squeeze(out, dim)).astype(input.dtype, copy=False)


def _share_numpy(input, output, dim, keepdim):
    return np.exp(_wide(input) - kept_dims(_wide(output), dim, keepdim))


def backward_numpy(grad, input, output, *, dim, keepdim):
    share = _share_numpy(input, output, dim, keepdim)
    return (kept_dims(_wide(grad), dim, keepdim) * share).astype(input.dtype, copy=False)


def along_numpy(arrived, input, output, *, dim, keepdim):
    """The sum of arrived * exp(input - output)."""
    out = np.add.reduce(_wide(arrived) * _share_numpy(input, output, dim, keepdim), axis=dim, keepdims=keepdim)
    return np.asarray(out).astype(input.dtype, copy=False)


def second_numpy(arrived, grad, input, output, *, dim, keepdim):
    share = _share_numpy(input, output, dim, keepdim)
    return (_wide(arrived) * kept_dims(_wide(grad), dim, keepdim) * share).astype(input.dtype, copy=False)


def turn_numpy(arrived, grad, input, output, *, dim, keepdim):
    """Minus grad times the sum of arrived * exp(input - output)."""
    out = np.add.reduce(_wide(arrived) * _share_numpy(input, output, dim, keepdim), axis=dim, keepdims=keepdim)
    return np.asarray(-_wide(grad) * out).astype(input.dtype, copy=False)


@jit
def _exponential(x, m):
    return tl.exp(x - m)


@jit
def _finite(m):
    return tl.where(tl.abs(m) == float("inf"), 0, m)


@jit
def _logarithm(total, m):
    return libdevice.log(total) + m


@jit
def _share(grad, x, out):
    return grad * tl.exp(x - out)


@jit
def _share_of_product(arrived, grad, x, out):
    return arrived * grad * tl.exp(x - out)


@jit
def _minus_product(grad, total):
    return -grad * total


_SINGLE = np.dtype(np.float32)


def forward_triton(input, *, dim, keepdim):
    kind = _SINGLE if input.dtype in dtypes.HALF else input.dtype
    m = run(_finite, (reduce(input, dim, True, higher, -float("inf"), result=kind),), ())
    x = input if kind == input.dtype else cast(input, kind)
    out = run(_logarithm, (reduce((x, m), dim, True, plus, 0, map=_exponential), m), ())
    out = out if kind == input.dtype else cast(out, input.dtype)
    return out if keepdim else out.viewed(lambda a: np.squeeze(a, dim))


def backward_triton(grad, input, output, *, dim, keepdim):
    return run(_share, (kept_dims(grad, dim, keepdim), input, kept_dims(output, dim, keepdim)), ())


def along_triton(arrived, input, output, *, dim, keepdim):
    return reduce((arrived, input, kept_dims(output, dim, keepdim)), dim, keepdim, plus, 0, map=_share)


def second_triton(arrived, grad, input, output, *, dim, keepdim):
    return run(_share_of_product, (arrived, kept_dims(grad, dim, keepdim), input, kept_dims(output, dim, keepdim)), ())


def turn_triton(arrived, grad, input, output, *, dim, keepdim):
    return run(_minus_product, (grad, along_triton(arrived, input, output, dim=dim, keepdim=keepdim)), ())


def samples(rng):
    x = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    yield Sample(
        "worked",
        (x,),
        {"dim": (1,), "keepdim": False},
        answers=(np.log([4.0, 4.0]), [[0.25, 0.75], [0.5, 0.5]]),
    )
    yield Sample(
        "large",
        (np.array([1000.0, 0.0, -np.inf]),),
        {"dim": (0,), "keepdim": True},
        answers=([1000.0], [1.0, 0.0, 0.0]),
    )
    yield Sample(
        "infinite",
        (np.array([[np.inf, 0.0], [-np.inf, -np.inf], [np.nan, 0.0]]),),
        {"dim": (1,), "keepdim": False},
        answers=([np.inf, -np.inf, np.nan], [[np.nan, 0.0], [np.nan, np.nan], [np.nan, np.nan]]),
    )
    yield Sample("of none", (np.zeros((2, 0)),), {"dim": (1,), "keepdim": False}, answers=([-np.inf, -np.inf],))
    yield Sample("rows", (rng.normal(size=(5, 37)),), {"dim": (1,), "keepdim": True}, terms=37)
    yield Sample("columns", (rng.normal(size=(37, 5)),), {"dim": (0,), "keepdim": False}, terms=37)
    yield Sample("outer and inner", (rng.normal(size=(3, 4, 5)),), {"dim": (0, 2), "keepdim": False}, terms=15)
    yield Sample("transposed", (rng.normal(size=(4, 30)).T,), {"dim": (0,), "keepdim": False}, terms=30)
    yield Sample("0-d", (rng.normal(size=()),), {"dim": (), "keepdim": False})
    yield Sample(
        "out of range",
        (x,),
        {"dim": 2},
        raises=(IndexError, "logsumexp: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
    )


LOGSUMEXP = register(
    Op(
        name="logsumexp",
        autocast="float32",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=("input", "output"), op="logsumexp_backward"),),
        samples=samples,
        function=logsumexp,
    )
)

register(
    Op(
        name="logsumexp_backward",
        kernel=Kernel(numpy=backward_numpy, triton=repeated(backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("input", "output"), op="logsumexp_along"),
            Grad(of=("input",), keeps=("grad", "input", "output"), op="logsumexp_second"),
            Grad(of=("output",), keeps=("grad", "input", "output"), op="logsumexp_turn"),
        ),
        outputs=("result",),
    )
)

register(
    Op(
        name="logsumexp_along",
        kernel=Kernel(numpy=along_numpy, triton=repeated(along_triton)),
        grads=(Grad(of=("arrived",), keeps=("input", "output"), op="logsumexp_backward"),),
        outputs=("result",),
    )
)

register(
    Op(name="logsumexp_second", kernel=Kernel(numpy=second_numpy, triton=repeated(second_triton)), outputs=("result",))
)
register(Op(name="logsumexp_turn", kernel=Kernel(numpy=turn_numpy, triton=repeated(turn_triton)), outputs=("result",)))
