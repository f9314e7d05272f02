"""Running averages of a group of arrays, moved in place towards what the arrays are now; one launch for all of them.

    average = average + share * (current - average)

Half types are computed in float32 and rounded once.  Both arrays of a place have one dtype.

Source: Polyak, Juditsky (1992); Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization".
"""

import numpy as np

from ..framework.group import pieces, scratch, step_group
from ..framework.language import jit
from ..framework.op import Kernel, Op, Sample, register


def forward_numpy(averages, currents, *, share):
    buffers = scratch((averages, currents), 1)
    for average, current in pieces((averages, currents), 1):
        (t,) = buffers(average)
        np.subtract(current, average, out=t)
        t *= share
        average += t
    return ()


@jit
def _step(average, current, share):
    return (average + share * (current - average),)


def forward_triton(averages, currents, *, share):
    step_group(_step, (averages, currents), (share,), writes=1)
    return ()


def samples(rng):
    worked = (np.array([4.0, -1.0]), np.array(0.0)), (np.array([8.0, -1.0]), np.array(2.0))
    yield Sample("worked", worked, {"share": 0.25}, answers=([5.0, -1.0], 0.5))
    shapes = [(3, 4), (0,), (), (1500,)]
    given = [tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(2)]
    yield Sample("group", tuple(given), {"share": 0.01}, terms=2)
    turned = (rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),)
    yield Sample("strided", turned, {"share": 0.01}, terms=2)


AVERAGE_STEP = register(
    Op(
        name="average_step",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("averages", "currents"),  # there is no output to differentiate
        writes=("averages",),
    )
)
