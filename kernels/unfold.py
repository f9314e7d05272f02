"""Windows of an image as columns, and columns added up to an image: each is the other's gradient.

unfold: out[n, (c, i, j), (p, q)] = input[n, c, p * stride - padding + i * dilation, q * stride - padding + j * dilation]
fold:   out[n, c, y, x]           = sum of input[n, (c, i, j), (p, q)] over the i, j, p, q that read (y, x)

Both are ``resample`` with the line "taps" along height and width, and an exchange of dimensions.
"""

from math import prod

from ..autograd import Tensor, apply
from ..framework.window import pair
from .resample import RESAMPLE

Pair = tuple[int, int]


def _settings(op, kernel_size, dilation, padding, stride):
    given = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    pairs = {name: pair(op, name, value) for name, value in given.items()}
    for name, values in pairs.items():
        if min(values) < (0 if name == "padding" else 1):
            raise RuntimeError(
                f"{op}: {name} must be {'at least 0' if name == 'padding' else 'positive'}, got {values}"
            )
    return tuple(pairs.values())


def _lines(op, size, kernel, dilation, padding, stride):
    """A line for each of height and width, with the number of windows along it."""
    lines = []
    for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True):
        count = (n + 2 * p - d * (k - 1) - 1) // s + 1
        if count < 1:
            raise RuntimeError(
                f"{op}: kernel_size {kernel} with dilation {dilation} spans more than an image of {tuple(size)} with "
                f"padding {padding}"
            )
        lines.append(("taps", n, count, k, s, p, d))
    return tuple(lines)


def unfold(
    input: Tensor,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Tensor:
    """The windows of ``input`` (N, C, H, W) or (C, H, W) as (N, C * window, windows), zeros for the padding.

    Raises RuntimeError for windows that do not fit, TypeError for arguments that are no integers.

    >>> unfold(Tensor([[[1.0, 2.0, 3.0]]]), (1, 2)).numpy()
    array([[1., 2.],
           [2., 3.]], dtype=float32)
    """
    kernel, *rest = _settings("unfold", kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            f"unfold: expected an input of shape (N, C, H, W) or (C, H, W), where only N may be 0, got {input.shape}"
        )
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    lines = _lines("unfold", input.shape[2:], kernel, *rest)
    n, c = input.shape[:2]
    high, wide = lines[0][2], lines[1][2]
    out = apply(RESAMPLE, input, first=-2, lines=lines, transposed=False)
    out = out.reshape(n, c, kernel[0], high, kernel[1], wide).permute(0, 1, 2, 4, 3, 5)
    return out.reshape(n, c * prod(kernel), high * wide)


def fold(
    input: Tensor,
    output_size: int | Pair,
    kernel_size: int | Pair,
    dilation: int | Pair = 1,
    padding: int | Pair = 0,
    stride: int | Pair = 1,
) -> Tensor:
    """The sum of windows ``input`` (N, C * window, windows) or (C * window, windows) at their places in an image of ``output_size``.

    Raises RuntimeError for windows whose number or size does not fit, TypeError for arguments that are no integers.

    >>> fold(Tensor([[1.0, 2.0], [20.0, 30.0]]), (1, 3), (1, 2)).numpy()
    array([[[ 1., 22., 30.]]], dtype=float32)
    """
    kernel, *rest = _settings("fold", kernel_size, dilation, padding, stride)
    size = pair("fold", "output_size", output_size)
    if input.ndim not in (2, 3):
        raise RuntimeError(f"fold: expected an input of shape (N, C * window, windows) or without N, got {input.shape}")
    if input.ndim == 2:
        return fold(input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride).squeeze(0)
    lines = _lines("fold", size, kernel, *rest)
    n, columns, windows = input.shape
    high, wide = lines[0][2], lines[1][2]
    if columns % prod(kernel) or not columns:
        raise RuntimeError(f"fold: kernel_size {kernel} does not divide the {columns} columns of input {input.shape}")
    if windows != high * wide:
        raise RuntimeError(
            f"fold: output_size {size} with kernel_size {kernel} has {high * wide} windows, input {input.shape} has {windows}"
        )
    c = columns // prod(kernel)
    out = input.reshape(n, c, *kernel, high, wide).permute(0, 1, 2, 4, 3, 5)
    out = out.reshape(n, c, kernel[0] * high, kernel[1] * wide)
    return apply(RESAMPLE, out, first=-2, lines=lines, transposed=True)
