"""Worker processes: the same batches in the same order, failures that are told, and nothing left behind."""

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework.random import Generator
from trigrad.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info, prefetch

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")


class Squares(Dataset):
    def __init__(self, n, large=0):
        self.n = n
        self.large = large

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return {"i": i, "x": np.full((3, self.large or 2), i * i, np.float32), "name": f"n{i}"}


class Draws(Squares):
    def __getitem__(self, i):
        return i, tg.rand(2, device="cpu")


class Fails(Squares):
    def __getitem__(self, i):
        if i == 3:
            raise ValueError("item 3 is broken")
        return i


class Dies(Squares):
    def __getitem__(self, i):
        if i == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return i


class Slow(Squares):
    def __getitem__(self, i):
        time.sleep(60)


class Where(Squares):
    def __getitem__(self, i):
        info = get_worker_info()
        assert info.dataset is self
        return (info.id, info.num_workers, info.seed, tg.initial_seed(), random.random(), float(np.random.rand()))


class Shared(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, self.n, info.num_workers) if info else range(self.n))


def children():
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in found if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("large", [0, 5000])
def test_the_same_batches_in_the_same_order(workers, large):
    def batches(n):
        loader = DataLoader(Squares(23, large), 4, True, num_workers=n, generator=Generator().manual_seed(1))
        if n:  # the seed of the workers is drawn first
            return list(loader)
        loader.generator.key()
        return list(loader)

    for ours, theirs in zip(batches(workers), batches(0), strict=True):
        assert ours["name"] == theirs["name"] and ours["i"].tolist() == theirs["i"].tolist()
        np.testing.assert_array_equal(ours["x"].numpy(), theirs["x"].numpy())
        ours["x"].add_(1)  # the memory is one's own
    assert not children()


def test_what_comes_back_is_what_was_sent():
    wanted = [
        tg.tensor([1.5, -2.0], dtype=tg.bfloat16),
        np.asfortranarray(np.arange(40000.0).reshape(200, 200)),
        np.zeros((0, 3), np.int16),
        np.array(3),
        tg.ones(3, 30000)[:, ::2],
        np.arange(40000).reshape(2, 100, 200).transpose(2, 0, 1),
        ["text", None, 2**70, np.array(["a", None], object)],
    ]
    for size in (3, len(wanted)):
        loader = DataLoader([0], None, num_workers=1, collate_fn=lambda _, n=size: wanted[:n])
        (found,) = loader
        for a, b in zip(found[:6], wanted[:6], strict=False):
            assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
            a, b = (x.host() if isinstance(x, tg.Tensor) else x for x in (a, b))
            np.testing.assert_array_equal(a, b)
    assert found[1].flags.f_contiguous and found[5].strides == wanted[5].strides  # as they lay
    assert found[6][:3] == wanted[6][:3] and found[6][3].tolist() == ["a", None]


def test_a_set_that_is_read_in_turn():
    loader = DataLoader(Shared(10), 2, num_workers=3)
    assert [x.tolist() for x in loader] == [[0, 3], [1, 4], [2, 5], [6, 9], [7], [8]]
    assert [x.tolist() for x in DataLoader(Shared(10), 2, num_workers=3, drop_last=True)][-1] == [6, 9]
    assert list(DataLoader(Shared(3), None, num_workers=2)) == [0, 1, 2]


def test_seeds_and_worker_info():
    def run(seed, **options):
        tg.manual_seed(seed)
        loader = DataLoader(Where(8), None, num_workers=2, **options)
        return [list(loader) for _ in range(2)]

    first, second = run(3)
    assert [x[0] for x in first] == [0, 1] * 4 and {x[1] for x in first} == {2}
    base = first[0][2]
    assert all(x[2] == x[3] == base + x[0] for x in first) and second[0][2] != base
    assert len({x[4] for x in first}) == len({x[5] for x in first}) == 8
    assert run(3) == [first, second] != run(4)
    kept = run(3, persistent_workers=True)
    assert kept[0] == first and [x[:4] for x in kept[1]] == [x[:4] for x in second]
    said = []
    loader = DataLoader([0, 0], None, num_workers=2, worker_init_fn=said.append, collate_fn=lambda _: list(said))
    assert list(loader) == [[0], [1]] and get_worker_info() is None


def test_an_exception_arrives_with_its_traceback():
    loader = DataLoader(Fails(6), num_workers=2)
    batches = iter(loader)
    assert [next(batches).item() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="(?s)Caught ValueError in DataLoader worker process 1.*item 3 is broken"):
        next(batches)
    assert next(batches).item() == 4  # as in PyTorch one can go on
    for bad, kind, message in [
        (lambda _: {}["absent"], KeyError, "absent"),
        (lambda _: next(iter([])), RuntimeError, "StopIteration"),
        (lambda _: (yield), TypeError, "pickle"),
        (lambda _: tg.ones(2, device="interpreter"), TypeError, "a tensor on interpreter cannot go"),
        (lambda _: tg.ones(2, requires_grad=True) * 2, TypeError, "history"),
    ]:
        with pytest.raises(kind, match=message):
            list(DataLoader([0], None, num_workers=1, collate_fn=bad))
    with pytest.raises(ZeroDivisionError, match="worker process"):
        list(DataLoader([0], num_workers=2, worker_init_fn=lambda k: 1 / 0))
    del batches
    gc.collect()
    assert not children()


def test_a_killed_worker_is_an_error():
    loader = DataLoader(Dies(6), num_workers=2)
    with pytest.raises(RuntimeError, match=r"worker 1 \(pid \d+\) was killed by SIGKILL"):
        list(loader)
    assert not children()
    with pytest.raises(RuntimeError, match="worker 0 .* ended with code 7"):
        list(DataLoader([0], num_workers=1, collate_fn=lambda _: os._exit(7)))
    persistent = DataLoader(Dies(6), num_workers=2, persistent_workers=True)
    for _ in range(2):  # and the next pass has new ones
        with pytest.raises(RuntimeError, match="SIGKILL"):
            list(persistent)


def test_timeout():
    with pytest.raises(RuntimeError, match="no batch came from worker 0 within timeout=0.2 seconds"):
        next(iter(DataLoader(Slow(2), num_workers=1, timeout=0.2)))
    assert not children()


@pytest.mark.parametrize("persistent", [False, True])
def test_leaving_early(persistent):
    loader = DataLoader(Squares(50, 5000), 2, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        for k, batch in enumerate(loader):
            assert batch["i"].tolist() == [2 * k, 2 * k + 1]
            if k == 2:
                break
    assert [b["i"][0].item() for b in loader] == list(range(0, 50, 2))
    passes = iter(loader), iter(loader)
    next(passes[0])
    next(passes[1])
    if persistent:
        with pytest.raises(RuntimeError, match="one at a time"):
            next(passes[0])
    else:
        assert next(passes[0])["i"].tolist() == [2, 3]
    del loader, passes, batch
    gc.collect()
    assert not children()


def test_long_index_lists_do_not_block():
    order = [list(range(200_000))] * 12  # larger than what a socket holds
    loader = DataLoader(range(200_000), batch_sampler=order, num_workers=1, prefetch_factor=12, collate_fn=len)
    assert list(loader) == [200_000] * 12


@pytest.mark.parametrize("passes", [20, pytest.param(200, marks=pytest.mark.full)])
def test_many_passes_leave_nothing(passes):
    loader = DataLoader(Squares(6, 2000), 2, num_workers=2)
    list(loader)
    before = descriptors()
    for _ in range(passes):
        assert len(list(loader)) == 3
    assert descriptors() == before and not children()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_start_methods(method, tmp_path):
    (tmp_path / "numbers_for_workers.py").write_text(
        textwrap.dedent(
            f"""
            import os, trigrad as tg
            from trigrad.utils.data import DataLoader, TensorDataset

            def init(k):
                os.write(1, b"worker %d\\n" % k)

            if __name__ == "__main__":
                data = TensorDataset(tg.arange(12).reshape(6, 2), tg.ones(6, dtype=tg.bfloat16))
                loader = DataLoader(data, 2, num_workers=2, multiprocessing_context="{method}", worker_init_fn=init)
                assert [x.tolist() for x, _ in loader][2] == [[8, 9], [10, 11]]
                try:
                    list(DataLoader(data, num_workers=1, multiprocessing_context="{method}", collate_fn=lambda b: b))
                except TypeError as error:
                    print(error)
            """
        )
    )
    root = str(Path(tg.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(tmp_path / "numbers_for_workers.py")],
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"worker 0", "worker 1"} <= set(done.stdout.split("\n")) and "must be picklable" in done.stdout


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_main_process_that_ends_takes_its_workers_along(how, tmp_path):
    script = textwrap.dedent(
        """
        import sys, time, os
        from trigrad.utils.data import DataLoader
        def slow(batch):
            time.sleep(0.05)
            return os.getpid()
        for pid in DataLoader(range(100000), num_workers=3, collate_fn=slow):
            print(pid, flush=True)
        """
    )
    root = str(Path(tg.__file__).parents[1])
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = {int(running.stdout.readline()) for _ in range(6)}
    assert len(pids) == 3
    if how == "SIGINT":
        os.killpg(running.pid, signal.SIGINT)  # as the terminal does it
    else:
        running.send_signal(getattr(signal, how))
    said = running.communicate(timeout=60)[1]
    assert how != "SIGINT" or said.count("KeyboardInterrupt") == 1
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until, "a worker goes on"
        time.sleep(0.05)


# Going on in the middle of a pass


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("own", [False, True])
def test_going_on_in_the_middle(workers, own, ahead):
    def loader():
        generator = Generator().manual_seed(5) if own else None
        made = DataLoader(Draws(20), 3, True, num_workers=workers, generator=generator)
        return prefetch(made, "cpu") if ahead else made

    def said(batch):
        return batch[0].tolist(), batch[1].tolist(), tg.rand(1).item()  # training draws, too

    tg.manual_seed(2)
    whole, states = [], []
    first = loader()
    for _ in range(2):
        for batch in first:
            whole.append(said(batch))
            states.append((first.state_dict(), tg.get_rng_state()))
    for stopped in (0, 3, 6, 9, 13):
        tg.manual_seed(99)
        state, rng = states[stopped]
        second = loader()
        second.load_state_dict(state)
        tg.set_rng_state(rng)
        rest = [said(batch) for batch in second]
        if stopped < 7:
            rest += [said(batch) for batch in second]
        assert rest == whole[stopped + 1 :]


def test_states_that_do_not_fit():
    loader = DataLoader(Squares(4), shuffle=True, generator=Generator())
    with pytest.raises(ValueError, match="other generators"):
        loader.load_state_dict(DataLoader(Squares(4)).state_dict())
    for bad in ({}, 3, {"batches": 1, "began": 3, "generators": []}):
        with pytest.raises(ValueError, match="DataLoader"):
            loader.load_state_dict(bad)
    with pytest.raises(ValueError, match="prefetch"):
        prefetch(loader, "cpu").load_state_dict({})
    with pytest.raises(TypeError, match="a list does not say where it is"):
        prefetch([1], "cpu").state_dict()


def test_sets_of_tensors():
    data = TensorDataset(tg.arange(10), tg.ones(10, 2))
    assert [x.tolist() for x, _ in DataLoader(data, 4, num_workers=2)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
