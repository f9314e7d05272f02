"""Convolution layers over signals (N, C, L), images (N, C, H, W) and volumes (N, C, D, H, W), with or without N."""

from __future__ import annotations

from math import sqrt
from typing import Any, cast

from ..autograd import Parameter, Tensor
from ..kernels.conv2d import conv2d
from ..kernels.conv_transpose2d import conv_transpose2d
from ..kernels.convolutions import conv1d, conv3d, conv_transpose1d, conv_transpose3d
from ..kernels.create import empty
from ..kernels.pad import pad
from . import init
from .module import Module

Ints = tuple[int, ...]  # one number for each spatial dimension


def _each(name: str, what: str, value: Any, count: int) -> Ints:
    """One number for all directions, or one for each.  Raises ValueError for any other."""
    parts = (value,) * count if isinstance(value, int) else tuple(value)
    if len(parts) != count:
        many = {1: "one number", 2: "one number or a pair", 3: "one number or three"}[count]
        raise ValueError(f"{name}: {what} must be {many}, got {value!r}")
    return parts


class _Conv(Module):
    """What convolutions share: fields, first values, how they print.  Abstract."""

    dimensions: int
    in_channels: int
    out_channels: int
    kernel_size: Ints
    stride: Ints
    padding: Ints | str
    dilation: Ints
    transposed: bool
    output_padding: Ints
    groups: int
    padding_mode: str
    weight: Parameter  # (out_channels, in_channels / groups, *kernel), transposed (in_channels, out_channels / groups, *kernel)
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
        modes = ("zeros",) if transposed else ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"{name}: expected padding_mode {', '.join(map(repr, modes))}, got {padding_mode!r}")
        count = self.dimensions
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _each(name, "kernel_size", kernel_size, count)
        self.stride = _each(name, "stride", stride, count)
        self.dilation = _each(name, "dilation", dilation, count)
        self.transposed = transposed
        self.output_padding = _each(name, "output_padding", output_padding, count)
        self.groups = groups
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{name}: expected padding 'same', 'valid' or numbers, got {padding!r}")
            if padding == "same" and self.stride != (1,) * count:
                raise ValueError(f"{name}: padding='same' needs stride 1, got {self.stride}")
            self.padding = padding
        else:
            self.padding = _each(name, "padding", padding, count)
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
        zeros, ones = (0,) * self.dimensions, (1,) * self.dimensions
        parts = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != zeros:
            parts.append(f"padding={self.padding}")
        if self.dilation != ones:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != zeros:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Correlation(_Conv):
    """Cross-correlations.  Abstract."""

    function: Any

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

    def _borders(self) -> Ints:
        """Borders as ``pad`` takes them, last dimension first."""
        if self.padding == "valid":
            return (0, 0) * self.dimensions
        borders: Ints = ()
        for i in reversed(range(self.dimensions)):
            if self.padding == "same":
                both = self.dilation[i] * (self.kernel_size[i] - 1)
                borders += (both // 2, both - both // 2)
            else:
                borders += (cast(Ints, self.padding)[i],) * 2
        return borders

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._borders(), self.padding_mode), 0
        return type(self).function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Correlation):
    """Cross-correlation of (N, in_channels, L) with ``weight``.  See Conv2d.

    >>> from ..kernels.create import zeros
    >>> Conv1d(4, 8, 3, padding=1, padding_mode="circular")(zeros(2, 4, 10)).shape
    (2, 8, 10)
    """

    dimensions = 1
    function = staticmethod(conv1d)


class Conv2d(_Correlation):
    """Cross-correlation of (N, in_channels, H, W) with ``weight``: each output size is
    ``(size + 2 padding - dilation (kernel - 1) - 1) // stride + 1``.

    ``padding`` may be "same" or "valid"; ``padding_mode`` is what stands in it: zeros, reflect, replicate or circular.
    Raises ValueError for channels that ``groups`` does not divide, and for unknown paddings.

    >>> from ..kernels.create import zeros
    >>> Conv2d(1, 64, 4, stride=2, padding=1)(zeros(2, 1, 28, 28)).shape
    (2, 64, 14, 14)
    """

    dimensions = 2
    function = staticmethod(conv2d)


class Conv3d(_Correlation):
    """Cross-correlation of (N, in_channels, D, H, W) with ``weight``.  See Conv2d.

    >>> from ..kernels.create import zeros
    >>> Conv3d(1, 2, 3, stride=2, padding=1)(zeros(1, 1, 4, 6, 8)).shape
    (1, 2, 2, 3, 4)
    """

    dimensions = 3
    function = staticmethod(conv3d)


class _Transposed(_Conv):
    """Transposed convolutions.  Abstract."""

    function: Any

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
            raise ValueError(f"{type(self).__name__}: padding must be numbers, got {padding!r}")
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
        return type(self).function(
            input, self.weight, self.bias, self.stride, cast(Ints, self.padding), extra, self.groups, self.dilation
        )

    def _extra(self, input: Tensor, output_size: Any) -> Ints:
        """The output_padding that gives ``output_size``, spatial or a whole shape.  Raises ValueError where none does."""
        name, count = type(self).__name__, self.dimensions
        wanted = tuple(output_size)[-count:]
        if len(tuple(output_size)) not in (count, input.ndim):
            raise ValueError(f"{name}: output_size must have {count} or {input.ndim} numbers, got {output_size!r}")
        settings = zip(
            input.shape[-count:], self.stride, cast(Ints, self.padding), self.dilation, self.kernel_size, strict=True
        )
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in settings]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if not all(low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"{name}: output_size {wanted} must lie between {tuple(least)} and {tuple(most)} for an input "
                f"of shape {input.shape}"
            )
        return tuple(n - low for n, low in zip(wanted, least, strict=True))


class ConvTranspose1d(_Transposed):
    """The gradient of a convolution of signals as a layer.  See ConvTranspose2d.

    >>> from ..kernels.create import zeros
    >>> ConvTranspose1d(4, 2, 4, stride=2, padding=1)(zeros(2, 4, 5)).shape
    (2, 2, 10)
    """

    dimensions = 1
    function = staticmethod(conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """The gradient of a convolution as a layer: each output size is
    ``(size - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1``.

    Raises ValueError for channels that ``groups`` does not divide.

    >>> from ..kernels.create import zeros
    >>> ConvTranspose2d(64, 1, 4, stride=2, padding=1)(zeros(2, 64, 14, 14)).shape
    (2, 1, 28, 28)
    """

    dimensions = 2
    function = staticmethod(conv_transpose2d)


class ConvTranspose3d(_Transposed):
    """The gradient of a convolution of volumes as a layer.  See ConvTranspose2d.

    >>> from ..kernels.create import zeros
    >>> ConvTranspose3d(4, 2, 4, stride=2, padding=1)(zeros(1, 4, 2, 3, 4)).shape
    (1, 2, 4, 6, 8)
    """

    dimensions = 3
    function = staticmethod(conv_transpose3d)
