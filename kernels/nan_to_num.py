"""Numbers in place of nan and the infinities, elementwise.

out        = nan where input is nan,  posinf where it is inf,  neginf where it is -inf,  input elsewhere
grad_input = grad where input is finite,  0 elsewhere
"""

import numpy as np
from ml_dtypes import finfo

from ..autograd import Tensor, apply, apply_
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Grad, Op, Sample, register


def nan_to_num(
    input: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """``input`` with ``nan``, ``posinf`` and ``neginf`` in place of nan and the infinities.

    None stands for 0, the greatest and the least finite number of the dtype.  Integers stay as they are.

    >>> nan_to_num(Tensor([float("nan"), float("inf"), 1.0]), posinf=9.0).tolist()
    [0.0, 9.0, 1.0]
    """
    return apply(NAN_TO_NUM, input, **_resolved(input, nan, posinf, neginf))


def nan_to_num_(
    input: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """``nan_to_num`` in place; returns ``input``.

    >>> nan_to_num_(Tensor([float("nan"), 1.0]), 5.0).tolist()
    [5.0, 1.0]
    """
    return apply_(NAN_TO_NUM, input, **_resolved(input, nan, posinf, neginf))


def _resolved(input, nan, posinf, neginf):
    if not input.dtype.is_floating_point:
        return {"nan": 0, "posinf": 0, "neginf": 0}
    largest = float(finfo(input.dtype.numpy).max)
    return {
        "nan": 0.0 if nan is None else float(nan),
        "posinf": largest if posinf is None else float(posinf),
        "neginf": -largest if neginf is None else float(neginf),
    }


def forward_numpy(input, *, nan, posinf, neginf):
    if input.dtype.kind != "f":
        return input.copy()
    out = np.where(input != input, input.dtype.type(nan), input)
    out[input == np.inf] = posinf
    out[input == -np.inf] = neginf
    return out


def backward_numpy(grad, input):
    return np.where(np.isfinite(input), grad, 0)


@jit
def _forward(x, nan, posinf, neginf):
    if x.dtype.is_floating():
        out = tl.where(x != x, nan, x)
        out = tl.where(x == float("inf"), posinf, out)
        return tl.where(x == -float("inf"), neginf, out)
    else:
        return x


@jit
def _backward(grad, x):
    return tl.where(tl.abs(x) < float("inf"), grad, 0)


def samples(rng):
    x = np.array([np.nan, np.inf, -np.inf, 1.5])
    settings = {"nan": 2.0, "posinf": 3.0, "neginf": -4.0}
    yield Sample("worked", (x,), settings, answers=([2.0, 3.0, -4.0, 1.5], [0.0, 0.0, 0.0, 1.0]))
    yield Sample("integers", (np.array([1, -2]),), settings, answers=([1, -2],), dtypes=())
    for shape in [(), (0, 2), (7,), (2, 1025)]:
        yield Sample(f"shape {shape}", (rng.normal(size=shape),), settings)
    yield Sample("strided", (rng.normal(size=(4, 6))[:, ::2].T,), settings)


NAN_TO_NUM = register(
    Op(
        name="nan_to_num",
        kernel=elementwise(forward_numpy, _forward),
        grads=(Grad(of=("input",), keeps=("input",), op="nan_to_num_backward", settings=lambda call: {}),),
        samples=samples,
        function=nan_to_num,
    )
)

register(
    Op(
        name="nan_to_num_backward",
        kernel=elementwise(backward_numpy, _backward),
        grads=(Grad(of=("grad",), keeps=("input",), op="nan_to_num_backward"),),
        zero=("input",),
    )
)
