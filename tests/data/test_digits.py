"""The digits that come with trigrad, and the transforms."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.data import digits as room
from trigrad.framework import dtypes
from trigrad.utils.data import DataLoader, Digits, transforms


def test_the_two_parts():
    train, held = Digits(), Digits(train=False)
    assert len(train) == 1437 and len(held) == 360 and train.images.shape == (1437, 1, 8, 8)
    counts, labels = room._contents()
    order = np.random.RandomState(0).permutation(1797)
    np.testing.assert_array_equal(held.images.numpy()[:, 0], counts[order[:360]] / np.float32(8) - 1)
    np.testing.assert_array_equal(np.concatenate([held.labels.numpy(), train.labels.numpy()]), labels[order])
    assert train.labels.dtype is dtypes.int64 and train.images.dtype is dtypes.float32
    assert sorted(np.unique(train.labels.numpy())) == list(range(10))


@pytest.mark.parametrize("size", [8, 16, 32])
def test_items(size):
    data = Digits(train=False, size=size)
    image, label = data[3]
    assert image.shape == (1, size, size) and type(label) is int and label == data.labels.tolist()[3]
    assert data.images.numpy().min() == -1 and data.images.numpy().max() <= 1
    np.testing.assert_array_equal(data[-1][0].numpy(), data.images.numpy()[-1])
    image.numpy()[:] = 7
    assert data.images.numpy()[3].max() <= 1
    with pytest.raises(IndexError):
        data[360]
    images, labels = next(iter(DataLoader(data, 32)))
    assert images.shape == (32, 1, size, size) and labels.dtype is dtypes.int64


def test_interpolation_by_hand():
    lines = room._bilinear(2, 4)  # places -1/4 (pressed to 0), 1/4, 3/4, 5/4 (pressed to 1)
    np.testing.assert_array_equal(lines, [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])


@pytest.mark.peer
@pytest.mark.parametrize("size", [16, 32])
def test_interpolation_is_torch_s(size):
    import torch

    small = torch.from_numpy(Digits(train=False).images.numpy())
    expected = torch.nn.functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(Digits(train=False, size=size).images.numpy(), expected.numpy(), atol=1e-6)


def test_transforms_of_items():
    data = Digits(transform=lambda image: image.numpy().sum(), target_transform=lambda label: label + 100)
    total, label = data[0]
    assert isinstance(total, np.floating) and label >= 100


def test_each_set_has_its_own_numbers():
    first = Digits()
    first.images.numpy()[:] = 0
    assert Digits().images.numpy().any()


@pytest.mark.parametrize("size", [0, 12, "8", True, None])
def test_other_sizes(size):
    with pytest.raises(ValueError, match="8, 16 or 32"):
        Digits(size=size)


def test_another_file_is_refused(tmp_path, monkeypatch):
    other = tmp_path / "digits.npz"
    np.savez(other, images=np.zeros((3, 8, 8), np.uint8), labels=np.zeros(3, np.uint8))
    monkeypatch.setattr(room, "_FILE", other)
    room._contents.cache_clear()
    try:
        with pytest.raises(RuntimeError, match="not the file"):
            room._contents()
    finally:
        room._contents.cache_clear()


def test_the_authors_are_named():
    notice = (room._FILE.parent / "NOTICE.md").read_text()
    for text in (notice, room.__doc__):
        for word in (
            "Alpaydin",
            "Kaynak",
            "10.24432/C50P49",
            "CC BY 4.0",
            "creativecommons.org/licenses/by/4.0",
            "uint8",
        ):
            assert word in text


def test_to_tensor_and_normalize():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image = transforms.ToTensor()(pixels)
    assert image.shape == (3, 2, 4) and image.dtype is dtypes.float32
    np.testing.assert_allclose(image.numpy(), pixels.transpose(2, 0, 1) / 255, rtol=1e-7)
    assert transforms.ToTensor()(np.zeros((2, 4))).shape == (1, 2, 4)
    both = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5, 0.4, 0.3], [1.0, 2.0, 0.5])])
    mean, std = np.reshape([0.5, 0.4, 0.3], (3, 1, 1)), np.reshape([1, 2, 0.5], (3, 1, 1))
    expected = (pixels.transpose(2, 0, 1) / 255 - mean) / std
    np.testing.assert_allclose(both(pixels).numpy(), expected, rtol=1e-6, atol=1e-7)
    assert repr(both) == "Compose([ToTensor(), Normalize(mean=[0.5, 0.4, 0.3], std=[1.0, 2.0, 0.5])])"
    assert image.numpy().max() <= 1  # the original is left alone


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: transforms.ToTensor()([1]), TypeError),
        (lambda: transforms.ToTensor()(np.zeros(3)), ValueError),
        (lambda: transforms.Normalize(0.5, 0.0), ValueError),
        (lambda: transforms.Normalize([[0.5]], 1.0), ValueError),
        (lambda: transforms.Normalize([0.5, 0.5], [1.0, 1.0])(tg.tensor(np.zeros((3, 2, 2)))), ValueError),
        (lambda: transforms.Normalize(0.5, 1.0)(tg.tensor(np.zeros((2, 2)))), ValueError),
        (lambda: transforms.Normalize(0.5, 1.0)(tg.tensor(np.zeros((1, 2, 2), np.int64))), TypeError),
        (lambda: transforms.Normalize(0.5, 1.0)(np.zeros((1, 2, 2))), TypeError),
    ],
)
def test_refused(call, kind):
    with pytest.raises(kind):
        call()
