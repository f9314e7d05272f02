"""Transforms: small functions of one item, computed on the host, to be given to a data set.

Names and arguments are torchvision's.  An image is a tensor (..., C, H, W) or a NumPy array (H, W) or (H, W, C), and
what comes out is of the same kind; anything else that NumPy can look into, such as an image of pillow, becomes an array.

Random ones take one stream of trigrad's default generator for each call, and all their numbers from it.  So they follow
from ``manual_seed``, and in a loader's worker processes from the workers' seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import host_array, wrap
from ..framework import dtypes
from ..framework.random import default_generator


class Compose:
    """Several transforms, one after the other."""

    transforms: Sequence[Callable[[Any], Any]]

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, item: Any) -> Any:
        for transform in self.transforms:
            item = transform(item)
        return item

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class ToTensor:
    """A NumPy array or image (H, W) or (H, W, C) as a tensor (C, H, W); uint8 is divided by 255 and becomes float32.

    Raises TypeError for what is no array, ValueError for other numbers of dimensions.

    >>> ToTensor()(np.full((2, 2, 3), 255, np.uint8)).shape
    (3, 2, 2)
    """

    def __call__(self, image: Any) -> Tensor:
        if not isinstance(image, np.ndarray) and not hasattr(image, "__array_interface__"):
            raise TypeError(f"ToTensor: expected a NumPy array or an image, got {type(image).__name__}")
        array = np.asarray(image)
        if array.ndim not in (2, 3):
            raise ValueError(f"ToTensor: expected an image (H, W) or (H, W, C), got shape {array.shape}")
        planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        if array.dtype == np.uint8:
            return wrap(np.ascontiguousarray(planes, np.float32) / np.float32(255))
        return wrap(host_array(np.ascontiguousarray(planes), copy=True))

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """``(image - mean) / std`` for each channel of a floating tensor (..., C, H, W), in new memory.

    Raises ValueError where a std is 0 or the number of channels differs, TypeError for what is no floating tensor.

    >>> Normalize([0.5], [0.5])(Tensor([[[0.0, 1.0]]])).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(self, mean: Sequence[float] | float, std: Sequence[float] | float) -> None:
        self.mean = mean
        self.std = std
        self._mean = np.atleast_1d(np.asarray(mean, np.float64))
        self._std = np.atleast_1d(np.asarray(std, np.float64))
        if self._mean.ndim != 1 or self._std.ndim != 1:
            raise ValueError("Normalize: expected one mean and one std for each channel")
        if not self._std.all():
            raise ValueError("Normalize: std must not be 0")

    def __call__(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor) or not image.dtype.is_floating_point:
            kind = image.dtype.name if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"Normalize: expected a floating tensor, got {kind}")
        channels = image.shape[-3] if image.ndim >= 3 else None
        if channels is None or any(len(x) not in (1, channels) for x in (self._mean, self._std)):
            raise ValueError(
                f"Normalize: expected an image (..., C, H, W) for {max(len(self._mean), len(self._std))} channels, "
                f"got shape {image.shape}"
            )
        host = image.host()
        real = np.float32 if image.dtype.numpy in dtypes.HALF else host.dtype.type
        mean, std = (x.astype(real)[:, None, None] for x in (self._mean, self._std))
        out = wrap(((host.astype(real) - mean) / std).astype(host.dtype))
        return out if image.device is out.device else out.to(image.device)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Lambda:
    """Any function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, item: Any) -> Any:
        return self.lambd(item)

    def __repr__(self) -> str:
        return "Lambda()"


# Images


def _opened(name: str, image: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """An image as an array (..., H, W), and what makes of such an array an image of the same kind."""
    if isinstance(image, Tensor):
        if image.ndim < 2:
            raise ValueError(f"{name}: expected an image (..., H, W), got shape {image.shape}")
        where, host = image.device, image.detach().cpu().host()
        return host, lambda planes: wrap(np.ascontiguousarray(planes)).to(where)
    if not isinstance(image, np.ndarray) and not hasattr(image, "__array_interface__"):
        raise TypeError(f"{name}: expected a tensor, a NumPy array or an image, got {type(image).__name__}")
    array = np.asarray(image)
    if array.ndim not in (2, 3):
        raise ValueError(f"{name}: expected an image (H, W) or (H, W, C), got shape {array.shape}")
    if array.ndim == 2:
        return array, np.ascontiguousarray
    return array.transpose(2, 0, 1), lambda planes: np.ascontiguousarray(planes.transpose(1, 2, 0))


def _rng() -> np.random.Generator:
    key = default_generator.key()
    return np.random.Generator(np.random.Philox(key=key.seed | key.stream << 64))


def _pair(name: str, what: str, size: Any) -> tuple[int, int]:
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) == 1:
        both = (both[0], both[0])
    if len(both) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in both):
        raise ValueError(f"{name}: expected {what} to be one or two positive integers, got {size!r}")
    return both


def _check_share(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected p in [0, 1], got {p}")


def _like(values: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Computed values in an image's dtype: whole numbers are rounded and stay in its range."""
    if planes.dtype.kind in "iu":
        limits = np.iinfo(planes.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(planes.dtype)


def _real(planes: np.ndarray) -> np.ndarray:
    return planes.astype(np.float64 if planes.dtype == np.float64 else np.float32)


class Pad:
    """The image in a frame: ``padding`` is one width, (left and right, top and bottom) or (left, top, right, bottom).

    ``padding_mode`` says what is in it: ``constant`` (``fill``), ``edge``, ``reflect`` or ``symmetric``.
    """

    def __init__(self, padding: int | Sequence[int], fill: float = 0, padding_mode: str = "constant") -> None:
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode
        widths = (padding,) if isinstance(padding, int) else tuple(padding)
        if len(widths) not in (1, 2, 4) or any(not isinstance(n, int) or n < 0 for n in widths):
            raise ValueError(f"Pad: expected padding to be 1, 2 or 4 integers of at least 0, got {padding!r}")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError(f"Pad: expected constant, edge, reflect or symmetric, got {padding_mode!r}")
        left, top, right, bottom = widths * (4 // len(widths))
        self._widths = (top, bottom), (left, right)

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("Pad", image)
        return back(_padded(planes, self._widths, self.padding_mode, self.fill))

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode!r})"


def _padded(planes: np.ndarray, widths: tuple[tuple[int, int], tuple[int, int]], mode: str, fill: float) -> np.ndarray:
    every = ((0, 0),) * (planes.ndim - 2) + widths
    if mode == "constant":
        return np.pad(planes, every, constant_values=_like(np.asarray(fill), planes))
    return np.pad(planes, every, mode=mode)  # type: ignore[call-overload]


class CenterCrop:
    """The middle of the image, ``size`` = (height, width) or one number; what is missing is 0.

    >>> CenterCrop(2)(np.arange(16).reshape(4, 4)).tolist()
    [[5, 6], [9, 10]]
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _pair("CenterCrop", "size", size)

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("CenterCrop", image)
        (high, wide), (h, w) = planes.shape[-2:], self.size
        lacks = [max(0, n - have) for n, have in ((h, high), (w, wide))]
        if any(lacks):
            planes = _padded(
                planes, ((lacks[0] // 2, (lacks[0] + 1) // 2), (lacks[1] // 2, (lacks[1] + 1) // 2)), "constant", 0
            )
            high, wide = planes.shape[-2:]
        top, left = round((high - h) / 2), round((wide - w) / 2)
        return back(planes[..., top : top + h, left : left + w])

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class RandomCrop:
    """A random part of the image, ``size`` = (height, width) or one number, after padding it (see ``Pad``).

    With ``pad_if_needed`` an image that is too small is padded on both sides; else ValueError is raised.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = _pair("RandomCrop", "size", size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self._pad = Pad(0 if padding is None else padding, fill, padding_mode)

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("RandomCrop", image)
        mode, fill = self._pad.padding_mode, self._pad.fill
        planes = _padded(planes, self._pad._widths, mode, fill)
        (high, wide), (h, w) = planes.shape[-2:], self.size
        if self.pad_if_needed:
            down, right = max(0, h - high), max(0, w - wide)
            planes = _padded(planes, ((down, down), (right, right)), mode, fill)
            high, wide = planes.shape[-2:]
        if high < h or wide < w:
            raise ValueError(f"RandomCrop: expected an image of at least {(h, w)}, got {(high, wide)}")
        rng = _rng()
        top, left = int(rng.integers(high - h + 1)), int(rng.integers(wide - w + 1))
        return back(planes[..., top : top + h, left : left + w])

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomHorizontalFlip:
    """The image, left and right exchanged with probability ``p``."""

    _axis = -1

    def __init__(self, p: float = 0.5) -> None:
        _check_share(type(self).__name__, p)
        self.p = p

    def __call__(self, image: Any) -> Any:
        planes, back = _opened(type(self).__name__, image)
        return back(np.flip(planes, self._axis)) if _rng().random() < self.p else image

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomVerticalFlip(RandomHorizontalFlip):
    """The image, top and bottom exchanged with probability ``p``."""

    _axis = -2


class Resize:
    """The image in ``size`` = (height, width); one number is the length of the shorter edge, the shape is kept.

    ``interpolation`` is "bilinear" or "nearest".  With ``antialias`` a bilinear one takes all pixels into account when the
    image becomes smaller.

        out[i] = sum_j k((j + 1/2 - c) / s) x[j] / sum_j k(...),   k(t) = max(0, 1 - |t|),   c = (i + 1/2) n / size

    in each direction, with s = max(1, n / size), or without antialiasing s = 1 and c pressed into [1/2, n - 1/2].
    """

    def __init__(self, size: int | Sequence[int], interpolation: str = "bilinear", antialias: bool = True) -> None:
        self._edge = size if isinstance(size, int) else size[0] if len(size) == 1 else None
        self._both = _pair("Resize", "size", size)
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(f"Resize: expected bilinear or nearest, got {interpolation!r}")
        self.size = size
        self.interpolation = interpolation
        self.antialias = antialias

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("Resize", image)
        high, wide = planes.shape[-2:]
        h, w = self._both
        if self._edge is not None:
            short = min(high, wide)
            h, w = int(self._edge * high / short), int(self._edge * wide / short)
        return back(_resized(planes, h, w, self.interpolation, self.antialias))

    def __repr__(self) -> str:
        return f"Resize(size={self.size}, interpolation={self.interpolation!r}, antialias={self.antialias})"


def _resized(planes: np.ndarray, h: int, w: int, interpolation: str, antialias: bool) -> np.ndarray:
    high, wide = planes.shape[-2:]
    if (h, w) == (high, wide):
        return planes
    if interpolation == "nearest":
        return planes[..., (np.arange(h) * high // h)[:, None], np.arange(w) * wide // w]
    values = _real(planes)
    down, across = (_triangles(n, size, antialias).astype(values.dtype) for n, size in ((high, h), (wide, w)))
    return _like(down @ values @ across.T, planes)


def _triangles(n: int, size: int, antialias: bool) -> np.ndarray:
    """The matrix (size, n) of ``Resize``."""
    centre = (np.arange(size) + 0.5) * n / size
    scale = max(1.0, n / size) if antialias else 1.0
    if not antialias:
        centre = np.clip(centre, 0.5, n - 0.5)
    weights = np.maximum(0, 1 - np.abs(np.arange(n) + 0.5 - centre[:, None]) / scale)
    return weights / weights.sum(1, keepdims=True)


class RandomResizedCrop:
    """A random part of the image, resized to ``size``: ``scale`` of its area, ``ratio`` of width to height."""

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
        antialias: bool = True,
    ) -> None:
        self.size = _pair("RandomResizedCrop", "size", size)
        self._resize = Resize(self.size, interpolation, antialias)
        self.scale = _range("RandomResizedCrop", "scale", scale)
        self.ratio = _range("RandomResizedCrop", "ratio", ratio)

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("RandomResizedCrop", image)
        top, left, h, w = _part(_rng(), planes.shape[-2], planes.shape[-1], self.scale, self.ratio)
        part = planes[..., top : top + h, left : left + w]
        return back(_resized(part, *self.size, self._resize.interpolation, self._resize.antialias))

    def __repr__(self) -> str:
        return f"RandomResizedCrop(size={self.size}, scale={self.scale}, ratio={self.ratio})"


def _range(name: str, what: str, given: Sequence[float]) -> tuple[float, float]:
    if len(given) != 2 or not 0 < given[0] <= given[1]:
        raise ValueError(f"{name}: expected {what} to be two positive numbers in order, got {given!r}")
    return given[0], given[1]


def _part(
    rng: np.random.Generator, high: int, wide: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random part; of ten that do not fit, the largest one in the middle that does."""
    for _ in range(10):
        area = high * wide * rng.uniform(*scale)
        shape = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= wide and 0 < h <= high:
            return int(rng.integers(high - h + 1)), int(rng.integers(wide - w + 1)), h, w
    whole = wide / high
    h = high if whole >= ratio[0] else max(1, round(wide / ratio[0]))
    w = wide if whole <= ratio[1] else max(1, round(high * ratio[1]))
    h, w = min(h, high), min(w, wide)
    return (high - h) // 2, (wide - w) // 2, h, w


class RandomRotation:
    """The image turned about its middle (or ``center`` = (x, y)), counter-clockwise, by a random angle in ``degrees``.

    ``degrees`` is (least, most), or one number for (-degrees, degrees).  What comes from outside is ``fill``;
    ``interpolation`` is "nearest" or "bilinear".  With ``expand`` the result is large enough for all of the image.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: str = "nearest",
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: float = 0,
    ) -> None:
        self.degrees = (-degrees, degrees) if isinstance(degrees, (int, float)) else tuple(degrees)
        if len(self.degrees) != 2 or self.degrees[0] > self.degrees[1]:
            raise ValueError(
                f"RandomRotation: expected degrees to be (least, most) or one positive number, got {degrees!r}"
            )
        if interpolation not in ("bilinear", "nearest"):
            raise ValueError(f"RandomRotation: expected bilinear or nearest, got {interpolation!r}")
        if expand and center is not None:
            raise ValueError("RandomRotation: expand is for a rotation about the middle, without center")
        self.interpolation = interpolation
        self.expand = expand
        self.center = center
        self.fill = fill

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("RandomRotation", image)
        angle = math.radians(_rng().uniform(*self.degrees))
        return back(self._turned(planes, math.cos(angle), math.sin(angle)))

    def _turned(self, planes: np.ndarray, cos: float, sin: float) -> np.ndarray:
        high, wide = planes.shape[-2:]
        middle_x, middle_y = (wide - 1) / 2, (high - 1) / 2
        if self.center is not None:
            middle_x, middle_y = self.center[0] - 0.5, self.center[1] - 0.5
        h, w = high, wide
        shift_x, shift_y = middle_x, middle_y
        if self.expand:
            w = math.ceil(abs(wide * cos) + abs(high * sin) - 1e-6)
            h = math.ceil(abs(wide * sin) + abs(high * cos) - 1e-6)
            shift_x, shift_y = (w - 1) / 2, (h - 1) / 2
        x, y = np.arange(w) - shift_x, (np.arange(h) - shift_y)[:, None]
        columns, rows = cos * x - sin * y + middle_x, sin * x + cos * y + middle_y  # where each pixel comes from
        if self.interpolation == "nearest":
            r, c = (np.floor(v + 0.5 - 1e-9).astype(np.int64) for v in (rows, columns))
            inside = (r >= 0) & (r < high) & (c >= 0) & (c < wide)
            found = planes[..., np.clip(r, 0, high - 1), np.clip(c, 0, wide - 1)]
            return np.where(inside, found, _like(np.asarray(self.fill), planes))
        values = _real(planes)
        top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
        out = np.zeros((*planes.shape[:-2], h, w), values.dtype)
        for r, row_share in ((top, top + 1 - rows), (top + 1, rows - top)):
            for c, column_share in ((left, left + 1 - columns), (left + 1, columns - left)):
                inside = (r >= 0) & (r < high) & (c >= 0) & (c < wide)
                found = values[..., np.clip(r, 0, high - 1), np.clip(c, 0, wide - 1)]
                share = (row_share * column_share).astype(values.dtype)
                out += share * np.where(inside, found, values.dtype.type(self.fill))
        return _like(out, planes)

    def __repr__(self) -> str:
        return (
            f"RandomRotation(degrees={self.degrees}, interpolation={self.interpolation!r}, expand={self.expand}, "
            f"fill={self.fill})"
        )


class ColorJitter:
    """The image with random brightness, contrast, saturation and hue, changed in random order.

    Each of the first three is (least, most) of a factor, or d for (max(0, 1 - d), 1 + d); hue is (least, most) of a turn
    of the colour circle, within [-1/2, 1/2], or d for (-d, d).  Values are in [0, 1], or whole numbers up to 255.

        brightness  f x              contrast  f x + (1 - f) mean(grey(x))
        saturation  f x + (1 - f) grey(x)        grey = 0.299 red + 0.587 green + 0.114 blue

    An image of one channel has brightness and contrast only.
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness = self._limits("brightness", brightness, 1.0, 0.0, math.inf)
        self.contrast = self._limits("contrast", contrast, 1.0, 0.0, math.inf)
        self.saturation = self._limits("saturation", saturation, 1.0, 0.0, math.inf)
        self.hue = self._limits("hue", hue, 0.0, -0.5, 0.5)

    @staticmethod
    def _limits(name: str, given: Any, middle: float, least: float, most: float) -> tuple[float, float] | None:
        if isinstance(given, (int, float)):
            if given < 0:
                raise ValueError(f"ColorJitter: {name} must not be negative, got {given}")
            low, high = middle - given, middle + given
            low = max(low, least) if name != "hue" else low
        else:
            low, high = given
        if not least <= low <= high <= most:
            raise ValueError(f"ColorJitter: expected {name} in order in [{least}, {most}], got {given!r}")
        return None if low == high == middle else (low, high)

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("ColorJitter", image)
        channels = planes.shape[-3] if planes.ndim > 2 else 1
        if channels not in (1, 3):
            raise ValueError(f"ColorJitter: expected an image of 1 or 3 channels, got {channels}")
        top = 255.0 if planes.dtype.kind in "iu" else 1.0
        rng = _rng()
        x = _real(planes) / np.float32(top)
        for which in rng.permutation(4).tolist():
            limits = (self.brightness, self.contrast, self.saturation, self.hue)[which]
            factor = 0.0 if limits is None else rng.uniform(*limits)
            if limits is None or (which > 1 and channels == 1):
                continue
            if which == 0:
                x = x * factor
            elif which == 1:
                grey = _grey(x) if channels == 3 else x
                axes = (-3, -2, -1) if x.ndim > 2 else None
                x = factor * x + (1 - factor) * grey.mean(axis=axes, keepdims=True)
            elif which == 2:
                x = factor * x + (1 - factor) * _grey(x)
            else:
                x = _turned_hue(x, factor)
            x = np.clip(x, 0, 1)
        return back(_like(x * np.float32(top), planes))

    def __repr__(self) -> str:
        return (
            f"ColorJitter(brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation}, "
            f"hue={self.hue})"
        )


def _grey(x: np.ndarray) -> np.ndarray:
    return (0.299 * x[..., 0, :, :] + 0.587 * x[..., 1, :, :] + 0.114 * x[..., 2, :, :])[..., None, :, :]


def _turned_hue(x: np.ndarray, turn: float) -> np.ndarray:
    """RGB in [0, 1] with the hue turned: by way of hue, saturation and value."""
    value, least = x.max(-3), x.min(-3)
    span = value - least
    safe = np.where(span == 0, 1, span)
    red, green, blue = (x[..., i, :, :] for i in range(3))
    sixth = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = np.where(span == 0, 0, sixth) + 6 * turn
    made = []
    for offset in (5, 3, 1):  # each channel is the value, less the span where the hue is far from that colour
        k = (offset + sixth) % 6
        made.append(value - span * np.clip(np.minimum(k, 4 - k), 0, 1))
    return np.stack(made, -3).astype(x.dtype)


class RandomErasing:
    """A tensor (..., C, H, W) in which, with probability ``p``, a random rectangle is erased.

    ``scale`` is its share of the area and ``ratio`` that of height to width; ``value`` is put there: a number, one for each
    channel, or "random" for normal noise.  Where ten rectangles do not fit, none is erased.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0,
        inplace: bool = False,
    ) -> None:
        _check_share("RandomErasing", p)
        self.p = p
        self.scale = _range("RandomErasing", "scale", scale)
        if self.scale[1] > 1:
            raise ValueError(f"RandomErasing: expected scale in (0, 1], got {scale!r}")
        self.ratio = _range("RandomErasing", "ratio", ratio)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"RandomErasing: expected numbers or 'random', got {value!r}")
        self.value = value
        self.inplace = inplace

    def __call__(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor) or image.ndim < 3:
            kind = f"shape {image.shape}" if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"RandomErasing: expected a tensor (..., C, H, W), got {kind}")
        rng = _rng()
        if rng.random() >= self.p:
            return image
        channels, high, wide = image.shape[-3:]
        for _ in range(10):
            area = high * wide * rng.uniform(*self.scale)
            shape = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            h, w = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if h < high and w < wide:
                break
        else:
            return image
        top, left = int(rng.integers(high - h + 1)), int(rng.integers(wide - w + 1))
        if self.value == "random":
            value: Any = rng.standard_normal((channels, h, w))
        else:
            value = np.asarray(self.value, np.float64).reshape(-1, 1, 1)
            if len(value) not in (1, channels):
                raise ValueError(f"RandomErasing: expected 1 or {channels} values, got {len(value)}")
        host = np.array(image.detach().cpu().host())
        host[..., top : top + h, left : left + w] = _like(value, host)
        made = wrap(host).to(image.device)
        return image.copy_(made) if self.inplace else made

    def __repr__(self) -> str:
        return f"RandomErasing(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value})"


class Cutout:
    """The image with ``holes`` squares of side ``length`` about random pixels filled; they may reach beyond the edge.

    Source: DeVries, Taylor (2017), "Improved regularization of convolutional neural networks with cutout".
    """

    def __init__(self, length: int, holes: int = 1, fill: float = 0) -> None:
        for what, count in (("length", length), ("holes", holes)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"Cutout: expected {what} to be a positive integer, got {count!r}")
        self.length = length
        self.holes = holes
        self.fill = fill

    def __call__(self, image: Any) -> Any:
        planes, back = _opened("Cutout", image)
        out, rng = np.array(planes), _rng()
        for _ in range(self.holes):
            top, left = (int(rng.integers(n)) - self.length // 2 for n in planes.shape[-2:])
            out[..., max(0, top) : top + self.length, max(0, left) : left + self.length] = _like(
                np.asarray(self.fill), planes
            )
        return back(out)

    def __repr__(self) -> str:
        return f"Cutout(length={self.length}, holes={self.holes}, fill={self.fill})"
