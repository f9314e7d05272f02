"""Data sets in folders: one folder for each class, one file for each item."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Dataset

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class DatasetFolder(Dataset[tuple[Any, Any]]):
    """Item i is (``loader(path)``, label) for the i-th file in ``root/CLASS/``, at any depth, in order of the names.

    Files count that end in one of ``extensions``, or for which ``is_valid_file(path)`` is true; exactly one of the two
    is given.  ``classes`` are the names of the folders in order, ``class_to_idx`` their numbers, ``samples`` pairs of
    path and number, ``targets`` the numbers.  Raises FileNotFoundError where there is no class or, unless
    ``allow_empty``, a class without files, ValueError unless one of ``extensions`` and ``is_valid_file`` is given.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | str | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        name = type(self).__name__
        if (extensions is None) == (is_valid_file is None):
            raise ValueError(f"{name}: expected one of extensions and is_valid_file")
        self.root = os.fspath(root)
        self.loader = loader
        self.extensions = extensions
        self.transform = transform
        self.target_transform = target_transform
        self.classes, self.class_to_idx = self.find_classes(self.root)
        endings = (extensions,) if isinstance(extensions, str) else tuple(extensions or ())
        valid = is_valid_file or (lambda path: path.lower().endswith(endings))
        self.samples: list[tuple[str, int]] = []
        for kind in self.classes:
            found = []
            for folder, _, files in sorted(os.walk(os.path.join(self.root, kind), followlinks=True)):
                found += [p for p in (os.path.join(folder, f) for f in sorted(files)) if valid(p)]
            if not found and not allow_empty:
                wanted = f" that ends in {', '.join(endings)}" if endings else ""
                raise FileNotFoundError(f"{name}: {os.path.join(self.root, kind)} has no file{wanted}")
            self.samples += [(p, self.class_to_idx[kind]) for p in found]
        self.targets = [label for _, label in self.samples]

    def find_classes(self, directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
        """The classes in order, and their numbers: the folders in ``directory``."""
        classes = sorted(e.name for e in os.scandir(directory) if e.is_dir())
        if not classes:
            raise FileNotFoundError(f"{type(self).__name__}: {os.fspath(directory)} has no folder for any class")
        return classes, {name: i for i, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, label = self.samples[index]
        item = self.loader(path)
        if self.transform is not None:
            item = self.transform(item)
        return item, label if self.target_transform is None else self.target_transform(label)


def read_image(path: str) -> np.ndarray:
    """The image in a file, uint8 (H, W, 3) in RGB.  Raises ImportError, saying what to install, without pillow."""
    try:
        from PIL import Image  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ImportError("reading images needs pillow: pip install trigrad[image]") from None
    with Image.open(Path(path)) as image:
        return np.array(image.convert("RGB"))


class ImageFolder(DatasetFolder):
    """Item i is (image, label) for the i-th image file in ``root/CLASS/``; an image is a uint8 array (H, W, 3).

    See ``DatasetFolder``.  Images are read by ``loader``, by default with pillow (``pip install trigrad[image]``).
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = read_image,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        endings = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, endings, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
