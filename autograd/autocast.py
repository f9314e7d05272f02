"""autocast: products in half precision, what needs the range in float32, and nothing rewritten.

Inside a region the gate casts the inputs of some rows before it runs them.  A row says which: ``autocast="half"`` for
products and convolutions, ``"float32"`` for exponentials, long sums, losses and norms, nothing for all others, which run
in the dtype that comes to them.  Only float16, bfloat16 and float32 tensors on the region's kind of device are cast,
float64 never.  A cast is an operation like any other: gradients come back through it, in float32 to a float32 leaf, and
the backward pass runs in the dtypes that forward chose, wherever it is called.

The rules are those of PyTorch for GPUs, on every device: on the CPU PyTorch leaves softmax, exp, log, pow and sum in
bfloat16, which is float32 here.

Casts of parameters are kept until the outermost region ends, so that a weight used often is cast once.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from functools import partial, wraps
from importlib import import_module
from typing import Any, Self, TypeVar

from ..framework import device as devices
from ..framework import dtypes
from ..framework.capture import recording
from ..framework.op import OPS, Op
from .mode import mode
from .tensor import Tensor, apply

F = TypeVar("F", bound=Callable[..., Any])

_NARROW = frozenset((dtypes.bfloat16, dtypes.float16))
_CAST = frozenset((*_NARROW, dtypes.float32))
_USUAL = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16, "interpreter": dtypes.float16}

gate: Any = import_module(".tensor", __package__)  # the file; the package has a function of this name
_lock = threading.Lock()
_regions = 0  # in all threads; the gate looks no further while there is none


def _count(change: int) -> None:
    global _regions
    with _lock:
        _regions += change
        gate.autocasted = autocasted if _regions else None


def autocasted(op: Op, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of a call of ``op`` as the region that this thread is in, if any, wants them."""
    rule = op.autocast
    casting = mode.casting
    if not rule or not casting:
        return inputs
    return tuple([_as(x, rule, casting) for x in inputs])


def autocast_inputs(op: Op, *inputs: Any) -> tuple[Any, ...]:
    """The same for a public function that looks at dtypes before it calls the gate; None stays None."""
    return inputs if gate.autocasted is None else autocasted(op, inputs)


def _as(x: Any, rule: str, casting: Mapping[str, dtypes.dtype]) -> Any:
    if isinstance(x, Tensor):
        kind = x.dtype  # not x.array: a fused function would be made to compute it now
        if kind not in _CAST:
            return x
        target = casting.get(x.device.type)
        if target is None:
            return x
        if rule != "half":
            target = dtypes.float32
        if kind is target:
            return x
        if (
            target is not dtypes.float32
            and kind is dtypes.float32
            and x.wants_grad
            and x.source is None
            and x.origin is None
            and mode.cast_cache is not None
        ):
            return _kept(x, target, mode.cast_cache)
        return apply(OPS["to"], x, dtype=target.numpy)
    if type(x) is tuple:
        return tuple([_as(y, rule, casting) for y in x])
    return x


def _kept(leaf: Tensor, target: dtypes.dtype, cache: dict[Any, Any]) -> Tensor:
    """The leaf in another dtype: made at first need, and again where the leaf has been changed since."""
    key = (id(leaf), target, mode.recording, recording())  # a graph casts for itself, at every run
    version = leaf.storage.version
    found = cache.get(key)
    if found is not None and found[1] is leaf.array and found[2] == version:
        return found[3]
    out: Tensor = apply(OPS["to"], leaf, dtype=target.numpy)
    cache[key] = (leaf, leaf.array, version, out)
    return out


class autocast:
    """A region, as a context manager or a decorator, in which rows choose the dtype that suits them.

    ``device_type`` is "cpu", "cuda" or "interpreter": tensors elsewhere are left alone.  ``dtype`` is what products are
    computed in: bfloat16 on the CPU, float16 elsewhere, unless told otherwise.  ``enabled=False`` is a region without
    casts inside one with.  ``cache_enabled=False`` casts parameters anew at every use.  Raises RuntimeError for another
    device type; warns, and casts nothing, for another dtype than bfloat16 and float16.

    >>> from trigrad.autograd import tensor
    >>> x = tensor([[1.0, 2.0]])
    >>> with autocast("cpu"):
    ...     y = x @ x.T
    >>> y.dtype, (y + x).dtype
    (trigrad.bfloat16, trigrad.float32)
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtypes.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        _check_type("autocast", device_type)
        self.device_type = device_type
        self.dtype = dtype = _USUAL[device_type] if dtype is None else dtypes.dtype_of(dtype)
        if enabled and dtype not in _NARROW:
            warnings.warn(
                f"autocast: expected dtype bfloat16 or float16, got {dtype.name}; nothing is cast", stacklevel=2
            )
            enabled = False
        self.enabled = bool(enabled)
        self.cache_enabled = cache_enabled
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        before = mode.casting
        self._before.append((before, mode.cast_cache, mode.cast_depth))
        casting = {name: kind for name, kind in before.items() if name != self.device_type}
        if self.enabled:
            casting[self.device_type] = self.dtype
        if mode.cast_depth == 0:
            mode.cast_cache = {}
        if self.cache_enabled is not None:
            mode.cast_cache = (mode.cast_cache or {}) if self.cache_enabled else None
        mode.casting = casting
        mode.cast_depth += 1
        _count(1)
        return self

    def __exit__(self, *exception: object) -> None:
        _count(-1)
        mode.casting, mode.cast_cache, mode.cast_depth = self._before.pop()

    def __call__(self, function: F) -> F:
        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


class cuda_autocast(autocast):
    """``autocast("cuda", ...)``, under PyTorch's older name ``cuda.amp.autocast``."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.float16, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


def _check_type(name: str, device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"{name}: expected device_type to be a str, got {type(device_type).__name__}")
    if device_type not in devices.TYPES:
        raise RuntimeError(f"{name}: expected device_type to be one of {', '.join(devices.TYPES)}, got {device_type!r}")


def is_autocast_available(device_type: str) -> bool:
    """Whether there can be an autocast region for this kind of device."""
    return device_type in devices.TYPES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether this thread is in a region that casts tensors on this kind of device."""
    _check_type("is_autocast_enabled", device_type)
    return device_type in mode.casting


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """The dtype in which products on this kind of device are, or would be, computed inside a region."""
    _check_type("get_autocast_dtype", device_type)
    return mode.casting.get(device_type, _USUAL[device_type])


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: dtypes.dtype | None = None) -> Any:
    """Decorate a Function's ``forward(ctx, ...)``: inside a region it runs as it is, or with ``cast_inputs`` outside of it.

    With ``cast_inputs`` floating tensors on ``device_type`` come in that dtype, and nothing else is cast.
    """
    _check_type("custom_fwd", device_type)
    if fwd is None:
        return partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        enabled = is_autocast_enabled(device_type)
        ctx.autocast_dtype = get_autocast_dtype(device_type)
        ctx.autocast_used = enabled and cast_inputs is None
        if not enabled or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            given = [_given(a, device_type, cast_inputs) for a in args]
            return fwd(ctx, *given, **{k: _given(v, device_type, cast_inputs) for k, v in kwargs.items()})

    return forward


def _given(x: Any, device_type: str, dtype: dtypes.dtype) -> Any:
    if isinstance(x, Tensor) and x.device.type == device_type and x.dtype in _CAST:
        return x.to(dtype=dtype)
    if isinstance(x, (list, tuple)):
        return type(x)(_given(y, device_type, dtype) for y in x)
    return x


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """Decorate a Function's ``backward(ctx, ...)``: it runs in a region if, and as, its decorated forward did."""
    _check_type("custom_bwd", device_type)
    if bwd is None:
        return partial(custom_bwd, device_type=device_type)

    @wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, ctx.autocast_dtype, enabled=ctx.autocast_used):
            return bwd(ctx, *args, **kwargs)

    return backward


cuda_custom_fwd = partial(custom_fwd, device_type="cuda")  # under PyTorch's older names, in cuda.amp
cuda_custom_bwd = partial(custom_bwd, device_type="cuda")
