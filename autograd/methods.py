"""The methods and operators that rows publish on Tensor: one line each, PyTorch's name on the left.

``method("exp")`` finds the public function in the row of that name when it is called, so this room needs no kernel;
``in_place("exp")`` runs the row and writes the result into the tensor itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..framework import device as devices
from ..framework import dtypes
from ..framework.op import OPS

_OPERANDS = (float, int, bool)


def method(name: str) -> Callable[..., Any]:
    """The public function of a row, as a method."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return OPS[name].function(self, *args, **kwargs)  # type: ignore[misc]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}(self, ...)``; see ``trigrad.{name}``."
    return call


@lru_cache(maxsize=None)
def _signature(name: str) -> inspect.Signature:
    function = OPS[name].function
    assert function is not None
    return inspect.signature(function)


def in_place(name: str) -> Callable[..., Any]:
    """The row ``name``, its result written into the tensor itself."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        op = OPS[name]
        bound = _signature(name).bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        unknown = [k for k in given if k not in op.inputs and k not in op.settings]
        if any(given[k] != _signature(name).parameters[k].default for k in unknown):
            raise TypeError(f"{name}_: {', '.join(unknown)} cannot be given here")
        return self._into(op, *(given[n] for n in op.inputs[1:]), **{n: given[n] for n in op.settings})

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"``{name}`` in place; returns the tensor."
    return call


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    def call(self: Any, other: Any) -> Any:
        if not isinstance(other, Methods) and not isinstance(other, _OPERANDS) and not hasattr(other, "item"):
            return NotImplemented
        function = OPS[name].function
        return function(other, self) if reflected else function(self, other)  # type: ignore[misc]

    return call


class Methods:
    """What Tensor inherits: everything that rows publish."""

    __slots__ = ()

    # arithmetic
    __add__ = _operator("add")
    __radd__ = _operator("add", reflected=True)
    __sub__ = _operator("sub")
    __rsub__ = _operator("sub", reflected=True)
    __mul__ = _operator("mul")
    __rmul__ = _operator("mul", reflected=True)
    __truediv__ = _operator("div")
    __rtruediv__ = _operator("div", reflected=True)
    __pow__ = _operator("pow")
    __rpow__ = _operator("pow", reflected=True)
    __matmul__ = _operator("matmul")
    __rmatmul__ = _operator("matmul", reflected=True)
    __iadd__ = in_place("add")
    __isub__ = in_place("sub")
    __imul__ = in_place("mul")
    __itruediv__ = in_place("div")
    __ipow__ = in_place("pow")
    __neg__ = method("neg")
    __abs__ = method("abs")
    add = method("add")
    sub = method("sub")
    mul = method("mul")
    div = method("div")
    pow = method("pow")
    neg = method("neg")
    abs = method("abs")
    exp = method("exp")
    log = method("log")
    sqrt = method("sqrt")
    tanh = method("tanh")
    sigmoid = method("sigmoid")
    relu = method("relu")
    clamp = method("clamp")
    maximum = method("maximum")
    minimum = method("minimum")
    add_ = in_place("add")
    sub_ = in_place("sub")
    mul_ = in_place("mul")
    div_ = in_place("div")
    pow_ = in_place("pow")
    neg_ = in_place("neg")
    abs_ = in_place("abs")
    exp_ = in_place("exp")
    log_ = in_place("log")
    sqrt_ = in_place("sqrt")
    tanh_ = in_place("tanh")
    sigmoid_ = in_place("sigmoid")
    relu_ = in_place("relu")
    clamp_ = in_place("clamp")

    # comparisons
    __eq__ = _operator("eq")  # type: ignore[assignment]
    __ne__ = _operator("ne")  # type: ignore[assignment]
    __lt__ = _operator("lt")
    __le__ = _operator("le")
    __gt__ = _operator("gt")
    __ge__ = _operator("ge")
    eq = method("eq")
    ne = method("ne")
    lt = method("lt")
    le = method("le")
    gt = method("gt")
    ge = method("ge")

    # reductions
    sum = method("sum")
    mean = method("mean")
    var = method("var")
    std = method("std")
    max = method("max")
    min = method("min")
    argmax = method("argmax")
    softmax = method("softmax")
    log_softmax = method("log_softmax")

    # matrices
    matmul = method("matmul")
    mm = method("mm")
    bmm = method("bmm")

    # shape
    reshape = method("reshape")
    view = method("view")
    permute = method("permute")
    transpose = method("transpose")
    expand = method("expand")
    squeeze = method("squeeze")
    unsqueeze = method("unsqueeze")
    flatten = method("flatten")
    select = method("select")
    contiguous = method("contiguous")
    clone = method("clone")
    __getitem__ = method("getitem")

    # dtype and device
    to = method("to")

    def type_as(self, other: Any) -> Any:
        """This tensor in the dtype of ``other``."""
        return self.to(other.dtype)

    def float(self) -> Any:
        """This tensor as float32."""
        return self.to(dtypes.float32)

    def double(self) -> Any:
        """This tensor as float64."""
        return self.to(dtypes.float64)

    def half(self) -> Any:
        """This tensor as float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Any:
        """This tensor as bfloat16."""
        return self.to(dtypes.bfloat16)

    def long(self) -> Any:
        """This tensor as int64."""
        return self.to(dtypes.int64)

    def int(self) -> Any:
        """This tensor as int32."""
        return self.to(dtypes.int32)

    def bool(self) -> Any:
        """This tensor as bool."""
        return self.to(dtypes.bool_)

    def cpu(self) -> Any:
        """This tensor in host memory."""
        return self.to(devices.CPU)

    def cuda(self, device: Any = None) -> Any:
        """This tensor on a GPU, the current one by default."""
        return self.to("cuda" if device is None else devices.device("cuda", device) if isinstance(device, type(0)) else device)
