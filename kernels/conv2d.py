"""Convolution in two dimensions (a correlation, as everywhere in deep learning), in groups of channels.

With place p, tap r and channel c in two dimensions, and zero for what lies outside the input:

    out[n, k, p]         = sum over c, r of input[n, c, p * stride - padding + r * dilation] * weight[k, c, r] + bias[k]
    grad_input           = conv_transpose2d(grad, weight), of input's size
    grad_weight[k, c, r] = sum over n, p of grad[n, k, p] * input[n, c, p * stride - padding + r * dilation]
    grad_bias[k]         = sum over n, p of grad[n, k, p]

Rows: ``conv2d`` without bias, ``conv2d_bias`` with one.  They are given the output's ``size``, so that they serve as
the gradients of ``conv_transpose2d`` and for padding on one side.  ``conv2d_weight_backward`` is bilinear: its
gradients are a convolution with the operands the other way round, ``conv2d_by_weight``, and its transpose.
"""

import numpy as np

from ..autograd import Tensor, apply, autocast_inputs
from ..framework import dtypes
from ..framework.convolution import correlate_numpy, weight_gradient_numpy
from ..framework.convolve import correlate_triton, weight_gradient_triton
from ..framework.op import Begun, Grad, Kernel, Op, Sample, register
from ..framework.repeat import repeated


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    """Slide ``weight`` (K, C/groups, R, S) over ``input`` (N, C, H, W) or (C, H, W); ``bias`` is (K) or None.

    ``padding`` may be 'valid' (none) or 'same' (the output has input's size; needs stride 1).  The output is laid out
    in memory channels last if the input or the weight is, else row-major.  Raises RuntimeError where shapes, dtypes or
    settings do not fit, TypeError for arguments of a wrong type.

    >>> conv2d(Tensor([[[[1.0, 2.0, 3.0]]]]), Tensor([[[[1.0, 10.0]]]])).numpy()
    array([[[[21., 32.]]]], dtype=float32)
    """
    input, weight, bias = autocast_inputs(CONV2D, input, weight, bias)
    check_operands("conv2d", input, weight, bias)
    steps, apart = pair("conv2d", "stride", stride, 1), pair("conv2d", "dilation", dilation, 1)
    check_groups("conv2d", groups, weight)
    taps = weight.shape[2:]
    if input.shape[-3] != weight.shape[1] * groups:
        raise RuntimeError(
            f"conv2d: weight {weight.shape} expects {weight.shape[1]} input channels per group, "
            f"input {input.shape} with groups={groups} has {input.shape[-3] / groups:g}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(
            f"conv2d: weight {weight.shape} expects a bias of shape {weight.shape[:1]}, got {bias.shape}"
        )
    if padding == "same":
        if steps != (1, 1):
            raise RuntimeError(f"conv2d: padding='same' needs stride 1, got {steps}")
        before = (apart[0] * (taps[0] - 1) // 2, apart[1] * (taps[1] - 1) // 2)
        size = input.shape[-2:]
    elif isinstance(padding, str) and padding != "valid":
        raise RuntimeError(f"conv2d: expected padding to be an int, two ints, 'same' or 'valid', got {padding!r}")
    else:
        before = (0, 0) if padding == "valid" else pair("conv2d", "padding", padding, 0)
        padded = tuple(n + 2 * p for n, p in zip(input.shape[-2:], before, strict=True))
        reach = tuple(d * (t - 1) + 1 for d, t in zip(apart, taps, strict=True))
        if reach[0] > padded[0] or reach[1] > padded[1]:
            raise RuntimeError(
                f"conv2d: weight {weight.shape} with dilation {apart} spans {reach}, more than the "
                f"padded input's {padded}"
            )
        size = tuple((n - e) // s + 1 for n, e, s in zip(padded, reach, steps, strict=True))
    settings = {"stride": steps, "padding": before, "dilation": apart, "groups": groups, "size": size}
    if input.ndim == 3:
        return _run(input.unsqueeze(0), weight, bias, settings).squeeze(0)
    return _run(input, weight, bias, settings)


def _run(input, weight, bias, settings):
    if bias is None:
        return apply(CONV2D, input, weight, **settings)
    return apply(CONV2D_BIAS, input, weight, bias, **settings)


def pair(op: str, name: str, value: object, least: int) -> tuple[int, int]:
    """``value``, an int or a sequence of one or two, as two ints of at least ``least``.

    Raises TypeError for anything else, RuntimeError for too small or too many numbers.
    """
    both = (value,) if isinstance(value, (int, np.integer)) else value
    if (
        isinstance(value, bool)
        or not isinstance(both, (tuple, list))
        or not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in both)
    ):
        raise TypeError(f"{op}: expected {name} to be an int or two ints, got {value!r}")
    if len(both) not in (1, 2) or min(both) < least:
        raise RuntimeError(f"{op}: expected {name} to be an int or two ints of at least {least}, got {value!r}")
    return int(both[0]), int(both[-1])


def check_operands(op: str, input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raise TypeError for what is no tensor, RuntimeError for wrong ranks, unlike dtypes and empty windows."""
    given = [("input", input), ("weight", weight)] + ([] if bias is None else [("bias", bias)])
    for name, x in given:
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}: expected {name} to be a Tensor, got {type(x).__name__}")
    if weight.ndim != 4:
        raise RuntimeError(f"{op}: expected a weight of 4 dimensions, got {weight.shape}")
    if input.ndim not in (3, 4):
        raise RuntimeError(f"{op}: expected input (N, C, H, W) or (C, H, W), got {input.shape}")
    if any(x.dtype is not input.dtype for _, x in given):
        raise RuntimeError(f"{op}: expected one dtype, got {', '.join(f'{name} {x.dtype.name}' for name, x in given)}")
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"{op}: bool has no convolution; use .to() first")
    if 0 in weight.shape[2:] or not weight.shape[0]:
        raise RuntimeError(f"{op}: expected a weight with at least one channel and tap, got {weight.shape}")
    if 0 in input.shape[-2:]:
        raise RuntimeError(f"{op}: expected an input of at least one pixel, got {input.shape}")


def check_groups(op: str, groups: int, weight: Tensor) -> None:
    """Raise TypeError unless ``groups`` is an int, RuntimeError unless it divides weight's first size."""
    if not isinstance(groups, (int, np.integer)) or isinstance(groups, bool):
        raise TypeError(f"{op}: expected groups to be an int, got {groups!r}")
    if groups < 1:
        raise RuntimeError(f"{op}: expected groups to be at least 1, got {groups}")
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"{op}: groups={groups} does not divide the {weight.shape[0]} channels of weight {weight.shape}"
        )


def forward_numpy(input, weight, *, stride, padding, dilation, groups, size):
    return correlate_numpy(input, weight, None, stride, padding, dilation, groups, size)


def forward_triton(input, weight, *, stride, padding, dilation, groups, size):
    return correlate_triton(input, weight, None, stride, padding, dilation, groups, size)


_correlate = repeated(correlate_triton)


def forward_begin(input, weight, *, stride, padding, dilation, groups, size):
    shape = (input.shape[0], weight.shape[0], *size)
    geometry = stride, padding, dilation, groups, size
    return Begun(shape, lambda chain: _correlate(input, weight, None, *geometry, epilogue=chain))


def bias_numpy(input, weight, bias, *, stride, padding, dilation, groups, size):
    return correlate_numpy(input, weight, bias, stride, padding, dilation, groups, size)


def bias_triton(input, weight, bias, *, stride, padding, dilation, groups, size):
    return correlate_triton(input, weight, bias, stride, padding, dilation, groups, size)


def bias_begin(input, weight, bias, *, stride, padding, dilation, groups, size):
    shape = (input.shape[0], weight.shape[0], *size)
    geometry = stride, padding, dilation, groups, size
    return Begun(shape, lambda chain: _correlate(input, weight, bias, *geometry, epilogue=chain))


def by_weight_numpy(weight, input, *, stride, padding, dilation, groups, size):
    return correlate_numpy(input, weight, None, stride, padding, dilation, groups, size)


def by_weight_triton(weight, input, *, stride, padding, dilation, groups, size):
    return correlate_triton(input, weight, None, stride, padding, dilation, groups, size)


def weight_backward_numpy(grad, input, *, stride, padding, dilation, groups, kernel_size):
    return weight_gradient_numpy(grad, input, stride, padding, dilation, groups, kernel_size)


def weight_backward_triton(grad, input, *, stride, padding, dilation, groups, kernel_size):
    return weight_gradient_triton(grad, input, stride, padding, dilation, groups, kernel_size)


def settings_for(**shapes: str):
    """What turns a call's settings into those of its gradient's row: the geometry, and sizes of the named inputs."""

    def settings(call):
        own = {name: call.settings[name] for name in ("stride", "padding", "dilation", "groups")}
        return own | {name: call.shape(source)[2:] for name, source in shapes.items()}

    return settings


def channels(call):
    """Settings of the sum over all but the channels."""
    return {"dim": (0, 2, 3), "keepdim": False}


INPUT = Grad(of=("input",), keeps=("weight",), op="conv_transpose2d", settings=settings_for(size="input"))
WEIGHT = Grad(
    of=("weight",), keeps=("input",), op="conv2d_weight_backward", settings=settings_for(kernel_size="weight")
)
BIAS = Grad(of=("bias",), keeps=(), op="sum", settings=channels)


def geometry(stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, size=None):
    """A row's settings."""
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "size": size}


def samples(rng):
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    w = np.array([[[[1.0, 2.0], [0.0, -1.0]]]])
    yield Sample(
        "worked",
        (x, w),
        geometry(size=(2, 2)),
        answers=(
            [[[[0.0, 2.0], [6.0, 8.0]]]],
            [[[[1.0, 3.0, 2.0], [1.0, 2.0, 1.0], [0.0, -1.0, -1.0]]]],
            [[[[12.0, 16.0], [24.0, 28.0]]]],
        ),
    )
    yield Sample(
        "worked, padded by one at the end",
        (x, w),
        geometry(stride=(2, 2), size=(2, 2)),
        answers=(
            [[[[0.0, 3.0], [23.0, 9.0]]]],
            [[[[1.0, 2.0, 1.0], [0.0, -1.0, 0.0], [1.0, 2.0, 1.0]]]],
            [[[[20.0, 10.0], [10.0, 5.0]]]],
        ),
    )
    for name, n, c, k, hw, taps, settings in [
        ("dcgan", 2, 3, 4, (6, 6), (4, 4), geometry((2, 2), (1, 1), size=(3, 3))),
        ("many channels", 2, 17, 9, (5, 4), (3, 3), geometry((1, 1), (1, 1), size=(5, 4))),
        ("pointwise", 3, 8, 5, (3, 4), (1, 1), geometry(size=(3, 4))),
        ("strided pointwise", 1, 9, 2, (5, 5), (1, 1), geometry((2, 2), size=(3, 3))),
        ("uneven", 1, 2, 3, (7, 5), (3, 2), geometry((2, 1), (1, 0), (2, 3), size=(3, 2))),
        ("dilated by the stride", 1, 9, 8, (9, 8), (3, 2), geometry((2, 2), (2, 1), (2, 4), size=(5, 3))),
        ("left over rows", 1, 8, 8, (7, 8), (2, 2), geometry((3, 3), size=(2, 2))),
        ("groups", 2, 4, 6, (4, 4), (3, 3), geometry(padding=(1, 1), groups=2, size=(4, 4))),
        ("depthwise", 1, 5, 10, (4, 3), (2, 2), geometry((1, 2), (0, 1), groups=5, size=(3, 2))),
        ("no batch", 0, 2, 3, (3, 3), (2, 2), geometry(size=(2, 2))),
        ("no channels", 1, 0, 2, (3, 3), (2, 2), geometry(size=(2, 2))),
    ]:
        arrays = rng.normal(size=(n, c, *hw)), rng.normal(size=(k, c // settings["groups"], *taps))
        yield Sample(name, arrays, settings, terms=max(16, c, k) * taps[0] * taps[1])
    last = rng.normal(size=(2, 4, 5, 9)).transpose(0, 3, 1, 2)
    yield Sample(
        "channels last", (last, rng.normal(size=(9, 3, 3, 3)).transpose(1, 0, 2, 3)), geometry(size=(2, 3)), terms=90
    )
    yield Sample(
        "long sum",
        (rng.normal(size=(3, 1, 20, 19)), rng.normal(size=(2, 1, 2, 2))),
        geometry(size=(19, 18)),
        terms=1026,
        dtypes=("float64", "float32"),
    )
    integers = np.array([[[[1, 2, 3]]]]), np.array([[[[1, 10]]]])
    yield Sample("integers", integers, geometry(size=(1, 2)), answers=([[[[21, 32]]]],), dtypes=())
    yield from errors(
        "conv2d",
        RuntimeError,
        [
            (
                "channels",
                (2, 3, 9, 9),
                (8, 4, 3, 3),
                {},
                "weight (8, 4, 3, 3) expects 4 input channels per group, input (2, 3, 9, 9) with groups=1 has 3",
            ),
            (
                "groups",
                (2, 4, 9, 9),
                (7, 2, 3, 3),
                {"groups": 2},
                "groups=2 does not divide the 7 channels of weight (7, 2, 3, 3)",
            ),
            ("no groups", (2, 4, 9, 9), (7, 2, 3, 3), {"groups": 0}, "expected groups to be at least 1, got 0"),
            (
                "too large",
                (1, 1, 3, 3),
                (1, 1, 3, 3),
                {"dilation": 2},
                "weight (1, 1, 3, 3) with dilation (2, 2) spans (5, 5), more than the padded input's (3, 3)",
            ),
            ("rank", (3, 3), (1, 1, 3, 3), {}, "expected input (N, C, H, W) or (C, H, W), got (3, 3)"),
            ("weight's rank", (1, 3, 3), (1, 3, 3), {}, "expected a weight of 4 dimensions, got (1, 3, 3)"),
            (
                "stride",
                (1, 1, 3, 3),
                (1, 1, 2, 2),
                {"stride": 0},
                "expected stride to be an int or two ints of at least 1, got 0",
            ),
            (
                "padding",
                (1, 1, 3, 3),
                (1, 1, 2, 2),
                {"padding": -1},
                "expected padding to be an int or two ints of at least 0, got -1",
            ),
            (
                "padding's name",
                (1, 1, 3, 3),
                (1, 1, 2, 2),
                {"padding": "full"},
                "expected padding to be an int, two ints, 'same' or 'valid', got 'full'",
            ),
            (
                "same with stride",
                (1, 1, 3, 3),
                (1, 1, 2, 2),
                {"padding": "same", "stride": 2},
                "padding='same' needs stride 1, got (2, 2)",
            ),
            (
                "no taps",
                (1, 1, 3, 3),
                (1, 1, 0, 2),
                {},
                "expected a weight with at least one channel and tap, got (1, 1, 0, 2)",
            ),
            ("no pixels", (1, 1, 0, 3), (1, 1, 1, 1), {}, "expected an input of at least one pixel, got (1, 1, 0, 3)"),
        ],
    )
    yield from errors(
        "conv2d",
        TypeError,
        [
            (
                "fraction",
                (1, 1, 3, 3),
                (1, 1, 2, 2),
                {"stride": 1.5},
                "expected stride to be an int or two ints, got 1.5",
            ),
            ("groups' type", (1, 1, 3, 3), (1, 1, 2, 2), {"groups": 1.0}, "expected groups to be an int, got 1.0"),
        ],
    )
    yield Sample(
        "dtypes",
        (np.zeros((1, 1, 3, 3), np.float32), np.zeros((1, 1, 2, 2))),
        dtypes=(),
        raises=(RuntimeError, "conv2d: expected one dtype, got input float32, weight float64"),
    )
    yield Sample(
        "bool",
        (np.zeros((1, 1, 3, 3), bool), np.zeros((1, 1, 2, 2), bool)),
        dtypes=(),
        raises=(RuntimeError, "conv2d: bool has no convolution; use .to() first"),
    )
    yield Sample(
        "bias",
        (np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 2, 2)), np.zeros(3)),
        raises=(RuntimeError, "conv2d: weight (2, 1, 2, 2) expects a bias of shape (2,), got (3,)"),
    )


def errors(op, kind, cases):
    """Error samples from (name, input's shape, weight's shape, settings, message)."""
    for name, input, weight, settings, message in cases:
        yield Sample(name, (np.zeros(input), np.zeros(weight)), settings, raises=(kind, f"{op}: {message}"))


def bias_samples(rng):
    x = np.array([[[[1.0, 2.0, 3.0]]]])
    yield Sample(
        "worked",
        (x, np.array([[[[1.0, 10.0]]]]), np.array([0.5])),
        geometry(size=(1, 2)),
        answers=([[[[21.5, 32.5]]]], [[[[1.0, 11.0, 10.0]]]], [[[[3.0, 5.0]]]], [2.0]),
    )
    for name, n, c, k, groups in [
        ("few channels", 2, 3, 4, 1),
        ("many channels", 2, 9, 5, 1),
        ("groups", 1, 4, 4, 2),
        ("no channels", 1, 0, 2, 1),
        ("no batch", 0, 3, 2, 1),
    ]:
        arrays = rng.normal(size=(n, c, 4, 5)), rng.normal(size=(k, c // groups, 2, 3)), rng.normal(size=(k,))
        yield Sample(name, arrays, geometry((2, 1), (1, 1), groups=groups, size=(3, 5)), terms=64)


def weight_samples(rng):
    g, x = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 2.0, 3.0]]]])
    settings = {**geometry(), "kernel_size": (1, 2)}
    del settings["size"]
    yield Sample("worked", (g, x), settings, answers=([[[[5.0, 8.0]]]], [[[[3.0, 5.0]]]], [[[[1.0, 3.0, 2.0]]]]))
    for name, k, c, groups in [("few channels", 5, 2, 1), ("many channels", 6, 9, 1), ("groups", 4, 4, 2)]:
        yield Sample(
            name,
            (rng.normal(size=(3, k, 3, 2)), rng.normal(size=(3, c, 5, 4))),
            settings | {"stride": (2, 2), "padding": (1, 1), "groups": groups, "kernel_size": (3, 2)},
            terms=54,
        )


CONV2D = register(
    Op(
        name="conv2d",
        autocast="half",
        kernel=Kernel(numpy=forward_numpy, triton=repeated(forward_triton), begin=forward_begin),
        grads=(INPUT, WEIGHT),
        samples=samples,
        function=conv2d,
    )
)

CONV2D_BIAS = register(
    Op(
        name="conv2d_bias",
        autocast="half",
        kernel=Kernel(numpy=bias_numpy, triton=repeated(bias_triton), begin=bias_begin),
        grads=(INPUT, WEIGHT, BIAS),
        samples=bias_samples,
        function=conv2d,
    )
)

register(
    Op(
        name="conv2d_by_weight",
        kernel=Kernel(numpy=by_weight_numpy, triton=repeated(by_weight_triton)),
        grads=(WEIGHT, INPUT),
    )
)

register(
    Op(
        name="conv2d_weight_backward",
        kernel=Kernel(numpy=weight_backward_numpy, triton=repeated(weight_backward_triton)),
        grads=(
            Grad(of=("grad",), keeps=("input",), op="conv2d_by_weight", settings=settings_for(size="grad")),
            Grad(of=("input",), keeps=("grad",), op="conv_transpose2d_by_weight", settings=settings_for(size="input")),
        ),
        samples=weight_samples,
    )
)
