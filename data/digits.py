"""Handwritten digits that come with trigrad: 1,797 images of 8x8 pixels.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (the part named test), UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49, licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/legalcode),
taken from the copy bundled with scikit-learn.  Changed: cast to uint8, stored as npz.  See NOTICE.md.

    pixel = count / 8 - 1, with counts of 0, ..., 16 (black pixels in a 4x4 block), so that pixels lie in [-1, 1]

Larger images are interpolated: output pixel i stands at s = (i + 1/2) * 8 / size - 1/2 in the original, pressed into
[0, 7], and is (1 - t) x[floor s] + t x[floor s + 1] with t = s - floor s, in each direction (bilinear, corners not
aligned, as in PyTorch).

Held out are the 360 images ``numpy.random.RandomState(0).permutation(1797)[:360]``, the other 1,437 are for training.
The split is random, not by writer: accuracies are not comparable with those published for this set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import wrap
from .dataset import QuickDataset, rows

_FILE = Path(__file__).parent / "digits.npz"
_SHA256 = "1de1d80a161f2ad62bec33752495d69952f172769e338bb9facc1afb268e5b53"
_HELD_OUT = 360


@lru_cache(maxsize=1)
def _contents() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (1797, 8, 8), values 0 to 16, and labels uint8 (1797,).  Raises RuntimeError for another file."""
    content = _FILE.read_bytes()
    if sha256(content).hexdigest() != _SHA256:
        raise RuntimeError(f"Digits: {_FILE} is not the file that trigrad was shipped with; install trigrad again")
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"]


def _bilinear(n: int, size: int) -> np.ndarray:
    """The matrix (size, n) that resizes a line of n pixels to ``size``."""
    place = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    left = np.minimum(place.astype(np.int64), n - 2)
    out = np.zeros((size, n))
    out[np.arange(size), left] = 1 - (place - left)
    out[np.arange(size), left + 1] = place - left
    return out


@lru_cache(maxsize=6)
def _images(train: bool, size: int) -> tuple[np.ndarray, np.ndarray]:
    counts, labels = _contents()
    order = np.random.RandomState(0).permutation(len(labels))
    chosen = order[_HELD_OUT:] if train else order[:_HELD_OUT]
    pixels = counts[chosen] / 8 - 1
    if size != pixels.shape[-1]:
        lines = _bilinear(pixels.shape[-1], size)
        pixels = lines @ pixels @ lines.T
    return pixels[:, None].astype(np.float32), labels[chosen].astype(np.int64)


class Digits(QuickDataset[tuple[Any, Any]]):
    """Handwritten digits: item i is (image, label), a float32 tensor (1, size, size) in [-1, 1] and an int of 0 to 9.

    1,437 images to train with, or with ``train=False`` the 360 held out; ``size`` is 8, 16 or 32.  ``images``, float32
    (N, 1, size, size), and ``labels``, int64 (N,), hold all of them.  ``transform`` and ``target_transform`` are
    applied to the image and the label of each item.  Raises ValueError for another size, IndexError past the end,
    RuntimeError where the file that comes with trigrad was changed.

    Data: E. Alpaydin, C. Kaynak (1998), doi:10.24432/C50P49, CC BY 4.0; see data/NOTICE.md.

    >>> digits = Digits(size=16); image, label = digits[0]
    >>> len(digits), image.shape, 0 <= label <= 9
    (1437, (1, 16, 16), True)
    """

    images: Tensor
    labels: Tensor
    classes = tuple("0123456789")

    def __init__(
        self,
        train: bool = True,
        size: int = 8,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        if not isinstance(train, bool):
            raise TypeError(f"Digits: expected train to be a bool, got {train!r}")
        if isinstance(size, bool) or size not in (8, 16, 32):
            raise ValueError(f"Digits: expected a size of 8, 16 or 32, got {size!r}")
        pixels, labels = _images(train, size)
        self.train = train
        self.size = size
        self.transform = transform
        self.target_transform = target_transform
        self.images = wrap(pixels.copy())  # one's own, to be changed at will
        self.labels = wrap(labels.copy())

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image: Any = wrap(self.images.host()[index].copy())
        label: Any = int(self.labels.host()[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def batch(self, indices: Sequence[int]) -> list[Tensor] | None:
        if self.transform is not None or self.target_transform is not None:
            return None
        if type(self).__getitem__ is not Digits.__getitem__:
            return None
        return [rows(self.images, indices), rows(self.labels, indices)]

    def __repr__(self) -> str:
        return f"Digits(train={self.train}, size={self.size})"
