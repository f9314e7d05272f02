"""Convolution layers over images (N, C, H, W) or (C, H, W): Conv2d and ConvTranspose2d."""

from __future__ import annotations

from math import sqrt
from typing import Any, cast

from ..autograd import Parameter, Tensor
from ..kernels.conv2d import conv2d
from ..kernels.conv_transpose2d import conv_transpose2d
from ..kernels.create import empty
from . import init
from .module import Module

Pair = tuple[int, int]


def _pair(name: str, what: str, value: Any) -> Pair:
    """One number for both directions, or a pair.  Raises ValueError for any other."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2:
        raise ValueError(f"{name}: {what} must be one number or a pair, got {value!r}")
    return both


class _Conv(Module):
    """What convolutions share: fields, first values, how they print.  Abstract."""

    in_channels: int
    out_channels: int
    kernel_size: Pair
    stride: Pair
    padding: Pair | str
    dilation: Pair
    transposed: bool
    output_padding: Pair
    groups: int
    padding_mode: str
    weight: Parameter  # (out_channels, in_channels / groups, kh, kw), transposed (in_channels, out_channels / groups, kh, kw)
    bias: Parameter | None  # (out_channels,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        transposed: bool,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups < 1:
            raise ValueError(f"{name}: groups must be positive, got {groups}")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {what}={channels} is not divisible by groups={groups}")
        if padding_mode != "zeros":
            raise ValueError(f"{name}: expected padding_mode 'zeros', got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(name, "kernel_size", kernel_size)
        self.stride = _pair(name, "stride", stride)
        self.dilation = _pair(name, "dilation", dilation)
        self.transposed = transposed
        self.output_padding = _pair(name, "output_padding", output_padding)
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{name}: expected padding 'same', 'valid' or numbers, got {padding!r}")
            if padding == "same" and self.stride != (1, 1):
                raise ValueError(f"{name}: padding='same' needs stride 1, got {self.stride}")
            self.padding = padding
        else:
            self.padding = _pair(name, "padding", padding)
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = Parameter(empty(first, second // groups, *self.kernel_size, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform in +-1 / sqrt(fan_in)."""
        init.kaiming_uniform_(self.weight, a=sqrt(5))
        if self.bias is not None:
            init.default_bias_(self.bias, self.weight)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != (0, 0):
            parts.append(f"padding={self.padding}")
        if self.dilation != (1, 1):
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0, 0):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        return ", ".join(parts)


class Conv2d(_Conv):
    """Cross-correlation of (N, in_channels, H, W) with ``weight``: each output size is
    ``(size + 2 padding - dilation (kernel - 1) - 1) // stride + 1``.

    Raises ValueError for channels that ``groups`` does not divide, and for unknown paddings.

    >>> from ..kernels.create import zeros
    >>> Conv2d(1, 64, 4, stride=2, padding=1)(zeros(2, 1, 28, 28)).shape
    (2, 64, 14, 14)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(_Conv):
    """The gradient of a convolution as a layer: each output size is
    ``(size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1``.

    Raises ValueError for channels that ``groups`` does not divide.

    >>> from ..kernels.create import zeros
    >>> ConvTranspose2d(64, 1, 4, stride=2, padding=1)(zeros(2, 64, 14, 14)).shape
    (2, 1, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if isinstance(padding, str):
            raise ValueError(f"ConvTranspose2d: padding must be numbers, got {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            True,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return conv_transpose2d(
            input, self.weight, self.bias, self.stride, cast(Pair, self.padding), extra, self.groups, self.dilation
        )

    def _extra(self, input: Tensor, output_size: Any) -> Pair:
        """The output_padding that gives ``output_size``, (H, W) or a whole shape.  Raises ValueError where none does."""
        wanted = tuple(output_size)[-2:]
        if len(tuple(output_size)) not in (2, input.ndim):
            raise ValueError(f"ConvTranspose2d: output_size must have 2 or {input.ndim} numbers, got {output_size!r}")
        settings = zip(
            input.shape[-2:], self.stride, cast(Pair, self.padding), self.dilation, self.kernel_size, strict=True
        )
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in settings]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if not all(low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"ConvTranspose2d: output_size {wanted} must lie between {tuple(least)} and {tuple(most)} for an input "
                f"of shape {input.shape}"
            )
        return wanted[0] - least[0], wanted[1] - least[1]
