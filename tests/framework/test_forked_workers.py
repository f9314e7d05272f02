"""A loader's forked worker processes in a program that uses CUDA, on the driver that runs no kernel."""

import pytest

import trigrad as tg
from trigrad.utils.data import DataLoader, prefetch


@pytest.mark.nodriver
def test_workers_read_and_the_main_process_copies(driver):
    kept = tg.tensor([1.0, 2.0]).to("cuda")
    loader = DataLoader(range(10), 4, num_workers=2, pin_memory=True)
    for _ in range(2):
        batches = list(loader)
        assert [b.tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert all(b.is_pinned() for b in batches)
        assert [b.tolist() for b in prefetch(loader, "cuda")] == [b.tolist() for b in batches]
    assert kept.tolist() == [1, 2]


@pytest.mark.nodriver
def test_a_worker_is_told_that_it_cannot_use_cuda(driver):
    kept = tg.tensor([1.0]).to("cuda")
    with pytest.raises(RuntimeError, match="(?s)DataLoader worker process 0.*forked from one that had used CUDA"):
        list(DataLoader([kept], num_workers=1, collate_fn=lambda items: items[0] + tg.ones(1, device="cuda")))
    assert kept.tolist() == [1]
