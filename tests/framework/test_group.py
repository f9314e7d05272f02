"""Steps over groups of arrays: one launch of one kernel, numbers as settings or from memory, any order in memory."""

import numpy as np
import pytest

import trigrad as tg
from trigrad import nn, optim
from trigrad.autograd import apply
from trigrad.autograd.tensor import wrap
from trigrad.framework import device as devices
from trigrad.framework.array import DeviceArray, empty_like, from_numpy
from trigrad.framework.group import batches, dense_order
from trigrad.framework.language import jit, tl
from trigrad.framework.launch import launch
from trigrad.framework.op import OPS
from trigrad.framework.record import Recorder
from trigrad.kernels.adam import adam_numbers
from trigrad.kernels.sgd import sgd_numbers

DTYPES = ("float64", "float32", "float16", "bfloat16")


def backend():
    return devices.backend(devices.INTERPRETER)


def drawn(rng, shape, dtype="float32", place=None):
    return wrap(
        from_numpy(
            np.asarray(rng.normal(size=shape)).astype(tg.tensor(0.0).to(dtype=getattr(tg, dtype)).array.dtype),
            place or backend(),
        )
    )


def parameters(place, shapes, dtype="float32"):
    rng = np.random.default_rng(0)
    made = [nn.Parameter(drawn(rng, s, dtype, place)) for s in shapes]
    for p in made:
        p.grad = drawn(rng, p.shape, dtype, place)
    return made


@pytest.mark.parametrize("make", [optim.Adam, lambda p: optim.SGD(p, lr=0.1, momentum=0.9)], ids=["adam", "sgd"])
def test_any_number_of_arrays_is_one_launch_of_one_kernel(make):
    found = []
    for count in (1, 62, 200):
        with Recorder("sm_90") as recorder:
            params = parameters(recorder, [(3, 5), (64,), (7,), (16, 4, 3, 3)] * count)
            optimizer = make(params)
            optimizer.step()
            before = recorder.counts
            optimizer.step()
            (kind,) = [k for k, n in recorder.counts.items() if n != before.get(k, 0)]
            assert recorder.counts[kind] - before.get(kind, 0) == 1
            found.append(kind)
    assert found[0] == found[1] == found[2]


def test_tables_are_copied_only_when_addresses_change():
    with Recorder("sm_90") as recorder:
        params = parameters(recorder, [(3, 5), (64,)])
        optimizer = optim.SGD(params, lr=0.1)
        copied = []
        recorder.copy_in = lambda ptr, array: copied.append(array.shape)
        optimizer.step()
        assert sorted(copied) == [(2, 2), (2, 3)]  # blocks of two arrays; two addresses and a size for each
        optimizer.step()
        assert len(copied) == 2
        params[0].grad = drawn(np.random.default_rng(1), (3, 5), place=recorder)
        copied.clear()
        optimizer.step()
        assert copied == [(2, 3)]


def test_only_so_many_tables_are_kept():
    made = []
    place = Recorder("sm_90")
    for i in range(200):
        place.table(("test", i), lambda i=i: np.full(1, i))
        place.table(("test", 0), lambda: made.append(1) or np.zeros(1))
    assert len(place.__dict__["_tables"]) == 64 and made == []  # what is used stays
    place.close()


def test_a_table_leads_to_its_arrays_only():
    @jit
    def peek(out, table, offset):
        address = tl.load(table).to(out.dtype)
        tl.store(out, tl.load(address + offset))

    array = from_numpy(np.arange(8, dtype=np.float32), backend())
    table = from_numpy(np.array([array.ptr]), backend())
    out = empty_like(array, (1,))
    with pytest.raises(RuntimeError, match="outside the kernel's arguments"):
        launch(peek, (1,), out, table, 3)
    table.reaches = (array,)
    launch(peek, (1,), out, table, 3)
    assert out.numpy().tolist() == [3.0]
    with pytest.raises(RuntimeError, match="outside the kernel's arguments"):
        launch(peek, (1,), out, table, 8 + 512)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["float64", "float32"])
def test_numbers_from_memory_give_the_same_bits(dtype, form):
    """A step whose numbers lie on the device is bit for bit that with the numbers as settings."""
    numbers = {
        "adam_step": adam_numbers(3e-4, 0.9, 0.999, 1e-8, 0.013, 7),
        "sgd_step": sgd_numbers(0.1, 0.9, 0.3, 5e-4),
    }
    rest = {
        "adam_step": {"maximize": True, "decoupled": False},
        "sgd_step": {"nesterov": False, "maximize": False, "first": False},
    }
    for name, values in numbers.items():
        if form == "float32":  # numbers that a float32 holds
            values = tuple(float(np.float32(v)) for v in values)
        results = []
        for by_array in (False, True):
            rng = np.random.default_rng(3)
            params, grads, first, second = ([drawn(rng, s, dtype) for s in [(33,), (2, 700), ()]] for _ in range(4))
            second = [t * t for t in second]
            dials = (wrap(from_numpy(np.array(values, form), backend())),) if by_array else ()
            roles = (params, grads, first, second, ()) if name == "adam_step" else (params, grads, first)
            apply(
                OPS[name],
                *map(tuple, roles),
                dials,
                (),
                (),
                numbers=None if by_array else values,
                **rest[name],
            )
            results.append([t.host().tobytes() for t in (*params, *first, *second)])
        assert results[0] == results[1]


def test_arrays_in_one_order_of_memory_are_not_copied():
    rng = np.random.default_rng(0)
    channels_last = drawn(rng, (4, 5, 5, 3)).array.viewed(lambda a: np.transpose(a, (0, 3, 1, 2)))
    p = nn.Parameter(wrap(channels_last))
    grad = drawn(rng, (4, 5, 5, 3)).array.viewed(lambda a: np.transpose(a, (0, 3, 1, 2)))
    p.grad = wrap(grad)
    optimizer = optim.Adam([p])
    optimizer.step()
    mean = optimizer.state[p]["exp_avg"]
    assert mean.array.strides == channels_last.strides
    (batch,) = batches(((p.array,), (mean.array,), (grad,)), writes=2)
    assert batch.moved == [] and batch.places[0][0] is p.array and batch.places[0][2] is grad
    plain = nn.Parameter(
        wrap(from_numpy(drawn(np.random.default_rng(0), (4, 5, 5, 3)).host().transpose(0, 3, 1, 2), backend()))
    )
    plain.grad = wrap(from_numpy(grad.numpy(), backend()))
    other = optim.Adam([plain])
    other.step()
    assert p.tolist() == plain.tolist()
    plain.grad = p.grad  # another order than the parameter's: copied, with the same result
    p.grad = p.grad.clone()
    optimizer.step()
    other.step()
    assert p.tolist() == plain.tolist()


def test_dense_order():
    assert dense_order((2, 3), (3, 1)) == (3, 1)
    assert dense_order((2, 3), (1, 2)) == (1, 2)
    assert dense_order((2, 3), (4, 1)) is None
    assert dense_order((2, 3), (0, 1)) is None
    assert dense_order((), ()) == ()
    assert dense_order((5, 1, 4), (4, 77, 1)) == dense_order((5, 1, 4), (4, 1, 1)) == (4, 0, 1)


def test_unaligned_arrays_do_not_slow_the_others():
    whole = from_numpy(np.arange(64, dtype=np.float32), backend())
    shifted = whole.viewed(lambda a: a[1:33])
    aligned = from_numpy(np.zeros((4, 4), np.float32), backend())
    found = batches(((shifted, aligned, aligned),), writes=0)
    assert [(len(b.places), b.alignment) for b in found] == [(1, 4), (2, 16)]


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100", "gfx942"])
def test_loads_and_stores_are_wide(target):
    with Recorder(target) as recorder:
        optim.Adam(parameters(recorder, [(64, 32), (10,)])).step()
        (code,) = [k.asm for name, k in recorder.compile_all() if name.startswith("_group")]
    if target == "gfx942":
        assert code["amdgcn"].count("global_load_dwordx4") >= 4 and code["amdgcn"].count("global_store_dwordx4") >= 3
    else:
        assert code["ptx"].count("ld.global.v4.b32") >= 8 and code["ptx"].count("st.global.v4.b32") >= 6


def test_addresses_beyond_int32():
    """The table holds int64, and blocks of arrays are counted within each array."""
    array = from_numpy(np.zeros(5000, np.float32), backend())
    (batch,) = batches(((array, array),), writes=0)
    table, programs, count = batch.tables(1024)
    assert isinstance(table, DeviceArray) and table.dtype == np.int64 and count == 10
    assert table.numpy().tolist() == [[array.ptr, 5000]] * 2
    assert programs.numpy().tolist() == [[i, j] for i in range(2) for j in range(5)]
