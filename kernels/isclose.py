"""Whether two arrays are close, elementwise.

out = input == other,  or |input - other| <= atol + |rtol * other| and finite,  or both nan if equal_nan
"""

import numpy as np

from ..autograd import Tensor, apply
from ..framework import dtypes
from ..framework.elementwise import elementwise
from ..framework.language import jit, tl
from ..framework.op import Op, Sample, register


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``: a bool tensor; shapes broadcast.

    Two nan are close if ``equal_nan``.  Raises RuntimeError for unlike dtypes and for negative tolerances.

    >>> isclose(Tensor([1.0, 2.0]), Tensor([1.000001, 2.1])).tolist()
    [True, False]
    """
    for x in (input, other):
        if not isinstance(x, Tensor):
            raise TypeError(f"isclose: expected tensors, got {type(x).__name__}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"isclose: expected one dtype, got {input.dtype.name} and {other.dtype.name}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not value >= 0:
            raise RuntimeError(f"isclose: expected {name} >= 0, got {value}")
    if not input.dtype.is_floating_point:
        input, other = input.to(dtypes.float64), other.to(dtypes.float64)
    return apply(ISCLOSE, input, other, rtol=float(rtol), atol=float(atol), equal_nan=float(bool(equal_nan)))


def forward_numpy(input, other, *, rtol, atol, equal_nan):
    gap = np.abs(input - other)
    close = (input == other) | (np.isfinite(gap) & (gap <= atol + np.abs(rtol * other)))
    return close | ((input != input) & (other != other)) if equal_nan else close


@jit
def _close(x, y, rtol, atol, equal_nan):
    gap = tl.abs(x - y)
    near = (gap < float("inf")) & (gap <= atol + tl.abs(rtol * y))
    return (x == y) | near | ((equal_nan != 0) & (x != x) & (y != y))


def samples(rng):
    exact = {"rtol": 0.0, "atol": 0.0, "equal_nan": 0.0}
    loose = {"rtol": 0.25, "atol": 0.5, "equal_nan": 1.0}
    x = np.array([1.0, 1.0, np.nan, np.inf, np.inf, np.inf, -4.0])
    y = np.array([1.0, 2.25, np.nan, np.inf, -np.inf, 1.0, -2.0])
    yield Sample("exact", (x, y), exact, answers=([True, False, False, True, False, False, False],))
    yield Sample("loose", (x, y), loose, answers=([True, False, True, True, False, False, False],))
    yield Sample("near", (np.array([1.0, 3.0]), np.array([2.0, 2.0])), loose, answers=([True, True],))
    yield Sample("negative", (np.array([-1.0, -3.5]), np.array([-2.0, -2.0])), loose, answers=([True, False],))
    yield Sample("broadcast", (rng.normal(size=(3, 1)), rng.normal(size=(4,))), loose, dtypes=("float64",))
    yield Sample("strided", (rng.normal(size=(5, 4)).T, rng.normal(size=(4, 10))[:, ::2]), loose, dtypes=("float64",))
    yield Sample("empty", (np.zeros((0, 2)), np.ones(2)), loose)
    yield Sample(
        "dtypes",
        (np.ones(1), np.ones(1, np.float32)),
        {"rtol": 0.0, "atol": 0.0, "equal_nan": False},
        dtypes=(),
        raises=(RuntimeError, "isclose: expected one dtype, got float64 and float32"),
    )
    yield Sample(
        "tolerance",
        (np.ones(1), np.ones(1)),
        {"rtol": -1, "atol": 0.0, "equal_nan": False},
        raises=(RuntimeError, "isclose: expected rtol >= 0, got -1"),
    )


ISCLOSE = register(
    Op(
        name="isclose",
        kernel=elementwise(forward_numpy, _close, result=bool),
        samples=samples,
        function=isclose,
        zero=("input", "other"),
    )
)
