"""Transforms: small functions of one item, computed on the host, to be given to a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import host_array, wrap
from ..framework import dtypes


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
