"""Choosing tiles by measurement, proven with a clock of our own and candidates that are made to go wrong."""

import ml_dtypes
import numpy as np
import pytest

import trigrad as tg
from trigrad.__main__ import main
from trigrad.framework import driver, tiles, tune
from trigrad.framework.gemm import Tile, candidates, gemm, machine
from trigrad.framework.record import Recorder

FP32 = np.dtype(np.float32)
BF16 = np.dtype(ml_dtypes.bfloat16)
PRODUCT = tune.Product(70, 40, 50, FP32)
TILES = [Tile(64, 64, 16), Tile(32, 32, 32), Tile(16, 64, 16), Tile(64, 16, 16)]


def clock(seconds):
    """A clock that shows what it is told for each tile, and checks that tiles are measured by turns."""
    shown = []

    def prepare(run, tile):
        def measure():
            shown.append(tile)
            run()
            return seconds[tile]

        return measure

    prepare.shown = shown
    return prepare


@pytest.fixture
def gpu():
    with Recorder("sm_90", execute=True) as made:
        yield made


@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
@pytest.mark.parametrize(
    ("dtype", "precision"), [(FP32, "ieee"), (FP32, "tf32"), (FP32, "bf16x3"), (BF16, "ieee"), (np.dtype("f8"), "ieee")]
)
def test_right_candidates_are_all_timed(gpu, dtype, precision, layout):
    product = tune.Product(70, 40, 50, dtype, precision, layout)
    choice = tune.tune(product, gpu, clock(dict.fromkeys(TILES, 1.0)), TILES)
    assert choice.rejected == {} and set(choice.seconds) == set(TILES)
    assert choice.chosen == choice.rule == TILES[0] and choice.gain == 1
    assert tg.get_float32_matmul_precision() == "highest"


def test_fastest_wins_if_it_wins_clearly(gpu):
    seconds = dict(zip(TILES, (1.0, 0.5, 0.7, 2.0), strict=True))
    timed = clock(seconds)
    choice = tune.tune(PRODUCT, gpu, timed, TILES)
    assert choice.chosen == TILES[1] and choice.gain == 2
    assert timed.shown == TILES * tune.ROUNDS
    assert tune.tune(PRODUCT, gpu, clock(seconds | {TILES[1]: 0.98, TILES[2]: 1.0}), TILES).chosen == TILES[0]


@pytest.mark.parametrize("where", ["tile", "element", "nan", "precision"])
def test_candidate_that_computes_wrongly_is_thrown_out(gpu, monkeypatch, where):
    def broken(a, b, tile, **options):
        out = gemm(a, b, tile=tile, **options)
        if tile == TILES[1]:
            values = out.numpy()
            if where == "tile":
                values[64:, 32:] = values[:6, :8]
            elif where == "precision":
                values = values.astype(BF16).astype(FP32)
            else:
                values[3, 4] = np.nan if where == "nan" else values[3, 4] + 0.01
            gpu.copy_in(out.ptr, values)
        return out

    monkeypatch.setattr(tune, "gemm", broken)
    seconds = dict.fromkeys(TILES, 1.0) | {TILES[1]: 0.1, TILES[3]: 0.4}
    choice = tune.tune(PRODUCT, gpu, clock(seconds), TILES)
    assert choice.chosen == TILES[3] and TILES[1] not in choice.seconds
    assert "results are wrong" in choice.rejected[TILES[1]]


def test_candidate_that_leaves_memory_as_it_was_is_thrown_out(gpu, monkeypatch):
    """The right result may lie in the memory already; with other operands it is wrong."""
    seen = {}

    def lazy(a, b, tile, **options):
        if tile == TILES[1]:
            return seen["out"]
        seen.setdefault("out", gemm(a, b, tile=tile, **options))
        return gemm(a, b, tile=tile, **options)

    monkeypatch.setattr(tune, "gemm", lazy)
    choice = tune.tune(PRODUCT, gpu, clock(dict.fromkeys(TILES, 1.0) | {TILES[1]: 0.1}), TILES)
    assert TILES[1] in choice.rejected and choice.chosen == TILES[0]


def test_candidate_that_varies_is_thrown_out(gpu, monkeypatch):
    calls = []

    def varying(a, b, tile, **options):
        out = gemm(a, b, tile=tile, **options)
        if tile == TILES[2]:
            calls.append(tile)
            values = out.numpy()
            values[0, 0] *= 1 + len(calls) * 2.0**-22
            gpu.copy_in(out.ptr, values)
        return out

    monkeypatch.setattr(tune, "gemm", varying)
    choice = tune.tune(PRODUCT, gpu, clock(dict.fromkeys(TILES, 1.0) | {TILES[2]: 0.1}), TILES)
    assert choice.rejected == {TILES[2]: "results differ from run to run"}


def test_candidate_that_does_not_run_is_thrown_out(gpu, monkeypatch):
    def refusing(a, b, tile, **options):
        if tile != TILES[3]:
            raise RuntimeError("too much shared memory")
        return gemm(a, b, tile=tile, **options)

    monkeypatch.setattr(tune, "gemm", refusing)
    choice = tune.tune(PRODUCT, gpu, clock(dict.fromkeys(TILES, 1.0)), TILES)
    assert (
        choice.chosen == TILES[3] and choice.gain == 1
    )  # the rule's own does not run: there is no time to compare with
    assert set(choice.rejected.values()) == {"too much shared memory"}
    with pytest.raises(
        RuntimeError, match=r"^tune: \(70, 50\) by \(50, 40\) nn float32 ieee: every candidate fails: too"
    ):
        tune.tune(PRODUCT, gpu, clock({}), TILES[:3])
    assert tg.get_float32_matmul_precision() == "highest"


def test_contenders(gpu):
    for product in tune.products(tune.LAYERS, tune.KINDS.values()):
        tried = tune.contenders(product, gpu)
        assert 2 <= len(tried) == len(set(tried)) <= tune.MOST
        sizes = product.M, product.N, product.K
        assert tried[0] == candidates(*sizes, 1, product.dtype, product.precision, product.layout, machine(gpu))[0]


def test_small_contenders_compute_rightly(gpu):
    for product in (
        PRODUCT,
        tune.Product(64, 33, 600, BF16, "ieee", "nt"),
        tune.Product(20, 100, 64, FP32, "tf32", "tn"),
    ):
        choice = tune.tune(product, gpu, lambda run, tile: lambda: 1.0)
        assert not choice.rejected


def test_tables_remember(tmp_path, monkeypatch, gpu):
    path = tmp_path / "tiles.json"
    monkeypatch.setenv("TRIGRAD_TILES", str(path))
    old = {"GPU": {"gemm": {PRODUCT.key: {"m": 16}, "other": {"m": 32}}}, "Else": {"gemm": {"x": {"n": 16}}}}
    choice = tune.Choice(PRODUCT, TILES[0], TILES[1], {TILES[0]: 1.0, TILES[1]: 0.5})
    table = tune.merged(old, "GPU", [choice])
    assert table == {
        "GPU": {"gemm": {PRODUCT.key: TILES[1]._asdict(), "other": {"m": 32}}},
        "Else": {"gemm": {"x": {"n": 16}}},
    }
    assert old["GPU"]["gemm"][PRODUCT.key] == {"m": 16}
    tiles.write(path, table)
    assert tiles.read(tiles.user_file()) == table
    tiles.forget()
    try:
        assert tiles.tile_for("gemm", PRODUCT.key, TILES[0], "GPU") == TILES[1]
    finally:
        monkeypatch.undo()
        tiles.forget()
    kept = tune.Choice(PRODUCT, TILES[0], TILES[0], {TILES[0]: 1.0})
    assert PRODUCT.key not in tune.merged(table, "GPU", [kept])["GPU"]["gemm"]


@pytest.mark.skipif(driver.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main(["tune"]) == 1
    assert capsys.readouterr().err.startswith("tune needs a GPU: cuda: ")


def test_wrong_arguments(capsys, tmp_path):
    assert main(["tune", "64x100"]) == 2
    assert capsys.readouterr().err == "tune: expected a layer BATCHxINPUTSxOUTPUTS, got '64x100'\n"
    assert main(["tune", "64x0x3"]) == 2
    (tmp_path / "t.json").write_text("7")
    assert main(["tune", "--output", str(tmp_path / "t.json")]) == 2
    assert "expected a table of format 1" in capsys.readouterr().err


@pytest.mark.nodriver
def test_on_a_gpu_that_computes_nothing(driver):
    """Captures and all go through, and since every result is wrong, no tile is written down."""
    import contextlib
    import io
    from pathlib import Path

    from trigrad.__main__ import main
    from trigrad.framework import tune

    tune.MOST = 2
    path, said = Path("tiles-here.json"), io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["tune", "64x32x48", "--kind", "tf32", "--output", str(path)]) == 1
    assert said.getvalue().count("every candidate fails") == 3 and not path.exists()


@pytest.mark.nodriver
def test_clock_on_a_gpu(driver):
    import numpy as np

    import trigrad as tg
    from trigrad.framework import tune
    from trigrad.framework.array import empty
    from trigrad.framework.gemm import Tile, gemm
    from trigrad.framework.gpu import cuda_backend

    gpu = cuda_backend(None)
    a, b, out = (empty((64, 64), np.dtype(np.float32), gpu) for _ in range(3))
    for tile in (Tile(64, 64, 16), Tile(32, 32, 32, splits=2)):
        measure = tune.clock(tg.capture)(lambda tile=tile: gemm(a, b, tile=tile, out=out), tile)
        assert isinstance(measure(), float)
