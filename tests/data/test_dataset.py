"""Data sets by number and in turn, cut and joined."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework.random import Generator
from trigrad.utils.data import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Squares(Dataset):
    def __init__(self, n):
        self.n = n

    def __getitem__(self, index):
        if not 0 <= index < self.n:
            raise IndexError(index)
        return index**2

    def __len__(self):
        return self.n


def test_tensor_dataset():
    x, y = tg.tensor(np.arange(12.0).reshape(6, 2)), tg.tensor(np.arange(6))
    data = TensorDataset(x, y)
    assert len(data) == 6
    image, label = data[4]
    assert image.tolist() == [8.0, 9.0] and label.item() == 4 and label.shape == ()
    assert data[1:3][0].shape == (2, 2)


@pytest.mark.parametrize(
    ("tensors", "kind", "message"),
    [
        ((), ValueError, "at least one"),
        (([1.0],), TypeError, "got list"),
        ((tg.tensor([1.0]), tg.tensor([1.0, 2.0])), ValueError, r"shapes \(1,\), \(2,\)"),
        ((tg.tensor(1.0),), ValueError, "rows"),
    ],
)
def test_tensor_dataset_refuses(tensors, kind, message):
    with pytest.raises(kind, match=message):
        TensorDataset(*tensors)


def test_subset_and_concat():
    cut = Subset(Squares(10), [7, 1, 3])
    assert len(cut) == 3 and [cut[i] for i in range(3)] == [49, 1, 9]
    both = Squares(3) + cut
    assert isinstance(both, ConcatDataset) and len(both) == 6
    assert [both[i] for i in range(-6, 6)] == [0, 1, 4, 49, 1, 9] * 2
    with pytest.raises(IndexError, match="6 items"):
        both[6]
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="IterableDataset"):
        ConcatDataset([IterableDataset()])


def test_random_split():
    split = random_split(Squares(10), [3, 7], Generator().manual_seed(1))
    again = random_split(Squares(10), [3, 7], Generator().manual_seed(1))
    assert [len(s) for s in split] == [3, 7]
    assert sorted(i for s in split for i in s.indices) == list(range(10))
    assert [s.indices for s in split] == [s.indices for s in again]
    assert [len(s) for s in random_split(Squares(11), [0.5, 0.25, 0.25])] == [6, 3, 2]
    assert [len(s) for s in random_split(Squares(5), [5, 0])] == [5, 0]
    assert [len(s) for s in random_split(Squares(1), [1])] == [1]
    for lengths in ([3, 6], [0.5, 0.4], [-1, 11], [2.5, 7.5]):
        with pytest.raises(ValueError, match="random_split"):
            random_split(Squares(10), lengths)
    with pytest.warns(UserWarning, match="subset 1 is empty"):
        random_split(Squares(1), [0.5, 0.5])


def test_a_data_set_says_what_it_lacks():
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="__iter__"):
        iter(IterableDataset())
    with pytest.raises(TypeError, match="expected IterableDatasets"):
        IterableDataset() + Squares(2)
