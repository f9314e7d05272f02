"""What a float32 product is rounded to: the settings, their names, and the errors that they make."""

import numpy as np
import pytest

import trigrad as tg
from trigrad.framework.precision import float32_product, input_precision


@pytest.fixture(autouse=True)
def restored():
    yield
    tg.set_float32_matmul_precision("highest")
    tg.set_float32_conv_precision("highest")


def test_exact_unless_asked():
    assert tg.get_float32_matmul_precision() == tg.get_float32_conv_precision() == "highest"
    assert float32_product("matmul") == float32_product("conv") == "ieee"


@pytest.mark.parametrize("kind", ["matmul", "conv"])
@pytest.mark.parametrize(
    ("given", "shown", "way"),
    [
        ("highest", "highest", "ieee"),
        ("high", "high", "tf32"),
        ("medium", "medium", "tf32"),
        ("ieee", "highest", "ieee"),
        ("tf32", "high", "tf32"),
        ("bf16x3", "bf16x3", "bf16x3"),
    ],
)
def test_names(kind, given, shown, way):
    setter, getter = getattr(tg, f"set_float32_{kind}_precision"), getattr(tg, f"get_float32_{kind}_precision")
    setter(given)
    assert getter() == shown
    assert float32_product(kind) == way == input_precision(np.dtype(np.float32), kind)
    assert input_precision(np.dtype(np.float64), kind) == input_precision(np.dtype(np.float16), kind) == "ieee"
    other = "conv" if kind == "matmul" else "matmul"
    assert float32_product(other) == "ieee"


def test_wrong_names():
    names = "'highest', 'high', 'medium', 'ieee', 'tf32', 'bf16x3'"
    with pytest.raises(ValueError, match=f"^set_float32_matmul_precision: expected one of {names}, got 'fast'$"):
        tg.set_float32_matmul_precision("fast")
    with pytest.raises(TypeError, match=r"^set_float32_conv_precision: expected a str, got int$"):
        tg.set_float32_conv_precision(1)
    with pytest.raises(ValueError, match=r"^backends.cudnn.conv.fp32_precision: expected one of .*, got 'none'$"):
        tg.backends.cudnn.conv.fp32_precision = "none"
    with pytest.raises(TypeError, match=r"^backends.cuda.matmul.allow_tf32: expected a bool, got str$"):
        tg.backends.cuda.matmul.allow_tf32 = "yes"
    with pytest.raises(AttributeError):
        tg.backends.cudnn.benchmark = True
    with pytest.raises(AttributeError):
        tg.backends.cuda.allow_tf32 = True


def test_pytorchs_switches():
    cuda, cudnn = tg.backends.cuda, tg.backends.cudnn
    assert cuda.matmul.allow_tf32 is cudnn.allow_tf32 is False
    cuda.matmul.allow_tf32 = True
    assert tg.get_float32_matmul_precision() == "high" and cuda.matmul.fp32_precision == "tf32"
    cudnn.allow_tf32 = True
    assert cudnn.conv.fp32_precision == cudnn.fp32_precision == "tf32" and tg.get_float32_conv_precision() == "high"
    cudnn.conv.fp32_precision = "bf16x3"
    assert cudnn.allow_tf32 is False and tg.get_float32_conv_precision() == "bf16x3"
    cuda.matmul.allow_tf32 = False
    assert tg.get_float32_matmul_precision() == "highest"
    assert repr(cuda.matmul) == "<backends.cuda.matmul: fp32_precision='ieee'>"


BOUND = {"ieee": 2.0**-24, "tf32": 2.0**-9, "bf16x3": 2.0**-15}  # of one product, relative


def error(precision: str, way: str, K: int, rng) -> tuple[float, float]:
    """The largest error of a product, and of all of them the mean square, both against float64 and relative to |a| |b|."""
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((40, K), (K, 30)))
    tg.set_float32_matmul_precision(precision)
    x, y = (tg.tensor(v, device=way) for v in (a, b))
    got = (x @ y).numpy(force=True).astype(np.float64)
    scale = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    relative = np.abs(got - a.astype(np.float64) @ b.astype(np.float64)) / scale
    return relative.max(), np.sqrt((relative**2).mean())


@pytest.mark.parametrize("K", [1, 64, 1000])
@pytest.mark.parametrize("precision", BOUND)
def test_error_of_each_precision(precision, K, rng):
    most, _ = error(precision, "interpreter", K, rng)
    assert most <= BOUND[precision] + 4 * 2.0**-24 * np.sqrt(K)
    if K == 1 and precision != "ieee":
        assert most > BOUND[precision] / 16  # rounded, and seen to be


def test_precisions_are_in_order(rng):
    mean = {way: error(way, "interpreter", 256, rng)[1] for way in BOUND}
    assert mean["ieee"] < mean["bf16x3"] / 4 and mean["bf16x3"] < mean["tf32"] / 30


def test_cpu_is_always_exact(rng):
    for way in BOUND:
        assert error(way, "cpu", 100, rng)[0] < 2.0**-20


def test_backward_reads_the_setting_too(rng):
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((8, 40), (40, 6)))
    grads = {}
    for way in ("ieee", "tf32"):
        x = tg.tensor(a, device="interpreter", requires_grad=True)
        out = x @ tg.tensor(b, device="interpreter")
        tg.set_float32_matmul_precision(way)
        out.sum().backward()
        grads[way] = x.grad.numpy(force=True)
        tg.set_float32_matmul_precision("highest")
    assert not np.array_equal(grads["ieee"], grads["tf32"])
    np.testing.assert_allclose(grads["tf32"], grads["ieee"], rtol=0, atol=2.0**-9 * np.abs(b).sum(1).max())


@pytest.mark.parametrize("way", ["tf32", "bf16x3"])
def test_infinities_and_nans_come_through(way):
    tg.set_float32_matmul_precision(way)
    a = tg.tensor([[np.inf, 1.0], [1.0, 2.0], [np.nan, 0.0]], device="interpreter", dtype=tg.float32)
    b = tg.tensor([[1.0], [3.0]], device="interpreter", dtype=tg.float32)
    np.testing.assert_array_equal((a @ b).numpy(force=True), [[np.inf], [7.0], [np.nan]])


def test_only_float32_is_concerned(rng):
    a, b = rng.standard_normal((20, 30)), rng.standard_normal((30, 10))
    for dtype in (tg.float64, tg.float16, tg.bfloat16):
        x, y = (tg.tensor(v, device="interpreter", dtype=dtype) for v in (a, b))
        exact = (x @ y).numpy(force=True)
        tg.set_float32_matmul_precision("tf32")
        np.testing.assert_array_equal((x @ y).numpy(force=True), exact)
        tg.set_float32_matmul_precision("highest")


def test_convolutions_have_their_own(rng):
    x = tg.tensor(rng.standard_normal((1, 3, 6, 6)).astype(np.float32), device="interpreter")
    w = tg.tensor(rng.standard_normal((4, 3, 3, 3)).astype(np.float32), device="interpreter")
    exact = tg.nn.functional.conv2d(x, w).numpy(force=True)
    tg.set_float32_matmul_precision("tf32")
    np.testing.assert_array_equal(tg.nn.functional.conv2d(x, w).numpy(force=True), exact)
    tg.set_float32_conv_precision("tf32")
    rounded = tg.nn.functional.conv2d(x, w).numpy(force=True)
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=2.0**-9 * 27 * 9)
