"""Images, signals and volumes brought to other sizes.

out[..., o, ...] = sum over taps of weight[o] * input[..., index[o], ...] along each spatial dimension in turn: see
``resample``, whose row this is; out[o] looks at the place (o + 1/2) * scale - 1/2, or at o * (n - 1) / (out - 1) with
``align_corners``.

nearest        the input at floor(o * scale);  nearest-exact: at floor((o + 1/2) * scale)
linear         the two inputs around the place (bilinear, trilinear: in each dimension)
bicubic        the four inputs around it, by cubic convolution with a = -3/4
area           the mean over window o of adaptive pooling
Source: Keys (1981) for cubic convolution.
"""

from math import floor
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework.op import Op, Sample, register
from .pooling import adaptive_mean
from .resample import GRADS, KERNEL

_MODES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "trilinear": (3,),
    "area": (1, 2, 3),
}  # the numbers of spatial dimensions that each is for


def interpolate(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``input`` (N, C, ...) of 1 to 3 spatial dimensions in another ``size``, or ``scale_factor`` times its own.

    ``mode`` is nearest, nearest-exact, linear, bilinear, bicubic, trilinear or area.  ``align_corners`` (the linear modes
    and bicubic) lets the outermost pixels fall together; ``recompute_scale_factor`` takes the scale from the rounded
    sizes; ``antialias`` (bilinear and bicubic) widens the filter where the image shrinks.  Raises ValueError for
    arguments that contradict each other, NotImplementedError for a mode that there is not for the input's dimensions or dtype,
    RuntimeError for sizes below 1, TypeError for numbers of a wrong type.

    >>> interpolate(Tensor([[[1.0, 3.0]]]), scale_factor=2, mode="linear").numpy()
    array([[[1. , 1.5, 2.5, 3. ]]], dtype=float32)
    """
    if mode not in _MODES:
        raise NotImplementedError(f"interpolate: expected mode to be one of {', '.join(_MODES)}, got {mode!r}")
    spatial = input.ndim - 2
    linear = mode in ("linear", "bilinear", "bicubic", "trilinear")
    if align_corners is not None and not linear:
        raise ValueError(f"interpolate: align_corners is for linear modes and bicubic, not for {mode!r}")
    if not 1 <= spatial <= 3:
        raise NotImplementedError(f"interpolate: expected an input of 3 to 5 dimensions, got {input.shape}")
    out, scales = _sizes(input.shape[2:], size, scale_factor, recompute_scale_factor, mode)
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias is for bilinear and bicubic, not for {mode!r}")
    if spatial not in _MODES[mode]:
        raise NotImplementedError(f"interpolate: there is no {mode!r} for an input of {input.ndim} dimensions")
    if 0 in input.shape[1:] or min(out) < 1:
        raise RuntimeError(
            f"interpolate: input and output sizes must be at least 1, got input {input.shape}, output {out}"
        )
    floating = input.dtype.is_floating_point
    if not floating and not (input.dtype.name == "uint8" and mode.startswith("nearest")):
        raise NotImplementedError(f"interpolate: expected a floating input, got {input.dtype.name}")
    if mode == "area":
        return adaptive_mean(input, out)
    (input,) = autocast_inputs(INTERPOLATE, input)
    corners = bool(align_corners)
    if spatial == 2 and mode == "nearest":  # as in PyTorch, pixels are kept or doubled whatever the scale's fraction
        scales = tuple(None if o in (n, 2 * n) else s for n, o, s in zip(input.shape[2:], out, scales, strict=True))
    lines: list[Any] = []
    for n, o, scale in zip(input.shape[2:], out, scales, strict=True):
        if not linear:
            kind = "float64" if input.dtype.name == "float64" else "float32"
            lines.append(("nearest", n, o, scale, kind, mode == "nearest-exact"))
        elif antialias:
            lines.append(("smooth", n, o, corners, scale, mode == "bicubic"))
        else:
            lines.append(("cubic" if mode == "bicubic" else "linear", n, o, corners, scale))
    return apply(INTERPOLATE, input, first=-spatial, lines=tuple(lines), transposed=False)


def _sizes(shape, size, scale_factor, recompute, mode):
    """The output's sizes and, where they count, the scales that were asked for."""
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"interpolate: expected either size or scale_factor, got {'neither' if size is None else 'both'}"
        )
    spatial = len(shape)
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor needs a scale_factor, got a size")
        given = tuple(size) if isinstance(size, (tuple, list)) else (size,) * spatial
        if len(given) != spatial:
            raise ValueError(
                f"interpolate: expected a size of {spatial} numbers for {spatial} spatial dimensions, got {size!r}"
            )
        try:
            return tuple(index(n) for n in given), (None,) * spatial
        except TypeError:
            raise TypeError(f"interpolate: size must be an int or several, got {size!r}") from None
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * spatial
    if len(factors) != spatial:
        raise ValueError(
            f"interpolate: expected a scale_factor of {spatial} numbers for {spatial} spatial dimensions, got {scale_factor!r}"
        )
    if not all(isinstance(f, (Real, np.number)) for f in factors):
        raise TypeError(f"interpolate: scale_factor must be a float or several, got {scale_factor!r}")
    out = tuple(floor(n * float(f)) for n, f in zip(shape, factors, strict=True))
    if recompute or mode == "area":
        return out, (None,) * spatial
    return out, tuple(float(f) for f in factors)


def upsample(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """``interpolate``, under its older name.

    >>> upsample(Tensor([[[1.0, 3.0]]]), 4).numpy()
    array([[[1., 1., 3., 3.]]], dtype=float32)
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: int | tuple[int, ...] | None = None, scale_factor: float | tuple[float, ...] | None = None
) -> Tensor:
    """``interpolate`` with mode nearest.

    >>> upsample_nearest(Tensor([[[1.0, 3.0]]]), 4).numpy()
    array([[[1., 1., 3., 3.]]], dtype=float32)
    """
    return interpolate(input, size, scale_factor)


def upsample_bilinear(
    input: Tensor, size: int | tuple[int, ...] | None = None, scale_factor: float | tuple[float, ...] | None = None
) -> Tensor:
    """``interpolate`` with mode bilinear and aligned corners.

    >>> upsample_bilinear(Tensor([[[[1.0, 4.0]]]]), (1, 4)).numpy()
    array([[[[1., 2., 3., 4.]]]], dtype=float32)
    """
    return interpolate(input, size, scale_factor, "bilinear", True)


def samples(rng):
    yield Sample(
        "worked",
        (np.array([[[1.0, 3.0, 5.0]]]),),
        {"first": -1, "lines": (("nearest", 3, 2, None, "float32", False),), "transposed": False},
        answers=([[[1.0, 3.0]]], [[[1.0, 1.0, 0.0]]]),
    )
    yield Sample(
        "both sizes",
        (np.zeros((1, 1, 2)),),
        {"size": 2, "scale_factor": 2.0},
        raises=(ValueError, "interpolate: expected either size or scale_factor, got both"),
    )
    yield Sample(
        "not for images",
        (np.zeros((1, 1, 2, 2)),),
        {"size": 2, "mode": "linear"},
        raises=(NotImplementedError, "interpolate: there is no 'linear' for an input of 4 dimensions"),
    )


INTERPOLATE = register(
    Op(
        name="interpolate",
        kernel=KERNEL,
        grads=GRADS,
        samples=samples,
        function=interpolate,
        autocast="float32",
    )
)
