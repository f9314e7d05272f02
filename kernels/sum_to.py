"""Sum an array down to a shape that it was broadcast from: how a gradient is un-broadcast.

out[i]     = sum of input over every index that broadcasting i's shape to input's repeats
grad_input = grad, broadcast to input's shape
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework.op import Grad, Kernel, Op, Sample, register
from ..framework.reduction import plus, reduce
from ..framework.repeat import repeated


def sum_to(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``input`` summed to ``shape``, which must broadcast to input's shape.

    >>> sum_to(Tensor([[1.0, 2.0], [3.0, 4.0]]), (1, 2)).numpy()
    array([[4., 6.]], dtype=float32)
    """
    lead = input.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, input.shape[lead:], strict=True)):
        raise RuntimeError(f"sum_to: shape {tuple(shape)} does not broadcast to the input's shape {input.shape}")
    return apply(SUM_TO, input, shape=tuple(shape))


def _dims(have, shape):
    """Dimensions of ``have`` that are summed: the leading ones that ``shape`` lacks, and those where it has 1."""
    lead = len(have) - len(shape)
    return tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and have[lead + i] != 1)


def forward_numpy(input, *, shape):
    dims = _dims(input.shape, shape)
    kind = np.float32 if input.dtype.itemsize == 2 else None
    return np.add.reduce(input, axis=dims, dtype=kind).astype(input.dtype, copy=False).reshape(shape)


def forward_triton(input, *, shape):
    out = reduce(input, _dims(input.shape, shape), False, plus, 0)
    return out.viewed(lambda a: a.reshape(shape, copy=False))


def samples(rng):
    yield Sample(
        "worked",
        (np.array([[1.0, 2.0], [3.0, 4.0]]),),
        {"shape": (1, 2)},
        answers=([[4.0, 6.0]], [[1.0, 1.0], [1.0, 1.0]]),
    )
    yield Sample("to a number", (rng.normal(size=(3, 5)),), {"shape": ()}, terms=15)
    yield Sample("leading and inner", (rng.normal(size=(2, 3, 4, 5)),), {"shape": (4, 1)}, terms=30)
    yield Sample("empty", (rng.normal(size=(0, 3)),), {"shape": (3,)})
    yield Sample("long", (rng.normal(size=(70000, 2)),), {"shape": (2,)}, dtypes=("float64", "float32"), terms=70000)
    yield Sample(
        "misfit",
        (np.zeros((2, 3)),),
        {"shape": (2,)},
        raises=(RuntimeError, "sum_to: shape (2,) does not broadcast to the input's shape (2, 3)"),
    )


SUM_TO = register(
    Op(
        name="sum_to",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton)),
        grads=(Grad(of=("input",), keeps=(), op="expand", settings=lambda call: {"shape": call.shape("input")}),),
        samples=samples,
        function=sum_to,
    )
)
