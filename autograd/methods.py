"""The methods and operators that rows publish on Tensor: one line each, PyTorch's name on the left.

``method("exp")`` finds the public function in the row of that name when it is called, so this room needs no kernel;
``in_place("exp")`` runs the row and writes the result into the tensor itself.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np

from ..framework import device as devices
from ..framework import dtypes, pinned, transfer
from ..framework.fill import full
from ..framework.layout import contiguous_format, lies_in, memory_format
from ..framework.op import OPS
from ..framework.shape import dimension, shape_of

_OPERANDS = (float, int, bool)
Int = int  # what ``int`` and ``bool`` mean in annotations inside Methods, where they are methods
Bool = bool


def method(name: str) -> Callable[..., Any]:
    """The public function of a row, as a method."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return OPS[name].function(self, *args, **kwargs)  # type: ignore[misc]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}(self, ...)``; see ``trigrad.{name}``."
    return call


def method_beside(row: str, name: str) -> Callable[..., Any]:
    """The public function ``name``, which has no row of its own, from the file of the row ``row``, as a method."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return OPS[row].function.__globals__[name](self, *args, **kwargs)  # type: ignore[union-attr]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}(self, ...)``; see ``trigrad.{name}``."
    return call


def method_in(file: str, name: str) -> Callable[..., Any]:
    """The public function ``name`` of ``kernels/<file>.py``, which needs no row there, as a method."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        rooms = __name__.rpartition(".autograd.")[0]
        return getattr(sys.modules[f"{rooms}.kernels.{file}"], name)(self, *args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}(self, ...)``; see ``trigrad.{name}``."
    return call


@cache
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
        tensors = [k for k in op.settings if isinstance(given[k], Methods)]
        if tensors:
            raise TypeError(f"{name}_: {', '.join(tensors)} must be a number here")
        return self._into(op, *(given[n] for n in op.inputs[1:]), **{n: given[n] for n in op.settings})

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"``{name}`` in place; returns the tensor."
    return call


def _scaled(name: str) -> Callable[..., Any]:
    """Adding ``alpha * other`` in place, for a row that has no such setting."""

    def call(self: Any, other: Any, *, alpha: Any = 1) -> Any:
        return self._into(OPS[name], other if alpha == 1 else other * alpha)

    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__ = f"``{name}`` in place, of ``alpha * other``; returns the tensor."
    return call


def _divided(self: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``div`` in place; returns the tensor."""
    rows = {None: "div", "floor": "div_floor", "trunc": "div_trunc"}
    if rounding_mode not in rows:
        raise RuntimeError(f"div_: expected rounding_mode None, 'floor' or 'trunc', got {rounding_mode!r}")
    return self._into(OPS[rows[rounding_mode]], other)


def _clamped(self: Any, min: Any = None, max: Any = None) -> Any:
    """``clamp`` in place; returns the tensor."""
    if min is None and max is None:
        raise RuntimeError("clamp_: expected at least one of min and max, got neither")
    if isinstance(min, Methods) or isinstance(max, Methods):
        for row, bound in (("clamp_min", min), ("clamp_max", max)):
            if bound is not None:
                self._into(OPS[row], bound)
        return self
    return self._into(OPS["clamp"], min=min, max=max)


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    def call(self: Any, other: Any) -> Any:
        if not isinstance(other, Methods) and not isinstance(other, _OPERANDS) and not hasattr(other, "item"):
            return NotImplemented
        function = OPS[name].function
        return function(other, self) if reflected else function(self, other)  # type: ignore[misc]

    return call


apply: Any = None  # the gate: tensor.py, which imports this file, puts it here


def _arithmetic(name: str, reflected: bool = False) -> Callable[..., Any]:
    """An operator whose public function only calls the row: straight to the gate."""

    def call(self: Any, other: Any) -> Any:
        if not isinstance(other, Methods) and not isinstance(other, _OPERANDS) and not hasattr(other, "item"):
            return NotImplemented
        return apply(OPS[name], other, self) if reflected else apply(OPS[name], self, other)

    return call


class Methods:
    """What Tensor inherits: everything that rows publish."""

    __slots__ = ()

    # arithmetic
    __add__ = _arithmetic("add")
    __radd__ = _arithmetic("add", reflected=True)
    __sub__ = _operator("sub")
    __rsub__ = _operator("sub", reflected=True)
    __mul__ = _arithmetic("mul")
    __rmul__ = _arithmetic("mul", reflected=True)
    __truediv__ = _operator("div")
    __rtruediv__ = _operator("div", reflected=True)
    __floordiv__ = _operator("div_floor")
    __rfloordiv__ = _operator("div_floor", reflected=True)
    __pow__ = _operator("pow")
    __rpow__ = _operator("pow", reflected=True)
    __matmul__ = _operator("matmul")
    __rmatmul__ = _operator("matmul", reflected=True)
    __iadd__ = in_place("add")
    __isub__ = in_place("sub")
    __imul__ = in_place("mul")
    __itruediv__ = in_place("div")
    __ifloordiv__ = in_place("div_floor")
    __ipow__ = in_place("pow")
    __mod__ = _operator("remainder")
    __rmod__ = _operator("remainder", reflected=True)
    __imod__ = in_place("remainder")
    __neg__ = method("neg")
    __abs__ = method("abs")
    add = method("add")
    sub = method("sub")
    mul = method("mul")
    div = method("div")
    floor_divide = method("div_floor")
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
    clamp_min = method("clamp_min")
    clamp_max = method("clamp_max")
    sign = method("sign")
    maximum = method("maximum")
    minimum = method("minimum")
    divide = method("div")
    true_divide = method_beside("div", "true_divide")
    multiply = method("mul")
    subtract = method("sub")
    clip = method("clamp")
    remainder = method("remainder")
    fmod = method("fmod")
    fmax = method("fmax")
    fmin = method("fmin")
    atan2 = method("atan2")
    arctan2 = method("atan2")
    hypot = method("hypot")
    copysign = method("copysign")
    logaddexp = method("logaddexp")
    logaddexp2 = method("logaddexp2")
    xlogy = method("xlogy")
    heaviside = method("heaviside")
    lerp = method("lerp")
    addcmul = method("addcmul")
    addcdiv = method("addcdiv")
    masked_fill = method("masked_fill")
    nan_to_num = method("nan_to_num")
    nan_to_num_ = method_in("nan_to_num", "nan_to_num_")
    add_ = _scaled("add")
    sub_ = in_place("sub")
    mul_ = in_place("mul")
    div_ = _divided
    pow_ = in_place("pow")
    neg_ = in_place("neg")
    abs_ = in_place("abs")
    exp_ = in_place("exp")
    log_ = in_place("log")
    sqrt_ = in_place("sqrt")
    tanh_ = in_place("tanh")
    sigmoid_ = in_place("sigmoid")
    relu_ = in_place("relu")
    clip_ = _clamped
    divide_ = _divided
    true_divide_ = in_place("div")
    multiply_ = in_place("mul")
    subtract_ = in_place("sub")
    floor_divide_ = in_place("div_floor")
    remainder_ = in_place("remainder")
    fmod_ = in_place("fmod")
    atan2_ = in_place("atan2")
    arctan2_ = in_place("atan2")
    hypot_ = in_place("hypot")
    copysign_ = in_place("copysign")
    xlogy_ = in_place("xlogy")
    heaviside_ = in_place("heaviside")
    lerp_ = in_place("lerp")
    addcmul_ = in_place("addcmul")
    addcdiv_ = in_place("addcdiv")
    masked_fill_ = method_beside("masked_fill", "masked_fill_")
    clamp_ = _clamped

    # functions of one number
    sin = method("sin")
    cos = method("cos")
    tan = method("tan")
    asin = method("asin")
    acos = method("acos")
    atan = method("atan")
    sinh = method("sinh")
    cosh = method("cosh")
    asinh = method("asinh")
    acosh = method("acosh")
    atanh = method("atanh")
    log2 = method("log2")
    log10 = method("log10")
    log1p = method("log1p")
    exp2 = method("exp2")
    expm1 = method("expm1")
    floor = method("floor")
    ceil = method("ceil")
    trunc = method("trunc")
    round = method("round")
    frac = method("frac")
    reciprocal = method("reciprocal")
    rsqrt = method("rsqrt")
    erf = method("erf")
    erfc = method("erfc")
    erfinv = method("erfinv")
    logit = method("logit")
    sinc = method("sinc")
    signbit = method("signbit")
    prelu = method("prelu")
    hardshrink = method("hardshrink")
    arcsin = method("asin")
    arccos = method("acos")
    arctan = method("atan")
    arcsinh = method("asinh")
    arccosh = method("acosh")
    arctanh = method("atanh")
    fix = method("trunc")
    sgn = method("sign")
    negative = method("neg")
    absolute = method("abs")
    square = method_beside("reciprocal", "square")
    square_ = method_beside("reciprocal", "square_")
    deg2rad = method_beside("sin", "deg2rad")
    deg2rad_ = method_beside("sin", "deg2rad_")
    rad2deg = method_beside("sin", "rad2deg")
    rad2deg_ = method_beside("sin", "rad2deg_")
    positive = method_beside("sign", "positive")
    round_ = method_beside("round", "round_")
    logit_ = method_beside("logit", "logit_")
    sin_ = in_place("sin")
    cos_ = in_place("cos")
    tan_ = in_place("tan")
    asin_ = in_place("asin")
    acos_ = in_place("acos")
    atan_ = in_place("atan")
    sinh_ = in_place("sinh")
    cosh_ = in_place("cosh")
    asinh_ = in_place("asinh")
    acosh_ = in_place("acosh")
    atanh_ = in_place("atanh")
    log2_ = in_place("log2")
    log10_ = in_place("log10")
    log1p_ = in_place("log1p")
    exp2_ = in_place("exp2")
    expm1_ = in_place("expm1")
    floor_ = in_place("floor")
    ceil_ = in_place("ceil")
    trunc_ = in_place("trunc")
    frac_ = in_place("frac")
    reciprocal_ = in_place("reciprocal")
    rsqrt_ = in_place("rsqrt")
    erf_ = in_place("erf")
    erfc_ = in_place("erfc")
    erfinv_ = in_place("erfinv")
    sinc_ = in_place("sinc")
    sign_ = in_place("sign")
    arcsin_ = in_place("asin")
    arccos_ = in_place("acos")
    arctan_ = in_place("atan")
    arcsinh_ = in_place("asinh")
    arccosh_ = in_place("acosh")
    arctanh_ = in_place("atanh")
    fix_ = in_place("trunc")
    sgn_ = in_place("sign")
    negative_ = in_place("neg")
    absolute_ = in_place("abs")

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
    isnan = method("isnan")
    isinf = method("isinf")
    isfinite = method("isfinite")
    greater = method("gt")
    greater_equal = method("ge")
    less = method("lt")
    less_equal = method("le")
    not_equal = method("ne")
    isclose = method("isclose")
    equal = method_in("create", "equal")
    allclose = method_in("create", "allclose")

    def where(self, condition: Any, other: Any) -> Any:
        """This tensor where ``condition`` holds, ``other`` elsewhere."""
        return OPS["where"].function(condition, self, other)  # type: ignore[misc]

    # logic
    __invert__ = method("bitwise_not")
    __and__ = _operator("bitwise_and")
    __rand__ = _operator("bitwise_and", reflected=True)
    __or__ = _operator("bitwise_or")
    __ror__ = _operator("bitwise_or", reflected=True)
    __xor__ = _operator("bitwise_xor")
    __rxor__ = _operator("bitwise_xor", reflected=True)
    __iand__ = in_place("bitwise_and")
    __ior__ = in_place("bitwise_or")
    __ixor__ = in_place("bitwise_xor")
    __lshift__ = _operator("bitwise_left_shift")
    __rlshift__ = _operator("bitwise_left_shift", reflected=True)
    __ilshift__ = in_place("bitwise_left_shift")
    __rshift__ = _operator("bitwise_right_shift")
    __rrshift__ = _operator("bitwise_right_shift", reflected=True)
    __irshift__ = in_place("bitwise_right_shift")
    bitwise_left_shift = method("bitwise_left_shift")
    bitwise_right_shift = method("bitwise_right_shift")
    bitwise_not = method("bitwise_not")
    bitwise_and = method("bitwise_and")
    bitwise_or = method("bitwise_or")
    bitwise_xor = method("bitwise_xor")
    logical_not = method("logical_not")
    logical_and = method("logical_and")
    logical_or = method("logical_or")
    logical_xor = method("logical_xor")

    # reductions
    sum = method("sum")
    mean = method("mean")
    var = method("var")
    std = method("std")
    max = method("max")
    min = method("min")
    argmax = method("argmax")
    argmin = method("argmin")
    amax = method_beside("max", "amax")
    amin = method_beside("min", "amin")
    aminmax = method_in("statistics", "aminmax")
    prod = method("prod")
    any = method("any")
    all = method("all")
    logsumexp = method("logsumexp")
    norm = method_in("vector_norm", "norm")
    count_nonzero = method_in("statistics", "count_nonzero")
    nansum = method_in("statistics", "nansum")
    nanmean = method_in("statistics", "nanmean")
    median = method("median")
    nanmedian = method_in("statistics", "nanmedian")
    kthvalue = method_in("statistics", "kthvalue")
    sort = method("sort")
    argsort = method_in("sort", "argsort")
    msort = method_in("sort", "msort")
    topk = method("topk")
    cumsum = method("cumsum")
    cumprod = method("cumprod")
    cummax = method("cummax")
    cummin = method("cummin")
    logcumsumexp = method("logcumsumexp")
    diff = method_in("statistics", "diff")
    unique = method_in("unique", "unique")
    unique_consecutive = method_in("unique", "unique_consecutive")
    bincount = method_in("unique", "bincount")
    histc = method_in("unique", "histc")
    softmax = method("softmax")
    log_softmax = method("log_softmax")

    # matrices
    matmul = method("matmul")
    mm = method("mm")
    bmm = method("bmm")
    mv = method_in("products", "mv")
    dot = method_in("products", "dot")
    vdot = method_in("products", "vdot")
    inner = method_in("products", "inner")
    outer = method_in("products", "outer")
    ger = method_in("products", "outer")
    addmm = method_in("products", "addmm")
    addmv = method_in("products", "addmv")
    addbmm = method_in("products", "addbmm")
    addr = method_in("products", "addr")
    baddbmm = method_in("products", "baddbmm")
    kron = method_in("products", "kron")
    cross = method_in("products", "cross")
    matrix_power = method_in("products", "matrix_power")
    trace = method_in("diagonal", "trace")
    diagonal = method("diagonal")
    diag = method_in("diagonal", "diag")
    diag_embed = method("diag_embed")

    # shape
    reshape = method("reshape")
    reshape_as = method_beside("reshape", "reshape_as")
    view = method("view")
    view_as = method_beside("reshape", "view_as")
    flatten = method_beside("reshape", "flatten")
    unflatten = method_beside("reshape", "unflatten")
    ravel = method_beside("reshape", "ravel")
    permute = method("permute")
    transpose = method_beside("permute", "transpose")
    swapaxes = method_beside("permute", "transpose")
    movedim = method_beside("permute", "movedim")
    t = method_beside("permute", "t")
    expand = method("expand")
    squeeze = method("squeeze")
    unsqueeze = method("unsqueeze")
    contiguous = method("contiguous")
    clone = method("clone")
    split = method("split")
    chunk = method_beside("split", "chunk")
    unbind = method("unbind")
    swapdims = method_beside("permute", "transpose")
    moveaxis = method_beside("permute", "movedim")
    flip = method("flip")
    fliplr = method_beside("flip", "fliplr")
    flipud = method_beside("flip", "flipud")
    rot90 = method_beside("flip", "rot90")
    as_strided = method("as_strided")
    unfold = method("unfold_dim")
    repeat = method_in("repeat", "repeat")
    repeat_interleave = method_in("repeat", "repeat_interleave")
    tile = method_in("repeat", "tile")
    roll = method_in("repeat", "roll")
    tensor_split = method_in("repeat", "tensor_split")
    hsplit = method_in("repeat", "hsplit")
    vsplit = method_in("repeat", "vsplit")
    dsplit = method_in("repeat", "dsplit")
    broadcast_to = method_in("repeat", "broadcast_to")
    tril = method("tril")
    triu = method("triu")

    # indexing
    select = method_beside("getitem", "select")
    narrow = method_beside("getitem", "narrow")
    gather = method("gather")
    take = method_beside("gather", "take")
    take_along_dim = method_beside("gather", "take_along_dim")
    index_select = method_beside("gather", "index_select")
    scatter = method("scatter")
    scatter_reduce = method("scatter_reduce")
    scatter_ = method_beside("scatter", "scatter_")
    scatter_add = method_beside("scatter", "scatter_add")
    scatter_add_ = method_beside("scatter", "scatter_add_")
    scatter_reduce_ = method_beside("scatter", "scatter_reduce_")
    index_add = method_beside("scatter", "index_add")
    index_add_ = method_beside("scatter", "index_add_")
    index_copy = method_beside("scatter", "index_copy")
    index_copy_ = method_beside("scatter", "index_copy_")
    index_fill = method_beside("scatter", "index_fill")
    index_fill_ = method_beside("scatter", "index_fill_")
    index_put = method_in("nonzero", "index_put")
    index_put_ = method_in("nonzero", "index_put_")
    masked_select = method_in("nonzero", "masked_select")
    masked_scatter = method_in("nonzero", "masked_scatter")
    masked_scatter_ = method_in("nonzero", "masked_scatter_")
    nonzero = method_in("nonzero", "nonzero")
    argwhere = method_in("nonzero", "argwhere")
    put = method_in("nonzero", "put")
    put_ = method_in("nonzero", "put_")
    slice_scatter = method_in("repeat", "slice_scatter")
    select_scatter = method_in("repeat", "select_scatter")
    __getitem__ = method("getitem")
    __setitem__ = method("setitem")

    @property
    def T(self) -> Any:
        """A view with the dimensions in reverse order."""
        return OPS["permute"].function(self, tuple(reversed(range(self.ndim))))  # type: ignore[misc,attr-defined]

    @property
    def mT(self) -> Any:
        """A view with the last two dimensions exchanged.  Raises RuntimeError for fewer than 2 dimensions."""
        if self.ndim < 2:  # type: ignore[attr-defined]
            raise RuntimeError(f"mT: expected at least 2 dimensions, got {self.ndim}")  # type: ignore[attr-defined]
        return self.transpose(-2, -1)

    @property
    def H(self) -> Any:
        """The transposed matrix: there are no complex numbers to conjugate.  Raises RuntimeError unless 2-d or 0-d."""
        if self.ndim not in (0, 2):  # type: ignore[attr-defined]
            raise RuntimeError(f"H: expected a matrix, got {self.ndim} dimensions")  # type: ignore[attr-defined]
        return self.T

    @property
    def mH(self) -> Any:
        """As ``mT``: there are no complex numbers to conjugate."""
        return self.mT

    def expand_as(self, other: Any) -> Any:
        """A view of this tensor in the shape of ``other``, dimensions of size 1 repeated."""
        return self.expand(other.shape)

    def size(self, dim: Int | None = None) -> Any:
        """The shape, or the size of one dimension.  Raises IndexError for a dimension that does not exist."""
        shape = self.array.shape  # type: ignore[attr-defined]
        return shape if dim is None else shape[_existing("size", dim, shape)]

    def stride(self, dim: Int | None = None) -> Any:
        """Elements between neighbours along each dimension, or along one."""
        array = self.array  # type: ignore[attr-defined]
        strides = array.strides
        if isinstance(array, np.ndarray):
            strides = tuple(s // array.itemsize for s in strides)
        return strides if dim is None else strides[_existing("stride", dim, strides)]

    def dim(self) -> Int:
        """The number of dimensions."""
        return self.array.ndim  # type: ignore[attr-defined,no-any-return]

    ndimension = dim

    def numel(self) -> Int:
        """The number of elements."""
        return int(self.array.size)  # type: ignore[attr-defined]

    nelement = numel

    def element_size(self) -> Int:
        """Bytes in an element."""
        return int(self.array.dtype.itemsize)  # type: ignore[attr-defined]

    @property
    def itemsize(self) -> Int:
        """Bytes in an element."""
        return self.element_size()

    @property
    def nbytes(self) -> Int:
        """Bytes in all elements."""
        return self.element_size() * self.numel()

    def storage_offset(self) -> Int:
        """Elements between the beginning of the memory and the first element."""
        memory = self.storage.data_ptr()  # type: ignore[attr-defined]
        return (self.data_ptr() - memory) // self.element_size()  # type: ignore[attr-defined,no-any-return]

    def is_contiguous(self, memory_format: memory_format = contiguous_format) -> Bool:
        """Whether the elements lie in memory without gaps, row-major or in the order of ``memory_format``."""
        return lies_in(self.array.shape, self.stride(), memory_format)  # type: ignore[attr-defined]

    def is_floating_point(self) -> Bool:
        """Whether the dtype is a floating one."""
        return self.dtype.is_floating_point  # type: ignore[attr-defined,no-any-return]

    def is_complex(self) -> Bool:
        """False: trigrad has no complex numbers."""
        return False

    def is_signed(self) -> Bool:
        """Whether the dtype has negative numbers."""
        return self.dtype.is_signed  # type: ignore[attr-defined,no-any-return]

    @property
    def is_cuda(self) -> Bool:
        """Whether the memory is a GPU's."""
        return self.device.type == "cuda"  # type: ignore[attr-defined,no-any-return]

    @property
    def is_cpu(self) -> Bool:
        """Whether the memory is the host's and NumPy computes on it."""
        return self.device.type == "cpu"  # type: ignore[attr-defined,no-any-return]

    def get_device(self) -> Int:
        """The index of the GPU, -1 on the CPU."""
        device = self.device  # type: ignore[attr-defined]
        return (device.index or 0) if device.type == "cuda" else -1

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:  # type: ignore[attr-defined]
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element: Any) -> Bool:
        """Whether some element equals ``element``, a number or a tensor that broadcasts."""
        if isinstance(element, Methods):
            return bool(np.any(self.host() == element.host()))  # type: ignore[attr-defined]
        if isinstance(element, (*_OPERANDS, np.generic)):
            return bool(np.any(self.host() == element))  # type: ignore[attr-defined]
        raise RuntimeError(f"in: expected a number or a Tensor, got {type(element).__name__}")

    # new tensors, of this dtype and on this device unless told otherwise
    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Bool = False) -> Any:
        """A new leaf with a copy of ``data``."""
        from .tensor import Tensor

        kind = self.dtype if dtype is None else dtype  # type: ignore[attr-defined]
        where = self.device if device is None else device  # type: ignore[attr-defined]
        return Tensor(data, dtype=kind, device=where, requires_grad=requires_grad)

    def new_full(
        self, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: Bool = False
    ) -> Any:
        """A new tensor of one value."""
        from .tensor import wrap

        kind = self.array.dtype if dtype is None else dtypes.dtype_of(dtype).numpy  # type: ignore[attr-defined]
        where = self.device if device is None else devices.device(device)  # type: ignore[attr-defined]
        value = fill_value.item() if hasattr(fill_value, "item") else fill_value
        array = full(
            shape_of("new_full", (size,)), value, kind, None if where.type == "cpu" else devices.backend(where)
        )
        return wrap(array).requires_grad_(requires_grad)

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Bool = False) -> Any:
        """A new tensor of zeros."""
        return self.new_full(shape_of("new_zeros", size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Bool = False) -> Any:
        """A new tensor of ones."""
        return self.new_full(shape_of("new_ones", size), 1, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Bool = False) -> Any:
        """A new tensor whose values nobody has chosen; they are zeros."""
        return self.new_full(shape_of("new_empty", size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    # random numbers
    bernoulli = method("bernoulli")
    multinomial = method_in("distributions", "multinomial")
    geometric_ = method_in("distributions", "geometric_")
    cauchy_ = method_in("distributions", "cauchy_")
    log_normal_ = method_in("distributions", "log_normal_")
    uniform_ = method_beside("random", "uniform_")
    normal_ = method_beside("random", "normal_")
    exponential_ = method_beside("random", "exponential_")
    random_ = method_beside("random", "random_")
    bernoulli_ = method_beside("random", "bernoulli_")

    # writing
    def fill_(self, value: Any) -> Any:
        """Write one number, or a 0-d tensor's, into every element; returns the tensor."""
        if getattr(value, "ndim", 0) != 0:
            raise RuntimeError(f"fill_: expected a number or a 0-d tensor, got {value.ndim} dimensions")
        return OPS["setitem"].function(self, ..., value)  # type: ignore[misc]

    def zero_(self) -> Any:
        """Write zero into every element; returns the tensor."""
        return self.fill_(0)

    def copy_(self, src: Any, non_blocking: bool = False) -> Any:
        """Write the values of ``src``, which broadcasts to this shape, of any dtype and device; returns the tensor.

        With ``non_blocking`` a copy between pinned memory and a GPU is only begun: what it reads must stay as it is, and
        what it writes must not be read by the host, until the stream has come so far.
        """
        if not isinstance(src, Methods):
            raise TypeError(f"copy_: expected a Tensor, got {type(src).__name__}")
        if non_blocking and _copied_in_background(self, src):
            return self
        return OPS["setitem"].function(self, ..., src.to(self.device))  # type: ignore[misc,attr-defined]

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

    def cuda(self, device: Any = None, non_blocking: Bool = False) -> Any:
        """This tensor on a GPU, the current one by default; ``non_blocking`` as in ``to``."""
        if isinstance(device, Int):
            device = devices.device("cuda", device)
        return self.to("cuda" if device is None else device, non_blocking=non_blocking)

    def pin_memory(self) -> Any:
        """A copy in pinned host memory, without history; the tensor itself where it is pinned.

        Raises RuntimeError for a tensor in device memory, and where there is no GPU to pin memory for.
        """
        from .tensor import wrap

        array = self.array  # type: ignore[attr-defined]
        if not isinstance(array, np.ndarray):
            raise RuntimeError(f"pin_memory: expected a tensor on the CPU, this one is on {self.device}")  # type: ignore[attr-defined]
        return self if pinned.owner(array) is not None else wrap(pinned.pinned_copy(array))

    def is_pinned(self) -> Bool:
        """Whether the tensor is in pinned host memory."""
        array = self.array  # type: ignore[attr-defined]
        return isinstance(array, np.ndarray) and pinned.owner(array) is not None

    def record_stream(self, stream: Any) -> None:
        """Note that ``stream`` uses this tensor's memory.  Operations and copies do so themselves; foreign code cannot."""
        array = self.array  # type: ignore[attr-defined]
        if isinstance(array, np.ndarray):
            raise RuntimeError("record_stream: expected a tensor on a GPU, this one is on the CPU")
        stream.uses(array)


def _copied_in_background(out: Any, src: Any) -> Bool:
    """``copy_`` without waiting, where the two tensors allow it and nobody remembers; returns whether it was done."""
    devices.catch_up()
    if out.wants_grad or src.wants_grad or out.origin is not None or not transfer.copy_directly(out.array, src.array):
        return False
    out.storage.version += 1
    return True


def _existing(name: str, dim: Any, shape: tuple[int, ...]) -> Int:
    if not shape:
        raise IndexError(f"{name}: dimension {dim} is out of range for a tensor of 0 dimensions")
    return dimension(name, dim, len(shape))
