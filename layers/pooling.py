"""Pooling layers over signals (N, C, L), images (N, C, H, W) and volumes (N, C, D, H, W), with or without N."""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor
from ..kernels.adaptive_avg_pool2d import adaptive_avg_pool2d
from ..kernels.avg_pool2d import avg_pool2d
from ..kernels.max_pool2d import max_pool2d
from ..kernels.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from .module import Module


class _MaxPool(Module):
    """Maxima over windows, whatever the number of dimensions.  Abstract."""

    function: Any
    kernel_size: Any
    stride: Any  # the window's own size by default
    padding: Any
    dilation: Any
    return_indices: bool
    ceil_mode: bool

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The greatest value in each window of a signal.  See MaxPool2d.

    >>> MaxPool1d(2)(Tensor([[1.0, 2.0, 4.0, 3.0]])).tolist()
    [[2.0, 4.0]]
    """

    function = staticmethod(max_pool1d)


class MaxPool2d(_MaxPool):
    """The greatest value in each window; with ``return_indices`` also where in its plane it stands.

    >>> MaxPool2d(2)(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[[4.0]]]
    """

    function = staticmethod(max_pool2d)


class MaxPool3d(_MaxPool):
    """The greatest value in each window of a volume.  See MaxPool2d."""

    function = staticmethod(max_pool3d)


class AvgPool1d(Module):
    """The mean of each window of a signal; padding counts as zeros, or not at all without ``count_include_pad``.

    >>> AvgPool1d(2)(Tensor([[1.0, 3.0, 4.0, 6.0]])).tolist()
    [[2.0, 5.0]]
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]  # the window's own size by default
    padding: tuple[int, ...]
    ceil_mode: bool
    count_include_pad: bool

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size: Any = _one(kernel_size)
        self.stride: Any = _one(kernel_size if stride is None else stride)
        self.padding: Any = _one(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        kernel_size: Any = self.kernel_size
        stride: Any = self.stride
        padding: Any = self.padding
        return avg_pool1d(input, kernel_size, stride, padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _one(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


class _AvgPool(Module):
    """Means over windows of two or three dimensions.  Abstract."""

    function: Any
    kernel_size: Any
    stride: Any  # the window's own size by default
    padding: Any
    ceil_mode: bool
    count_include_pad: bool
    divisor_override: int | None

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window; padding counts as zeros, or not at all without ``count_include_pad``."""

    function = staticmethod(avg_pool2d)


class AvgPool3d(_AvgPool):
    """The mean of each window of a volume.  See AvgPool2d."""

    function = staticmethod(avg_pool3d)


class _AdaptiveAvgPool(Module):
    """Means over windows that divide the input evenly.  Abstract."""

    function: Any
    output_size: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over ``output_size`` windows of a signal.

    >>> AdaptiveAvgPool1d(2)(Tensor([[1.0, 3.0, 4.0, 6.0]])).tolist()
    [[2.0, 5.0]]
    """

    function = staticmethod(adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over a grid of ``output_size`` windows, one number or a pair; None leaves that size as it is."""

    function = staticmethod(adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means over a grid of ``output_size`` windows, one number or three; None leaves that size as it is."""

    function = staticmethod(adaptive_avg_pool3d)


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    """Maxima over windows that divide the input evenly.  Abstract."""

    return_indices: bool

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self).function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The greatest value in each of ``output_size`` windows of a signal; with ``return_indices`` also where it stands.

    >>> AdaptiveMaxPool1d(2)(Tensor([[1.0, 3.0, 4.0, 6.0]])).tolist()
    [[3.0, 6.0]]
    """

    function = staticmethod(adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The greatest value in each of a grid of ``output_size`` windows; None leaves that size as it is."""

    function = staticmethod(adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The greatest value in each of a grid of ``output_size`` windows; None leaves that size as it is."""

    function = staticmethod(adaptive_max_pool3d)


class _LPPool(Module):
    """Power averages over windows.  Abstract."""

    function: Any
    norm_type: float
    kernel_size: Any
    stride: Any  # the window's own size by default
    ceil_mode: bool

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over each window of a signal, with p = ``norm_type``.

    >>> LPPool1d(2, 2)(Tensor([[3.0, 4.0]])).tolist()
    [[5.0]]
    """

    function = staticmethod(lp_pool1d)


class LPPool2d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over each window of an image, with p = ``norm_type``."""

    function = staticmethod(lp_pool2d)


class LPPool3d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over each window of a volume, with p = ``norm_type``."""

    function = staticmethod(lp_pool3d)


class _MaxUnpool(Module):
    """What undoes maxima over windows.  Abstract."""

    function: Any
    dimensions: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]  # the window's own size by default
    padding: tuple[int, ...]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()

        def each(value: Any) -> tuple[int, ...]:
            return tuple(value) if isinstance(value, (tuple, list)) else (value,) * self.dimensions

        self.kernel_size = each(kernel_size)
        self.stride = each(kernel_size if stride is None else stride)
        self.padding = each(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return type(self).function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Each value at the place that MaxPool1d took it from, zeros elsewhere."""

    dimensions = 1
    function = staticmethod(max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Each value at the place that MaxPool2d took it from, zeros elsewhere."""

    dimensions = 2
    function = staticmethod(max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Each value at the place that MaxPool3d took it from, zeros elsewhere."""

    dimensions = 3
    function = staticmethod(max_unpool3d)
