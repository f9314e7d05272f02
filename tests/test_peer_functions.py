"""Every public function and Tensor method that PyTorch has too, against PyTorch on the CPU.

A row of ``TABLE`` is a name and calls of it.  A plain name stands for the function in each namespace that has it
(``trigrad``, ``nn.functional``, ``special``, ``linalg``) and for the method; ``F.x``, ``special.x``, ``linalg.x``,
``torch.x`` and ``Tensor.x`` for that one alone.  From each call follow: values and dtypes in five dtypes, on strided
memory and with special values, gradients twice, the in-place method, whether results are views, and calls that must
fail in both.  A row whose name trigrad has not got waits for it; a public name without a row is a failure.
"""

import inspect
import math
import types
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import trigrad as tg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer


# -- what the table is made of -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arg:
    """A tensor that is drawn anew for each call: ``kind`` says which numbers."""

    shape: tuple[int, ...]
    kind: str
    low: float = 0.0
    high: float = 0.0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        if self.kind == "normal":
            return rng.normal(size=self.shape)
        if self.kind == "uniform":
            return rng.uniform(self.low, self.high, self.shape)
        if self.kind == "distinct":  # no two values nearer than a bfloat16 can tell apart
            return (rng.permutation(math.prod(self.shape)).reshape(self.shape) - math.prod(self.shape) / 2) / 8 + 0.0625
        if self.kind == "bool":
            return rng.random(self.shape) < 0.5
        return rng.integers(int(self.low), int(self.high), self.shape)

    @property
    def floats(self) -> bool:
        return self.kind in ("normal", "uniform", "distinct")


@dataclass(frozen=True)
class Given:
    """A tensor of these very values."""

    values: Any
    dtype: str


@dataclass(frozen=True)
class Dtype:
    """A dtype, by the name that both libraries use."""

    name: str


@dataclass
class Call:
    """The arguments of one call, and what about it is compared."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    only: str = (
        ""  # "shape": random values; "float": floats only; "values": no gradients; both words may stand together
    )
    loose: float = 1.0  # times the tolerance


def f(*shape: int) -> Arg:
    return Arg(shape, "normal")


def u(*shape: int, low: float = 0.05, high: float = 0.95) -> Arg:
    return Arg(shape, "uniform", low, high)


def d(*shape: int) -> Arg:
    return Arg(shape, "distinct")


def b(*shape: int) -> Arg:
    return Arg(shape, "bool")


def i(*shape: int, low: int = 0, high: int = 4) -> Arg:
    return Arg(shape, "integer", low, high)


def ints(values: Any) -> Given:
    return Given(values, "int64")


def call(*args: Any, only: str = "", loose: float = 1.0, **kwargs: Any) -> Call:
    return Call(args, kwargs, only, loose)


ROUGH = 2.0**20  # PyTorch keeps constants of these in float32

# -- the table ---------------------------------------------------------------------------------------------------

TABLE: dict[str, list[Call]] = {}


def rows(names: str, *calls: Call) -> None:
    for name in names.split():
        TABLE.setdefault(name, []).extend(calls)


# functions of one number
rows(
    "abs absolute arctan atan asinh arcsinh ceil cos deg2rad erf erfc exp exp2 expm1 fix floor frac neg negative positive "
    "rad2deg round sgn sigmoid sign signbit sin sinc sinh cosh square tan tanh trunc relu isfinite isinf isnan isneginf "
    "isposinf isreal selu expit nan_to_num logical_not erfcx ndtr log_ndtr digamma lgamma gammaln psi i0 i0e i1 i1e entr "
    "elu softplus softsign silu gelu mish hardtanh hardswish relu6 logsigmoid hardshrink softshrink "
    "tanhshrink leaky_relu",
    call(f(3, 5)),
    call(f()),
    call(f(0, 4)),
)
rows("celu hardsigmoid", call(f(3, 5), loose=ROUGH), call(f(), loose=ROUGH), call(f(0, 4)))
rows("log log2 log10 log1p sqrt rsqrt reciprocal xlog1py", call(u(3, 5)), call(u()))
rows("acos arccos asin arcsin atanh arctanh erfinv logit", call(u(3, 5)), call(u(4)))
rows("acosh arccosh", call(u(3, 5, low=1.2, high=6.0)))
rows("round", call(f(3, 5), decimals=2, only="values float"))
rows("logit", call(f(3, 5), eps=0.1))
rows("nan_to_num", call(f(4), nan=1.0, posinf=2.0, neginf=-3.0))
rows("elu celu", call(f(3, 5), alpha=0.7, loose=ROUGH))
rows("F.elu F.celu", call(f(3, 5), 0.7, loose=ROUGH))
rows("F.leaky_relu", call(f(3, 5), 0.3), call(f(3, 5), negative_slope=0.1))
rows("F.hardtanh", call(f(3, 5), min_val=-0.5, max_val=0.25), call(f(3, 5), -0.5, 0.25))
rows("softplus", call(f(3, 5), beta=2.0, threshold=1.0))
rows("gelu", call(f(3, 5), approximate="tanh"))
rows("hardshrink", call(f(3, 5), 0.25))
rows("F.softshrink", call(f(3, 5), lambd=0.25))
rows("threshold", call(f(3, 5), 0.3, -2.0))
rows("F.relu F.relu6 F.selu F.silu F.mish F.hardswish", call(f(2, 3), inplace=False))
rows("prelu", call(f(2, 3, 4), u(3)), call(f(4), u(1)))
rows("torch.rrelu", call(f(3, 5)), call(f(3, 5), 0.2, 0.4), call(f(3, 5), training=True, only="shape"))
rows("F.rrelu", call(f(3, 5)), call(f(3, 5), 0.2, 0.4), call(f(3, 5), training=True, only="shape"))
rows("glu", call(f(4, 6)), call(f(4, 6), dim=0))
rows("softmax log_softmax softmin", call(f(3, 5), dim=1), call(f(3, 5), dim=0), call(f(2, 3, 4), dim=-2), call(f(5), 0))
rows("softmax log_softmax", call(f(3, 5), dim=1, dtype=Dtype("float64")))
rows("F.normalize", call(f(3, 5)), call(f(3, 5), p=3.0, dim=0))

# functions of two numbers, broadcast
rows(
    "add sub subtract mul multiply div divide true_divide maximum minimum fmax fmin eq ne lt le gt ge greater less "
    "greater_equal less_equal not_equal atan2 arctan2 copysign hypot logaddexp logaddexp2 logical_and logical_or logical_xor "
    "heaviside nextafter",
    call(f(3, 5), f(3, 5)),
    call(f(3, 5), f(5)),
    call(f(2, 1, 4), f(3, 1)),
    call(f(), f(3)),
    call(f(0, 3), f(3)),
    call(i(3, 4, high=9), i(4, low=1, high=9)),
    call(i(3, 4), f(4)),
)
rows(
    "add sub subtract mul multiply div divide true_divide eq ne lt le gt ge greater less greater_equal less_equal not_equal "
    "copysign",
    call(f(3, 5), 2),
    call(f(3, 5), -1.5),
    call(i(3, 5), 2),
    call(i(3, 5), 1.5),
)
rows("add sub subtract", call(f(3, 5), f(5), alpha=2), call(f(3, 5), f(5), alpha=-0.5, only="float"))
rows("rsub", call(f(3, 5), f(5)), call(f(3, 5), 2.0))
rows(
    "div divide",
    call(f(3, 5), u(5), rounding_mode="floor", only="values"),
    call(f(3, 5), u(5), rounding_mode="trunc", only="values"),
    call(i(3, 5, low=-9, high=9), i(5, low=1, high=4), rounding_mode="floor"),
    call(i(3, 5, low=-9, high=9), i(5, low=1, high=4), rounding_mode="trunc"),
    call(f(3, 5), f(5), rounding_mode=None),
)
rows(
    "remainder fmod floor_divide",
    call(f(3, 5), u(5, low=0.3, high=2.0), loose=4),
    call(f(3, 5), -0.75, loose=4),
    call(i(3, 5, low=-9, high=9), i(5, low=1, high=4)),
    call(i(3, 5, low=-9, high=9), -3),
)
rows(
    "pow float_power",
    call(u(3, 5), f(5), loose=4),
    call(f(3, 5), 2),
    call(f(3, 5), 3.0),
    call(u(3, 5), -0.5),
    call(f(3, 5), 0),
    call(i(3, 4, high=5), i(4, high=4)),
)
rows("torch.pow torch.float_power", call(2.0, f(3, 4)), call(2, i(3, 4)))
rows("xlogy xlog1py", call(u(3, 5), u(5)), call(u(3, 5), 2.0), call(f(3), u(3)))
rows("torch.xlogy", call(2.0, u(3)))
rows("ldexp", call(f(3, 5), i(5)))
rows("lerp", call(f(3, 5), f(5), 0.3), call(f(3, 5), f(3, 5), u(3, 5)), call(f(3, 5), f(5), 0.7))
rows("addcmul addcdiv", call(f(3, 5), f(3, 5), u(5)), call(f(3, 5), f(5), u(3, 1), value=0.5, only="float"))
rows(
    "torch.where",
    call(b(3, 5), f(3, 5), f(5)),
    call(b(3, 5), f(3, 5), 2.0),
    call(b(3, 5), 1.0, f(5)),
    call(b(3, 4), only="values"),
)
rows("masked_fill", call(f(3, 5), b(3, 5), 2.5), call(f(3, 5), b(5), f()), call(i(3, 5), b(3, 1), 7))
rows(
    "clamp clip",
    call(f(3, 5), -0.5, 0.5),
    call(f(3, 5), min=0.2),
    call(f(3, 5), max=0.2),
    call(f(3, 5), u(5, low=-0.9, high=-0.1), u(3, 5)),
    call(i(3, 5), 1, 2),
    call(i(3, 5), 0.5, 2.5),
)
rows("clamp_min clamp_max", call(f(3, 5), 0.2), call(f(3, 5), f(5)))
rows("bitwise_and bitwise_or bitwise_xor", call(i(3, 5, high=64), i(5, high=64)), call(i(3, 5), 3), call(b(3, 5), b(5)))
rows("bitwise_not", call(i(3, 5, low=-9, high=9)), call(b(3, 5)))
rows("bitwise_left_shift bitwise_right_shift", call(i(3, 5, low=-40, high=40), i(5, high=5)), call(i(3, 5), 2))
rows("gcd lcm", call(i(3, 5, low=1, high=40), i(5, low=1, high=40)))
rows("isclose", call(f(3, 5), f(5)), call(f(3, 5), f(3, 5), rtol=0.5, atol=0.5), call(f(4), f(4), equal_nan=True))
rows("allclose", call(f(3, 5), f(3, 5)), call(u(3), u(3), rtol=0.5, atol=5.0), call(f(3), f(3), equal_nan=True))
rows("equal", call(i(3), i(3)), call(f(3), f(3)), call(f(3), f(2)))
rows("isin", call(i(3, 5), i(2)))

# reductions
rows(
    "sum mean",
    call(f(3, 4, 5)),
    call(f(3, 4, 5), 1),
    call(f(3, 4, 5), dim=(0, 2)),
    call(f(3, 4, 5), dim=-1, keepdim=True),
    call(f(3, 4), dtype=Dtype("float64")),
    call(f()),
)
rows(
    "sum prod nansum",
    call(i(3, 4)),
    call(b(3, 4)),
    call(i(3, 4), dtype=Dtype("float32")),
    call(f(0, 3)),
    call(f(0, 3), dim=0),
)
rows("nansum nanmean", call(f(3, 4)), call(f(3, 4), dim=1), call(f(3, 4), dim=(0, 1), keepdim=True))
rows(
    "prod",
    call(f(3, 4)),
    call(f(3, 4), 1),
    call(f(3, 4), dim=0, keepdim=True),
    call(Given([[0.0, 2, 3], [0, 0, 1]], "float64"), 1),
)
rows(
    "var std var_mean std_mean",
    call(f(3, 4, 5)),
    call(f(3, 4, 5), 1),
    call(f(3, 4, 5), dim=(0, 2), correction=0),
    call(f(3, 4, 5), dim=-1, keepdim=True),
    call(f(3, 4), unbiased=False),
    call(f(3, 4), dim=1, unbiased=True),
)
rows(
    "amax amin",
    call(d(3, 4, 5)),
    call(d(3, 4, 5), 1),
    call(d(3, 4, 5), dim=(0, 2), keepdim=True),
    call(Given([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]], "float64"), 1),
)
rows("max min", call(d(3, 4)), call(d(3, 4), 1), call(d(3, 4), dim=0, keepdim=True), call(i(3, 4)), call(d(3, 4), d(4)))
rows("argmax argmin", call(d(3, 4)), call(d(3, 4), 1), call(d(3, 4), dim=0, keepdim=True), call(ints([1, 3, 3, 1])))
rows("aminmax", call(d(3, 4)), call(d(3, 4), dim=1), call(d(3, 4), dim=0, keepdim=True))
rows(
    "any all",
    call(b(3, 4)),
    call(b(3, 4), 1),
    call(b(3, 4, 2), dim=(0, 1)),
    call(i(3, 4, high=2), dim=0, keepdim=True),
    call(f(0, 2)),
)
rows("logsumexp", call(f(3, 4), 1), call(f(3, 4, 2), dim=(0, 2), keepdim=True))
rows("count_nonzero", call(i(3, 4)), call(i(3, 4), dim=1), call(b(3, 4), dim=(0, 1)))
rows(
    "torch.norm Tensor.norm",
    call(f(3, 4)),
    call(f(3, 4), 1),
    call(f(3, 4), p=3, dim=1),
    call(f(3, 4), p=float("inf"), dim=0),
    call(f(3, 4), p="fro", dim=(0, 1), keepdim=True),
)
rows(
    "linalg.vector_norm",
    call(f(3, 4)),
    call(f(3, 4), ord=1),
    call(f(3, 4), ord=3, dim=1),
    call(f(3, 4), ord=float("inf"), dim=0),
    call(f(3, 4), ord=-float("inf"), dim=0, keepdim=True),
    call(f(3, 4), ord=0, only="values"),
    call(f(3, 4), ord=0.5),
)
rows("linalg.norm", call(f(3, 4)), call(f(3), 2), call(f(3), 3), call(f(3, 4), "fro"), call(f(2, 3, 4), dim=(1, 2)))
rows("linalg.matrix_norm", call(f(3, 4)), call(f(2, 3, 4), "fro"), call(f(3, 4), 1), call(f(3, 4), float("inf")))
rows("median nanmedian", call(d(3, 5)), call(d(3, 4), 1), call(d(3, 5), dim=0, keepdim=True))
rows("mode", call(i(3, 7), 1, only="values"))
rows("quantile nanquantile", call(d(9), 0.3), call(d(3, 5), 0.5, dim=1))
rows("kthvalue", call(d(7), 3), call(d(3, 5), 2, 0), call(d(3, 5), 2, dim=1, keepdim=True))
rows("cumsum cumprod logcumsumexp", call(f(3, 5), 0), call(f(3, 5), dim=1), call(f(7), -1), call(f(0, 3), 1))
rows("cumsum cumprod", call(i(3, 4), 1), call(b(5), 0), call(f(3, 4), 1, dtype=Dtype("float64")))
rows("cummax cummin", call(d(3, 5), 0), call(d(3, 5), dim=1))
rows("diff", call(f(7)), call(f(3, 5), dim=0), call(f(3, 5), n=2), call(f(3, 5), prepend=f(3, 1), append=f(3, 2)))
rows("trapezoid trapz", call(f(3, 5)), call(f(3, 5), dx=0.5))
rows("cumulative_trapezoid", call(f(3, 5)))
rows("sort argsort msort", call(d(3, 7)))
rows(
    "sort argsort",
    call(d(3, 7), dim=0),
    call(d(3, 7), 1, True),
    call(i(3, 9), dim=1, stable=True),
    call(d(3, 5), descending=True, stable=True),
)
rows("topk", call(d(3, 7), 3), call(d(7, 2), 2, dim=0), call(d(3, 7), 3, largest=False), call(d(9), 0))
rows(
    "unique torch.unique_consecutive Tensor.unique_consecutive",
    call(i(3, 9), only="values"),
    call(i(12), return_inverse=True, return_counts=True, only="values"),
)
rows("bincount", call(i(9)), call(i(9), minlength=7), call(i(5), u(5), only="values"))
rows("histc", call(f(30), 5, -2.0, 2.0, only="values float"), call(u(30), bins=4, min=0, max=1, only="values float"))
rows("searchsorted", call(Given([1.0, 2.0, 4.0], "float64"), u(5, low=0, high=5), only="values"))
rows(
    "searchsorted",
    call(ints([1, 3, 3, 7]), i(6, high=9), right=True),
    call(ints([1, 3, 3, 7]), i(6, high=9), side="right"),
)
rows(
    "bucketize",
    call(u(5, low=0, high=5), Given([1.0, 2.0, 4.0], "float64"), only="values"),
    call(i(6, high=9), ints([1, 3, 7]), right=True),
)
rows("cov corrcoef", call(f(3, 6)))
rows("dist", call(f(3, 4), f(3, 4)), call(f(3, 4), f(4), 1))
rows("renorm", call(f(3, 4), 2, 0, 1.0))

# linear algebra
rows(
    "matmul",
    call(f(3, 4), f(4, 5)),
    call(f(4), f(4)),
    call(f(3, 4), f(4)),
    call(f(4), f(4, 2)),
    call(f(2, 1, 3, 4), f(5, 4, 2)),
    call(f(2, 3, 4), f(4)),
    call(i(3, 4), i(4, 2)),
)
rows("linalg.matmul", call(f(3, 4), f(4, 5)))
rows("mm", call(f(3, 4), f(4, 5)), call(f(0, 4), f(4, 5)), call(f(3, 0), f(0, 5)))
rows("bmm", call(f(2, 3, 4), f(2, 4, 5)), call(f(0, 3, 4), f(0, 4, 5)))
rows("mv", call(f(3, 4), f(4)))
rows("dot vdot inner", call(f(4), f(4)), call(i(4), i(4)))
rows("inner", call(f(3, 4), f(2, 4)), call(f(3, 4), f()))
rows("outer ger", call(f(3), f(4)), call(i(3), i(2)))
rows("addmm", call(f(3, 5), f(3, 4), f(4, 5)), call(f(5), f(3, 4), f(4, 5), beta=0.5, alpha=2, only="float"))
rows("addmv", call(f(3), f(3, 4), f(4)), call(f(3), f(3, 4), f(4), beta=0.5, alpha=2, only="float"))
rows("addr", call(f(3, 4), f(3), f(4)), call(f(3, 4), f(3), f(4), beta=0.5, alpha=2, only="float"))
rows(
    "baddbmm",
    call(f(2, 3, 5), f(2, 3, 4), f(2, 4, 5)),
    call(f(3, 5), f(2, 3, 4), f(2, 4, 5), beta=0.5, alpha=2, only="float"),
)
rows("addbmm", call(f(3, 5), f(2, 3, 4), f(2, 4, 5)))
rows("linalg.cross", call(f(4, 3), f(4, 3)))
rows("cross", call(f(4, 3), f(4, 3), dim=1))
rows("linalg.vecdot", call(f(4, 3), f(4, 3)), call(f(4, 3), f(4, 3), dim=0))
rows(
    "einsum",
    call("ij,jk->ik", f(3, 4), f(4, 5)),
    call("ij,jk", f(3, 4), f(4, 5)),
    call("ii->i", f(4, 4)),
    call("ii", f(4, 4)),
    call("...ij,...jk->...ik", f(2, 3, 4), f(4, 5)),
    call("bi,bj,bk->bijk", f(2, 3), f(2, 4), f(2, 2)),
    call("ij->ji", f(3, 4)),
    call("ij->", f(3, 4)),
    call("i,j->ij", f(3), f(4)),
    call("bhid,bhjd->bhij", f(2, 2, 3, 4), f(2, 2, 5, 4)),
)
rows(
    "tensordot",
    call(f(3, 4), f(4, 5), dims=1),
    call(f(3, 4, 5), f(4, 3, 2), dims=([1, 0], [0, 1])),
    call(f(2), f(3), dims=0),
)
rows("kron", call(f(2, 3), f(3, 2)))
rows("chain_matmul", call(f(2, 3), f(3, 4), f(4, 2)))
rows("linalg.multi_dot", call([f(2, 3), f(3, 4), f(4, 2)]), call([f(3), f(3, 4), f(4)]))
rows("trace", call(f(3, 4)), call(i(3, 3)))
rows(
    "diagonal", call(f(3, 4)), call(f(3, 4), 1), call(f(2, 3, 4), offset=-1, dim1=1, dim2=2), call(f(2, 3, 4), 0, 0, 2)
)
rows("linalg.diagonal", call(f(2, 3, 4)), call(f(2, 3, 4), offset=1, dim1=0, dim2=1))
rows("diag", call(f(3)), call(f(3), 1), call(f(3, 4)), call(f(3, 4), -1))
rows("diag_embed", call(f(2, 3)), call(f(2, 3), offset=1), call(f(2, 3), 0, 0, 2))
rows("diagflat", call(f(2, 3)), call(f(3), 1))
rows("block_diag", call(f(2, 3), f(1, 2)))
rows("vander", call(f(4), only="float"), call(f(4), N=3, increasing=True, only="float"))
rows("linalg.vander", call(f(4), only="float"))
rows("matrix_power linalg.matrix_power", call(f(3, 3), 3), call(f(3, 3), 0))
rows("tril triu", call(f(3, 4)), call(f(2, 3, 4), 1), call(f(3, 4), diagonal=-1), call(b(3, 3)))
rows("tril_indices triu_indices", call(3, 4), call(3, 4, 1), call(4, 3, -1))
rows("cdist", call(f(3, 4), f(5, 4)), call(f(2, 3, 4), f(2, 5, 4), p=1.0), call(f(3, 4), f(5, 4), p=3.0))
rows("F.pdist torch.pdist", call(f(5, 3)), call(f(5, 3), 1.0))
rows("cosine_similarity", call(f(3, 4), f(3, 4)), call(f(3, 4), f(3, 4), dim=0), call(f(3, 4), f(4), dim=-1))
rows("pairwise_distance", call(f(3, 4), f(3, 4)), call(f(3, 4), f(3, 4), p=1.0, keepdim=True))

# shape
rows(
    "reshape Tensor.view", call(f(3, 4), (2, 6)), call(f(3, 4), (-1,)), call(f(2, 3, 2), (3, -1)), call(f(0, 3), (3, 0))
)
rows("Tensor.reshape Tensor.view", call(f(3, 4), 2, 6), call(f(3, 4), -1))
rows("reshape", call(f(3, 4), shape=(2, 6)))
rows("Tensor.view", call(f(3, 4), size=(2, -1)))
rows("Tensor.expand", call(f(1, 4), size=(2, -1)))
rows("Tensor.repeat", call(f(1, 4), repeats=(2, 1)))
rows("tile", call(f(1, 4), dims=(2, 1)))
rows("zeros ones", call(size=(2, 3)))
rows("empty rand randn", call(size=(2, 3), only="shape"))
rows("Tensor.reshape_as Tensor.view_as", call(f(3, 4), f(2, 6)))
rows("Tensor.expand_as", call(f(1, 4), f(3, 4)))
rows("flatten", call(f(2, 3, 4)), call(f(2, 3, 4), 1), call(f(2, 3, 4), start_dim=0, end_dim=1), call(f()))
rows("unflatten", call(f(2, 6), 1, (2, 3)), call(f(2, 6), -1, (-1, 3)))
rows("ravel", call(f(2, 3)))
rows("permute", call(f(2, 3, 4), (2, 0, 1)), call(f(2, 3, 4), (-1, 0, 1)), call(f(2, 3, 4), dims=(0, 2, 1)))
rows("Tensor.permute", call(f(2, 3, 4), 2, 0, 1))
rows("transpose swapaxes swapdims", call(f(2, 3, 4), 0, 2), call(f(2, 3, 4), -1, 0))
rows("movedim moveaxis", call(f(2, 3, 4), 0, 2), call(f(2, 3, 4), (0, 1), (2, 0)))
rows("t", call(f(2, 3)), call(f(3)), call(f()))
rows("adjoint", call(f(2, 3)))
rows("Tensor.T Tensor.H", call(f(2, 3)))
rows("Tensor.mT Tensor.mH", call(f(2, 3)), call(f(4, 2, 3)))
rows("squeeze", call(f(1, 3, 1)), call(f(1, 3, 1), 0), call(f(1, 3, 1), dim=(0, 2)), call(f(1, 3, 1), 1))
rows("unsqueeze", call(f(2, 3), 0), call(f(2, 3), -1))
rows("Tensor.expand", call(f(3, 1), 3, 4), call(f(3, 1), (2, -1, 4)), call(f(), 2))
rows("broadcast_to", call(f(3, 1), (2, 3, 4)), call(f(1), (0,)))
rows("broadcast_tensors", call(f(3, 1), f(4)))
rows("broadcast_shapes", call((3, 1), (4,)), call((2, 1, 3), (5, 1), ()))
rows("Tensor.contiguous clone Tensor.clone", call(f(2, 3)))
rows(
    "cat concat concatenate",
    call([f(2, 3), f(4, 3)]),
    call([f(2, 3), f(2, 1)], dim=1),
    call([f(2, 3), i(2, 3)], 0),
    call([f(0), f(2)]),
)
rows("stack", call([f(2, 3), f(2, 3)]), call([f(2, 3), f(2, 3)], dim=1), call([f(2), i(2)], -1))
rows("hstack vstack row_stack dstack column_stack", call([f(3), f(3)]), call([f(3, 2), f(3, 2)]), call([f(), f()]))
rows("split", call(f(7, 2), 3), call(f(2, 7), [3, 4], dim=1), call(f(2, 6), 2, -1))
rows("split_with_sizes", call(f(7), [3, 4]))
rows("chunk", call(f(7, 2), 3), call(f(2, 7), 2, dim=1))
rows("tensor_split", call(f(7, 2), 3), call(f(2, 7), (2, 5), dim=1), call(f(7), [2, 9]))
rows("hsplit", call(f(4, 6), 2), call(f(6), [2, 4]))
rows("vsplit", call(f(4, 6), 2), call(f(4, 6), [1, 3]))
rows("dsplit", call(f(2, 3, 4), 2))
rows("unbind", call(f(3, 2)), call(f(3, 2), 1), call(f(3, 2), dim=-1))
rows("Tensor.repeat", call(f(2, 3), 2, 1), call(f(3), 2, 2), call(f(2, 3), (1, 2, 2)), call(f(3), 0))
rows("tile", call(f(2, 3), (2,)), call(f(2, 3), (2, 1, 2)))
rows("repeat_interleave", call(f(2, 3), 2), call(f(2, 3), 2, dim=0), call(f(3, 2), ints([1, 0, 2]), dim=0))
rows("torch.repeat_interleave", call(ints([1, 0, 2])))
rows("flip", call(f(2, 3), (0,)), call(f(2, 3), dims=(0, 1)), call(f(2, 3), [-1]))
rows("fliplr flipud", call(f(2, 3)))
rows("roll", call(f(2, 3), 1), call(f(2, 3), shifts=(1, -2), dims=(0, 1)), call(f(5), -7, 0))
rows("rot90", call(f(2, 3)), call(f(2, 3), k=2, dims=(0, 1)), call(f(2, 3, 4), -1, (1, 2)))
rows(
    "meshgrid",
    call(f(2), f(3), indexing="ij"),
    call(f(2), f(3), indexing="xy"),
    call([f(2), f(3), f(2)], indexing="ij"),
)
rows("atleast_1d atleast_2d atleast_3d", call(f()), call(f(3)), call(f(2, 3)), call([f(), f(2)]))
rows("cartesian_prod", call(f(2), f(3)), call(f(2)))
rows("combinations", call(f(4)), call(f(4), r=3), call(f(3), with_replacement=True))
rows("as_strided", call(f(4, 4), (2, 3), (4, 1)), call(f(10), (3, 2), (2, 1), 1), call(f(6), (3, 3), (1, 1)))
rows("Tensor.unfold", call(f(8), 0, 3, 2), call(f(3, 7), 1, 2, 1), call(f(3, 7), -1, 7, 3))
rows("narrow", call(f(5, 3), 0, 1, 3), call(f(5, 3), 1, -2, 2), call(f(5), 0, 5, 0))
rows("narrow_copy", call(f(5, 3), 0, 1, 3))
rows("select", call(f(5, 3), 0, 2), call(f(5, 3), 1, -1))
rows("select_scatter", call(f(5, 3), f(3), 0, 2), call(f(5, 3), f(5), 1, -1))
rows("slice_scatter", call(f(5, 3), f(2, 3), 0, 1, 3), call(f(5, 6), f(5, 3), dim=1, start=0, end=6, step=2))
rows("diagonal_scatter", call(f(3, 3), f(3)))

# indexing
rows("gather", call(f(3, 4), 1, i(3, 2)), call(f(3, 4), 0, i(2, 4, high=3)), call(f(4), 0, ints([0, 0, 3])))
rows("scatter", call(f(3, 4), 1, ints([[0, 2], [1, 3], [2, 0]]), f(3, 2)), call(f(3, 4), 0, ints([[0, 1, 2, 0]]), 1.5))
rows("scatter", call(f(3, 4), 1, ints([[0, 0], [1, 3], [2, 2]]), f(3, 2), reduce="add", only="values"))
rows("scatter_add", call(f(3, 4), 1, ints([[0, 0], [1, 3], [2, 2]]), f(3, 2)), call(f(4), 0, ints([1, 1, 1]), f(3)))
for how in ("sum", "prod", "mean", "amax", "amin"):
    for include in (True, False):
        rows("scatter_reduce", call(d(3, 4), 1, ints([[0, 0], [1, 3], [2, 2]]), f(3, 2), how, include_self=include))
rows("index_select", call(f(3, 4), 0, ints([2, 0, 2])), call(f(3, 4), 1, ints([-0, 3])), call(f(3, 4), -1, ints([])))
rows("index_add", call(f(3, 4), 0, ints([2, 0, 2]), f(3, 4)), call(f(3, 4), 1, ints([1]), f(3, 1), alpha=2))
rows("index_copy", call(f(3, 4), 0, ints([2, 0]), f(2, 4)))
rows("index_fill", call(f(3, 4), 0, ints([2, 0]), 1.5), call(f(3, 4), 1, ints([1]), f()))
rows("index_reduce", call(f(3, 4), 0, ints([2, 0, 2]), f(3, 4), "mean"))
rows(
    "index_put",
    call(f(3, 4), (ints([2, 0]),), f(4)),
    call(f(3, 4), (ints([2, 2]), ints([1, 1])), f(2), accumulate=True),
)
rows("masked_select", call(f(3, 4), b(3, 4)), call(f(3, 4), b(4)), call(f(3, 1), b(4)))
rows("masked_scatter", call(f(3, 4), b(3, 4), f(12)), call(f(3, 4), b(4), f(3, 4)))
rows("nonzero argwhere", call(i(3, 4, high=2)), call(b(5)), call(i()))
rows("nonzero", call(i(3, 4, high=2), as_tuple=True))
rows("take", call(f(3, 4), ints([0, -1, 5])), call(f(3, 4), ints([[1, 1], [2, 11]])))
rows("take_along_dim", call(f(3, 4), i(3, 2), 1), call(f(3, 4), ints([5, 7])), call(f(3, 4), i(1, 2), dim=1))
rows("Tensor.put put", call(f(3, 4), ints([0, -1]), f(2)), call(f(3, 4), ints([0, 0, 5]), f(3), True))
rows(
    "F.embedding",
    call(i(2, 3), f(4, 5)),
    call(i(2, 3), f(4, 5), padding_idx=1),
    call(i(3), f(4, 5), scale_grad_by_freq=True),
)
rows("F.embedding_bag", call(i(2, 3), f(4, 5)), call(i(6), f(4, 5), ints([0, 2, 4]), mode="sum"))
rows("F.one_hot", call(i(2, 3)), call(i(3), num_classes=6))

# making tensors
rows(
    "zeros ones empty",
    call(2, 3, only="shape"),
    call((2, 3), only="shape"),
    call(2, dtype=Dtype("int64"), only="shape"),
)
rows("zeros ones", call(2, 3), call((2, 3), dtype=Dtype("float64")), call(0, 3, dtype=Dtype("bool")))
rows("full", call((2, 3), 1.5), call((2,), 3), call((), True), call((2,), 3, dtype=Dtype("float32")))
rows("zeros_like ones_like", call(f(2, 3)), call(f(2, 3), dtype=Dtype("int32")))
rows("full_like", call(f(2, 3), 2), call(i(2, 3), 2.7), call(f(2), 1, dtype=Dtype("bool")))
rows(
    "empty_like rand_like randn_like",
    call(f(2, 3), only="shape float"),
    call(f(2), dtype=Dtype("float64"), only="shape float"),
)
rows("randint_like", call(f(2, 3), 5, only="shape"), call(i(2, 3), 1, 5, only="shape"))
rows("rand randn", call(2, 3, only="shape"), call((2, 3), dtype=Dtype("float64"), only="shape"))
rows("randint", call(5, (2, 3), only="shape"), call(2, 5, (3,), dtype=Dtype("int32"), only="shape"))
rows("randperm", call(7, only="shape"), call(0, only="shape"))
rows(
    "normal",
    call(0.0, 1.0, (2, 3), only="shape"),
    call(f(2, 3), 1.0, only="shape float"),
    call(f(3), u(3), only="shape float"),
)
rows("bernoulli", call(u(2, 3), only="shape float"), call(u(2, 3), 0.5, only="shape float"))
rows(
    "multinomial",
    call(u(5), 3, only="shape float"),
    call(u(2, 5), 7, True, only="shape float"),
    call(Given([0.0, 0.0, 1.0], "float64"), 1, only="values"),
)
rows("poisson", call(u(2, 3), only="shape float"))
rows(
    "arange",
    call(5),
    call(2, 7),
    call(0, 1, 0.25),
    call(5.0),
    call(7, 2, -2),
    call(5, dtype=Dtype("float64")),
    call(1.5, 4),
    call(3, 3),
    call(start=1, end=4),
)
rows(
    "linspace",
    call(0, 1, 5),
    call(-2.0, 3.0, 1),
    call(0, 10, steps=4, dtype=Dtype("float64")),
    call(0, 5, 6, dtype=Dtype("int64")),
)
rows("logspace", call(0, 2, 5, loose=4), call(-1, 1, 3, base=2.0, dtype=Dtype("float64")))
rows("eye", call(3), call(3, 4), call(2, dtype=Dtype("int64")))
rows("empty_strided", call((2, 3), (3, 1), only="shape"))
rows("empty_permuted", call((2, 3), (1, 0), only="shape"))
rows(
    "tensor as_tensor asarray",
    call([[1, 2], [3, 4]]),
    call(2.5),
    call([True, False]),
    call([1.5, 2], dtype=Dtype("int64")),
    call(f(2, 3), only="values asarray"),
)
rows("scalar_tensor", call(2.0), call(2, dtype=Dtype("int64")))
rows("complex polar", call(f(2), f(2)))
rows("Tensor.new_zeros Tensor.new_ones", call(f(2), (2, 3)), call(f(2), 2, 3), call(f(2), (2,), dtype=Dtype("int64")))
rows("Tensor.new_empty", call(f(2), (2, 3), only="shape"))
rows("Tensor.new_full", call(f(2), (2, 3), 1.5), call(i(2), (2,), 3))
rows("Tensor.new_tensor", call(f(2), [[1, 2]], only="values"), call(i(2), [1.5]))
rows("one_hot", call(i(2, 3)))
rows("hann_window hamming_window blackman_window bartlett_window kaiser_window", call(6))

# what a tensor says of itself
rows("Tensor.size Tensor.stride", call(f(2, 3)), call(f(2, 3), 1), call(f(2, 3), -1))
rows(
    "Tensor.dim Tensor.ndimension Tensor.numel Tensor.nelement Tensor.element_size Tensor.storage_offset", call(f(2, 3))
)
rows(
    "Tensor.is_contiguous Tensor.is_floating_point Tensor.is_complex Tensor.is_signed Tensor.tolist",
    call(f(2, 3)),
    call(i(2)),
)
rows("Tensor.is_same_size Tensor.is_set_to", call(f(2, 3), f(2, 3)), call(f(2, 3), f(3, 2)))
rows("Tensor.item", call(f()), call(f(1, 1)), call(i(1)))
rows(
    "Tensor.ndim Tensor.shape Tensor.itemsize Tensor.nbytes Tensor.is_leaf Tensor.requires_grad Tensor.is_cpu Tensor.is_cuda",
    call(f(2, 3), only="values"),
)
rows("numel is_floating_point is_complex is_nonzero is_signed is_same_size torch.is_tensor", call(f()))
rows("is_same_size", call(f(2), f(3)))
rows("is_tensor", call(3))
rows(
    "Tensor.float Tensor.double Tensor.half Tensor.bfloat16 Tensor.long Tensor.int Tensor.short "
    "Tensor.char Tensor.byte Tensor.bool Tensor.cpu",
    call(f(2, 3)),
    call(i(2, 3)),
    call(b(3)),
)
rows(
    "Tensor.to Tensor.type", call(f(2, 3), Dtype("float32")), call(i(2, 3), Dtype("float64")), call(f(2), Dtype("bool"))
)
rows("Tensor.to", call(f(2), "cpu"), call(f(2), f(3)), call(f(2, 3), dtype=Dtype("float16"), copy=True))
rows("Tensor.type_as", call(f(2), i(3)), call(i(2), f(3)))
rows("Tensor.where", call(f(2, 3), b(2, 3), f(3)))
rows("Tensor.detach", call(f(2)))
rows("Tensor.sum_to_size", call(f(2, 3), 1, 3), call(f(4, 2, 3), (2, 1)))
rows(
    "promote_types result_type can_cast",
    call(Dtype("int64"), Dtype("float16")),
    call(Dtype("float16"), Dtype("bfloat16")),
    call(Dtype("uint8"), Dtype("int8")),
)
rows("torch.result_type", call(i(2), 1.0), call(f(2), i(3)))
rows("finfo iinfo", call(Dtype("float32")))

# networks
rows("F.linear", call(f(2, 4), f(3, 4)), call(f(2, 5, 4), f(3, 4), f(3)), call(f(4), f(3, 4), f(3)))
rows("F.bilinear", call(f(2, 3), f(2, 4), f(5, 3, 4), f(5)))
rows(
    "conv2d",
    call(f(2, 3, 7, 6), f(4, 3, 3, 2), loose=8),
    call(f(2, 4, 7, 6), f(6, 2, 3, 3), f(6), stride=2, padding=(1, 2), dilation=(2, 1), groups=2, loose=8),
    call(f(2, 3, 7, 6), f(4, 3, 3, 3), padding="same", loose=8),
    call(f(3, 7, 6), f(4, 3, 3, 3), padding="valid", loose=8),
)
rows(
    "conv1d",
    call(f(2, 3, 9), f(4, 3, 3), f(4), loose=8),
    call(f(2, 4, 9), f(4, 2, 3), stride=2, padding=1, dilation=2, groups=2, loose=8),
    call(f(2, 3, 9), f(4, 3, 3), padding="same", loose=8),
)
rows(
    "conv3d",
    call(f(2, 3, 5, 4, 6), f(4, 3, 2, 3, 3), f(4), loose=8),
    call(f(1, 2, 5, 5, 5), f(4, 1, 3, 3, 3), stride=2, padding=1, groups=2, loose=8),
)
rows(
    "conv_transpose2d",
    call(f(2, 3, 4, 5), f(3, 4, 3, 3), f(4), loose=8),
    call(f(2, 4, 4, 5), f(4, 2, 3, 3), stride=2, padding=1, output_padding=1, groups=2, dilation=2, loose=8),
)
rows(
    "conv_transpose1d",
    call(f(2, 3, 5), f(3, 4, 3), f(4), loose=8),
    call(f(2, 4, 5), f(4, 2, 3), stride=2, padding=1, output_padding=1, groups=2, loose=8),
)
rows(
    "conv_transpose3d",
    call(f(2, 3, 3, 3, 4), f(3, 2, 2, 3, 3), f(2), loose=8),
    call(f(1, 2, 3, 3, 3), f(2, 1, 3, 3, 3), stride=2, padding=1, output_padding=1, groups=2, loose=8),
)
rows("F.unfold", call(f(2, 3, 6, 5), 3), call(f(2, 3, 6, 5), (2, 3), dilation=(2, 1), padding=1, stride=2))
rows("F.fold", call(f(2, 12, 20), (5, 6), 2), call(f(2, 12, 12), (6, 5), (2, 2), padding=1, stride=2))
rows("F.max_pool1d", call(d(2, 3, 8), 2), call(d(2, 3, 8), 3, stride=2, padding=1), call(d(2, 3, 8), 3, 1, 0, 2, True))
rows(
    "F.max_pool2d",
    call(d(2, 3, 6, 7), 2),
    call(d(2, 3, 6, 7), 3, stride=2, padding=1),
    call(d(2, 3, 6, 7), (2, 3), ceil_mode=True),
    call(d(3, 6, 7), 2, dilation=2),
    call(d(2, 3, 6, 7), 2, return_indices=True),
)
rows("F.max_pool3d", call(d(2, 2, 4, 5, 6), 2), call(d(2, 2, 4, 5, 6), 3, stride=2, padding=1))
rows("max_pool1d", call(d(2, 3, 8), 2))
rows("max_pool2d", call(d(2, 3, 6, 7), 2))
rows("max_pool3d", call(d(2, 2, 4, 5, 6), 2))
rows("avg_pool1d", call(f(2, 3, 8), 2), call(f(2, 3, 8), 3, stride=2, padding=1, count_include_pad=False))
rows(
    "avg_pool2d",
    call(f(2, 3, 6, 7), 2),
    call(f(2, 3, 6, 7), 3, stride=2, padding=1, count_include_pad=False),
    call(f(2, 3, 6, 7), (2, 3), ceil_mode=True, divisor_override=5),
)
rows("avg_pool3d", call(f(2, 2, 4, 5, 6), 2), call(f(2, 2, 4, 5, 6), 3, stride=2, padding=1))
rows("adaptive_avg_pool1d", call(f(2, 3, 8), 3))
rows("adaptive_avg_pool2d", call(f(2, 3, 6, 7), 3), call(f(2, 3, 6, 7), (2, None)), call(f(3, 6, 7), (1, 1)))
rows("adaptive_avg_pool3d", call(f(2, 2, 4, 5, 6), 2), call(f(2, 2, 4, 5, 6), (2, 3, 1)))
rows("F.adaptive_max_pool1d", call(d(2, 3, 8), 3))
rows("F.adaptive_max_pool2d", call(d(2, 3, 6, 7), 3), call(d(2, 3, 6, 7), (2, 1), return_indices=True))
rows("F.adaptive_max_pool3d", call(d(2, 2, 4, 5, 6), 2))
rows("adaptive_max_pool1d", call(d(2, 3, 8), 3))
rows("F.lp_pool1d", call(u(2, 3, 8), 2.0, 2))
rows("F.lp_pool2d", call(u(2, 3, 6, 6), 2.0, 2), call(u(2, 3, 6, 6), 3.0, (2, 3), stride=2))
rows("F.lp_pool3d", call(u(2, 2, 4, 4, 4), 2.0, 2))
rows("F.max_unpool1d", call(f(1, 1, 2), ints([[[1, 2]]]), 2))
rows("F.max_unpool2d", call(f(1, 1, 2, 2), ints([[[[0, 3], [9, 14]]]]), 2))
rows("F.max_unpool3d", call(f(1, 1, 1, 1, 2), ints([[[[[1, 10]]]]]), 2))
rows("F.fractional_max_pool2d", call(f(1, 1, 6, 6), 2, 3, only="shape"))
rows(
    "layer_norm",
    call(f(3, 5), (5,)),
    call(f(2, 3, 5), (3, 5), f(3, 5), f(3, 5), 1e-3),
    call(f(3, 5), (5,), weight=f(5)),
)
rows("group_norm", call(f(2, 4, 5), 2), call(f(2, 4, 3, 3), 4, f(4), f(4), 1e-3))
rows("F.instance_norm", call(f(2, 3, 5)), call(f(2, 3, 4, 4), weight=f(3), bias=f(3), eps=1e-3))
rows("F.instance_norm", call(f(2, 3, 5), f(3), u(3), use_input_stats=False))
rows("rms_norm", call(f(3, 5), (5,)), call(f(2, 3, 5), (3, 5), f(3, 5), 1e-3))
rows("F.local_response_norm", call(f(2, 6, 4), 3), call(f(2, 6, 4, 4), 2, alpha=0.1, beta=0.5, k=2.0))
rows(
    "F.batch_norm",
    call(f(4, 3, 5), f(3), u(3)),
    call(f(4, 3), None, None, f(3), f(3), True, 0.1, 1e-3),
    call(f(4, 3, 2, 2), f(3), u(3), weight=u(3), training=True),
)
rows(
    "F.dropout F.dropout1d F.alpha_dropout F.feature_alpha_dropout",
    call(f(2, 3, 4), 0.5, False),
    call(f(2, 3, 4), 0.0, True),
)
rows("F.dropout2d", call(f(2, 3, 4, 2), 0.5, False), call(f(2, 3, 4, 2), 0.5, True, only="shape float"))
rows("F.dropout3d", call(f(2, 3, 4, 2, 2), 0.5, False), call(f(2, 3, 4, 2, 2), 0.5, True, only="shape float"))
rows("F.dropout F.dropout1d F.alpha_dropout", call(f(2, 3, 4), 0.5, True, only="shape float"))
rows(
    "torch.dropout torch.feature_dropout torch.alpha_dropout",
    call(f(2, 3, 4), 0.5, False),
    call(f(2, 3, 4), 0.5, True, only="shape float"),
)
for mode in ("nearest", "nearest-exact"):
    rows(
        "F.interpolate",
        call(f(2, 3, 4, 5), size=(7, 3), mode=mode),
        call(f(2, 3, 5), scale_factor=2.0, mode=mode),
        call(f(1, 2, 3, 3, 3), scale_factor=2, mode=mode),
    )
for mode in ("bilinear", "bicubic"):
    rows(
        "F.interpolate",
        call(f(2, 3, 4, 5), size=(7, 3), mode=mode, loose=8),
        call(f(2, 3, 4, 5), scale_factor=(1.5, 2.0), mode=mode, align_corners=True, loose=8),
    )
rows(
    "F.interpolate",
    call(f(2, 3, 5), size=8, mode="linear", loose=4),
    call(f(2, 3, 6, 4), size=(3, 2), mode="area"),
    call(f(1, 2, 3, 3, 3), size=(4, 5, 2), mode="trilinear", loose=4),
)
rows("F.interpolate", call(f(2, 3, 4, 5), scale_factor=1.7, mode="bilinear", recompute_scale_factor=True, loose=8))
rows("F.upsample F.upsample_nearest", call(f(2, 3, 4, 5), scale_factor=2))
rows("F.upsample_bilinear", call(f(2, 3, 4, 5), scale_factor=2, loose=8))
rows("pixel_shuffle", call(f(2, 8, 3, 2), 2))
rows("pixel_unshuffle", call(f(2, 2, 4, 6), 2))
rows("channel_shuffle native_channel_shuffle", call(f(2, 6, 3, 2), 3))
rows(
    "F.pad",
    call(f(2, 3, 4), (1, 2)),
    call(f(2, 3, 4), (1, -1, 0, 2), value=1.5),
    call(f(2, 3, 4), (1, 2, 3, 4, 5, 6), mode="constant"),
)
for mode in ("reflect", "replicate", "circular"):
    rows(
        "F.pad",
        call(f(2, 3, 5), (1, 2), mode=mode),
        call(f(2, 3, 4, 5), (1, 2, 2, 1), mode=mode),
        call(f(1, 2, 3, 4, 5), (1, 2, 2, 1, 1, 0), mode=mode),
    )
rows("torch.constant_pad_nd", call(f(2, 3), (1, 2), 1.5))
rows(
    "F.affine_grid",
    call(f(2, 2, 3), (2, 1, 4, 5), align_corners=False, only="float"),
    call(f(2, 2, 3), (2, 1, 4, 5), align_corners=True, only="float"),
)
for mode in ("bilinear", "nearest"):
    for padding in ("zeros", "border", "reflection"):
        rows(
            "F.grid_sample",
            call(
                f(2, 3, 4, 5),
                u(2, 3, 3, 2, low=-1.2, high=1.2),
                mode=mode,
                padding_mode=padding,
                align_corners=False,
                only="float64",
                loose=8,
            ),
        )
rows(
    "F.scaled_dot_product_attention",
    call(f(2, 3, 4), f(2, 5, 4), f(2, 5, 4), loose=4),
    call(f(2, 2, 3, 4), f(2, 2, 3, 4), f(2, 2, 3, 4), is_causal=True, loose=4),
    call(f(2, 3, 4), f(2, 5, 4), f(2, 5, 4), attn_mask=f(3, 5), scale=0.3, loose=4),
)

# losses
for how in ("mean", "sum", "none"):
    rows("F.mse_loss F.l1_loss F.smooth_l1_loss F.huber_loss F.soft_margin_loss", call(f(3, 4), f(3, 4), reduction=how))
    rows(
        "F.binary_cross_entropy",
        call(u(3, 4), u(3, 4), reduction=how),
        call(u(3, 4), u(3, 4), weight=u(4), reduction=how),
    )
    rows(
        "F.binary_cross_entropy_with_logits",
        call(f(3, 4), u(3, 4), reduction=how),
        call(f(3, 4), u(3, 4), weight=u(4), pos_weight=u(4), reduction=how),
    )
    rows("F.kl_div", call(f(3, 4), u(3, 4), reduction=how), call(f(3, 4), f(3, 4), reduction=how, log_target=True))
    rows(
        "F.nll_loss",
        call(f(3, 5), i(3), reduction=how),
        call(f(3, 5, 2), i(3, 2), weight=u(5), ignore_index=1, reduction=how),
        call(f(5), i(), reduction=how),
    )
    rows(
        "F.cross_entropy",
        call(f(3, 5), i(3), reduction=how),
        call(f(3, 5), i(3), weight=u(5), ignore_index=1, label_smoothing=0.1, reduction=how),
        call(f(3, 5, 2), i(3, 2), reduction=how),
        call(f(3, 5), u(3, 5), label_smoothing=0.2, reduction=how),
        call(f(5), i(), reduction=how),
    )
    rows(
        "F.ctc_loss",
        call(
            u(6, 2, 4, low=-3.0, high=-0.1), ints([[1, 2], [3, 3]]), (6, 5), (2, 2), reduction=how, only="values float"
        ),
        call(
            u(6, 4, low=-3.0, high=-0.1), ints([2, 1, 1]), (6,), (3,), reduction=how, only="values float64"
        ),  # PyTorch gives the gradient of log_softmax's input
    )
    rows("F.hinge_embedding_loss", call(f(3, 4), Given([[1.0, -1, 1, -1]] * 3, "float64"), reduction=how))
    rows("F.margin_ranking_loss", call(f(4), f(4), Given([1.0, -1, 1, -1], "float64"), margin=0.3, reduction=how))
    rows("F.cosine_embedding_loss", call(f(4, 3), f(4, 3), ints([1, -1, 1, -1]), margin=0.1, reduction=how))
    rows(
        "F.triplet_margin_loss",
        call(f(4, 3), f(4, 3), f(4, 3), reduction=how, only="float"),
        call(f(4, 3), f(4, 3), f(4, 3), margin=2.0, p=1.0, swap=True, reduction=how, only="float"),
    )
    rows("F.triplet_margin_with_distance_loss", call(f(4, 3), f(4, 3), f(4, 3), swap=True, reduction=how, only="float"))
    rows(
        "F.poisson_nll_loss",
        call(f(3, 4), u(3, 4), reduction=how),
        call(u(3, 4), u(3, 4, low=1, high=4), log_input=False, full=True, reduction=how),
    )
    rows(
        "F.gaussian_nll_loss",
        call(f(3, 4), f(3, 4), u(3, 4), reduction=how),
        call(f(3, 4), f(3, 4), u(3, 1), full=True, reduction=how),
    )
    rows(
        "F.multi_margin_loss",
        call(f(3, 4), i(3), reduction=how),
        call(f(3, 4), i(3), p=2, margin=0.5, weight=u(4), reduction=how),
    )
    rows("F.multilabel_margin_loss", call(f(2, 4), ints([[3, 0, -1, 1], [1, -1, 0, 0]]), reduction=how))
    rows(
        "F.multilabel_soft_margin_loss",
        call(f(3, 4), u(3, 4), reduction=how),
        call(f(3, 4), u(3, 4), weight=u(4), reduction=how),
    )
rows("F.smooth_l1_loss", call(f(3, 4), f(3, 4), beta=0.3))
rows("F.huber_loss", call(f(3, 4), f(3, 4), delta=0.3))
rows("F.kl_div", call(f(3, 4), u(3, 4), reduction="batchmean"))
rows(
    "torch.cosine_embedding_loss torch.hinge_embedding_loss",
    call(f(4, 3), f(4, 3), ints([1, -1, 1, -1]), only="absent"),
)

# in place only
rows("Tensor.zero_", call(f(2, 3)))
rows("Tensor.fill_", call(f(2, 3), 1.5), call(i(2, 3), 2), call(f(2), f()))
rows("Tensor.copy_", call(f(2, 3), f(3)), call(f(2), i(2)), call(i(2), f(2)))
rows("Tensor.put_", call(f(3, 4), ints([0, -1]), f(2)), call(f(3, 4), ints([0, 0, 5]), f(3), True))
rows("Tensor.index_put_", call(f(3, 4), (ints([2, 0]),), f(4)), call(f(3, 4), (ints([2, 2]),), f(4), accumulate=True))
rows("Tensor.fill_diagonal_", call(f(3, 4), 1.5), call(f(5, 2), 2.0, wrap=True))
rows(
    "Tensor.normal_ Tensor.uniform_ Tensor.exponential_ Tensor.cauchy_ Tensor.log_normal_",
    call(f(2, 3), only="shape float"),
)
rows("Tensor.geometric_ Tensor.bernoulli_", call(f(2, 3), 0.5, only="shape float"))
rows("Tensor.random_", call(f(2, 3), 5, only="shape float"), call(i(2, 3), 2, 9, only="shape"))
rows("Tensor.squeeze_", call(f(1, 3)))
rows("Tensor.unsqueeze_", call(f(3), 0))
rows("Tensor.transpose_ Tensor.swapaxes_ Tensor.swapdims_", call(f(2, 3), 0, 1))
rows("Tensor.t_", call(f(2, 3)))
rows("Tensor.detach_ Tensor.requires_grad_", call(f(2), only="values"))
rows("Tensor.resize_", call(f(2, 3), 3, 2, only="values"))

# operators
rows("Tensor.__neg__ Tensor.__abs__", call(f(2, 3)), call(i(2, 3)))
rows("Tensor.__invert__", call(i(2, 3)), call(b(3)))
rows(
    "Tensor.__add__ Tensor.__radd__ Tensor.__sub__ Tensor.__rsub__ Tensor.__mul__ Tensor.__rmul__ Tensor.__truediv__ "
    "Tensor.__rtruediv__ Tensor.__eq__ Tensor.__ne__ Tensor.__lt__ Tensor.__le__ Tensor.__gt__ Tensor.__ge__",
    call(u(3, 4), u(4)),
    call(u(3, 4), 2),
    call(u(3, 4), 1.5),
    call(i(3, 4, low=1), i(4, low=1)),
    call(i(3, 4, low=1), True),
)
rows(
    "Tensor.__floordiv__ Tensor.__rfloordiv__ Tensor.__mod__ Tensor.__rmod__",
    call(u(3, 4), u(4), loose=4),
    call(i(3, 4, low=1), 3),
    call(u(3, 4), 0.3, loose=4),
)
rows(
    "Tensor.__iadd__ Tensor.__isub__ Tensor.__imul__ Tensor.__itruediv__ Tensor.__ifloordiv__ Tensor.__ipow__ Tensor.__imod__",
    call(u(3, 4), u(4)),
    call(u(3, 4), 2),
)
rows("Tensor.__pow__ Tensor.__rpow__", call(u(3, 4), u(4), loose=4), call(u(3, 4), 2))
rows("Tensor.__matmul__ Tensor.__rmatmul__", call(f(3, 3), f(3, 3)))
rows(
    "Tensor.__and__ Tensor.__rand__ Tensor.__or__ Tensor.__ror__ Tensor.__xor__ Tensor.__rxor__ "
    "Tensor.__iand__ Tensor.__ior__ Tensor.__ixor__",
    call(i(3), i(3)),
    call(b(3), b(3)),
    call(i(3), 2),
)
rows(
    "Tensor.__lshift__ Tensor.__rshift__ Tensor.__rlshift__ Tensor.__rrshift__ Tensor.__ilshift__ Tensor.__irshift__",
    call(i(3), i(3)),
    call(i(3), 2),
)
rows("Tensor.__len__ Tensor.__iter__", call(f(3, 2)))
rows("Tensor.__bool__ Tensor.__float__ Tensor.__int__", call(u(), only="values"), call(i(1)))
rows("Tensor.__index__", call(i()))
rows("Tensor.__contains__", call(ints([1, 2]), 2), call(f(2), 3.0))
rows(
    "Tensor.__getitem__",
    call(f(3, 4), 1),
    call(f(3, 4), -1),
    call(f(3, 4), slice(1, None)),
    call(f(3, 4), (slice(None), slice(0, 4, 2))),
    call(f(3, 4), (..., 1)),
    call(f(3, 4), (None, 1, ..., None)),
    call(f(3, 4), ints([2, 0, 2])),
    call(f(3, 4), (slice(None), [0, 2])),
    call(f(3, 4), b(3, 4)),
    call(f(3, 4), b(3)),
    call(f(2, 3, 4), (ints([0, 1]), slice(None), ints([1, 3]))),
    call(f(2, 3, 4), (slice(None), ints([[0, 1], [2, 0]]), ints([1]))),
    call(f(2, 3), True),
    call(f(2, 3), False),
    call(f(), ()),
    call(f(2, 3), ints([])),
)

EXEMPT = {  # not functions of tensors: their own tests are elsewhere
    "torch": "autocast compile enable_grad get_autocast_dtype get_default_device get_default_dtype "
    "get_float32_matmul_precision get_rng_state inference_mode initial_seed is_autocast_enabled is_grad_enabled "
    "is_inference is_inference_mode_enabled is_storage load manual_seed no_grad save seed set_default_device "
    "set_default_dtype set_float32_matmul_precision set_grad_enabled set_printoptions set_rng_state from_numpy "
    "from_dlpack frombuffer use_deterministic_algorithms are_deterministic_algorithms_enabled "
    "is_anomaly_enabled is_anomaly_check_nan_enabled set_anomaly_enabled set_num_threads get_num_threads vmap cond "
    "get_num_interop_threads set_num_interop_threads get_file_path typename",
    "F": "multi_head_attention_forward gumbel_softmax",
    "special": "",
    "linalg": "",
    "Tensor": "backward cuda data data_ptr device dtype get_device grad grad_fn is_inference is_pinned is_shared numpy "
    "output_nr pin_memory record_stream register_hook register_post_accumulate_grad_hook retain_grad retains_grad "
    "share_memory_ storage untyped_storage set_ map_ map2_ apply_ names is_meta is_sparse is_quantized layout imag real "
    "__annotations__ __array__ __array_priority__ __array_wrap__ __deepcopy__ __dlpack__ __dlpack_device__ __format__ "
    "__getattr__ __init__ __module__ __new__ __reduce__ __reduce_ex__ __repr__ __setitem__ __setstate__ __hash__ __dict__ "
    "__weakref__ __doc__ __class__ __dir__ __str__ __getattribute__ __setattr__ __delattr__ __init_subclass__ "
    "__subclasshook__ __sizeof__ __getstate__ __slots__ __firstlineno__ __static_attributes__",
}
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64")
CLOSE = {"float64": 2.0**-42, "float32": 2.0**-17, "float16": 2.0**-8, "bfloat16": 2.0**-5}


def spaces() -> dict[str, tuple[Any, Any]]:
    """The namespaces that are compared: ours and theirs."""
    found = {"torch": (tg, torch), "F": (tg.nn.functional, torch.nn.functional), "Tensor": (tg.Tensor, torch.Tensor)}
    for name in ("special", "linalg"):
        if hasattr(tg, name):
            found[name] = (getattr(tg, name), getattr(torch, name))
    return found


SPACES = spaces()
PLAIN = ("torch", "F", "special", "linalg", "Tensor")


def in_both(space: str, name: str) -> bool:
    return space in SPACES and all(hasattr(side, name) for side in SPACES[space])


def cases() -> Iterator[tuple[str, str, list[Call]]]:
    """(namespace, name, calls) of every row that both libraries have."""
    for key, calls in TABLE.items():
        space, _, name = key.rpartition(".")
        for s in (space,) if space else PLAIN:
            if in_both(s, name):
                fitting = [c for c in calls if s != "Tensor" or (c.args and isinstance(c.args[0], (Arg, Given)))]
                if fitting:
                    yield s, name, fitting


CASES = list(cases())
IDS = [f"{space}.{name}" for space, name, _ in CASES]


# -- one call in both libraries ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """In what way the arguments of a call are drawn."""

    dtype: str = "float64"
    strided: bool = False
    special: bool = False
    grown: int = -1  # this tensor is one longer along its last dimension


class Both:
    """The arguments of one call for both libraries, from the same numbers."""

    def __init__(self, c: Call, seed: int, variant: Variant) -> None:
        self.rng = np.random.default_rng(seed)
        self.variant = variant
        self.count = 0
        self.leaves: list[tuple[Any, Any]] = []  # the floating tensors, in pairs
        self.ours, self.theirs = self.pair(c.args)
        self.ours_by_name, self.theirs_by_name = self.pair(c.kwargs)

    def pair(self, x: Any) -> tuple[Any, Any]:
        if isinstance(x, (tuple, list)):
            pairs = [self.pair(y) for y in x]
            return type(x)(p[0] for p in pairs), type(x)(p[1] for p in pairs)
        if isinstance(x, dict):
            pairs = {k: self.pair(y) for k, y in x.items()}
            return {k: p[0] for k, p in pairs.items()}, {k: p[1] for k, p in pairs.items()}
        if isinstance(x, Dtype):
            return getattr(tg, x.name), getattr(torch, x.name)
        if isinstance(x, (Arg, Given)):
            return self.tensors(x)
        return x, x

    def tensors(self, x: Arg | Given) -> tuple[Any, Any]:
        if isinstance(x, Given):
            values, floats = np.asarray(x.values, x.dtype), x.dtype.startswith("float")
        else:
            grown = self.count == self.variant.grown
            shape = x.shape if not grown else (*x.shape[:-1], x.shape[-1] + 1) if x.shape else (2,)
            values, floats = Arg(shape, x.kind, x.low, x.high).draw(self.rng), x.floats
        self.count += 1
        dtype = self.variant.dtype
        if floats and dtype == "int64":
            values = np.rint(values * 3).astype(np.int64)
        if floats and self.variant.special and values.size:
            flat = values.reshape(-1)
            strange = [np.nan, np.inf, -np.inf, 0.0, -0.0][: flat.size]
            flat[self.rng.permutation(flat.size)[: len(strange)]] = strange
        if self.variant.strided and values.ndim:
            wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1] + 1), values.dtype)
            wide[..., 1::2] = values
            ours = tg.tensor(wide)[..., 1::2]
            theirs = torch.tensor(wide)[..., 1::2]
        else:
            values = np.asarray(values)
            ours, theirs = tg.tensor(values), torch.tensor(values)
        if floats and dtype not in ("float64", "int64"):
            ours, theirs = ours.to(getattr(tg, dtype)), theirs.to(getattr(torch, dtype))
        if floats and dtype != "int64":
            self.leaves.append((ours, theirs))
        return ours, theirs

    def call(self, space: str, name: str, side: int, **more: Any) -> Any:
        """The result in one library."""
        args = (self.ours, self.theirs)[side]
        kwargs = (self.ours_by_name, self.theirs_by_name)[side] | more
        if space == "Tensor" and not callable(getattr(SPACES["Tensor"][side], name)):
            return getattr(args[0], name)
        return getattr(SPACES[space][side], name)(*args, **kwargs)


def attempt(function: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return function(), None
    except Exception as error:
        return None, error


def quietly(function: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """As ``attempt``, for PyTorch: what it warns of is not our matter."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attempt(function)


def leaves(x: Any) -> list[Any]:
    if isinstance(x, (tuple, list, types.GeneratorType)):
        return [y for part in x for y in leaves(part)]
    if hasattr(x, "__next__"):
        return [y for part in list(x) for y in leaves(part)]
    return [x]


def same(ours: Any, theirs: Any, c: Call, variant: Variant, said: str) -> None:
    """Values, shapes, dtypes, and the names of the parts."""
    if not isinstance(theirs, torch.Tensor) and type(theirs).__module__ == "torch.return_types":
        fields = [n for n in dir(theirs) if isinstance(getattr(type(theirs), n, None), types.MemberDescriptorType)]
        assert all(hasattr(ours, n) for n in fields), f"{said}: no {fields}"
    mine, other = leaves(ours), leaves(theirs)
    assert len(mine) == len(other), f"{said}: {len(mine)} results for {len(other)}"
    for a, e in zip(mine, other, strict=True):
        if isinstance(e, torch.Tensor):
            assert isinstance(a, tg.Tensor), f"{said}: {type(a).__name__}"
            assert tuple(a.shape) == tuple(e.shape), f"{said}: shape {tuple(a.shape)} for {tuple(e.shape)}"
            assert f"torch.{a.dtype.name}" == str(e.dtype), f"{said}: {a.dtype.name} for {e.dtype}"
            if "shape" not in c.only:
                near(a, e, c.loose, variant.dtype, said)
        elif isinstance(e, torch.dtype):
            assert f"torch.{a.name}" == str(e), f"{said}: {a} for {e}"
        elif isinstance(e, (bool, int, float)):
            assert type(a) is type(e), f"{said}: {a!r} for {e!r}"
            if "shape" not in c.only:
                assert a == pytest.approx(e, rel=CLOSE[near_dtype(variant.dtype)], nan_ok=True), (
                    f"{said}: {a!r} for {e!r}"
                )
        elif isinstance(e, (torch.Size, torch.device)):
            assert str(a) == str(e) or tuple(a) == tuple(e)


def near_dtype(name: str) -> str:
    return name if name in CLOSE else "float32"


def near(a: Any, e: Any, loose: float, dtype: str, said: str) -> None:
    got, expected = a.detach().to(tg.float64).numpy(), e.detach().to(torch.float64).numpy(force=True)
    rtol = loose * max(CLOSE[near_dtype(dtype)], CLOSE.get(a.dtype.name, 0.0))
    if a.dtype.is_floating_point:
        finite = np.abs(expected[np.isfinite(expected)])
        atol = rtol * max(1.0, float(finite.max()) if finite.size else 1.0)
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol, err_msg=said)
    else:
        np.testing.assert_array_equal(got, expected, err_msg=said)


def alike(ours: Exception | None, theirs: Exception, said: str) -> None:
    """Ours fails as theirs did."""
    assert ours is not None, f"{said}: no error, theirs {type(theirs).__name__}: {str(theirs)[:200]}"
    values = (RuntimeError, ValueError, IndexError)  # which of these a wrong shape is, PyTorch decides case by case
    kind = values if isinstance(theirs, values) else type(theirs)
    assert isinstance(ours, kind), f"{said}: {ours!r} for {theirs!r}"[:600]


def unknown_to_them(error: Exception | None, dtype: str = "") -> bool:
    """PyTorch has no kernel of this dtype or layout: no answer to compare with."""
    if error is None:
        return False
    lacking = ("not implemented for", "not supported", "view size is not compatible")
    return dtype not in ("", "float64", "float32") or any(words in str(error) for words in lacking)


def compared(space: str, name: str, c: Call, variant: Variant) -> bool:
    """Whether both gave the same answer (True) or the same error (False)."""
    seed = zlib.crc32(f"{space}.{name}".encode())
    both = Both(c, seed, variant)
    said = f"{space}.{name} {c.args} {c.kwargs} {variant}"
    expected, error = quietly(lambda: both.call(space, name, 1))
    if unknown_to_them(error, variant.dtype):
        return False
    got, fault = attempt(lambda: both.call(space, name, 0))
    if error is not None:
        alike(fault, error, said)
        return False
    if fault is not None:
        raise AssertionError(f"{said}: {fault!r}") from fault
    same(got, expected, c, variant, said)
    return True


# -- the tests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space, name, calls", CASES, ids=IDS)
def test_values(space, name, calls, record_property):
    answered = 0
    for c in calls:
        for dtype in DTYPES:
            if "float64" in c.only and dtype != "float64":
                continue
            if dtype == "int64" and ("float" in c.only or name in NO_INTEGERS):
                continue
            answered += compared(space, name, c, Variant(dtype))
        answered += compared(space, name, c, Variant(strided=True))
    assert answered, "no call that PyTorch answers"
    record_property("functions compared with PyTorch", f"{space}.{name}")


NO_INTEGERS = (  # refused here, or which of equal ones is found is nobody's promise
    "pairwise_distance avg_pool1d avg_pool2d avg_pool3d local_response_norm l1_loss hinge_embedding_loss topk kthvalue"
).split()
ODD = {  # where PyTorch's answer to an infinity or a NaN is an accident of how it computes
    "pow": "x ** -0.5 as 1 / sqrt(x): NaN of -inf",
    "float_power": "as pow",
    "group_norm": "an infinity times a weight of 0",
    "instance_norm": "an infinity times a weight of 0",
    "layer_norm": "an infinity times a weight of 0",
    "var_mean std_mean": "the mean of infinities is NaN there",
    "topk kthvalue sort argsort msort": "which of equal numbers comes first: 0.0 and -0.0",
    "searchsorted bucketize": "NaN among the boundaries",
    "batch_norm": "an infinity times a weight of 0",
    "scaled_dot_product_attention": "masked scores are skipped, or not",
    "binary_cross_entropy_with_logits": "(1 - target) * inf - inf",
    "cross_entropy": "smoothed rows that are ignored",
    "multi_margin_loss": "NaN compared with 0 counts as smaller",
    "multilabel_margin_loss": "NaN compared with 0 counts as smaller",
}


@pytest.mark.parametrize("space, name, calls", CASES, ids=IDS)
def test_memory(space, name, calls):
    """A result is a view of an input where PyTorch's is, and no input is changed."""
    for c in calls:
        both = Both(c, 0, Variant())
        before = [a.numpy().copy() for a, _ in both.leaves]
        expected, error = quietly(lambda both=both: both.call(space, name, 1))
        if error is not None or not both.leaves:
            continue
        said = f"{space}.{name} {c.args} {c.kwargs}"
        got = both.call(space, name, 0)
        for (x, y), old in zip(both.leaves, before, strict=True):
            if np.array_equal(y.detach().numpy(), old):
                np.testing.assert_array_equal(x.detach().numpy(), old, err_msg=said)
            for a, e in zip(leaves(got), leaves(expected), strict=True):
                if isinstance(e, torch.Tensor) and e.numel():
                    shared = e.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()
                    assert (a.storage is x.storage) == shared, f"{said}: {'no' if shared else 'a'} view"


@pytest.mark.parametrize("space, name, calls", CASES, ids=IDS)
def test_special_values(space, name, calls):
    for c in calls:
        if "shape" not in c.only and not any(name in names.split() for names in ODD):
            compared(space, name, c, Variant(special=True))


@pytest.mark.parametrize("space, name, calls", CASES, ids=IDS)
def test_gradients_twice(space, name, calls):
    seed = zlib.crc32(f"{space}.{name}".encode())
    for c in calls:
        if "shape" in c.only or "values" in c.only:
            continue
        both = Both(c, seed, Variant())
        said = f"{space}.{name} {c.args} {c.kwargs}"
        if not both.leaves or name.endswith("_") or name.startswith("__i"):
            continue
        for a, e in both.leaves:
            a.requires_grad_(), e.requires_grad_()
        expected, error = quietly(lambda both=both: both.call(space, name, 1))
        if error is not None:
            continue
        check_gradients(both.call(space, name, 0), expected, both, c, said)


def check_gradients(got: Any, expected: Any, both: Both, c: Call, said: str, order: int = 1) -> None:
    weights = np.random.default_rng(order)
    total, sum_ours = 0.0, 0.0
    for a, e in zip(leaves(got), leaves(expected), strict=True):
        if isinstance(e, torch.Tensor) and e.requires_grad:
            w = weights.normal(size=tuple(e.shape))
            total = total + (e * torch.tensor(w)).sum()
            if a.requires_grad:
                sum_ours = sum_ours + (a * tg.tensor(w)).sum()
    if not isinstance(total, torch.Tensor):
        return
    first = order == 1
    theirs, error = quietly(
        lambda: torch.autograd.grad(total, [e for _, e in both.leaves], create_graph=first, allow_unused=True)
    )
    if error is not None:
        return
    if isinstance(sum_ours, float):
        assert all(g is None or not g.any() for g in theirs), f"{said}: no gradient of order {order}"
        return
    ours = tg.autograd.grad(sum_ours, [a for a, _ in both.leaves], create_graph=first, allow_unused=True)
    for a, e in zip(ours, theirs, strict=True):
        if a is None or e is None:
            assert a is None or not a.numpy().any(), f"{said}: a gradient of order {order} where PyTorch has none"
            assert e is None or not e.any(), f"{said}: no gradient of order {order} of an input"
            continue
        assert tuple(a.shape) == tuple(e.shape), said
        near(a, e, 16 * c.loose * 4**order, "float64", f"{said}: gradient of order {order}")
    if first:
        pairs = [(a, e) for a, e in zip(ours, theirs, strict=True) if a is not None and e is not None]
        check_gradients([a for a, _ in pairs], [e for _, e in pairs], both, c, said, order=2)


IN_PLACE = [case for case in CASES if in_both(case[0], f"{case[1]}_")]


@pytest.mark.parametrize("space, name, calls", IN_PLACE, ids=[f"{space}.{name}_" for space, name, _ in IN_PLACE])
def test_in_place(space, name, calls):
    seed = zlib.crc32(f"{space}.{name}".encode())
    for c in calls:
        if c.only not in ("", "float") or not isinstance(c.args[0], (Arg, Given)):
            continue
        for dtype in DTYPES if c.only != "float" else DTYPES[:-1]:
            both = Both(c, seed, Variant(dtype))
            said = f"{space}.{name}_ {c.args} {c.kwargs} {dtype}"
            graded = dtype == "float64" and bool(both.leaves) and both.leaves[0][0] is both.ours[0]
            if graded:
                for a, e in both.leaves:
                    a.requires_grad_(), e.requires_grad_()
                both.ours = (both.ours[0].clone(), *both.ours[1:])
                both.theirs = (both.theirs[0].clone(), *both.theirs[1:])
            expected, error = quietly(lambda both=both: both.call(space, f"{name}_", 1))
            if unknown_to_them(error):
                continue
            got, fault = attempt(lambda both=both: both.call(space, f"{name}_", 0))
            if error is not None:
                alike(fault, error, said)
                continue
            if fault is not None:
                raise AssertionError(f"{said}: {fault!r}") from fault
            assert got is both.ours[0], said
            same(got, expected, c, Variant(dtype), said)
            if graded:
                check_gradients(got, expected, both, c, said)


@pytest.mark.parametrize("space, name, calls", CASES, ids=IDS)
def test_errors(space, name, calls):
    """Shapes that do not fit, dimensions that do not exist, arguments that nobody knows, things that are no tensors."""
    for c in calls:
        said = f"{space}.{name} {c.args} {c.kwargs}"
        count = Both(c, 0, Variant()).count
        if "shape" not in c.only and count > 1:
            for n in range(count):
                compared(space, name, c, Variant(grown=n))
        if isinstance(c.kwargs.get("dim"), int):
            with pytest.raises(IndexError):
                Both(c, 0, Variant()).call(space, name, 1, dim=99)
            with pytest.raises(IndexError):
                Both(c, 0, Variant()).call(space, name, 0, dim=99)
    c = calls[0]
    both = Both(c, 0, Variant())
    if not (space == "Tensor" and not callable(getattr(torch.Tensor, name))) and not name.startswith("__"):
        _, error = quietly(lambda: both.call(space, name, 1, nonsense=1))
        if isinstance(error, TypeError):
            _, fault = attempt(lambda: both.call(space, name, 0, nonsense=1))
            alike(fault, error, f"{said}: an unknown argument")
    if space != "Tensor" and c.args and isinstance(c.args[0], (Arg, Given)):
        both.ours, both.theirs = ("word", *both.ours[1:]), ("word", *both.theirs[1:])
        _, error = quietly(lambda: both.call(space, name, 1))
        _, fault = attempt(lambda: both.call(space, name, 0))
        if error is not None:
            assert fault is not None, f"{said}: a string was taken"
            assert isinstance(fault, (TypeError, RuntimeError, ValueError, AttributeError)), f"{said}: {fault!r}"


@cache
def covered(space: str) -> frozenset[str]:
    return frozenset(name for s, name, _ in CASES if s == space) | frozenset(EXEMPT[space].split())


@pytest.mark.parametrize("space", sorted(SPACES))
def test_nothing_is_left_out(space, record_property):
    ours, theirs = SPACES[space]
    public = [n for n in dir(ours) if not n.startswith("_") or (space == "Tensor" and n.startswith("__"))]
    functions = [
        n
        for n in public
        if hasattr(theirs, n)
        and (space == "Tensor" or callable(getattr(ours, n)))
        and not inspect.isclass(getattr(ours, n))
        and not inspect.ismodule(getattr(ours, n))
        and not isinstance(getattr(ours, n), tg.dtype)
    ]
    names = covered(space)
    absent = [
        n for n in functions if n not in names and not (n.endswith("_") and not n.startswith("__") and n[:-1] in names)
    ]
    assert not absent, f"{space}: not compared with PyTorch: {' '.join(absent)}"
