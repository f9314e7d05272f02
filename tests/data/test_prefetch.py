"""Read-ahead: the same batches in the same order on every device, with everything in them in its place."""

from collections import namedtuple

import numpy as np
import pytest

import trigrad as tg
from trigrad.utils.data import DataLoader, Dataset, TensorDataset, prefetch

Pair = namedtuple("Pair", ["x", "y"])


def loader(**options):
    data = TensorDataset(tg.tensor(np.arange(22, dtype=np.float32).reshape(11, 2)), tg.tensor(np.arange(11)))
    return DataLoader(data, batch_size=4, **options)


@pytest.mark.parametrize("where", ["cpu", "interpreter"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_the_same_batches_in_the_same_order(where, shuffle):
    tg.manual_seed(0)
    wanted = [[t.tolist() for t in batch] for batch in loader(shuffle=shuffle)]
    tg.manual_seed(0)
    ahead = prefetch(loader(shuffle=shuffle), where)
    assert len(ahead) == 3
    found = []
    for batch in ahead:
        assert all(t.device == tg.device(where) for t in batch)
        found.append([t.tolist() for t in batch])
    assert found == wanted
    assert len(list(ahead)) == 3  # it can be gone through again


def test_the_default_device():
    assert next(iter(prefetch([tg.ones(2)]))).device == tg.get_default_device()


def test_batches_keep_their_form():
    batch = {"pair": Pair(tg.ones(2), [tg.zeros(1), "name"]), "number": 3, "both": (tg.ones(1), None)}
    (found,) = prefetch([batch], "interpreter")
    assert type(found) is dict and type(found["pair"]) is Pair and type(found["both"]) is tuple
    assert found["pair"].x.device == found["pair"].y[0].device == tg.device("interpreter")
    assert found["pair"].y[1] == "name" and found["number"] == 3 and found["both"][1] is None
    assert list(prefetch([], "cpu")) == []


def test_one_batch_is_read_ahead():
    read = []

    def batches():
        for i in range(4):
            read.append(i)
            yield tg.tensor(float(i))

    seen = []
    for batch in prefetch(batches(), "cpu"):
        seen.append((batch.item(), len(read)))
    assert seen == [(0.0, 2), (1.0, 3), (2.0, 4), (3.0, 4)]


def test_an_error_comes_after_the_batches_before_it():
    class Broken(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            if i == 2:
                raise ValueError("item 2 is broken")
            return float(i)

    seen = []
    with pytest.raises(ValueError, match="item 2 is broken"):
        for batch in prefetch(DataLoader(Broken()), "cpu"):
            seen.append(batch.item())
    assert seen == [0.0, 1.0]


def test_random_numbers_are_drawn_alike_on_every_device():
    class Noisy(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return tg.rand(2, device="cpu")

    def draws(where):
        tg.manual_seed(1)
        return [(x.tolist(), tg.rand(1).item()) for x in prefetch(DataLoader(Noisy(), batch_size=2), where)]

    assert draws("cpu") == draws("interpreter")


def test_pin_memory_without_a_gpu_changes_nothing():
    if tg.cuda.is_available():
        pytest.skip("there is one")
    wanted = [[t.tolist() for t in batch] for batch in loader()]
    assert [[t.tolist() for t in batch] for batch in loader(pin_memory=True)] == wanted
