"""Products at the sizes that a GPU would run, in the interpreter, and what the compiler makes of them."""

import itertools

import ml_dtypes
import numpy as np
import pytest

import trigrad as tg
from trigrad.framework import gemm as products
from trigrad.framework import machine, tiles
from trigrad.framework.array import DeviceArray, empty, from_numpy
from trigrad.framework.compile import TARGETS
from trigrad.framework.epilogue import Stage
from trigrad.framework.gemm import Machine, Tile, gemm
from trigrad.framework.op import OPS
from trigrad.framework.record import Recorder

BF16 = np.dtype(ml_dtypes.bfloat16)
FP32 = np.dtype(np.float32)
H200 = Machine(name="", programs=132, shared=227 << 10, large=False, hopper=True)
SMALL = {BF16: 2.0**-8, np.dtype(np.float16): 2.0**-11, FP32: 2.0**-24, np.dtype(np.float64): 2.0**-53}


@pytest.fixture(autouse=True)
def restored():
    yield
    tg.set_float32_matmul_precision("highest")


def laid(array: np.ndarray, transposed: bool, on: Recorder) -> DeviceArray:
    """The array in device memory, row-major or with its last two dimensions the other way round in memory."""
    if not transposed:
        return from_numpy(array, on)
    return from_numpy(array.swapaxes(-1, -2).copy(), on).viewed(lambda x: x.swapaxes(-1, -2))


def check(a, b, bias, got, of=1.0):
    """Against float64: errors of rounded inputs, of a sum in float32, and of the result's own rounding."""
    wide = [x.astype(np.float64) for x in (a, b)]
    want = wide[0] @ wide[1] + (0 if bias is None else bias.astype(np.float64))
    scale = np.abs(wide[0]) @ np.abs(wide[1]) + (0 if bias is None else np.abs(bias.astype(np.float64)))
    unit = max(SMALL[a.dtype], of)
    summing = 4 * max(SMALL[FP32], SMALL[a.dtype] if a.dtype.itemsize == 8 else 0) * np.sqrt(a.shape[-1] + 1)
    if a.dtype.itemsize == 8:
        summing = 4 * SMALL[a.dtype] * np.sqrt(a.shape[-1] + 1)
    error = np.abs(got.astype(np.float64) - want)
    assert got.dtype == a.dtype
    assert (error <= SMALL[a.dtype] * 2 * np.abs(want) + (summing + (unit if of < 1 else 0)) * scale + 1e-30).all()


def multiply(rng, M, N, K, dtype, layout="nn", batch=(), bias=False, tile=None, target="sm_90", of=1.0, other=None):
    a = rng.normal(size=(*batch, M, K)).astype(dtype)
    b = rng.normal(size=(*(batch if other is None else other), K, N)).astype(dtype)
    added = rng.normal(size=N).astype(dtype) if bias else None
    with Recorder(target, execute=True) as on:
        left, right = (laid(x, way == "t", on) for x, way in zip((a, b), layout, strict=True))
        out = gemm(left, right, None if added is None else from_numpy(added, on), tile=tile)
        check(a, b, added, out.numpy(), of)
        return on.launches


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("dtype", [FP32, BF16, np.dtype(np.float16), np.dtype(np.float64)], ids=str)
@pytest.mark.parametrize(("M", "N", "K"), [(70, 66, 100), (1, 33, 17), (129, 1, 40), (64, 272, 20)])
def test_odd_shapes(rng, M, N, K, dtype, layout):
    multiply(rng, M, N, K, dtype, layout, bias=True)


@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_batches_of_any_layout(rng, layout):
    multiply(rng, 33, 40, 18, FP32, layout, (2, 3))
    multiply(rng, 33, 40, 18, FP32, layout, (2, 1), other=(3,))
    multiply(rng, 20, 24, 36, BF16, layout, (3,), other=())


@pytest.mark.parametrize("m", [16, 32, 64, 128])
@pytest.mark.parametrize("n", [16, 64, 128, 256])
def test_tiles(rng, m, n):
    multiply(rng, 130, 260, 50, BF16, "nt", tile=Tile(m, n, 32), bias=True)


def test_grouped_order_reaches_every_tile(rng):
    launches = multiply(rng, 16 * 19, 16 * 5, 16, FP32, tile=Tile(16, 16, 16))
    assert len(launches) == 1


@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
def test_persistent_programs_share_the_tiles(rng, batch):
    (made,) = multiply(rng, 16 * 10, 16 * 14, 20, FP32, "nt", batch, True, Tile(16, 16, 32, persistent=1))
    assert ("PERSISTENT", True) in constants(made).items()
    (made,) = multiply(rng, 40, 40, 40, FP32, tile=Tile(16, 16, 32, persistent=1))
    assert not constants(made)["PERSISTENT"]  # no more tiles than programs


@pytest.mark.parametrize("dtype", [FP32, BF16], ids=str)
@pytest.mark.parametrize(("M", "N", "K", "splits"), [(128, 1, 2048, 4), (3, 5, 1000, 7), (20, 100, 1601, 9)])
def test_split_sums(rng, M, N, K, splits, dtype):
    launches = multiply(rng, M, N, K, dtype, "nt", bias=True, tile=Tile(32, 32, 64, splits=splits))
    assert [made.function.fn.__name__ for made in launches] == ["_gemm", "_sum_parts"]


def test_split_sums_repeat_to_the_bit(rng):
    a, b = rng.normal(size=(40, 3000)).astype(FP32), rng.normal(size=(3000, 7)).astype(FP32)
    with Recorder("sm_90", execute=True) as on:
        first, second = (gemm(from_numpy(a, on), from_numpy(b, on)).numpy() for _ in range(2))
        parts = [from_numpy(a, on), from_numpy(b, on)]
        third = gemm(*parts).numpy()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)


def test_integers_wrap_like_numpy(rng):
    for dtype in (np.int8, np.int32, np.int64, np.uint8):
        info = np.iinfo(dtype)
        a, b = (rng.integers(info.min, info.max, size=s, dtype=dtype) for s in ((9, 700), (700, 11)))
        with Recorder("sm_90", execute=True) as on:
            np.testing.assert_array_equal(gemm(from_numpy(a, on), from_numpy(b, on)).numpy(), a @ b)


def test_nothing_to_add_and_nothing_to_do(rng):
    with Recorder("sm_90", execute=True) as on:
        zeros = gemm(empty((3, 0), FP32, on), empty((0, 4), FP32, on), from_numpy(np.ones(4, np.float32), on))
        np.testing.assert_array_equal(zeros.numpy(), np.ones((3, 4)))
        for x, y in (((0, 3), (3, 4)), ((3, 2), (2, 0)), ((0, 2, 3), (3, 4))):
            out = gemm(empty(x, FP32, on), empty(y, FP32, on))
            assert out.shape == (*x[:-1], y[-1])
        assert len(on.launches) == 1


def test_gaps_repeats_and_reversals(rng):
    a, b = rng.normal(size=(90, 80)).astype(FP32), rng.normal(size=(1, 70)).astype(FP32)
    with Recorder("sm_90", execute=True) as on:
        left = from_numpy(a, on).viewed(lambda x: x[::-2, 3:75:3])
        right = from_numpy(b, on).viewed(lambda x: np.broadcast_to(x, (24, 70)))
        check(a[::-2, 3:75:3], np.broadcast_to(b, (24, 70)), None, gemm(left, right).numpy())


def test_out_must_fit():
    with Recorder("sm_90", execute=True) as on:
        a, b, out = (empty(s, FP32, on) for s in ((3, 4), (4, 5), (5, 3)))
        with pytest.raises(
            ValueError, match=r"^gemm: expected a row-major out \(3, 5\), got \(5, 3\) of strides \(3, 1\)$"
        ):
            gemm(a, b, out=out)
        with pytest.raises(ValueError, match=r"strides \(1, 3\)"):
            gemm(a, b, out=out.viewed(lambda x: x.T))


# -- what runs on the result ---------------------------------------------------------------------------------------


def scalar(name):
    return OPS[name].kernel.scalar


@pytest.mark.parametrize("splits", [1, 5])
@pytest.mark.parametrize("dtype", [FP32, BF16], ids=str)
def test_chain_changes_no_bit(rng, dtype, splits):
    a, b = rng.normal(size=(37, 400)).astype(dtype), rng.normal(size=(400, 50)).astype(dtype)
    bias, residual = rng.normal(size=50).astype(dtype), rng.normal(size=(37, 50)).astype(dtype)
    tile = Tile(32, 32, 64, splits=splits)
    with Recorder("sm_90", execute=True) as on:
        x, y, added, more = (from_numpy(v, on) for v in (a, b, bias, residual))
        chain = (Stage(scalar("leaky_relu"), (), (0.2,)), Stage(scalar("sub"), (more,), (1.0,), first=False))
        got = gemm(x, y, added, chain, tile=tile).numpy()
        plain = gemm(x, y, added, tile=tile).numpy().astype(np.float32)
    want = np.where(plain > 0, plain, np.float32(0.2) * plain).astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(got, (residual.astype(np.float32) - want).astype(dtype))


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5)], ids=str)
def test_rows_begin_and_finish(rng, shape):
    x, w, c = rng.normal(size=shape), rng.normal(size=(4, 5)), rng.normal(size=4)
    x, w, c = (v.astype(np.float32) for v in (x, w, c))
    residual = rng.normal(size=(*shape[:-1], 4)).astype(np.float32)
    with Recorder("sm_90", execute=True) as on:
        given = [from_numpy(v, on) for v in (x, w, c)]
        for name, arrays in (
            ("linear", given[:2]),
            ("linear_bias", given),
            ("matmul", [given[0], from_numpy(w.T, on)]),
        ):
            begun = OPS[name].kernel.begin(*arrays)
            plain = OPS[name].kernel.triton(*arrays).numpy()
            assert begun.shape == plain.shape and begun.others == ()
            np.testing.assert_array_equal(begun.finish(()).numpy(), plain)
            for operand in (residual, residual[..., :1], residual[0, ..., 0] if len(shape) == 2 else residual[0, 0]):
                begun = OPS[name].kernel.begin(*arrays)
                got = begun.finish((Stage(scalar("mul"), (from_numpy(operand, on),)), Stage(scalar("relu")))).numpy()
                np.testing.assert_array_equal(got, np.maximum(plain * operand, 0))


# -- decisions -----------------------------------------------------------------------------------------------------


def constants(made):
    from trigrad.framework.language import signature

    names = [name for name, _, _ in signature(made.function).parameters]
    return {names[place[0]]: value for place, value in made.constants}


def chosen(M, N, K, dtype=BF16, precision="ieee", count=1, layout="nt", on=H200):
    return products.candidates(M, N, K, count, dtype, precision, layout, on)[0]


def test_rule():
    assert chosen(8192, 8192, 8192)[:5] == (128, 256, 64, 8, 3)
    assert chosen(8192, 8192, 8192, FP32, "bf16x3")[:3] == (128, 128, 32)
    big = chosen(1024, 1024, 1024)
    assert big.m * big.n == 8192 and big.splits == 1  # 128 programs for 132 processors
    small = chosen(64, 6272, 100)
    assert (small.m, small.n, small.splits) == (64, 64, 1)
    skinny = chosen(128, 1, 8192, FP32)
    assert (skinny.m, skinny.n) == (16, 16) and skinny.splits == 16
    assert chosen(8, 4096, 4096).m == 16
    for M, N, K in itertools.product((1, 20, 64, 500, 5000), repeat=3):
        for dtype, precision in ((BF16, "ieee"), (FP32, "tf32"), (FP32, "ieee"), (np.dtype(np.float64), "ieee")):
            for tile in products.candidates(M, N, K, 1, dtype, precision, "nn", H200):
                stage = (tile.m + tile.n) * tile.k * dtype.itemsize
                assert stage * tile.stages <= H200.shared and min(tile[:3]) >= 16
                assert tile.splits == 1 or -(-K // tile.k) >= 4 * tile.splits


def test_small_shared_memory_takes_fewer_stages():
    assert chosen(8192, 8192, 8192, on=H200._replace(shared=99 << 10)).stages == 2


def test_batch_size_compiles_nothing():
    """A linear layer, forward and backward, at twenty batch sizes: as many kernels as tiles, whatever divides what."""
    with Recorder("sm_90") as on:
        w = empty((96, 200), FP32, on)
        for rows in range(49, 65):
            x, grad = empty((rows, 200), FP32, on), empty((rows, 96), FP32, on)
            gemm(x, w.viewed(lambda v: v.T))
            gemm(grad, w)
            gemm(grad.viewed(lambda v: v.T), x)
        assert len(on.launches) == 3
        w = empty((10, 6272), FP32, on)
        for rows in range(49, 65):
            gemm(empty((rows, 6272), FP32, on), w.viewed(lambda v: v.T))
        assert len(on.launches) == 5  # a split sum and its parts


def test_sizes_and_strides_past_32_bits(rng):
    planned = products._planned
    far = planned((4, 8), (2**31, 1), (8, 4), (4, 1), FP32, "ieee", H200, None)
    assert far.numbers[6][0].dtype == np.int64 and far.numbers[7][0].dtype == np.int32
    steep = planned((64, 8), (2**26, 1), (8, 4), (4, 1), FP32, "ieee", H200, None)
    assert steep.numbers[6][0].dtype == np.int64  # 2 ** 26 fits, but 64 rows of it do not
    near = planned((64, 8), (2**20, 1), (8, 4), (4, 1), FP32, "ieee", H200, None)
    assert near.numbers[6][0].dtype == np.int32


def test_tables(tmp_path, monkeypatch):
    path = tmp_path / "own.json"
    monkeypatch.setenv("TRIGRAD_TILES", str(path))
    key = products.key_of(1000, 512, 512, 1, BF16, "ieee", "nt")
    assert key == "m10 n9 k9 x0 bfloat16 ieee nt"
    tiles.write(path, {"Some GPU": {"gemm": {key: {"m": 64, "n": 256, "persistent": 2}}}})
    tiles.forget()
    try:
        on = H200._replace(name="Some GPU")
        default = products.candidates(1000, 512, 512, 1, BF16, "ieee", "nt", on)[0]
        found = products._chosen(1000, 512, 512, 1, BF16, "ieee", "nt", on)
        assert found == default._replace(m=64, n=256, persistent=2)
        assert products._chosen(1025, 512, 512, 1, BF16, "ieee", "nt", on) == chosen(1025, 512, 512)
        other = on._replace(name="Another GPU")
        assert products._chosen(1000, 512, 512, 1, BF16, "ieee", "nt", other) == default
        path.write_text("{")
        tiles.forget()
        with pytest.warns(UserWarning, match=r"tiles: left aside: .*own.json: not JSON"):
            assert products._chosen(1000, 512, 512, 1, BF16, "ieee", "nt", on) == default
    finally:
        monkeypatch.undo()
        tiles.forget()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a table of format 1"),
        ('{"format": 2}', "expected a table of format 1"),
        ('{"format": 1, "devices": []}', "devices: expected an object, got list"),
        (
            '{"format": 1, "devices": {"a": {"gemm": {"k": {"m": "x"}}}}}',
            "a, gemm, k: expected m to be a size, got 'x'",
        ),
    ],
)
def test_tables_that_are_none(tmp_path, content, message):
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        tiles.read(path)
    assert tiles.read(tmp_path / "missing.json") == {}


def test_shipped_table_is_one():
    tiles.read(tiles.SHIPPED)


# -- precision -----------------------------------------------------------------------------------------------------


def test_tf32_turns_operands_for_hopper(rng, monkeypatch):
    monkeypatch.setattr(products, "wants_turning", lambda M, N, K, precision, on: (on.hopper, on.hopper))
    tg.set_float32_matmul_precision("tf32")
    for layout, batch, turned in (("nt", (), 0), ("nn", (), 1), ("tt", (2,), 1), ("tn", (), 2), ("tn", (2, 3), 2)):
        launches = multiply(rng, 70, 36, 100, FP32, layout, batch, of=2.0**-9)
        assert [made.function.fn.__name__ for made in launches][:-1] == ["_turn"] * min(turned, len(launches) - 1)
        assert (turned > 0) == (len(launches) > 1)
        assert len(multiply(rng, 70, 36, 100, FP32, layout, batch, target="sm_80", of=2.0**-9)) == 1


# -- code ----------------------------------------------------------------------------------------------------------


def recorded(target, M, N, K, dtype, layout="nt", precision="highest"):
    tg.set_float32_matmul_precision(precision)
    with Recorder(target) as on:
        a = empty((K, M) if layout[0] == "t" else (M, K), dtype, on)
        b = empty((N, K) if layout[1] == "t" else (K, N), dtype, on)
        gemm(a.viewed(np.transpose) if layout[0] == "t" else a, b.viewed(np.transpose) if layout[1] == "t" else b)
        return [kernel for _, kernel in on.compile_all()]


@pytest.mark.parametrize("layout", ["nt", "nn", "tn"])
@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
def test_wide_loads_and_tensor_cores(target, layout):
    for M, N, K in ((1024, 1024, 1024), (64, 6272, 104)):
        facts = machine.facts(recorded(target, M, N, K, BF16, layout)[0])
        assert facts.spills == 0 and set(facts.widths("LDGSTS")) == {16}
        assert facts.tensor == ("wgmma" if target == "sm_90" else "mma")


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16x3"])
@pytest.mark.parametrize("target", TARGETS)
def test_every_precision_compiles(target, precision):
    assert recorded(target, 64, 96, 100, FP32, "nt", precision)
