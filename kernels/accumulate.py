"""Many additions in place at once: what backward adds to gradients that are there already, in one launch.

    sums[i] = sums[i] + terms[i]    for each i

The arrays of a pair have one shape and dtype, and each pair is added as ``add`` adds: half types in float32, rounded
once.
"""

import numpy as np

from ..framework import dtypes
from ..framework.group import step_group
from ..framework.language import jit
from ..framework.op import Kernel, Op, Sample, register


def forward_numpy(sums, terms):
    for total, term in zip(sums, terms, strict=True):
        if total.dtype in dtypes.HALF:
            total[...] = total.astype(np.float32) + term.astype(np.float32)
        else:
            np.add(total, term, out=total)
    return ()


@jit
def _sum(total, term):
    return (total + term,)


def forward_triton(sums, terms):
    step_group(_sum, (sums, terms), (), writes=1)
    return ()


def samples(rng):
    yield Sample(
        "worked",
        ((np.array([1.0, 2.0]), np.array(-3.0)), (np.array([10.0, -2.0]), np.array(3.0))),
        answers=([11.0, 0.0], 0.0),
    )
    shapes = [(3, 4), (0,), (), (1500,), (2, 1, 3)]
    yield Sample("many shapes", tuple(tuple(np.asarray(rng.normal(size=s)) for s in shapes) for _ in range(2)), terms=2)
    yield Sample("strided", ((rng.normal(size=(3, 4)).T,), (rng.normal(size=(4, 3)),)), terms=2)


ACCUMULATE = register(
    Op(
        name="accumulate",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        samples=samples,
        outputs=(),
        differentiable=0,
        zero=("sums", "terms"),  # there is no output to differentiate
        writes=("sums",),
    )
)
