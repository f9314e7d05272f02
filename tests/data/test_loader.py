"""The loader: every item once, in the asked-for order and batches; collating; options that exclude each other."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework import dtypes
from trigrad.framework.random import Generator
from trigrad.utils.data import (
    DataLoader,
    Dataset,
    Digits,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    default_convert,
)

Pair = namedtuple("Pair", "image label")


def seeded(seed=5):
    return Generator().manual_seed(seed)


def numbers(n, cls=TensorDataset):
    return cls(tg.tensor(np.arange(n * 3, dtype=np.float32).reshape(n, 3)), tg.tensor(np.arange(n)))


class Counting(IterableDataset):
    def __iter__(self):
        return iter(range(7))


class Lists(Dataset):
    """The same items as a TensorDataset, one by one."""

    def __init__(self, data):
        self.data = data

    def __getitem__(self, index):
        return self.data[index]

    def __len__(self):
        return len(self.data)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_item_once(shuffle, batch_size, drop_last):
    loader = DataLoader(numbers(7), batch_size, shuffle, drop_last=drop_last, generator=seeded())
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader) == (7 // batch_size if drop_last else -(-7 // batch_size))
        labels = [i for _, y in batches for i in y.tolist()]
        kept = 7 // batch_size * batch_size if drop_last else 7
        assert len(set(labels)) == len(labels) == kept
        assert shuffle or labels == list(range(kept))
        for x, y in batches:
            np.testing.assert_array_equal(x.numpy()[:, 0], 3 * y.numpy())


def test_the_order_follows_from_the_seed():
    def orders(**options):
        loader = DataLoader(numbers(40), 8, shuffle=True, **options)
        return [[y.tolist() for _, y in loader] for _ in range(2)]

    first = orders(generator=seeded())
    assert first[0] != first[1] and orders(generator=seeded()) == first
    tg.framework.random.manual_seed(3)
    second = orders()
    tg.framework.random.manual_seed(3)
    assert orders() == second


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: Subset(d, [5, 0, 3, 1, 6])], ids=["whole", "subset"])
def test_taking_rows_at_once_is_taking_them_one_by_one(wrap):
    sets = wrap(numbers(7)), Lists(wrap(numbers(7)))
    quick, slow = (list(DataLoader(d, 3, True, generator=seeded())) for d in sets)
    for a, b in zip(quick, slow, strict=True):
        assert type(a) is type(b) is list
        for x, y in zip(a, b, strict=True):
            assert x.dtype is y.dtype
            np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_a_changed_item_is_respected():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(t * 2 for t in super().__getitem__(index))

    for data in (numbers(4, Doubled), Subset(numbers(4, Doubled), [0, 1, 2, 3])):
        assert [y.tolist() for _, y in DataLoader(data, 4)] == [[0, 2, 4, 6]]
    digits = Digits(train=False, transform=lambda image: image.numpy() + 1, target_transform=str)
    images, labels = next(iter(DataLoader(digits, 5)))
    np.testing.assert_array_equal(images.numpy(), digits.images.numpy()[:5] + 1)
    assert labels == [str(i) for i in digits.labels.tolist()[:5]]


def test_batches_keep_their_memory_and_history():
    data = numbers(4)
    ((x, _),) = DataLoader(data, 4)
    x.numpy()[:] = -1
    assert data.tensors[0].numpy()[0, 1] == 1
    w = tg.tensor(np.ones((4, 2))).requires_grad_()
    ((y,),) = DataLoader(TensorDataset(w), 4)
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), np.ones((4, 2)))


def test_items_on_a_device_stay_there():
    data = TensorDataset(tg.tensor(np.arange(6.0), device="interpreter"))
    for d in (data, Lists(data)):
        batches = [x for (x,) in DataLoader(d, 4)]
        assert [str(x.device) for x in batches] == ["interpreter"] * 2
        assert [x.tolist() for x in batches] == [[0, 1, 2, 3], [4, 5]]


def test_samplers():
    data = numbers(6)
    assert [y.tolist() for _, y in DataLoader(data, 2, sampler=[5, 4, 0])] == [[5, 4], [0]]
    loader = DataLoader(data, batch_sampler=[[1, 2, 3], [0]])
    assert [y.tolist() for _, y in loader] == [[1, 2, 3], [0]] and len(loader) == 2 and loader.batch_size is None
    one_by_one = DataLoader(data, batch_size=None)
    assert [y.item() for _, y in one_by_one] == list(range(6)) and len(one_by_one) == 6
    assert [x.shape for x, _ in one_by_one] == [(3,)] * 6
    assert list(DataLoader(data, 4, collate_fn=len)) == [4, 2]


def test_items_in_turn():
    loader = DataLoader(Counting(), 3)
    assert [x.tolist() for x in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [x.tolist() for x in DataLoader(Counting(), 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert list(DataLoader(Counting(), None)) == list(range(7))
    with pytest.raises(TypeError):
        len(loader)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"shuffle": True, "sampler": [0]}, ValueError, "sampler and shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, ValueError, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "shuffle": True}, ValueError, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "sampler": [0]}, ValueError, "batch_sampler excludes"),
        ({"batch_sampler": [[0]], "drop_last": True}, ValueError, "batch_sampler excludes"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last needs batches"),
        ({"batch_size": 0}, ValueError, "batch_size to be a positive integer, got 0"),
        ({"batch_size": 2.0}, ValueError, "batch_size to be a positive integer, got 2.0"),
        ({"num_workers": 2, "prefetch_factor": 0}, ValueError, "prefetch_factor to be a positive integer, got 0"),
        ({"num_workers": 2, "multiprocessing_context": "thread"}, ValueError, "one of fork, spawn, forkserver, got"),
        ({"num_workers": 2, "multiprocessing_context": 3}, TypeError, "multiprocessing_context to be a context"),
        ({"num_workers": -1}, ValueError, "num_workers"),
        ({"timeout": -1}, ValueError, "negative"),
        ({"timeout": 3}, ValueError, "timeout is for worker processes"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor"),
        ({"persistent_workers": True}, ValueError, "persistent_workers"),
        ({"multiprocessing_context": "fork"}, ValueError, "multiprocessing_context"),
        ({"worker_init_fn": 3}, TypeError, "worker_init_fn"),
        ({"collate_fn": 3}, TypeError, "collate_fn"),
        ({"generator": 3}, TypeError, "Generator"),
        ({"unknown": 3}, TypeError, "unknown"),
    ],
)
def test_options_that_do_not_go_together(options, kind, message):
    with pytest.raises(kind, match=message):
        DataLoader(numbers(4), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": SequentialSampler([1])}, {"batch_sampler": [[0]]}])
def test_items_in_turn_have_no_other_order(options):
    with pytest.raises(ValueError, match="IterableDataset"):
        DataLoader(Counting(), **options)


def test_a_loader_is_not_changed_afterwards():
    loader = DataLoader(numbers(4))
    with pytest.raises(ValueError, match="batch_size cannot be changed"):
        loader.batch_size = 3


# Collating


def test_numbers_and_arrays():
    for items, dtype in [
        ([1, 2], dtypes.int64),
        ([1.5, 2.0], dtypes.float64),
        ([True, False], dtypes.bool_),
        ([np.float32(1), np.float32(2)], dtypes.float32),
        ([np.zeros(3, np.uint8)] * 2, dtypes.uint8),
        ([tg.tensor([1.0], dtype=dtypes.bfloat16)] * 2, dtypes.bfloat16),
    ]:
        batch = default_collate(items)
        assert batch.dtype is dtype and len(batch) == 2
        arrays = [x.numpy() if isinstance(x, tg.Tensor) else x for x in items]
        np.testing.assert_array_equal(batch.numpy(), np.stack(arrays))


def test_structures():
    items = [{"pair": Pair(np.full(2, i), i), "names": [str(i), ("x", i)]} for i in range(3)]
    batch = default_collate(items)
    assert type(batch) is dict and type(batch["pair"]) is Pair and batch["pair"].image.shape == (3, 2)
    names, pair = batch["names"]
    assert names == ["0", "1", "2"] and pair[0] == ["x"] * 3 and pair[1].tolist() == [0, 1, 2]
    assert type(default_collate([OrderedDict(a=1)])) is OrderedDict
    assert default_collate([(), ()]) == []


@pytest.mark.parametrize(
    ("items", "kind", "message"),
    [
        ([np.zeros(2), np.zeros(3)], RuntimeError, r"item has shapes \(2,\) and \(3,\)"),
        ([tg.tensor([1.0]), tg.tensor(1.0)], RuntimeError, r"shapes \(1,\) and \(\)"),
        ([[1, 2], [1]], RuntimeError, "lengths"),
        ([{"a": 1}, {"b": 1}], RuntimeError, "keys"),
        ([(1, {1}), (2, {2})], TypeError, r"item\[1\] is a set; give collate_fn"),
        ([None], TypeError, "NoneType"),
        ([1, "one"], TypeError, "a int and a str"),
        ([{"a": tg.tensor([1.0])}, {"a": 3}], TypeError, r"item\['a'\] is a Tensor and a int"),
        ([np.array(["a"])], TypeError, "<U1"),
        ([np.zeros(2, np.uint32)], TypeError, "uint32"),
        ([2**70], RuntimeError, "int64"),
        ([], ValueError, "at least one"),
    ],
)
def test_what_cannot_be_collated(items, kind, message):
    with pytest.raises(kind, match=message):
        default_collate(items)


def test_converting_single_items():
    array = np.zeros(3)
    item = default_convert({"a": array, "b": ["text", 3, Pair(np.float32(2), None)], "c": np.array(["s"])})
    assert item["a"].numpy() is not None and np.shares_memory(item["a"].numpy(), array)
    assert item["b"][:2] == ["text", 3] and item["b"][2].image.item() == 2 and item["b"][2].label is None
    assert item["c"].dtype.kind == "U"


@pytest.mark.peer
def test_as_torch_collates():
    import torch
    from torch.utils.data import default_collate as theirs

    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 2, 3)).astype(np.float32)
    items = [(images[i], i, float(i), {"k": np.int32(i)}, "s", [i, i]) for i in range(4)]
    ours, expected = default_collate(items), theirs(items)

    def compare(a, b):
        if isinstance(b, torch.Tensor):
            assert str(b.dtype).removeprefix("torch.") == a.dtype.name
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        elif isinstance(b, dict):
            assert a.keys() == b.keys() and all(compare(a[k], b[k]) for k in b)
        elif isinstance(b, list):
            assert type(a) is list and len(a) == len(b) and all(compare(x, y) for x, y in zip(a, b, strict=True))
        else:
            assert list(a) == list(b)  # strings: theirs come in a tuple where the items were tuples
        return True

    assert compare(ours, expected)
