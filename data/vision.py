"""Sets of small images in files of their own formats: MNIST, FashionMNIST, CIFAR10, CIFAR100; and FakeData.

The arguments, the folders and the attributes are torchvision's.  An item is (image, label); an image is a NumPy array of
uint8, (H, W) or (H, W, 3), as ``transforms.ToTensor`` takes it.

IDX files (MNIST): 0, 0, 8 (uint8), the number of dimensions d, d big-endian 32-bit sizes, the values row-major.
CIFAR's binary files: per image one label (CIFAR100: coarse, then fine), 1024 bytes red, green, blue each, row-major.
CIFAR's Python files are pickles: of these only plain values and NumPy arrays are read, nothing else is looked up.

Sources: LeCun, Cortes, Burges, "The MNIST database of handwritten digits"; Xiao, Rasul, Vollgraf (2017),
"Fashion-MNIST"; Krizhevsky (2009), "Learning multiple layers of features from tiny images".
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.tensor import wrap
from ..framework.device import CPU
from ..framework.random import Key, randint
from .dataset import QuickDataset, rows
from .download import download, take, unzip

Transform = Callable[[Any], Any]


class Images(QuickDataset[tuple[Any, Any]]):
    """Images in one array, and their labels: what the sets here share."""

    classes: Sequence[str]
    transform: Transform | None
    target_transform: Transform | None

    def __init__(self, root: str | os.PathLike[str], train: bool, transform: Any, target_transform: Any) -> None:
        name = type(self).__name__
        if not isinstance(train, bool):
            raise TypeError(f"{name}: expected train to be a bool, got {train!r}")
        for what, given in (("transform", transform), ("target_transform", target_transform)):
            if given is not None and not callable(given):
                raise TypeError(f"{name}: expected a function {what}, got {type(given).__name__}")
        self.root = Path(root).expanduser()
        self.train = train
        self.transform = transform
        self.target_transform = target_transform

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class."""
        return {name: i for i, name in enumerate(self.classes)}

    def pixels(self) -> np.ndarray:
        """All images, uint8 (N, H, W) or (N, H, W, 3)."""
        raise NotImplementedError

    def labels(self) -> np.ndarray:
        """All labels, int64 (N,)."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.pixels())

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image: Any = self.pixels()[index]
        label: Any = int(self.labels()[index])
        image = image.copy() if self.transform is None else self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)

    def batch(self, indices: Sequence[int]) -> list[Tensor] | None:
        if self.transform is not None or self.target_transform is not None:
            return None
        if type(self).__getitem__ is not Images.__getitem__:
            return None
        return [rows(wrap(self.pixels()), indices), rows(wrap(self.labels()), indices)]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r}, train={self.train}): {len(self)} images"


def read_idx(path: Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """The uint8 array in an IDX file, whose shape must be ``shape`` (None: any size).  Raises RuntimeError otherwise."""
    content = path.read_bytes()
    dimensions = content[3] if len(content) > 3 else 0
    start = 4 + 4 * dimensions
    if content[:3] != b"\0\0\x08" or len(content) < start:
        raise RuntimeError(f"{path} is no IDX file of bytes")
    found = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    if len(found) != len(shape) or any(s is not None and s != f for s, f in zip(shape, found, strict=True)):
        raise RuntimeError(f"{path}: expected the shape ({', '.join(str(s or 'N') for s in shape)}), got {found}")
    if len(content) - start != prod(found):
        raise RuntimeError(f"{path}: expected {prod(found)} values, got {len(content) - start}")
    return np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(found)


class MNIST(Images):
    """Handwritten digits: item i is (image, label), uint8 (28, 28) and an int of 0 to 9; 60,000, or 10,000 to test.

    ``root`` is the folder of data sets: files are in ``root/MNIST/raw``, as published, gzipped or not; ``download``
    fetches what is missing.  ``data``, uint8 (N, 28, 28), and ``targets``, int64 (N,), hold all of them; ``transform``
    and ``target_transform`` are applied to each item's image and label.  Raises RuntimeError where files are missing,
    cannot be fetched or are not what they should be.
    """

    classes: Sequence[str] = (
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    )  # fmt: skip
    mirrors: Sequence[str] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    checksums: dict[str, str] = {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    data: Tensor
    targets: Tensor

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, train, transform, target_transform)
        part = "train" if train else "t10k"
        images = read_idx(self._file(f"{part}-images-idx3-ubyte", download), (None, 28, 28))
        labels = read_idx(self._file(f"{part}-labels-idx1-ubyte", download), (len(images),))
        if labels.size and labels.max() >= len(self.classes):
            raise RuntimeError(f"{type(self).__name__}: {labels.max()} is no label")
        self.data = wrap(images)
        self.targets = wrap(labels.astype(np.int64))

    @property
    def raw_folder(self) -> str:
        """Where the files are."""
        return str(self.root / type(self).__name__ / "raw")

    def _file(self, name: str, fetch: bool) -> Path:
        folder = Path(self.raw_folder)
        plain, packed = folder / name, folder / f"{name}.gz"
        if not plain.is_file():
            if fetch:
                download([f"{m}{name}.gz" for m in self.mirrors], packed, self.checksums[name])
            if not packed.is_file():
                raise RuntimeError(f"{type(self).__name__}: there is no {plain}; use download=True to fetch it")
            unzip(packed, plain)
        return plain

    def pixels(self) -> np.ndarray:
        return self.data.host()

    def labels(self) -> np.ndarray:
        return self.targets.host()


class FashionMNIST(MNIST):
    """Pictures of clothes, in form and number as ``MNIST``; files are in ``root/FashionMNIST/raw``."""

    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    checksums = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }


class _Plain(pickle.Unpickler):
    """Reads plain values and NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        found = {"_reconstruct": np.zeros(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}.get(name)
        if found is None or module not in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return found


class CIFAR10(Images):
    """Small photographs of ten kinds of things: item i is (image, label), uint8 (32, 32, 3) and an int of 0 to 9.

    50,000 images, or 10,000 with ``train=False``.  ``root`` is the folder of data sets: in it lie the files in the
    folder of the binary or of the Python version, as published; ``download`` fetches the binary one.  ``data`` is the
    NumPy array of all images, ``targets`` a list of all labels.  Raises RuntimeError as ``MNIST`` does.
    """

    classes: Sequence[str] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    folders: tuple[str, str] = ("cifar-10-batches-bin", "cifar-10-batches-py")
    train_files: tuple[Sequence[str], Sequence[str]] = (
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        tuple(f"data_batch_{i}" for i in range(1, 6)),
    )
    test_files: tuple[Sequence[str], Sequence[str]] = (("test_batch.bin",), ("test_batch",))
    labels_before = 1  # bytes before an image, of which the last one is the label
    key = b"labels"
    address = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    data: np.ndarray
    targets: list[int]

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, train, transform, target_transform)
        planes, labels = self._read(download)
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise RuntimeError(f"{type(self).__name__}: {labels.max()} is no label")
        self.data = np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        self._labels = labels
        self.targets = labels.tolist()

    def _read(self, fetch: bool) -> tuple[np.ndarray, np.ndarray]:
        names = self.train_files if self.train else self.test_files
        binary, pickled = ([self.root / f / n for n in these] for f, these in zip(self.folders, names, strict=True))
        if not all(p.is_file() for p in binary):
            if all(p.is_file() for p in pickled):
                parts = [self._pickled(p) for p in pickled]
                return np.concatenate([p for p, _ in parts]), np.concatenate([n for _, n in parts])
            if not fetch:
                raise RuntimeError(
                    f"{type(self).__name__}: there is no {binary[0]} (nor the Python version); use download=True to fetch it"
                )
            archive = self.root / self.address.rpartition("/")[2]
            download([self.address], archive, self.md5)
            every = [*self.train_files[0], *self.test_files[0]]
            take(archive, [f"{self.folders[0]}/{n}" for n in every], self.root / self.folders[0])
        parts = [self._binary(p) for p in binary]
        return np.concatenate([p for p, _ in parts]), np.concatenate([n for _, n in parts])

    def _binary(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        content = np.fromfile(path, np.uint8)
        width = self.labels_before + 3072
        if not content.size or content.size % width:
            raise RuntimeError(f"{path}: expected images of {width} bytes each, got {content.size} bytes")
        lines = content.reshape(-1, width)
        return lines[:, self.labels_before :], lines[:, self.labels_before - 1].astype(np.int64)

    def _pickled(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        try:
            with path.open("rb") as source:
                found = _Plain(source, encoding="bytes").load()
            planes, labels = found[b"data"], np.asarray(found[self.key], np.int64)
            if planes.dtype != np.uint8 or planes.shape != (len(labels), 3072):
                raise ValueError(f"holds {planes.dtype} {planes.shape} and {len(labels)} labels")
        except Exception as error:
            raise RuntimeError(f"{path} is no batch of {type(self).__name__}: {error}") from None
        return planes, labels

    def pixels(self) -> np.ndarray:
        return self.data

    def labels(self) -> np.ndarray:
        return self._labels


class CIFAR100(CIFAR10):
    """Small photographs of a hundred kinds of things, in form and number as ``CIFAR10``; labels are the fine ones."""

    classes = (
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
        "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
        "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
        "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
        "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
        "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
        "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
        "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
        "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
        "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    )  # fmt: skip
    folders = ("cifar-100-binary", "cifar-100-python")
    train_files = (("train.bin",), ("train",))
    test_files = (("test.bin",), ("test",))
    labels_before = 2
    key = b"fine_labels"
    address = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    md5 = "03b5dce01913d631647c71ecec9e9cb8"


class FakeData(QuickDataset[tuple[Any, Any]]):
    """Random images and labels, for trying things out: item i is (image, label), always the same ones.

    ``image_size`` is (channels, height, width) and ``num_classes`` how many labels there are; an image is a uint8 array
    (height, width, channels).  ``random_offset`` tells one such set from another.

    >>> image, label = FakeData(size=3, image_size=(3, 8, 6))[0]
    >>> image.shape, 0 <= label < 10
    ((8, 6, 3), True)
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        random_offset: int = 0,
    ) -> None:
        self.size = size
        self.image_size = tuple(image_size)
        self.num_classes = num_classes
        self.transform = transform
        self.target_transform = target_transform
        self.random_offset = random_offset

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -self.size <= index < self.size:
            raise IndexError(f"FakeData: index {index} is out of range for {self.size} items")
        channels, height, width = self.image_size
        seed = (index % self.size + self.random_offset) % 2**64
        image: Any = np.asarray(randint((height, width, channels), 0, 256, np.uint8, CPU, Key(seed, 0)))
        label: Any = int(np.asarray(randint((1,), 0, self.num_classes, np.int64, CPU, Key(seed, 1)))[0])
        if self.transform is not None:
            image = self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)

    def batch(self, indices: Sequence[int]) -> None:
        return None
