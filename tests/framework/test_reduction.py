"""Kernels at the tile sizes of a GPU: split sums, statistics in shares, long rows, wide groups, transposing copies.

The samples of the op table are small, and the interpreter's tiles large: there every loop runs once and nothing is
split.  Here a ``Recorder`` runs the launches that a GPU would get.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework import elementwise, launch, normalise, reduction, strides, window
from trigrad.framework.array import from_numpy
from trigrad.framework.elementwise import run
from trigrad.framework.epilogue import Stage
from trigrad.framework.normalise import normalised
from trigrad.framework.op import OPS
from trigrad.framework.record import Recorder
from trigrad.framework.strides import accesses, packed, transposition

F = tg.nn.functional


@pytest.fixture
def gpu() -> Iterator[Recorder]:
    with Recorder("sm_90", execute=True) as recorder:
        yield recorder


@pytest.fixture
def launches(gpu: Recorder, monkeypatch) -> list[tuple[str, tuple[int, ...]]]:
    """The kernels launched: name and grid."""
    noted: list[tuple[str, tuple[int, ...]]] = []
    plain = gpu.launch

    def noting(function: Any, grid: tuple[int, ...], *rest: Any) -> None:
        noted.append((function.__name__, grid))
        plain(function, grid, *rest)

    monkeypatch.setattr(gpu, "launch", noting)
    return noted


def programs(launches: list, name: str) -> tuple[int, ...]:
    return next(grid for kernel, grid in launches if kernel == name)


def close(found: Any, expected: np.ndarray, terms: int = 1, eps: float = 2.0**-23) -> None:
    """Within what rounding makes of ``terms`` values added up."""
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=0, atol=16 * eps * terms**0.5 * scale)


def host(tensor: tg.Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().to("cpu").to(tg.float64).numpy())


def images(array: np.ndarray, where: Any, last: bool, dtype: Any = tg.float32) -> tg.Tensor:
    """A (N, C, H, W) array on a device, row-major or channels-last."""
    if last:
        return tg.tensor(np.ascontiguousarray(array.transpose(0, 2, 3, 1)), device=where, dtype=dtype).permute(
            0, 3, 1, 2
        )
    return tg.tensor(array, device=where, dtype=dtype)


# -- how operands are walked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, strides, vector, kinds",
    [
        ((1003,), ((1,), (1,)), 1, ("contiguous", "contiguous")),
        ((6, 8), ((8, 1), (0, 1)), 4, ("contiguous", "row")),  # a bias of channels-last images
        ((6, 8), ((8, 1), (1, 0)), 4, ("contiguous", "column")),
        ((6, 7), ((7, 1), (0, 1)), 1, ("contiguous", "row")),  # rows of 7 begin anywhere
        ((6, 8), ((8, 1), (10, 1)), 2, ("contiguous", "strided")),
        ((4, 6, 8), ((48, 8, 1), (0, 1, 0)), 4, ("contiguous", "strided")),  # a bias of row-major images
        ((6, 8), ((8, 1), (1, 6)), 1, ("contiguous", "strided")),  # transposed
        ((6, 8), ((1, 6), (1, 6)), 1, ("contiguous", "contiguous")),
        ((), ((), ()), 1, ("contiguous", "contiguous")),
    ],
)
def test_accesses(shape, strides, vector, kinds):
    found = accesses(shape, strides, 4)
    assert (found.vector, found.kinds) == (vector, kinds)
    assert not found.wide


def test_accesses_know_large_arrays():
    assert accesses((2**16, 2**15), ((2**15, 1), (2**15, 1)), 4).wide
    assert accesses((4, 4), ((4, 1), (2**30, 1)), 4).wide


def test_transposition():
    # images (N, C, H, W) from row-major to channels-last: 8 matrices of 100 pixels by 64 channels
    source, out = (6400, 100, 10, 1), (6400, 1, 640, 64)
    matrices, rows, columns, row_unit, column_unit, _ = transposition((8, 64, 10, 10), out, source, 4)
    assert (matrices, rows, columns, row_unit, column_unit) == (8, 100, 64, 4, 4)
    assert transposition((8, 64, 10, 10), out, out, 4) is None
    assert transposition((8, 4), (4, 1), (1, 8), 4) is None  # too small to be worth it


@pytest.mark.parametrize(
    "shape, strides, expected",
    [
        ((2, 3, 4), (12, 4, 1), (12, 4, 1)),
        ((2, 3, 4), (12, 1, 3), (12, 1, 3)),
        ((2, 1, 4), (4, 0, 1), (4, 4, 1)),
        ((2, 3), (4, 1), None),
        ((2, 3), (0, 1), None),
        ((), (), ()),
    ],
)
def test_packed(shape, strides, expected):
    assert packed(shape, strides) == expected


# -- elementwise -------------------------------------------------------------------------------------------------------

SHAPES = [
    ((2053,), (2053,), None),  # whole blocks and a rest
    ((37, 64), (64,), None),
    ((37, 64), (37, 1), None),
    ((41, 27), (27,), None),
    ((3, 8, 5, 12), (1, 8, 1, 1), None),
    ((3, 8, 7, 7), (8, 1, 1), None),
    ((3, 8, 7, 6), (1, 8, 1, 1), (0, 2, 3, 1)),
    ((1, 1), (1, 1), None),
    ((60, 40), (40, 60), (1, 0)),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape, other, order", SHAPES)
def test_elementwise(gpu, rng, shape, other, order, dtype):
    kind = getattr(tg, dtype)

    def on(where: Any) -> tg.Tensor:
        a = tg.tensor(x, device=where, dtype=kind)
        b = tg.tensor(y, device=where, dtype=kind)
        if order == (1, 0):  # operands of different orders
            return a - b.T
        if order is not None:
            a = a.permute(*order).contiguous().permute(*np.argsort(order))
        out = a - b
        assert order is None or out.stride() == a.stride()
        return out

    x, y = rng.normal(size=shape), rng.normal(size=other)
    np.testing.assert_array_equal(host(on(gpu.device)), host(on("cpu")))


def test_elementwise_in_place_and_unaligned(gpu, rng):
    x = rng.normal(size=(2100,)).astype(np.float32)
    a = tg.tensor(x, device=gpu.device)
    a[1:].mul_(2.0)
    a[3:2000:2] += 1.0
    expected = x.copy()
    expected[1:] *= 2
    expected[3:2000:2] += 1
    np.testing.assert_array_equal(host(a), expected)


@pytest.fixture
def wide(monkeypatch) -> Iterator[None]:
    """Arrays pass for some of more than 2**31 elements, which kernels walk in int64."""
    walk, rows, images_ = strides.accesses.__wrapped__, reduction.rows_of.__wrapped__, window.walk
    caches = elementwise._layout, normalise._plan

    def wide_walk(out: Any, arrays: Any) -> Any:
        steps, constants, channels = images_(out, arrays)
        return steps, {**constants, "WIDE": True}, channels

    kernels = {name: import_module(f"trigrad.kernels.{name}") for name in ("dropout", "softmax", "nll_loss")}
    for module in (elementwise, launch, kernels["dropout"]):
        monkeypatch.setattr(module, "accesses", lambda *given: replace(walk(*given), wide=True))
    for module in (reduction, normalise, kernels["softmax"], kernels["nll_loss"]):
        monkeypatch.setattr(module, "rows_of", lambda *given: replace(rows(*given), wide=True))
    monkeypatch.setattr(window, "walk", wide_walk)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_wide_numbers(gpu, rng, wide):
    x, y = rng.normal(size=(70, 24)).astype(np.float32), rng.normal(size=(24,)).astype(np.float32)
    out = tg.tensor(x, device=gpu.device) * tg.tensor(y, device=gpu.device)
    np.testing.assert_array_equal(host(out), x * y)
    np.testing.assert_array_equal(host(out[:, ::3].contiguous()), (x * y)[:, ::3])
    np.testing.assert_array_equal(host(out.T.contiguous()), (x * y).T)
    found, expected = both(lambda t: t.softmax(1).sum(0)[:5].sum(), gpu, rng.normal(size=(300, 12)))
    close(found[0], expected[0], 300)
    close(found[1], expected[1], 300)
    labels = rng.integers(0, 12, 300)
    found, expected = both(
        lambda t: F.cross_entropy(t, tg.tensor(labels, device=t.device)), gpu, rng.normal(size=(300, 12))
    )
    close(found[0], expected[0], 300)
    close(found[1], expected[1], 300)
    pixels = rng.normal(size=(30, 8, 12, 12))

    def chain(t: tg.Tensor) -> tg.Tensor:
        t = F.batch_norm(t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), None, None, training=True)
        t = F.dropout(t, 0.3, generator=tg.Generator().manual_seed(1))
        t = F.max_pool2d(t, 2) + F.avg_pool2d(t, 2) + F.adaptive_avg_pool2d(t, 6)
        return (t * t).sum()

    found, expected = both(chain, gpu, pixels)
    close(found[0], expected[0], pixels.size)
    close(found[1], expected[1], pixels.size)


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, order",
    [((130, 70), (1, 0)), ((3, 20, 9, 11), (0, 2, 3, 1)), ((3, 9, 11, 20), (0, 3, 1, 2)), ((9, 16, 33), (2, 0, 1))],
)
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.uint8, np.float64])
def test_transposing_copies(gpu, rng, launches, shape, order, kind):
    x = (rng.normal(size=shape) * 50).astype(kind)
    array = from_numpy(x, gpu)
    turned = array.viewed(lambda a: a.transpose(order))
    np.testing.assert_array_equal(launch.contiguous(turned).numpy(), x.transpose(order))
    assert [name for name, _ in launches] == ["_transpose"]
    to = launch.copied(turned).viewed(lambda a: a.transpose(np.argsort(order)))
    launch.copy_into(to, array)
    np.testing.assert_array_equal(to.numpy(), x)


def test_copies_convert(gpu, rng):
    x = rng.normal(size=(50, 40)).astype(np.float32)
    x[::3] = 0
    array = from_numpy(x, gpu)
    for source, expected in [(array, x), (array.viewed(lambda a: a.T), x.T)]:
        for kind in (np.float64, np.float16, np.int32, np.bool_):
            made = launch.cast(source, np.dtype(kind))
            assert made.strides == source.strides  # without gaps, so in the same order
            np.testing.assert_array_equal(made.numpy(), expected.astype(kind))
            out = from_numpy(np.zeros(source.shape, kind), gpu)
            launch.copy_into(out, source)
            np.testing.assert_array_equal(out.numpy(), expected.astype(kind))


# -- reductions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, order, dims, passes",
    [
        ((150003,), None, (0,), 2),
        ((150000,), None, (0,), 2),
        ((3, 60000), None, (1,), 2),
        ((3, 60001), None, (1,), 2),
        ((60000, 3), None, (0,), 2),
        ((20000, 16), None, (0,), 2),
        ((16, 8, 40, 40), None, (0, 2, 3), 2),
        ((16, 40, 40, 8), (0, 3, 1, 2), (0, 2, 3), 2),
        ((16, 24, 7, 7), None, (0, 2, 3), 1),
        ((600, 10), None, (1,), 1),
        ((10, 600), None, (0,), 1),
        ((4, 700, 12), None, (0, 2), 1),
        ((4, 5000, 6), None, (1,), 2),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sums(gpu, rng, launches, shape, order, dims, passes, dtype):
    x = rng.normal(size=shape).astype(np.float32)
    t = tg.tensor(x, device=gpu.device, dtype=getattr(tg, dtype))
    seen = host(t)
    if order is not None:
        t, seen = t.permute(*order), seen.transpose(order)
    launches.clear()
    out = t.sum(dims)
    assert len(launches) == passes
    count = int(np.prod([seen.shape[d] for d in dims]))
    close(host(out), seen.sum(dims), count, 2.0**-8 if dtype == "bfloat16" else 2.0**-23)


def test_exact_sums_and_other_folds(gpu, rng):
    x = rng.integers(-9, 9, (70, 900))
    t = tg.tensor(x, device=gpu.device)
    np.testing.assert_array_equal(host(t.sum()), x.sum())
    np.testing.assert_array_equal(host(t.sum(0)), x.sum(0))
    y = rng.normal(size=(40, 2100)).astype(np.float32)
    u = tg.tensor(y, device=gpu.device)
    np.testing.assert_array_equal(host(u.max(1)[0]), y.max(1))
    np.testing.assert_array_equal(host(u.min(0)[0]), y.min(0))
    close(host(u.var(1)), y.astype(np.float64).var(1, ddof=1), 2100)
    close(host(u.mean()), y.astype(np.float64).mean(), 84000)


def test_the_order_of_sums_is_fixed(gpu, rng):
    x = rng.normal(size=(7, 33000)).astype(np.float32)
    first, second = (host(tg.tensor(x, device=gpu.device).sum(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_rows_of_several_operands():
    # a loss: logits in rows of 12, one target a row
    rows = reduction.rows_of((((5, 12), (12, 1)), ((5, 1), (1, 1))), (1,), 4)
    assert (rows.M, rows.R, rows.vector, rows.across, rows.held) == (5, 12, 4, False, (False, True))
    assert rows.units == (5, 3)
    # channels-last images summed to channels
    rows = reduction.rows_of((((2, 8, 3, 3), (72, 1, 24, 8)),), (0, 2, 3), 4)
    assert (rows.M, rows.R, rows.vector, rows.across, rows.units) == (8, 18, 4, True, (2, 18))
    # one row, and a length that nothing divides
    rows = reduction.rows_of((((1003,), (1,)),), (0,), 4)
    assert (rows.vector, rows.kept_kinds, rows.kinds) == (1, ("scalar",), ("contiguous",))


# -- softmax and losses ------------------------------------------------------------------------------------------------


def both(function: Callable[..., tg.Tensor], gpu: Recorder, *inputs: np.ndarray, weight: Any = None) -> Iterator:
    """Value and gradients of a function of float32 inputs, on the recorder and in float64 on the CPU."""
    for where, kind in ((gpu.device, tg.float32), ("cpu", tg.float64)):
        leaves = [tg.tensor(x, device=where, dtype=kind).requires_grad_() for x in inputs]
        out = function(*leaves)
        out.backward(None if weight is None else tg.tensor(weight, device=where, dtype=kind))
        yield [host(out), *(host(leaf.grad) for leaf in leaves)]


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(
    "shape, dim",
    [
        ((300, 10), 1),
        ((300, 12), 1),
        ((5, 1003), 1),
        ((2, 17000), 1),
        ((1100, 5), 0),
        ((3, 40, 6, 6), 1),
        ((17000, 3), 0),
    ],
)
def test_softmax(gpu, rng, name, shape, dim):
    x, g = rng.normal(size=shape), rng.normal(size=shape)
    found, expected = both(lambda t: getattr(F, name)(t, dim), gpu, x, weight=g)
    for a, b in zip(found, expected, strict=True):
        close(a, b, shape[dim])


@pytest.mark.parametrize("reduction_", ["mean", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(300, 10), (260, 12), (5, 1003), (3, 17000), (2, 11, 8, 9)])
def test_cross_entropy(gpu, rng, shape, smoothing, reduction_):
    x = rng.normal(size=shape)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target.flat[1] = -100

    def loss(t: tg.Tensor) -> tg.Tensor:
        labels = tg.tensor(target, device=t.device)
        return F.cross_entropy(t, labels, reduction=reduction_, label_smoothing=smoothing)

    g = rng.normal(size=target.shape) if reduction_ == "none" else None
    found, expected = both(loss, gpu, x, weight=g)
    for a, b in zip(found, expected, strict=True):
        close(a, b, target.size + shape[1])


@pytest.mark.parametrize("shape, passes", [((128, 10), 1), ((1024, 10), 1), ((1100, 10), 2), ((64, 1000), 2)])
def test_small_batches_take_one_launch(gpu, rng, launches, shape, passes):
    x, target = rng.normal(size=shape), rng.integers(0, shape[1], shape[0])
    target[::7] = -100

    def loss(t: tg.Tensor) -> tg.Tensor:
        labels = tg.tensor(target, device=t.device)
        launches.clear()
        out = F.cross_entropy(t, labels)
        assert not launches or len(launches) == passes
        return out

    found, expected = both(loss, gpu, x)
    for a, b in zip(found, expected, strict=True):
        close(a, b, shape[0])


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize("shape, passes", [((64, 1), 1), ((9, 1, 70, 70), 2)])
def test_losses_of_pairs(gpu, rng, launches, name, shape, passes):
    x, t = rng.normal(size=shape), rng.uniform(size=shape)
    found, expected = both(lambda a, b: getattr(F, name)(a, b), gpu, x, t)
    for a, b in zip(found, expected, strict=True):
        close(a, b, x.size)
    assert sum(kernel == "_reduce" for kernel, _ in launches) == passes


# -- batch normalisation -----------------------------------------------------------------------------------------------

BATCHES = [
    ((64, 8, 12, 12), True, True),
    ((64, 8, 12, 12), False, True),
    ((16, 40, 7, 7), True, True),
    ((16, 140, 7, 7), False, False),
    ((70, 5, 9, 9), True, True),
    ((4000, 6), False, True),
    ((64, 33), False, False),
    ((30, 1, 20, 20), False, True),
]


@pytest.mark.parametrize("shape, last, split", BATCHES)
def test_batch_norm(gpu, rng, launches, shape, last, split):
    c = shape[1]
    x, g = rng.normal(3, 2, size=shape), rng.normal(size=shape)
    w, b = rng.uniform(0.5, 2, c), rng.normal(size=c)
    results = []
    for where, kind in ((gpu.device, tg.float32), ("cpu", tg.float64)):
        t = (
            images(x, where, last, kind) if len(shape) == 4 else tg.tensor(x, device=where, dtype=kind)
        ).requires_grad_()
        weight, bias = (tg.tensor(v, device=where, dtype=kind).requires_grad_() for v in (w, b))
        mean, var = tg.zeros(c, device=where, dtype=kind), tg.ones(c, device=where, dtype=kind)
        launches.clear()
        out = F.batch_norm(t, mean, var, weight, bias, training=True)
        if where is gpu.device:
            assert len(launches) == 1 + split, launches
            assert out.stride() == t.stride()
        launches.clear()
        grad = images(g, where, last, kind) if len(shape) == 4 else tg.tensor(g, device=where, dtype=kind)
        gradients = tg.autograd.grad(out, (t, weight, bias), grad)
        if where is gpu.device:
            assert len(launches) == 1 + split, launches
        results.append([host(v) for v in (out, mean, var, *gradients)])
    for found, expected in zip(*results, strict=True):
        close(found, expected, x.size // c)


@pytest.mark.parametrize("shape, last", [((64, 8, 12, 12), True), ((20, 6, 9, 9), False)])
def test_batch_norm_twice(gpu, rng, shape, last):
    c = shape[1]
    x, g, w = rng.normal(size=shape), rng.normal(size=shape), rng.uniform(0.5, 2, c)
    results = []
    for where, kind in ((gpu.device, tg.float32), ("cpu", tg.float64)):
        t = images(x, where, last, kind).requires_grad_()
        weight = tg.tensor(w, device=where, dtype=kind).requires_grad_()
        out = F.batch_norm(t, None, None, weight, None, training=True)
        (first,) = tg.autograd.grad(out, (t,), images(g, where, last, kind), create_graph=True)
        results.append([host(v) for v in tg.autograd.grad((first * first).sum(), (t, weight))])
    for found, expected in zip(*results, strict=True):
        close(found, expected, x.size // c)


def test_batch_norm_far_from_zero(gpu, rng):
    x = 1e4 + rng.normal(size=(64, 4, 12, 12))
    mean, var = tg.zeros(4, device=gpu.device), tg.zeros(4, device=gpu.device)
    seen = x.astype(np.float32).astype(np.float64)
    for last in (False, True):
        F.batch_norm(images(x, gpu.device, last), mean, var, training=True, momentum=1.0)
        np.testing.assert_allclose(host(mean), seen.mean((0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(host(var), seen.var((0, 2, 3), ddof=1), rtol=1e-3)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("last", [False, True])
def test_batch_norm_with_wider_parameters(gpu, rng, half, last):
    """Half inputs, float32 parameters and statistics, as mixed precision has them."""
    x, g = rng.normal(size=(24, 8, 10, 10)), rng.normal(size=(24, 8, 10, 10))
    w, b = rng.uniform(0.5, 2, 8), rng.normal(size=8)
    results = []
    for where in (gpu.device, "cpu"):
        t = images(x, where, last, getattr(tg, half)).requires_grad_()
        weight, bias = (tg.tensor(v, device=where, dtype=tg.float32).requires_grad_() for v in (w, b))
        mean, var = tg.zeros(8, device=where), tg.ones(8, device=where)
        out = F.batch_norm(t, mean, var, weight, bias, training=True)
        gradients = tg.autograd.grad(out, (t, weight, bias), images(g, where, last, getattr(tg, half)))
        assert out.dtype is t.dtype and gradients[0].dtype is t.dtype
        assert gradients[1].dtype is tg.float32 and mean.dtype is tg.float32
        results.append([host(v) for v in (out, gradients[0], mean, var, *gradients[1:])])
    for i, (found, expected) in enumerate(zip(*results, strict=True)):
        close(found, expected, 1 if i < 2 else 2400, 2.0**-8 if i < 2 else 2.0**-23)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batch_norm_with_an_epilogue(gpu, rng, last, dtype):
    """A residual and an activation in the kernel give the bits that they give in kernels of their own."""
    kind = getattr(tg, dtype)
    x, r = (images(rng.normal(size=(20, 8, 9, 9)), gpu.device, last, kind).array for _ in range(2))
    stats = [tg.tensor(v, device=gpu.device, dtype=tg.float32).array for v in rng.uniform(0.5, 2, (4, 8))]
    add, leaky = OPS["add"].kernel.scalar, OPS["leaky_relu"].kernel.scalar
    chain = (Stage(add, (r,), (1.0,) if "alpha" in OPS["add"].settings else ()), Stage(leaky, (), (0.2,)))
    found = normalised(x, *stats, 1e-5, epilogue=chain)
    plain = normalised(x, *stats, 1e-5)
    expected = run(leaky, (run(add, (plain, r), chain[0].settings),), (0.2,))
    assert found.strides == x.strides
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


# -- images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("channels", [8, 3])
@pytest.mark.parametrize(
    "pool",
    [
        lambda t: F.max_pool2d(t, 2),
        lambda t: F.max_pool2d(t, 3, 2, 1),
        lambda t: F.max_pool2d(t, 2, 1, 1, 2),
        lambda t: F.avg_pool2d(t, 3, 2, 1),
        lambda t: F.adaptive_avg_pool2d(t, (4, 5)),
        lambda t: F.adaptive_avg_pool2d(t, 1),
        lambda t: F.dropout(t, 0.4, generator=tg.Generator().manual_seed(3)),
    ],
    ids=["max", "max overlapping", "max dilated", "avg", "adaptive", "global", "dropout"],
)
def test_pools(gpu, rng, pool, channels, last):
    x = rng.permutation(5 * channels * 14 * 13).reshape(5, channels, 14, 13) / 64.0
    results = []
    for where in (gpu.device, "cpu"):
        t = images(x, where, last).requires_grad_()
        out = pool(t)
        if last and out.shape[-1] > 1:
            assert out.stride() == images(np.zeros(out.shape), "cpu", True).stride()
        g = images(np.random.default_rng(1).normal(size=out.shape), where, last)
        results.append([host(out), host(*tg.autograd.grad(out, (t,), g))])
    for found, expected in zip(*results, strict=True):
        close(found, expected, 182)
