"""Samplers: the order is a permutation, follows from the seed, and has the asked-for shares."""

import numpy as np
import pytest

from trigrad.framework.random import Generator, manual_seed
from trigrad.utils.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(seed=5):
    return Generator().manual_seed(seed)


def test_orders():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3] and len(SequentialSampler(range(4))) == 4
    sampler = RandomSampler(range(50), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert list(RandomSampler(range(50), generator=seeded())) == first
    assert all(type(i) is int for i in first)
    manual_seed(9)
    third = list(RandomSampler(range(50)))
    manual_seed(9)
    assert list(RandomSampler(range(50))) == third


def test_the_order_is_written_down():
    """A change of these numbers changes everybody's training runs."""
    assert list(RandomSampler(range(8), generator=seeded(0))) == [3, 5, 4, 2, 6, 7, 1, 0]


def test_number_of_samples():
    sampler = RandomSampler(range(10), num_samples=25, generator=seeded())
    drawn = list(sampler)
    assert len(sampler) == len(drawn) == 25
    assert sorted(drawn[:10]) == sorted(drawn[10:20]) == list(range(10)) and len(set(drawn[20:])) == 5
    drawn = list(RandomSampler(range(10), replacement=True, num_samples=1000, generator=seeded()))
    assert len(drawn) == 1000 and 50 < min(np.bincount(drawn, minlength=10)) and max(np.bincount(drawn)) < 150


def test_subset():
    assert sorted(SubsetRandomSampler([3, 9, 27], seeded())) == [3, 9, 27]
    assert len(SubsetRandomSampler([3, 9, 27])) == 3


def test_weights():
    drawn = list(WeightedRandomSampler([0.0, 1.0, 3.0, 0.0], 4000, generator=seeded()))
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] == counts[3] == 0 and abs(counts[2] / 4000 - 0.75) < 5 * (0.75 * 0.25 / 4000) ** 0.5
    firsts = [next(iter(WeightedRandomSampler([1.0, 3.0, 0.0], 2, False, seeded(s)))) for s in range(400)]
    assert abs(np.mean(firsts) - 0.75) < 5 * (0.75 * 0.25 / 400) ** 0.5
    assert sorted(WeightedRandomSampler([1.0, 3.0, 0.0, 5.0], 3, False, seeded())) == [0, 1, 3]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches(batch_size, drop_last):
    sampler = BatchSampler(SequentialSampler(range(7)), batch_size, drop_last)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    kept = 7 // batch_size * batch_size if drop_last else 7
    assert [i for b in batches for i in b] == list(range(kept))
    assert all(len(b) == batch_size for b in batches[:-1])


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: RandomSampler([]), ValueError),
        (lambda: RandomSampler([1], num_samples=0), ValueError),
        (lambda: RandomSampler([1], num_samples=1.5), ValueError),
        (lambda: RandomSampler([1], replacement=1), TypeError),
        (lambda: BatchSampler([1], 0, False), ValueError),
        (lambda: BatchSampler([1], True, False), ValueError),
        (lambda: BatchSampler([1], 2, 1), ValueError),
        (lambda: WeightedRandomSampler([1.0], 0), ValueError),
        (lambda: WeightedRandomSampler([[1.0]], 1), ValueError),
        (lambda: WeightedRandomSampler([-1.0, 2.0], 1), ValueError),
        (lambda: WeightedRandomSampler([float("nan")], 1), ValueError),
        (lambda: WeightedRandomSampler([0.0], 1), ValueError),
        (lambda: WeightedRandomSampler([1.0, 0.0], 2, False), ValueError),
        (lambda: WeightedRandomSampler([1.0], 2, 1), ValueError),
        (lambda: iter(Sampler()), NotImplementedError),
    ],
)
def test_refused(make, kind):
    with pytest.raises(kind):
        make()
