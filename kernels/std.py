"""Standard deviation along dimensions: the root of the variance.

out           = sqrt(variance)
grad_variance = grad / (2 * out),  0 where out = 0, as in PyTorch
grad_input    = grad * (input - mean) / ((n - correction) * out)
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register
from .var import VAR, normalised


def std(
    input: Tensor,
    dim: int | tuple[int, ...] | bool | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation along ``dim`` (one, several, or all), which stay with size 1 if ``keepdim``.

    Divides by n - ``correction``, which is 1 unless said or ``unbiased=False``.  Raises RuntimeError for an input that
    is not floating, IndexError for a dimension out of range.

    >>> std(Tensor([1.0, 2.0, 3.0, 6.0]), correction=0).item()
    1.8708287477493286
    """
    return apply(STD, apply(VAR, input, **normalised("std", input, dim, unbiased, keepdim, correction)))


def forward_numpy(variance):
    return np.sqrt(variance)


def backward_numpy(grad, output):
    return np.where(output == 0, output.dtype.type(0), grad / (output + output))


def curvature_numpy(grad, arrived, output):
    """-grad * arrived / (2 * output^2): how ``backward`` changes with the output."""
    return np.where(output == 0, output.dtype.type(0), -grad * arrived / (2 * output * output))


@jit
def _root(variance):
    return tl.sqrt(variance)


@jit
def _backward(grad, output):
    return tl.where(output == 0, output, grad / (output + output))


@jit
def _curvature(grad, arrived, output):
    return tl.where(output == 0, output, -grad * arrived / (2 * output * output))


def samples(rng):
    yield Sample("worked", (np.array([4.0, 0.0, 0.25]),), answers=([2.0, 0.0, 0.5], [0.25, 0.0, 1.0]))
    yield Sample("plain", (rng.uniform(0.2, 2.0, (3, 7)),))
    yield Sample("0-d", (rng.uniform(0.2, 2.0, ()),))
    yield Sample("integers", (np.array([1, 2]),), raises=(RuntimeError, "std: expected a floating dtype, got int64"))
    yield Sample(
        "out of range",
        (np.zeros((2, 2)),),
        {"dim": (0, 2)},
        raises=(IndexError, "std: dim 2 is out of range for 2 dimensions: expected -2 to 1"),
    )


STD = register(
    Op(
        name="std",
        kernel=elementwise(forward_numpy, _root),
        grads=(Grad(of=("variance",), keeps=("output",), op="std_backward"),),
        samples=samples,
        function=std,
    )
)

register(
    Op(
        name="std_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(
            Grad(of=("grad",), keeps=("output",), op="std_backward"),
            Grad(of=("output",), keeps=("grad", "output"), op="std_curvature"),
        ),
    )
)

register(
    Op(
        name="std_curvature",
        kernel=elementwise(curvature_numpy, _curvature),
    )
)
