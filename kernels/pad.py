"""Borders around the last dimensions of a tensor: of one value, mirrored, repeated, or wrapped around.

out[..., o, ...]  = input[..., o - before, ...]  inside, ``value`` outside     (constant)
                  = input[..., index(o - before), ...]                         (others: see ``resample``)
grad_input        = grad without the borders, each border's part added to where it came from

A negative border cuts off instead.  The gradient of a constant border is the border of the other sign.
"""

from operator import index

import numpy as np

from ..autograd import Tensor, apply
from ..framework import window
from ..framework.array import empty_like
from ..framework.fill import fill
from ..framework.launch import copy_into
from ..framework.op import Grad, Kernel, Op, Sample, register
from .resample import RESAMPLE


def pad(input: Tensor, pad: tuple[int, ...], mode: str = "constant", value: float | None = None) -> Tensor:
    """``input`` with borders: ``pad`` names those before and after the last dimension, then the last but one, and so on.

    ``mode`` is "constant" (of ``value``, 0 by default; any number of dimensions), "reflect", "replicate" or "circular"
    (the last 1, 2 or 3 of an input with one or two dimensions more).  Negative numbers cut off.  Raises RuntimeError
    for borders that do not fit the input and for a ``value`` in another mode than constant, TypeError for numbers that
    are no integers, NotImplementedError for unknown modes and numbers of dimensions.

    >>> pad(Tensor([1.0, 2.0]), (1, 2)).numpy()
    array([0., 1., 2., 0., 0.], dtype=float32)
    """
    try:
        given = tuple(index(p) for p in pad)
    except TypeError:
        raise TypeError(f"pad: expected pad to be a sequence of ints, got {pad!r}") from None
    if len(given) % 2:
        raise RuntimeError(f"pad: expected an even number of borders, got {len(given)}")
    if len(given) > 2 * input.ndim:
        raise RuntimeError(f"pad: {len(given)} borders are too many for an input of {input.ndim} dimensions")
    sides = tuple(zip(given[::2], given[1::2], strict=True))[::-1]  # of the last len(sides) dimensions, in their order
    if mode == "constant":
        return constant(input, sides, 0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"pad: expected mode constant, reflect, replicate or circular, got {mode!r}")
    if value is not None and value != 0:
        raise RuntimeError(f"pad: mode {mode!r} takes no value, got {value!r}")
    if len(sides) not in (1, 2, 3) or input.ndim - len(sides) not in (1, 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} takes 2, 4 or 6 borders and an input with 1 or 2 dimensions more, "
            f"got {len(given)} borders for shape {input.shape}"
        )
    if 0 in input.shape[input.ndim - len(sides) - 1 :]:
        raise RuntimeError(
            f"pad: mode {mode!r} needs an input whose size is 0 in no dimension but the batch's, got {input.shape}"
        )
    lines = []
    for n, (before, after) in zip(input.shape[-len(sides) :], sides, strict=True):
        most = {"reflect": n - 1, "circular": n}.get(mode)
        if most is not None and max(before, after) > most:
            raise RuntimeError(
                f"pad: mode {mode!r} allows borders of at most {most} for a size of {n}, got {(before, after)}"
            )
        if n + before + after < 1 or (mode == "circular" and n + min(before, 0) + min(after, 0) < 1):
            raise RuntimeError(f"pad: borders {(before, after)} leave nothing of a size of {n}")
        lines.append(("pad", n, n + before + after, before, mode))
    return apply(RESAMPLE, input, first=-len(lines), lines=tuple(lines), transposed=False)


def constant(input: Tensor, sides: tuple[tuple[int, int], ...], value: float = 0) -> Tensor:
    """``input`` with borders (before, after) of ``value`` around its last dimensions.  Raises RuntimeError for sizes below 0."""
    whole = ((0, 0),) * (input.ndim - len(sides)) + tuple(sides)
    for n, (before, after) in zip(input.shape, whole, strict=True):
        if n + before + after < 0:
            raise RuntimeError(f"pad: borders {(before, after)} leave nothing of a size of {n}")
    number = value.item() if hasattr(value, "item") else value
    return apply(PAD, input, sides=whole, value=number)


def _places(shape, sides):
    """Where the input lies in the output, and which part of the input that is."""
    there = tuple(
        slice(max(before, 0), max(before, 0) + max(0, n + min(before, 0) + min(after, 0)))
        for n, (before, after) in zip(shape, sides, strict=True)
    )
    part = tuple(
        slice(max(-before, 0), max(-before, 0) + max(0, n + min(before, 0) + min(after, 0)))
        for n, (before, after) in zip(shape, sides, strict=True)
    )
    return (..., *there), (..., *part)  # of a 0-d array a view, not a number


def _empty(input, sides):
    shape = tuple(n + before + after for n, (before, after) in zip(input.shape, sides, strict=True))
    if input.ndim == 4:
        return window.empty(input, shape)
    return np.empty(shape, input.dtype) if isinstance(input, np.ndarray) else empty_like(input, shape)


def forward_numpy(input, *, sides, value):
    out = _empty(input, sides)
    there, part = _places(input.shape, sides)
    if any(before > 0 or after > 0 for before, after in sides):
        out.fill(value)
    out[there] = input[part]
    return out


def forward_triton(input, *, sides, value):
    out = _empty(input, sides)
    there, part = _places(input.shape, sides)
    if any(before > 0 or after > 0 for before, after in sides):
        fill(out, value)
    copy_into(out.viewed(lambda a: a[there]), input.viewed(lambda a: a[part]))
    return out


def samples(rng):
    yield Sample(
        "worked",
        (np.array([[1.0, 2.0], [3.0, 4.0]]),),
        {"sides": ((1, 0), (0, 2)), "value": 5.0},
        answers=([[5.0] * 4, [1.0, 2.0, 5.0, 5.0], [3.0, 4.0, 5.0, 5.0]], [[1.0, 1.0], [1.0, 1.0]]),
    )
    yield Sample(
        "cut",
        (np.array([1.0, 2.0, 3.0]),),
        {"sides": ((-1, 1),), "value": 0.0},
        answers=([2.0, 3.0, 0.0], [0.0, 1.0, 1.0]),
    )
    yield Sample("integers", (np.array([1, 2]),), {"sides": ((1, 0),), "value": 7}, answers=([7, 1, 2],), dtypes=())
    yield Sample("truth", (np.array([True]),), {"sides": ((1, 0),), "value": 0}, answers=([False, True],), dtypes=())
    for shape, sides in [
        ((2, 3, 4), ((0, 0), (1, 2), (-1, 3))),
        ((), ()),
        ((0, 2), ((1, 0), (1, 1))),
        ((3,), ((-2, -1),)),
    ]:
        yield Sample(f"shape {shape}", (np.asarray(rng.normal(size=shape)),), {"sides": sides, "value": 0.5})
    yield Sample(
        "channels last",
        (rng.normal(size=(2, 3, 4, 5)).transpose(0, 3, 1, 2),),
        {"sides": ((0, 0), (0, 0), (1, 2), (2, 0)), "value": 0.0},
    )
    yield Sample(
        "odd",
        (np.zeros(2), (1, 2, 3)),
        raises=(RuntimeError, "pad: expected an even number of borders, got 3"),
    )
    yield Sample(
        "mirrored too far",
        (np.zeros((1, 2)), (2, 0)),
        {"mode": "reflect"},
        raises=(RuntimeError, "pad: mode 'reflect' allows borders of at most 1 for a size of 2, got (2, 0)"),
    )
    yield Sample(
        "nothing left",
        (np.zeros(2), (-2, -1)),
        raises=(RuntimeError, "pad: borders (-2, -1) leave nothing of a size of 2"),
    )


PAD = register(
    Op(
        name="pad",
        kernel=Kernel(numpy=forward_numpy, triton=forward_triton),
        grads=(
            Grad(
                of=("input",),
                keeps=(),
                op="pad",
                settings=lambda call: {"sides": tuple((-b, -a) for b, a in call.settings["sides"]), "value": 0.0},
            ),
        ),
        samples=samples,
        function=pad,
    )
)
