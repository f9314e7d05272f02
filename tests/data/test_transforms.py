"""Transforms: worked examples, other ways to the same result, and random ones that follow from the seed."""

import colorsys

import numpy as np
import pytest

import trigrad as tg
from trigrad.utils.data import DataLoader, Dataset, transforms

T = transforms


def picture(h=6, w=9, c=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, c), np.uint8)


def ramp(h, w):
    return np.arange(h * w, dtype=np.float32).reshape(h, w)


EVERY = [
    T.Pad(2),
    T.Pad((1, 2), 7),
    T.Pad((1, 2, 3, 0), padding_mode="reflect"),
    T.CenterCrop((4, 5)),
    T.CenterCrop(12),
    T.RandomCrop(4, padding=1),
    T.RandomCrop((8, 4), pad_if_needed=True, fill=3),
    T.RandomHorizontalFlip(),
    T.RandomVerticalFlip(),
    T.Resize(4),
    T.Resize((7, 3), antialias=False),
    T.Resize((13, 4), "nearest"),
    T.RandomResizedCrop(5),
    T.RandomRotation(40),
    T.RandomRotation((10, 80), "bilinear", fill=9),
    T.RandomRotation(30, expand=True),
    T.ColorJitter(0.4, 0.4, 0.4, 0.2),
    T.Cutout(3, 2, 5),
]


@pytest.mark.parametrize("transform", EVERY, ids=repr)
def test_arrays_and_tensors_alike(transform):
    array = picture()
    before = array.copy()
    tensor = tg.tensor(array.transpose(2, 0, 1))
    for seed in range(4):
        tg.manual_seed(seed)
        a, state = transform(array), tg.get_rng_state()
        tg.manual_seed(seed)
        b = transform(tensor)
        assert type(a) is np.ndarray and a.dtype == np.uint8 and b.dtype is tg.uint8
        np.testing.assert_array_equal(a.transpose(2, 0, 1), b.numpy())
        assert (tg.get_rng_state() == state).all()
        np.testing.assert_array_equal(array, before)
    grey, floating = transform(array[..., 0]), transform(tensor.float() / 255)
    assert grey.ndim == 2 and floating.dtype is tg.float32
    assert floating.shape == b.shape or "expand=True" in repr(transform)
    if not isinstance(transform, T.ColorJitter):
        assert transform(tg.ones(2, 5, 6, 9)).shape[:2] == (2, 5)
    with pytest.raises(TypeError, match=f"{type(transform).__name__}: expected a tensor"):
        transform("text")


def test_worked():
    x = ramp(2, 2)
    assert T.Pad((1, 0), 9)(x).tolist() == [[9, 0, 1, 9], [9, 2, 3, 9]]
    assert T.Pad((0, 1, 0, 0), padding_mode="edge")(x).tolist() == [[0, 1], [0, 1], [2, 3]]
    assert T.RandomHorizontalFlip(1)(x).tolist() == [[1, 0], [3, 2]]
    assert T.RandomVerticalFlip(1)(x).tolist() == [[2, 3], [0, 1]]
    assert T.RandomHorizontalFlip(0)(x) is x
    assert T.Resize((1, 1))(x).tolist() == [[1.5]]
    assert T.Resize((2, 4))(ramp(1, 2)).tolist() == [[0, 0.25, 0.75, 1]] * 2
    assert T.Resize(2)(np.zeros((4, 6))).shape == (2, 3)
    assert T.Resize([3])(np.zeros((8, 4))).shape == (6, 3)
    assert T.Lambda(len)([1, 2]) == 2
    assert T.Compose([T.ToTensor(), T.Pad(1)])(picture()).shape == (3, 8, 11)
    erased = T.RandomErasing(1, value=(1, 2, 3))(tg.zeros(3, 10, 10)).numpy()
    assert all(set(np.unique(plane)) == {0, k + 1} for k, plane in enumerate(erased))
    x = tg.zeros(1, 10, 10)
    assert T.RandomErasing(1, value="random", inplace=True)(x) is x and x.numpy().any()
    assert T.RandomErasing(0)(x) is x
    cut = T.Cutout(4)(np.ones((9, 9)))
    assert 4 <= (cut == 0).sum() <= 16


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_quarter_turns(interpolation):
    for shape in [(5, 5), (4, 4), (3, 6)]:
        x = ramp(*shape) + 1
        for quarter in range(4):
            turn = T.RandomRotation((90 * quarter, 90 * quarter), interpolation, expand=True)
            np.testing.assert_allclose(turn(x), np.rot90(x, quarter), atol=1e-5)
    corner = T.RandomRotation((90, 90), interpolation, center=(0.5, 0.5), fill=-1)(ramp(3, 3))
    np.testing.assert_allclose(corner, [[0, 3, 6], [-1] * 3, [-1] * 3], atol=1e-5)


def test_colours():
    x = np.random.default_rng(1).random((3, 4, 5)).astype(np.float32)
    for turn in (0.0, 0.1, -0.37, 0.5):
        found = T.ColorJitter(hue=(turn, turn))(tg.tensor(x)).numpy()
        for i, j in np.ndindex(4, 5):
            h, s, v = colorsys.rgb_to_hsv(*x[:, i, j].tolist())
            np.testing.assert_allclose(found[:, i, j], colorsys.hsv_to_rgb((h + turn) % 1, s, v), atol=1e-5)
    grey = 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]
    for name, wanted in [
        ("brightness", 0.5 * x),
        ("contrast", 0.5 * x + 0.5 * grey.mean()),
        ("saturation", 0.5 * x + 0.5 * grey),
    ]:
        found = T.ColorJitter(**{name: (0.5, 0.5)})(tg.tensor(x)).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_array_equal(T.ColorJitter()(picture()), picture())


@pytest.mark.peer
@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_as_torch_does(antialias):
    import torch

    x = np.random.default_rng(0).random((2, 3, 11, 17)).astype(np.float32)
    for size in [(5, 30), (11, 4), (23, 17), (3, 3)]:
        wanted = torch.nn.functional.interpolate(torch.tensor(x), size, mode="bilinear", antialias=antialias)
        np.testing.assert_allclose(T.Resize(size, antialias=antialias)(tg.tensor(x)).numpy(), wanted.numpy(), atol=2e-6)
        nearest = torch.nn.functional.interpolate(torch.tensor(x), size, mode="nearest")
        np.testing.assert_array_equal(T.Resize(size, "nearest")(tg.tensor(x)).numpy(), nearest.numpy())


def test_what_random_ones_reach():
    tg.manual_seed(0)
    corners = {tuple(T.RandomCrop(2)(ramp(3, 4))[0, :1].astype(int).tolist()) for _ in range(100)}
    assert corners == {(i * 4 + j,) for i in range(2) for j in range(3)}
    assert 20 < sum(T.RandomHorizontalFlip()(ramp(1, 2))[0, 0] for _ in range(80)) < 60


class Augmented(Dataset):
    transform = T.Compose([T.RandomCrop(4, padding=1), T.RandomHorizontalFlip(), T.ToTensor(), T.RandomErasing()])

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return self.transform(picture(seed=i))


@pytest.mark.parametrize("workers", [0, 2])
def test_random_ones_follow_from_the_seed_in_workers_too(workers):
    def batches(seed):
        tg.manual_seed(seed)
        return [b.numpy() for b in DataLoader(Augmented(), 4, num_workers=workers)]

    first = batches(1)
    assert all((a == b).all() for a, b in zip(first, batches(1), strict=True))
    assert any((a != b).any() for a, b in zip(first, batches(2), strict=True))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: T.Pad((1, 2, 3)), ValueError, "1, 2 or 4 integers"),
        (lambda: T.Pad(1, padding_mode="odd"), ValueError, "'odd'"),
        (lambda: T.CenterCrop(0), ValueError, "positive integers"),
        (lambda: T.RandomCrop(4)(ramp(3, 9)), ValueError, r"at least \(4, 4\), got \(3, 9\)"),
        (lambda: T.RandomHorizontalFlip(2), ValueError, r"p in \[0, 1\], got 2"),
        (lambda: T.Resize(3, "cubic"), ValueError, "'cubic'"),
        (lambda: T.RandomResizedCrop(3, scale=(1, 0.5)), ValueError, "scale"),
        (lambda: T.RandomRotation((3, 1)), ValueError, "degrees"),
        (lambda: T.RandomRotation(3, expand=True, center=(0, 0)), ValueError, "expand"),
        (lambda: T.ColorJitter(hue=0.7), ValueError, "hue"),
        (lambda: T.ColorJitter(-1), ValueError, "brightness"),
        (lambda: T.ColorJitter(1)(np.zeros((2, 2, 4), np.uint8)), ValueError, "got 4"),
        (lambda: T.RandomErasing(value="odd"), ValueError, "'odd'"),
        (lambda: T.RandomErasing(1)(ramp(3, 3)), TypeError, "got ndarray"),
        (lambda: T.RandomErasing(1, value=(1, 2))(tg.zeros(3, 9, 9)), ValueError, "1 or 3 values"),
        (lambda: T.Cutout(0), ValueError, "length"),
        (lambda: T.Lambda(3), TypeError, "function"),
        (lambda: T.Pad(1)(np.zeros(3)), ValueError, r"got shape \(3,\)"),
    ],
)
def test_what_makes_no_sense(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
