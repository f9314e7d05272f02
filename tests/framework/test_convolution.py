"""Convolutions as a GPU runs them: the tiles that it would choose, interpreted, against the NumPy versions."""

import ml_dtypes
import numpy as np
import pytest

from trigrad.framework import convolve, language, precision
from trigrad.framework.array import DeviceArray, empty, from_numpy
from trigrad.framework.convolution import (
    correlate_numpy,
    is_channels_last,
    phases,
    spread_numpy,
    weight_gradient_numpy,
)
from trigrad.framework.convolve import correlate_triton, spread_triton, weight_gradient_triton
from trigrad.framework.epilogue import Stage
from trigrad.framework.op import OPS
from trigrad.framework.record import Recorder
from trigrad.testing import assert_close

FLOAT32 = np.dtype(np.float32)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

# name, N, C, H, W, K, taps, stride, padding, dilation, groups
CASES = [
    ("one channel", 2, 1, 9, 8, 20, (4, 4), (2, 2), (1, 1), (1, 1), 1),
    ("three channels", 1, 3, 7, 6, 17, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("eight channels", 1, 8, 6, 5, 8, (3, 2), (2, 1), (1, 0), (2, 1), 1),
    ("sixteen channels", 2, 16, 6, 5, 5, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("odd channels", 1, 20, 7, 7, 36, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    ("many channels", 1, 64, 5, 6, 70, (4, 4), (2, 2), (1, 1), (1, 1), 1),
    ("few outputs", 1, 65, 6, 6, 3, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    ("one output", 2, 33, 4, 4, 1, (4, 4), (2, 2), (1, 1), (1, 1), 1),
    ("stride 3", 1, 16, 8, 9, 16, (2, 4), (3, 3), (0, 1), (1, 1), 1),
    ("dilated by the stride", 1, 17, 9, 8, 16, (3, 2), (2, 2), (2, 1), (2, 4), 1),
    ("pointwise", 2, 24, 4, 5, 18, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    ("strided pointwise", 1, 24, 5, 5, 18, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    ("whole", 3, 18, 4, 4, 5, (4, 4), (1, 1), (0, 0), (1, 1), 1),
    ("groups", 1, 32, 5, 5, 48, (3, 3), (2, 2), (1, 1), (1, 1), 2),
    ("small groups", 2, 6, 5, 4, 9, (3, 3), (1, 1), (1, 1), (1, 1), 3),
    ("depthwise", 2, 20, 6, 5, 20, (3, 3), (2, 1), (1, 1), (1, 1), 20),
    ("depthwise, two each", 1, 5, 7, 6, 10, (3, 2), (1, 1), (1, 0), (1, 2), 5),
]


def laid(array, last):
    """An array, channels last or row-major."""
    n, c, h, w = array.shape
    out = np.empty((n, h, w, c), array.dtype).transpose(0, 3, 1, 2) if last else np.empty(array.shape, array.dtype)
    out[...] = array
    return out


def on(recorder, array):
    """The array on the device, with its strides."""
    if not is_channels_last(array.shape, array.strides):
        return from_numpy(array, recorder)
    flat = from_numpy(np.ascontiguousarray(array.transpose(0, 2, 3, 1)), recorder)
    return flat.viewed(lambda a: a.transpose(0, 3, 1, 2))


def drawn(case, dtype, seed=0):
    """Input, weight and both biases, drawn; the output's size and the settings."""
    _, n, c, h, w, k, taps, stride, padding, dilation, groups = case
    rng = np.random.default_rng(seed)
    arrays = (
        rng.normal(size=(n, c, h, w)),
        rng.normal(size=(k, c // groups, *taps)),
        rng.normal(size=k),
        rng.normal(size=c),
    )
    size = tuple(
        (n + 2 * p - d * (t - 1) - 1) // s + 1
        for n, p, d, t, s in zip((h, w), padding, dilation, taps, stride, strict=True)
    )
    return [a.astype(dtype) for a in arrays], size, (stride, padding, dilation, groups)


def same(got: DeviceArray, expected, terms, what):
    assert_close(got.numpy(), expected, terms=terms, what=what)
    last = is_channels_last(expected.shape, expected.strides)
    assert is_channels_last(got.shape, got.strides) == last, f"{what}: strides {got.strides}"


@pytest.mark.parametrize("last", [True, False], ids=["channels last", "row-major"])
@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_all_three_at_the_tiles_of_a_gpu(case, dtype, last):
    (input, weight, bias, other), size, settings = drawn(case, dtype)
    *_, taps, _, _, _, _ = case
    input, weight = laid(input, last), laid(weight, last)
    grad = laid(np.random.default_rng(1).normal(size=(input.shape[0], weight.shape[0], *size)).astype(dtype), last)
    terms = max(input.shape[1], weight.shape[0]) * weight.shape[2] * weight.shape[3]
    with Recorder("sm_90", execute=True) as recorder:
        x, w, g = (on(recorder, a) for a in (input, weight, grad))
        b, o = from_numpy(bias, recorder), from_numpy(other, recorder)
        got = correlate_triton(x, w, b, *settings, size)
        same(got, correlate_numpy(input, weight, bias, *settings, size), terms, "correlate")
        got = spread_triton(g, w, o, *settings, input.shape[2:])
        same(got, spread_numpy(grad, weight, other, *settings, input.shape[2:]), terms, "spread")
        got = weight_gradient_triton(g, x, *settings, taps)
        places = grad.shape[0] * size[0] * size[1]
        same(got, weight_gradient_numpy(grad, input, *settings, taps), places, "weight gradient")


@pytest.mark.parametrize("which", ["input", "weight", "both", "neither"])
def test_results_lie_channels_last_where_input_or_weight_does(which):
    (input, weight, _, _), size, settings = drawn(CASES[4], FLOAT32)
    input, weight = laid(input, which in ("input", "both")), laid(weight, which in ("weight", "both"))
    with Recorder("sm_90", execute=True) as recorder:
        got = correlate_triton(on(recorder, input), on(recorder, weight), None, *settings, size)
        same(got, correlate_numpy(input, weight, None, *settings, size), 400, which)
        assert is_channels_last(got.shape, got.strides) == (which != "neither")


def test_channels_last_is_judged_as_pytorch_does():
    assert is_channels_last((2, 3, 4, 5), (60, 1, 15, 3))
    assert not is_channels_last((2, 3, 4, 5), (60, 20, 5, 1))
    assert is_channels_last((2, 1, 4, 5), (20, 1, 5, 1))  # one channel: the strides tell
    assert not is_channels_last((2, 1, 4, 5), (20, 20, 5, 1))
    assert is_channels_last((2, 3, 1, 1), (3, 1, 3, 3))
    assert not is_channels_last((2, 3, 1, 1), (3, 1, 1, 1))
    assert not is_channels_last((5, 1, 1, 1), (1, 1, 1, 1))
    assert not is_channels_last((0, 3, 4, 5), (60, 1, 15, 3))


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_arrays_with_gaps_are_read_right(dtype):
    (input, weight, _, _), size, settings = drawn(("", 4, 40, 6, 6, 18, (3, 3), (1, 1), (1, 1), (1, 1), 1), dtype)
    grad = np.random.default_rng(1).normal(size=(4, 18, 6, 12)).astype(dtype)

    def part(a):
        return a[::2, ::2]

    def wide(a):
        return a[::2, :, :, ::2]

    with Recorder("sm_90", execute=True) as recorder:
        x, g = from_numpy(input, recorder).viewed(part), from_numpy(grad, recorder).viewed(wide)
        w = from_numpy(np.ascontiguousarray(weight.transpose(3, 2, 1, 0)), recorder)
        w = w.viewed(lambda a: a.transpose(3, 2, 1, 0)[:, ::2])
        narrow = weight[:, ::2]
        got = correlate_triton(x, w, None, *settings, size)
        assert_close(got.numpy(), correlate_numpy(part(input), narrow, None, *settings, size), terms=180)
        got = spread_triton(g, w, None, *settings, size)
        assert_close(got.numpy(), spread_numpy(wide(grad), narrow, None, *settings, size), terms=180)
        got = weight_gradient_triton(g, x, *settings, (3, 3))
        assert_close(got.numpy(), weight_gradient_numpy(wide(grad), part(input), *settings, (3, 3)), terms=72)


@pytest.mark.parametrize("name", ["three channels", "odd channels", "depthwise"])
def test_offsets_of_64_bits(name, monkeypatch):
    """As for arrays of 2^30 elements and more, which nobody would want to test."""
    case = next(case for case in CASES if case[0] == name)
    (input, weight, bias, _), size, settings = drawn(case, FLOAT32)
    grad = np.random.default_rng(1).normal(size=(input.shape[0], weight.shape[0], *size)).astype(np.float32)
    monkeypatch.setattr(convolve, "LARGE", 0)
    with Recorder("sm_90", execute=True) as recorder:
        x, w, g = (on(recorder, laid(a, True)) for a in (input, weight, grad))
        # another tile than the rule's: plans of the rule's tiles are remembered
        tile = convolve.Tile(32, 32, 32, stages=2)
        got = correlate_triton(x, w, from_numpy(bias, recorder), *settings, size, tile=tile)
        assert_close(got.numpy(), correlate_numpy(input, weight, bias, *settings, size), terms=200)
        got = spread_triton(g, w, None, *settings, input.shape[2:], tile=tile)
        assert_close(got.numpy(), spread_numpy(grad, weight, None, *settings, input.shape[2:]), terms=400)
        got = weight_gradient_triton(g, x, *settings, case[6], tile=tile)
        assert_close(got.numpy(), weight_gradient_numpy(grad, input, *settings, case[6]), terms=200)
        wide = [
            dict(spec.constants)[(names.index("WIDE"),)]
            for spec in recorder.launches
            for names in [[name for name, _, _ in language.signature(spec.function).parameters]]
            if spec.function.fn.__module__ == "trigrad.framework.convolve_kernels"
        ]
        assert len(wide) == 3 and all(wide)
        recorder.compile_all()


@pytest.mark.parametrize("name", ["few outputs", "many channels", "pointwise", "whole", "depthwise", "three channels"])
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "row-major"])
def test_an_epilogue_changes_no_bit(name, last):
    """Bias, then a residual and leaky_relu: as the rows one after another."""
    case = next(case for case in CASES if case[0] == name)
    (input, weight, bias, other), size, settings = drawn(case, BFLOAT16)
    input, weight = laid(input, last), laid(weight, last)
    grad = laid(np.random.default_rng(1).normal(size=(input.shape[0], weight.shape[0], *size)).astype(BFLOAT16), last)
    add, leaky = OPS["add"].kernel, OPS["leaky_relu"].kernel
    slope = {name: 0.25 for name in OPS["leaky_relu"].settings}
    with Recorder("sm_90", execute=True) as recorder:
        x, w, g = (on(recorder, a) for a in (input, weight, grad))
        b, o = from_numpy(bias, recorder), from_numpy(other, recorder)
        for function, seen, added, places, residual in (
            (correlate_triton, x, b, size, grad),
            (spread_triton, g, o, input.shape[2:], input),
        ):
            plain = function(seen, w, added, *settings, places)
            r = from_numpy(np.ascontiguousarray(residual), recorder)  # another layout than the result's, maybe
            expected = leaky.triton(add.triton(plain, r), **slope)
            chain = (Stage(add.scalar, (r,)), Stage(leaky.scalar, settings=tuple(slope.values())))
            fused = function(seen, w, added, *settings, places, epilogue=chain)
            assert fused.strides == plain.strides
            np.testing.assert_array_equal(fused.numpy(), expected.numpy())


@pytest.mark.parametrize("way", ["ieee", "tf32", "bf16x3"])
def test_precision_reaches_every_product(way):
    """Errors are as large as the operands' rounding, and no larger: against float64."""
    (input, weight, _, _), size, settings = drawn(
        ("", 1, 32, 6, 6, 24, (3, 3), (1, 1), (1, 1), (1, 1), 1), FLOAT32, seed=3
    )
    grad = np.random.default_rng(1).normal(size=(1, 24, 6, 6)).astype(np.float32)
    wide = [a.astype(np.float64) for a in (input, weight, grad)]
    exact = (
        correlate_numpy(wide[0], wide[1], None, *settings, size),
        spread_numpy(wide[2], wide[1], None, *settings, size),
        weight_gradient_numpy(wide[2], wide[0], *settings, (3, 3)),
    )
    before = precision.get_float32_conv_precision()
    precision.set_float32_conv_precision(way)
    try:
        with Recorder("sm_90", execute=True) as recorder:
            x, w, g = (on(recorder, laid(a, True)) for a in (input, weight, grad))
            got = (
                correlate_triton(x, w, None, *settings, size),
                spread_triton(g, w, None, *settings, size),
                weight_gradient_triton(g, x, *settings, (3, 3)),
            )
            ways = {
                value
                for spec in recorder.launches
                for value in (dict(spec.constants).values())
                if isinstance(value, str)
            }
    finally:
        precision.set_float32_conv_precision(before)
    assert way in ways
    least, most = {"ieee": (0, 2e-6), "tf32": (2e-5, 4e-3), "bf16x3": (0, 5e-5)}[way]
    for result, true in zip(got, exact, strict=True):
        error = np.abs(result.numpy() - true).max() / np.abs(true).max()
        assert least <= error <= most, (way, error)


def test_long_weight_gradients_are_summed_in_parts():
    (input, _, _, _), size, settings = drawn(("", 8, 4, 34, 33, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1), FLOAT32)
    grad = np.random.default_rng(1).normal(size=(8, 8, *size)).astype(np.float32)
    with Recorder("sm_90", execute=True) as recorder:
        for last in (True, False):
            g, x = on(recorder, laid(grad, last)), on(recorder, laid(input, last))
            got = weight_gradient_triton(g, x, *settings, (3, 3))
            expected = weight_gradient_numpy(laid(grad, last), laid(input, last), *settings, (3, 3))
            same(got, expected, 8 * size[0] * size[1], "parts")
        assert any("_sum_parts" in str(spec) for spec in recorder.launches)


def test_a_batch_of_another_size_compiles_nothing():
    with Recorder("sm_90") as recorder:
        for n in (3, 64, 65, 128):
            images = empty((n, 8, 8, 32), FLOAT32, recorder).viewed(lambda a: a.transpose(0, 3, 1, 2))
            weight = empty((32, 3, 3, 32), FLOAT32, recorder).viewed(lambda a: a.transpose(0, 3, 1, 2))
            correlate_triton(images, weight, None, (1, 1), (1, 1), (1, 1), 1, (8, 8))
        tiles = {tuple(v for p, v in spec.constants if isinstance(v, int)) for spec in recorder.launches}
        assert len(recorder.launches) == len(tiles)  # another tile, at most


def test_no_product_is_made_with_taps_that_a_phase_does_not_have():
    """A stride of 2 and 3 taps: phases of 1, 2, 2 and 4 taps; 9 in all, as there are."""
    counts = [entry[2] for entry in phases(3, 2, 1, 1)]
    assert sorted(a * b for a in counts for b in counts) == [1, 2, 2, 4]
