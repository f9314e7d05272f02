"""Variance along dimensions.

    out        = sum of (input - mean)^2 over the reduced dimensions / (n - correction),  n of them
    grad_input = 2 * grad * (input - mean) / (n - correction)

The mean is taken first and subtracted, so that no digits are lost where it is large.  With n <= correction the divisor
is 0, as in PyTorch: nan for equal values (n = 1 among them), inf for others.

The gradients of gradients stay in a small family, since the variance is the covariance of an array with itself:

    covariance(x, y) = scale * sum of (x - mean x) * (y - mean y),   centred(grad, x) = scale * grad * (x - mean x)
    grad_x           = centred(grad, y)                              grad_grad        = covariance(g, x)
    grad_y           = centred(grad, x)                              grad_x           = centred(grad, g)
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import run
from ..framework.language import jit
from ..framework.launch import cast
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.reduction import accumulator, dims_of, kept_dims, plus, reduce
from ..framework.repeat import repeated
from .mean import count


def var(
    input: Tensor,
    dim: int | tuple[int, ...] | bool | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance along ``dim`` (one, several, or all dimensions), which stay with size 1 if ``keepdim``.

    Divides by n - ``correction``, which is 1 unless said or ``unbiased=False``.  Raises RuntimeError for an input that
    is not floating, IndexError for a dimension out of range.

    >>> var(Tensor([1.0, 2.0, 3.0, 4.0]), correction=0).item()
    1.25
    """
    return apply(VAR, input, **normalised("var", input, dim, unbiased, keepdim, correction))


def normalised(name, input, dim, unbiased, keepdim, correction):
    """The row's settings from what the caller said, in any of PyTorch's ways."""
    if isinstance(dim, bool):  # var(input, unbiased)
        if unbiased is not None:
            raise TypeError(f"{name}: expected dim to be an int, several or None, got {dim!r}")
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: expected unbiased or correction, got both")
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating dtype, got {input.dtype.name}")
    if correction is None:
        correction = 0 if unbiased is False else 1
    return {"dim": dims_of(name, input.ndim, dim), "keepdim": bool(keepdim), "correction": correction}


def _scale(shape, dims, correction):
    left = count(shape, dims) - correction
    return 1 / left if left > 0 else float("inf")


def _wide(array):
    return array.astype(np.float32) if array.dtype in dtypes.HALF else array


def _centred_numpy(input, dims):
    """input - mean, in at least float32 and new memory."""
    input = _wide(input)
    n = count(input.shape, dims)
    total = np.add.reduce(input, axis=dims, keepdims=True)
    return np.asarray(input - (total * input.dtype.type(1 / n) if n else total))


def forward_numpy(input, *, dim, keepdim, correction):
    deviation = _centred_numpy(input, dim)
    total = np.asarray(np.add.reduce(np.square(deviation, out=deviation), axis=dim, keepdims=keepdim))
    return (total * total.dtype.type(_scale(input.shape, dim, correction))).astype(input.dtype, copy=False)


def covariance_numpy(input, other, *, dim, keepdim, scale):
    product = _centred_numpy(input, dim) * _centred_numpy(other, dim)
    total = np.asarray(np.add.reduce(product, axis=dim, keepdims=keepdim))
    return (total * total.dtype.type(scale)).astype(input.dtype, copy=False)


def centred_numpy(grad, input, *, dim, keepdim, scale):
    out = _centred_numpy(input, dim)
    out *= _wide(kept_dims(grad, dim, keepdim)) * out.dtype.type(scale)
    return out.astype(input.dtype, copy=False)


def recentred_numpy(input, grad, *, dim, keepdim, scale):
    return centred_numpy(grad, input, dim=dim, keepdim=keepdim, scale=scale)


@jit
def _squared_deviation(x, mean):
    return (x - mean) * (x - mean)


@jit
def _product_of_deviations(x, mean_x, y, mean_y):
    return (x - mean_x) * (y - mean_y)


@jit
def _scaled_deviation(grad, x, mean, scale):
    return scale * grad * (x - mean)


def _mean(input, dims):
    """The mean in the accumulator's dtype, reduced dimensions kept."""
    n = count(input.shape, dims)
    return reduce(input, dims, True, plus, 0, factor=1 / n if n else 0.0, result=accumulator(input.dtype))


def forward_triton(input, *, dim, keepdim, correction):
    return reduce(
        (input, _mean(input, dim)),
        dim,
        keepdim,
        plus,
        0,
        map=_squared_deviation,
        factor=_scale(input.shape, dim, correction),
    )


def covariance_triton(input, other, *, dim, keepdim, scale):
    return reduce(
        (input, _mean(input, dim), other, _mean(other, dim)),
        dim,
        keepdim,
        plus,
        0,
        map=_product_of_deviations,
        factor=scale,
    )


def centred_triton(grad, input, *, dim, keepdim, scale):
    grad, mean = kept_dims(grad, dim, keepdim), _mean(input, dim)
    if mean.dtype == input.dtype:
        return run(_scaled_deviation, (grad, input, mean), (scale,))
    # half types: the mean is not rounded to them
    return run(_scaled_deviation, (cast(grad, mean.dtype), cast(input, mean.dtype), mean), (scale,), result=input.dtype)


def recentred_triton(input, grad, *, dim, keepdim, scale):
    return centred_triton(grad, input, dim=dim, keepdim=keepdim, scale=scale)


def _doubled(call):
    settings = call.settings
    left = count(call.shape("input"), settings["dim"]) - settings["correction"]
    return {"dim": settings["dim"], "keepdim": settings["keepdim"], "scale": 2 / left if left else float("inf")}


def samples(rng):
    x = np.array([[1.0, 3.0], [4.0, 10.0]])
    yield Sample(
        "worked",
        (x,),
        {"dim": (1,), "keepdim": False, "correction": 1},
        answers=([2.0, 18.0], [[-2.0, 2.0], [-6.0, 6.0]]),
    )
    yield Sample(
        "biased",
        (x,),
        {"dim": (0, 1), "keepdim": True, "correction": 0},
        answers=([[11.25]], [[-1.75, -0.75], [-0.25, 2.75]]),
    )
    yield Sample(
        "too few",
        (np.array([[2.0, 3.0]]),),
        {"dim": (0,), "keepdim": False, "correction": 1},
        answers=([np.nan, np.nan],),
    )
    yield Sample(
        "correction beyond n",
        (np.array([2.0, 3.0]),),
        {"dim": (0,), "keepdim": False, "correction": 3},
        answers=(np.inf,),
    )
    yield Sample("rows", (rng.normal(size=(5, 37)),), {"dim": (1,), "keepdim": True, "correction": 1}, terms=37)
    yield Sample(
        "outer and inner", (rng.normal(size=(3, 4, 5)),), {"dim": (0, 2), "keepdim": False, "correction": 0}, terms=15
    )
    yield Sample(
        "far from 0",
        (np.array([1e8 + 1, 1e8 + 3]),),
        {"dim": (0,), "keepdim": False, "correction": 1},
        answers=(2.0, [-2.0, 2.0]),
        dtypes=("float64",),
    )
    yield Sample("integers", (np.array([1, 2]),), raises=(RuntimeError, "var: expected a floating dtype, got int64"))
    yield Sample(
        "both",
        (x,),
        {"unbiased": True, "correction": 1},
        raises=(TypeError, "var: expected unbiased or correction, got both"),
    )


VAR = register(
    Op(
        name="var",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=("input",), op="centred", settings=_doubled),),
        samples=samples,
        function=var,
    )
)

register(
    Op(
        name="covariance",
        kernel=Kernel(numpy=covariance_numpy, triton=repeated(covariance_triton)),
        grads=(
            Grad(of=("input",), keeps=("other",), op="centred"),
            Grad(of=("other",), keeps=("input",), op="centred"),
        ),
    )
)

register(
    Op(
        name="centred",
        kernel=Kernel(numpy=centred_numpy, triton=repeated(centred_triton)),
        grads=(
            Grad(of=("grad",), keeps=("input",), op="covariance"),
            Grad(of=("input",), keeps=("grad",), op="recentred"),
        ),
    )
)

register(
    Op(
        name="recentred",  # centred, its operands exchanged: the engine passes the incoming gradient first
        kernel=Kernel(numpy=recentred_numpy, triton=repeated(recentred_triton)),
        grads=(
            Grad(of=("input",), keeps=("grad",), op="recentred"),
            Grad(of=("grad",), keeps=("input",), op="covariance"),
        ),
    )
)
