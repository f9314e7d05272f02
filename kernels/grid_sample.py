"""Images and volumes read at given places, between their pixels: made of other rows.

With the place (x, y) of an output in pixels, from grid coordinates between -1 and 1 (for the other dimensions alike):

    x          = (grid + 1) / 2 * (W - 1)  with ``align_corners``,  ((grid + 1) * W - 1) / 2  without
    out[n, c, o] = sum over taps (i, j) around (x, y) of weight(x - i) * weight(y - j) * input[n, c, j, i]

    weight     linear: 1 - |d| at the two taps around; nearest: 1 at the nearest (of two alike, the even); bicubic: cubic
               convolution with a = -3/4 at the four around

Taps outside count as zeros, are moved to the border, or mirrored.  Gradients for input and grid follow from those of the
rows.  Source: Jaderberg et al. (2015); Keys (1981) for cubic convolution.
"""

from itertools import product
from math import prod
from operator import index
from typing import Any

import numpy as np

from ..autograd import Tensor, tensor
from .abs import abs
from .bmm import bmm
from .clamp import clamp
from .gather import gather
from .rounding import floor, round
from .where import where


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """``input`` (N, C, H, W) read at ``grid`` (N, P, Q, 2), giving (N, C, P, Q); or (N, C, D, H, W) at (N, O, P, Q, 3).

    The last dimension of ``grid`` is x, y(, z), from -1 to 1 across the input: between the outermost pixels' centers with
    ``align_corners``, else between their edges.  ``mode`` is bilinear, nearest or bicubic (images only); ``padding_mode``
    zeros, border or reflection.  Raises ValueError for other modes, RuntimeError for shapes and dtypes that do not fit.

    >>> grid_sample(Tensor([[[[1.0, 3.0]]]]), Tensor([[[[0.0, 0.0]]]])).numpy()
    array([[[[2.]]]], dtype=float32)
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(f"grid_sample: expected mode bilinear, nearest or bicubic, got {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: expected padding_mode zeros, border or reflection, got {padding_mode!r}")
    if input.ndim not in (4, 5) or grid.ndim != input.ndim:
        raise RuntimeError(
            f"grid_sample: expected input and grid of 4 or 5 dimensions both, got {input.shape} and {grid.shape}"
        )
    spatial = input.ndim - 2
    if grid.shape[0] != input.shape[0] or grid.shape[-1] != spatial:
        raise RuntimeError(
            f"grid_sample: input {input.shape} expects a grid of shape ({input.shape[0]}, ..., {spatial}), got {grid.shape}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(f"grid_sample: expected an input with pixels, got {input.shape}")
    if input.dtype is not grid.dtype or not input.dtype.is_floating_point:
        raise RuntimeError(
            f"grid_sample: expected one floating dtype, got input {input.dtype.name}, grid {grid.dtype.name}"
        )
    if mode == "bicubic" and spatial != 2:
        raise RuntimeError(f"grid_sample: bicubic is for images (N, C, H, W), got input {input.shape}")
    corners = bool(align_corners)
    n, c, *size = input.shape
    count = prod(grid.shape[1:-1])
    flat = input.reshape(n, c, prod(size))
    taps = []  # for each dimension of the input: (index, inside, weight or None) of each tap
    for d, length in enumerate(size):
        place = grid[..., spatial - 1 - d].reshape(n, count)
        place = (place + 1) * ((length - 1) / 2) if corners else ((place + 1) * length - 1) / 2
        taps.append(_taps(place, length, mode, padding_mode, corners))
    total: Any = None
    for chosen in product(*taps):
        at: Any = None
        weight: Any = None
        inside: Any = None
        for (number, valid, own), length in zip(chosen, size, strict=True):
            at = number if at is None else at * length + number
            weight = own if weight is None or own is None else weight * own
            inside = valid if inside is None else inside & valid
        value = gather(flat, 2, at.unsqueeze(1).expand(n, c, count))
        value = where(inside.unsqueeze(1), value, 0.0)
        if weight is not None:
            value = value * weight.unsqueeze(1)
        total = value if total is None else total + value
    return total.reshape(n, c, *grid.shape[1:-1])


def _taps(place, length, mode, padding_mode, corners):
    """The taps of one dimension around places in pixels."""
    if mode == "bicubic":
        low = floor(place.detach())
        part = place - low
        weights = [_cubic(abs(part - i), outer=i in (-1, 2)) for i in range(-1, 3)]
        return [
            (*_integer(_padded(low + i, length, padding_mode, corners), length), w)
            for i, w in zip(range(-1, 3), weights, strict=True)
        ]
    place = _padded(place, length, padding_mode, corners)
    if mode == "nearest":
        one = None
        if place.requires_grad:  # a weight of 1, through which the gradient for the grid is zero, not none
            one = where((place == place) | (place != place), 1.0, round(place))
        return [(*_integer(round(place.detach()), length), one)]
    low = floor(place.detach())
    part = place - low
    return [(*_integer(low, length), 1 - part), (*_integer(low + 1, length), part)]


def _cubic(x, outer):
    a = -0.75
    if outer:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return ((a + 2) * x - (a + 3)) * x * x + 1


def _integer(place, length):
    """Pixel numbers, 0 for those outside, and which are inside."""
    inside = (place >= 0) & (place <= length - 1)
    return where(inside, place, 0.0).long(), inside


def _padded(place, length, padding_mode, corners):
    """Places moved inside as ``padding_mode`` says."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        low, span = (0.0, length - 1.0) if corners else (-0.5, float(length))
        if span:
            away = abs(place - low)
            turns = floor(away.detach() / span)
            rest = away - turns * span
            even = turns - 2 * floor(turns / 2) == 0
            place = where(even, rest, span - rest) + low
        else:
            place = place * 0.0
    return clamp(where(place == place, place, 0.0), 0.0, length - 1.0)  # NaN becomes 0


def affine_grid(theta: Tensor, size: tuple[int, ...], align_corners: bool | None = None) -> Tensor:
    """The places that ``theta`` (N, 2, 3) maps the pixels of an output ``size`` (N, C, H, W) to, (N, H, W, 2); or (N, 3, 4) and volumes.

    Raises ValueError for a size that is not 4 or 5 numbers and for sizes below 1, RuntimeError for a theta that does not
    fit or is not floating.

    >>> affine_grid(Tensor([[[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2)).numpy()
    array([[[[0., 0.],
             [2., 0.]]]], dtype=float32)
    """
    given = tuple(index(n) for n in size)
    if len(given) not in (4, 5):
        raise NotImplementedError(f"affine_grid: expected a size (N, C, H, W) or (N, C, D, H, W), got {size!r}")
    if min(given) < 1:
        raise ValueError(f"affine_grid: expected sizes of at least 1, got {size!r}")
    if not theta.dtype.is_floating_point:
        raise ValueError(f"affine_grid: expected a floating theta, got {theta.dtype.name}")
    spatial = len(given) - 2
    if theta.shape != (given[0], spatial, spatial + 1):
        raise ValueError(
            f"affine_grid: expected theta of shape {(given[0], spatial, spatial + 1)} for size {given}, got {theta.shape}"
        )
    lines = []
    for n in given[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if align_corners else line * (n - 1) / n)
    places = np.stack([*reversed(np.meshgrid(*lines, indexing="ij")), np.ones(given[2:])], -1)
    base = tensor(places.reshape(1, -1, spatial + 1), dtype=theta.dtype, device=theta.device)
    out = bmm(base.expand(given[0], *base.shape[1:]), theta.transpose(1, 2))
    return out.reshape(given[0], *given[2:], spatial)
